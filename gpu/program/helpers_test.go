package program

import (
	"fmt"
	"strings"

	"weft/gpu/train"
	"weft/gpu/train/dataset"
	"weft/gpu/train/traintest"
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

// example makes one of the jobs that figures are quoted for, or one with everything.
func example(t tb, name string) job {
	t.Helper()
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
	switch name {
	case "bookkeeping":
		return mlp(1, 1, 1)
	case "lab":
		return mlp(64, 32, 64, 64, 10)
	case "wide":
		return mlp(784, 64, 128, 10)
	case "deep":
		return mlp(64, 64, 512, 512, 10)
	case "tiny":
		return mlp(32, 32, 64, 64, 1)
	case "lenet":
		return adamJob(t, train.CrossEntropy, []int{1, 28, 28}, lenet, 10, 32)
	case "regularized":
		return adamJob(t, train.CrossEntropy, []int{64}, regularized, 10, 64)
	case "normed-cnn":
		return adamJob(t, train.CrossEntropy, []int{1, 16, 16}, normedCNN, 10, 32)
	default:
		return newJob(t, everything, traintest.Set(train.CrossEntropy, []int{1, 6, 6}, 41, 19, 10, 3))
	}
}

// examples are the names that example knows.
var examples = []string{"bookkeeping", "lab", "wide", "deep", "tiny", "lenet", "regularized", "normed-cnn", "everything"}

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
	return newJob(t, spec, traintest.Set(loss, shape, 16*batch, 4*batch, 0, outputs))
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
