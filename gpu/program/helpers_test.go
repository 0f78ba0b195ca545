package program

import (
	"fmt"
	"strings"

	"weft/gpu/train"
	"weft/gpu/train/dataset"
	"weft/gpu/train/philox"
)

// job is a composed job with its data.
type job struct {
	spec  *train.Spec
	model *train.Model
	set   *dataset.Set
}

func newJob(t tb, spec string, set *dataset.Set) job {
	t.Helper()
	s, err := train.Parse([]byte(spec))
	if err != nil {
		t.Fatalf("parse %s: %v", spec, err)
	}
	m, err := train.Compose(s, &set.Info)
	if err != nil {
		t.Fatalf("compose %s: %v", spec, err)
	}
	return job{s, m, set}
}

func (j job) compile(t tb) *Program {
	t.Helper()
	p, err := Compile(j.spec, j.model, &j.set.Info)
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	return p
}

// normals returns n numbers of the standard normal distribution.
func normals(n int, seed uint64) []float32 {
	s := philox.New(seed, philox.MakeData, 99).Source()
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(s.Normal())
	}
	return x
}

// randomSet makes a data set for a loss: rows of that shape split as given,
// with random targets of that width (classes, for labels).
func randomSet(loss train.Loss, shape []int, trainRows, valRows, testRows, width int) *dataset.Set {
	rows, in := trainRows+valRows+testRows, 1
	for _, d := range shape {
		in *= d
	}
	set := &dataset.Set{Info: dataset.Info{
		Rows: rows, TrainRows: trainRows, ValRows: valRows, TestRows: testRows,
		Shape: shape, Task: string(loss.Task()), TargetWidth: width, MaxLabel: -1,
	}}
	set.X = normals(rows*in, 7)
	switch loss.Task() {
	case dataset.Classification:
		set.TargetWidth = 0
		for r := range rows {
			label := int32(0)
			for i, v := range set.X[r*in : (r+1)*in] { // something that can be learned
				if v > 1 {
					label = int32(i % width)
				}
			}
			set.Labels = append(set.Labels, label)
			set.MaxLabel = max(set.MaxLabel, int(label))
		}
	case dataset.Binary:
		for _, v := range normals(rows*width, 8) {
			hit := float32(0)
			if v > 0 {
				hit = 1
			}
			set.Targets = append(set.Targets, hit)
		}
	default:
		set.Targets = normals(rows*width, 8)
	}
	return set
}

// examples are the jobs that figures are quoted for, and one with everything.
func examples(t tb) map[string]job {
	mlp := func(in, batch int, widths ...int) job {
		var layers []string
		for _, w := range widths {
			layers = append(layers, fmt.Sprintf(`{"linear": %d}`, w))
		}
		outputs := widths[len(widths)-1]
		loss := train.CrossEntropy
		if outputs == 1 {
			loss = train.MSE
		}
		return adamJob(t, loss, []int{in}, strings.Join(layers, `, "relu", `), outputs, batch)
	}
	const lenet = `{"conv2d": {"channels": 6, "kernel": 5, "padding": 2}}, "relu", {"maxpool2d": 2},
		{"conv2d": {"channels": 16, "kernel": 5}}, "relu", {"maxpool2d": 2},
		"flatten", {"linear": 120}, "relu", {"linear": 84}, "relu", {"linear": 10}`
	const regularized = `{"linear": 256}, "batchnorm1d", "relu", {"dropout": 0.2}, {"linear": 256}, "layernorm", "gelu",
		{"dropout": 0.2}, {"linear": 10}`
	const normedCNN = `{"conv2d": {"channels": 16, "kernel": 3, "padding": 1, "bias": false}}, "batchnorm2d", "relu",
		{"avgpool2d": 2}, {"conv2d": {"channels": 32, "kernel": 3, "stride": 2}}, "batchnorm2d", "relu",
		"flatten", {"linear": 10}`
	return map[string]job{
		"bookkeeping": mlp(1, 1, 1),
		"lab":         mlp(64, 32, 64, 64, 10),
		"wide":        mlp(784, 64, 128, 10),
		"deep":        mlp(64, 64, 512, 512, 10),
		"tiny":        mlp(32, 32, 64, 64, 1),
		"lenet":       adamJob(t, train.CrossEntropy, []int{1, 28, 28}, lenet, 10, 32),
		"regularized": adamJob(t, train.CrossEntropy, []int{64}, regularized, 10, 64),
		"normed-cnn":  adamJob(t, train.CrossEntropy, []int{1, 16, 16}, normedCNN, 10, 32),
		"everything":  newJob(t, everything, randomSet(train.CrossEntropy, []int{1, 6, 6}, 41, 19, 10, 3)),
	}
}

const everything = `{
	"name": "everything", "data": {"source": "digits"},
	"model": [
		{"conv2d": {"channels": 4, "kernel": 3, "padding": 1}}, "batchnorm2d", "relu", {"maxpool2d": 2},
		"flatten", {"dropout": 0.3}, {"linear": 12}, "layernorm", "gelu", {"dropout": 0.2}, {"linear": 3}
	],
	"loss": "cross_entropy", "optimizer": {"name": "adamw", "lr": 0.01},
	"schedule": {"name": "cosine", "warmup_steps": 3}, "clip_grad_norm": 1,
	"batch_size": 8, "epochs": 4, "seed": 11,
	"early_stopping": {"metric": "val_loss", "patience": 2}
}`

func adamJob(t tb, loss train.Loss, shape []int, layers string, outputs, batch int) job {
	spec := fmt.Sprintf(`{"data": {"source": "teacher"}, "model": [%s], "loss": %q, "batch_size": %d,
		"optimizer": {"name": "adam", "lr": 0.001}, "steps": 1000000000}`, layers, loss, batch)
	return newJob(t, spec, randomSet(loss, shape, 16*batch, 4*batch, 0, outputs))
}

// tb is what testing.TB and rapid.T have in common.
type tb interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
}
