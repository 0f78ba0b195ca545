package program

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"weft/gpu/host"
	"weft/gpu/train"
	"weft/gpu/train/dataset"
	"weft/gpu/train/traintest"
	"weft/kernels"
)

func (j job) trainer(t tb, s *train.State) *host.Trainer {
	t.Helper()
	tr, err := host.New(host.Config{Spec: j.spec, Model: j.model, Data: j.set, State: s})
	if err != nil {
		t.Fatalf("host.New: %v", err)
	}
	return tr
}

// followHost trains with gpu/host and, from each of its states, one step with
// the machine: what a step changes has to be the same. A wrong operation is off
// by its whole size; rounding may send a number to the other side of a ReLU.
func followHost(t tb, j job, steps int, tolerance float64) {
	t.Helper()
	p := j.compile(t)
	initial, err := p.Initial()
	if err != nil {
		t.Fatal(err)
	}
	tr := j.trainer(t, initial)
	for range steps {
		before := tr.State()
		for tr.State().Step == before.Step {
			if r, err := tr.Run(0); err != nil || r.Done {
				t.Fatalf("gpu/host stopped at step %d: %v", r.Step, err)
			}
			if tr.State().Step == before.Step {
				before = tr.State() // an evaluation
			}
		}
		m := newMachine(t, j, p, before)
		for m.h.State.Step == before.Step {
			if !m.advance() && m.h.State.Step == before.Step {
				t.Fatalf("the machine stopped: doing %v", m.h.Cursor.Doing)
			}
		}
		want, got := tr.State(), m.state()
		sameChange(t, j.model.Params, before.Params, want.Params, got.Params, tolerance)
		sameChange(t, j.model.Buffers, before.Buffers, want.Buffers, got.Buffers, tolerance)
		for i := range want.Slots {
			sameChange(t, j.model.Params, before.Slots[i], want.Slots[i], got.Slots[i], tolerance)
		}
		if d := math.Abs(want.LossSum - got.LossSum); got.LossRows > 0 && d > 1e-4*(1+math.Abs(want.LossSum)) {
			t.Fatalf("step %d: loss sum %g, want %g", want.Step, got.LossSum, want.LossSum)
		}
		if t.Failed() {
			t.Fatalf("step %d differs; the program:\n%s", want.Step, p)
		}
	}
}

// sameChange compares what became of before, tensor by tensor.
func sameChange(t tb, tensors []train.Tensor, before, want, got []float32, tolerance float64) {
	t.Helper()
	norm := func(a, b []float32) float64 {
		var sum float64
		for i, v := range a {
			sum += (float64(v) - float64(b[i])) * (float64(v) - float64(b[i]))
		}
		return math.Sqrt(sum)
	}
	all := norm(want, before)
	for i := range tensors {
		at, end := tensors[i].Offset, tensors[i].Offset+tensors[i].Size
		// A change that is zero but for rounding is compared with all of them.
		off, change := norm(got[at:end], want[at:end]), norm(want[at:end], before[at:end])
		if !(off <= tolerance*change+tolerance/10*all+1e-6) {
			t.Errorf("%s changes by %g in norm, and by something that differs by %g", tensors[i].Name, change, off)
		}
	}
}

// layerCases put every layer first, behind what it may fuse with, and last.
var layerCases = []struct {
	name  string
	shape []int
	model string
}{
	{"linear", []int{5}, `{"linear": 3}`},
	{"no_bias", []int{5}, `{"linear": {"out": 4, "bias": false}}, "relu", {"linear": {"out": 3, "bias": false}}`},
	{"relu", []int{5}, `{"linear": 6}, "relu", {"linear": 6}, "relu", "relu", {"linear": 3}`},
	{"relu_first", []int{5}, `"relu", {"linear": 4}, "relu", {"linear": 3}`},
	{"relu_last", []int{5}, `{"linear": 4}, "tanh", {"linear": 3}, "relu"`},
	{"sigmoid_last", []int{5}, `{"linear": 4}, "layernorm", {"linear": 3}, "batchnorm1d", "sigmoid"`},
	{"gelu", []int{5}, `{"linear": 6}, "gelu", {"linear": 3}`},
	{"gelu_first", []int{5}, `"gelu", "gelu", {"linear": 3}`},
	{"gelu_last", []int{5}, `{"linear": 6}, "relu", {"linear": 3}, "gelu"`},
	{"tanh", []int{5}, `{"linear": 6}, "tanh", "relu", {"linear": 3}`},
	{"leaky", []int{5}, `{"linear": 6}, {"leaky_relu": 0.2}, {"linear": 5}, {"leaky_relu": 0}, {"linear": 3}`},
	{"leaky_dropout", []int{5}, `{"linear": 6}, {"leaky_relu": 0.2}, {"dropout": 0.4}, {"linear": 5}, {"leaky_relu": 0}, {"dropout": 0.3}, {"linear": 3}`},
	{"chain", []int{5}, `{"linear": 6}, "gelu", "tanh", "sigmoid", "gelu", "relu", {"linear": 3}`},
	{"dropout", []int{5}, `{"linear": 8}, "relu", {"dropout": 0.4}, {"linear": 8}, {"dropout": 0.3}, "tanh", {"linear": 3}`},
	{"dropout_relu", []int{5}, `{"linear": 8}, {"dropout": 0.4}, "relu", {"linear": 8}, {"dropout": 0.3}, {"dropout": 0}, "relu", "relu", {"linear": 3}`},
	{"dropout_tanh", []int{5}, `{"linear": 8}, "tanh", {"dropout": 0.4}, {"dropout": 0.2}, {"linear": 8}, "sigmoid", {"dropout": 0.3}, "gelu", {"linear": 3}`},
	{"dropout_first", []int{5}, `{"dropout": 0.3}, {"linear": 3}`},
	{"dropout_last", []int{5}, `{"linear": 3}, "tanh", {"dropout": 0.3}`},
	{"layernorm", []int{5}, `{"linear": 6}, "layernorm", "relu", {"linear": 3}`},
	{"layernorm_first", []int{5}, `"layernorm", {"linear": 3}`},
	{"batchnorm1d", []int{5}, `{"linear": 6}, "batchnorm1d", "relu", {"dropout": 0.3}, {"linear": 3}`},
	{"batchnorm1d_first", []int{5}, `"batchnorm1d", {"linear": 3}`},
	{"batchnorm_tanh_dropout", []int{5}, `{"linear": 6}, "batchnorm1d", "tanh", {"dropout": 0.3}, "layernorm", {"linear": 3}`},
	{"batchnorm2d", []int{2, 4, 5}, `{"conv2d": {"channels": 3, "kernel": 3, "padding": 1}}, "batchnorm2d", "relu", "flatten", {"linear": 3}`},
	{"batchnorm2d_first", []int{2, 4, 5}, `"batchnorm2d", {"conv2d": {"channels": 3, "kernel": 3}}, "flatten", {"linear": 3}`},
	{"conv2d", []int{2, 5, 4}, `{"conv2d": {"channels": 3, "kernel": 3}}, "tanh", "flatten", {"linear": 3}`},
	{"conv2d_stride", []int{2, 7, 6}, `{"conv2d": {"channels": 2, "kernel": 2}}, {"conv2d": {"channels": 3, "kernel": 3, "stride": 2, "padding": 1}}, "flatten", "relu", {"linear": 3}`},
	{"conv2d_pointwise", []int{2, 3, 3}, `{"conv2d": {"channels": 3, "kernel": 1, "bias": false}}, "tanh", {"conv2d": {"channels": 2, "kernel": [2, 1], "padding": [1, 0]}}, "gelu", {"conv2d": {"channels": 2, "kernel": 2}}, "flatten", {"linear": 3}`},
	{"maxpool2d", []int{2, 6, 5}, `{"conv2d": {"channels": 3, "kernel": 2}}, "relu", {"maxpool2d": 2}, "flatten", {"linear": 3}`},
	{"maxpool2d_relu", []int{2, 6, 6}, `{"conv2d": {"channels": 3, "kernel": 2}}, {"maxpool2d": 2}, "relu", "flatten", {"linear": 3}`},
	{"maxpool2d_tanh", []int{2, 6, 6}, `{"conv2d": {"channels": 3, "kernel": 2}}, {"maxpool2d": 2}, "tanh", {"maxpool2d": 2}, "flatten", {"linear": 3}`},
	{"maxpool2d_overlap", []int{2, 6, 5}, `{"conv2d": {"channels": 3, "kernel": 2}}, "sigmoid", {"maxpool2d": {"kernel": 3, "stride": 1, "padding": 1}}, {"conv2d": {"channels": 3, "kernel": 2}}, "relu", {"maxpool2d": 2}, "gelu", "flatten", {"linear": 3}`},
	{"maxpool2d_first", []int{2, 6, 5}, `{"maxpool2d": 2}, {"conv2d": {"channels": 3, "kernel": 2}}, {"dropout": 0.2}, {"maxpool2d": 1}, "relu", "flatten", {"linear": 3}`},
	{"maxpool2d_dropout", []int{2, 6, 6}, `{"conv2d": {"channels": 3, "kernel": 2}}, {"leaky_relu": 0.3}, {"dropout": 0.2}, {"maxpool2d": 2}, {"dropout": 0.3}, "flatten", {"linear": 3}`},
	{"maxpool2d_dropout_tanh", []int{2, 6, 6}, `{"conv2d": {"channels": 3, "kernel": 2}}, "tanh", {"dropout": 0.2}, {"maxpool2d": 2}, "flatten", {"linear": 3}`},
	{"avgpool2d", []int{2, 6, 5}, `{"conv2d": {"channels": 3, "kernel": 2}}, "relu", {"avgpool2d": 2}, "relu", "flatten", {"linear": 3}`},
	{"avgpool2d_overlap", []int{2, 6, 5}, `{"avgpool2d": 1}, {"conv2d": {"channels": 3, "kernel": 2}}, {"avgpool2d": {"kernel": 3, "stride": 2, "padding": 1}}, "tanh", "flatten", {"linear": 3}`},
	{"mixed", []int{1, 8, 8}, `{"conv2d": {"channels": 3, "kernel": 3, "padding": 1}}, "batchnorm2d", "relu", {"maxpool2d": 2},
		{"conv2d": {"channels": 4, "kernel": 3}}, "gelu", {"avgpool2d": {"kernel": 2, "stride": 1}}, {"dropout": 0.2}, "flatten", {"linear": 6},
		"layernorm", "tanh", {"linear": 3}`},
}

func TestEveryLayer(t *testing.T) {
	losses := []train.Loss{train.CrossEntropy, train.MSE, train.BCEWithLogits, train.Huber}
	for i, c := range layerCases {
		t.Run(c.name, func(t *testing.T) {
			loss := losses[i%len(losses)]
			spec := fmt.Sprintf(`{"data": {"source": "teacher"}, "model": [%s], "loss": %q, "batch_size": 8,
				"optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9}, "clip_grad_norm": %d, "shuffle": %v, "epochs": 3}`,
				c.model, loss, i%3, i%2 == 0)
			j := newJob(t, spec, traintest.Set(loss, c.shape, 29, 7, 5, 3))
			checkProgram(t, j, j.compile(t))
			followHost(t, j, 6, 1e-3)
		})
	}
}

// TestOptimizers: all vectors go where the kernel looks for them.
func TestOptimizers(t *testing.T) {
	for _, o := range []string{
		`{"name": "sgd", "lr": 0.1}`, `{"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": true, "weight_decay": 0.01}`,
		`{"name": "adam", "lr": 0.01, "weight_decay": 0.01}`, `{"name": "adamw", "lr": 0.01}`,
		`{"name": "rmsprop", "lr": 0.01}`, `{"name": "rmsprop", "lr": 0.01, "momentum": 0.5}`,
		`{"name": "rmsprop", "lr": 0.01, "centered": true}`, `{"name": "rmsprop", "lr": 0.01, "centered": true, "momentum": 0.5}`,
	} {
		spec := fmt.Sprintf(`{"data": {"source": "teacher"}, "model": [{"linear": 7}, "tanh", {"linear": 2}], "loss": "mse",
			"batch_size": 8, "optimizer": %s, "schedule": {"name": "cosine", "warmup_steps": 2}, "clip_grad_norm": 0.5, "epochs": 3}`, o)
		j := newJob(t, spec, traintest.Set(train.MSE, []int{5}, 29, 7, 5, 2))
		checkProgram(t, j, j.compile(t))
		followHost(t, j, 6, 1e-3)
	}
}

// TestRandomStacks holds random models against the checker and gpu/host.
func TestRandomStacks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		shape := rapid.SampledFrom([][]int{{1}, {6}, {17}, {1, 5, 6}, {3, 7, 7}}).Draw(rt, "shape")
		layers := randomLayers(rt, shape)
		loss := rapid.SampledFrom([]train.Loss{train.CrossEntropy, train.MSE, train.BCEWithLogits, train.Huber}).Draw(rt, "loss")
		spec := fmt.Sprintf(`{"data": {"source": "teacher"}, "model": [%s], "loss": %q, "batch_size": %d,
			"optimizer": {"name": "sgd", "lr": 0.1}, "clip_grad_norm": %d, "shuffle": %v, "epochs": 2, "drop_last": true}`,
			strings.Join(layers, ", "), loss, rapid.IntRange(4, 30).Draw(rt, "batch"), rapid.IntRange(0, 1).Draw(rt, "clip"),
			rapid.Bool().Draw(rt, "shuffle"))
		j := newJob(rt, spec, traintest.Set(loss, shape, 40, rapid.IntRange(0, 9).Draw(rt, "val"), rapid.IntRange(0, 9).Draw(rt, "test"), 3))
		checkProgram(rt, j, j.compile(rt))
		followHost(rt, j, 2, 0.03)
	})
}

// randomLayers draws layers that fit one behind the other, with a linear one of
// 3 outputs among the last.
func randomLayers(t *rapid.T, shape []int) []string {
	var layers []string
	elementwise := []string{`"relu"`, `"gelu"`, `"tanh"`, `"sigmoid"`, `{"leaky_relu": 0.2}`, `{"leaky_relu": 0}`,
		`{"dropout": 0.3}`, `{"dropout": 0}`, `"relu"`, `{"dropout": 0.5}`}
	count := rapid.IntRange(0, 7).Draw(t, "layers")
	for range count {
		choices := slices.Clone(elementwise)
		image := len(shape) == 3
		if image {
			choices = append(choices, `"batchnorm2d"`, `"flatten"`, `{"conv2d": {"channels": 3, "kernel": 3, "padding": 1}}`,
				`{"conv2d": {"channels": 2, "kernel": 1}}`)
			if shape[1] > 1 && shape[2] > 1 {
				choices = append(choices, `{"maxpool2d": 2}`, `{"maxpool2d": 2}`, `{"avgpool2d": 2}`,
					`{"maxpool2d": {"kernel": 2, "stride": 1, "padding": 1}}`)
			}
		} else {
			choices = append(choices, `"batchnorm1d"`, `{"linear": 9}`, `{"linear": {"out": 8, "bias": false}}`, `{"linear": 5}`, `{"linear": 11}`)
			if shape[0] > 2 {
				choices = append(choices, `"layernorm"`)
			}
		}
		l := rapid.SampledFrom(choices).Draw(t, "layer")
		layers = append(layers, l)
		switch {
		case l == `"flatten"`:
			shape = []int{shape[0] * shape[1] * shape[2]}
		case strings.Contains(l, `"channels": 3`):
			shape = []int{3, shape[1], shape[2]}
		case strings.Contains(l, `"channels": 2`):
			shape = []int{2, shape[1], shape[2]}
		case strings.Contains(l, `"stride"`):
			shape = []int{shape[0], shape[1] + 1, shape[2] + 1}
		case strings.Contains(l, "pool"):
			shape = []int{shape[0], shape[1] / 2, shape[2] / 2}
		case strings.Contains(l, "linear"):
			var n int
			digits := strings.TrimFunc(strings.TrimSuffix(l, `, "bias": false}}`), func(r rune) bool { return r < '0' || r > '9' })
			if _, err := fmt.Sscan(digits, &n); err != nil {
				t.Fatal(err)
			}
			shape = []int{n}
		}
	}
	if len(shape) == 3 {
		layers = append(layers, `"flatten"`)
	}
	layers = append(layers, `{"linear": 3}`)
	if rapid.Bool().Draw(t, "tail") {
		layers = append(layers, rapid.SampledFrom(elementwise).Draw(t, "last"))
	}
	return layers
}

// TestWholeJobs runs jobs from their first step to the test's metrics, stopping
// at random places where a quantum may end and going on from the snapshot.
func TestWholeJobs(t *testing.T) {
	early := func(metric string) string {
		return fmt.Sprintf(`, "early_stopping": {"metric": %q, "patience": 2, "min_delta": 0.001}`, metric)
	}
	for name, c := range map[string]struct {
		loss      train.Loss
		val, test int
		rest      string
		epochs    int
		steps     int
	}{
		"classes":     {loss: train.CrossEntropy, val: 19, test: 140, epochs: 4},
		"no_parts":    {loss: train.MSE, epochs: 3},
		"steps":       {loss: train.Huber, val: 5, steps: 11},
		"regression":  {loss: train.MSE, val: 19, test: 10, epochs: 6, rest: early("val_r2")},
		"rmse":        {loss: train.Huber, val: 19, epochs: 6, rest: early("val_rmse")},
		"binary":      {loss: train.BCEWithLogits, val: 19, test: 10, epochs: 8, rest: early("val_accuracy")},
		"stops_early": {loss: train.CrossEntropy, val: 9, test: 3, epochs: 40, rest: early("val_loss")},
		"train_loss":  {loss: train.CrossEntropy, test: 3, epochs: 3, rest: early("train_loss")},
	} {
		t.Run(name, func(t *testing.T) {
			length := fmt.Sprintf(`"epochs": %d`, c.epochs)
			if c.steps > 0 {
				length = fmt.Sprintf(`"steps": %d`, c.steps)
			}
			spec := fmt.Sprintf(`{"data": {"source": "teacher"}, "model": [{"linear": 6}, "tanh", "batchnorm1d", {"linear": 2}], "loss": %q,
				"batch_size": 8, "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.5}, %s, "seed": 3%s}`, c.loss, length, c.rest)
			j := newJob(t, spec, traintest.Set(c.loss, []int{4}, 42, c.val, c.test, 2))
			p := j.compile(t)
			checkProgram(t, j, p)
			tr := j.trainer(t, nil)
			var epochs []host.EpochReport
			for done := false; !done; {
				r, err := tr.Run(0)
				if err != nil {
					t.Fatal(err)
				}
				epochs, done = append(epochs, r.Epochs...), r.Done
			}
			initial, err := p.Initial()
			if err != nil {
				t.Fatal(err)
			}
			whole := newMachine(t, j, p, initial)
			whole.run()
			sameEnd(t, tr, epochs, whole)
			rapid.Check(t, func(rt *rapid.T) {
				var reports []kernels.Report
				m := newMachine(rt, j, p, initial)
				for m.advance() {
					if m.rests() && rapid.IntRange(0, 9).Draw(rt, "stop") == 0 {
						reports = append(reports, m.reports...)
						m = newMachine(rt, j, p, m.state())
					}
				}
				sameState(rt, whole.state(), m.state())
				if reports = append(reports, m.reports...); !cmp.Equal(whole.reports, reports, cmpopts.EquateNaNs()) {
					rt.Fatalf("reports differ:\n%s", cmp.Diff(whole.reports, reports, cmpopts.EquateNaNs()))
				}
			})
		})
	}
}

// sameEnd compares a job that has ended on both, but for what rounding does to
// momentum in some dozens of steps.
func sameEnd(t tb, tr *host.Trainer, epochs []host.EpochReport, m *machine) {
	t.Helper()
	near := cmp.Options{cmpopts.EquateApprox(2e-3, 1e-4), cmpopts.EquateEmpty()}
	if d := cmp.Diff(tr.State(), m.state(), near); d != "" {
		t.Fatalf("end differs (-host +machine):\n%s", d)
	}
	if len(m.reports) != len(epochs) {
		t.Fatalf("%d epochs, host had %d", len(m.reports), len(epochs))
	}
	for i, e := range epochs {
		r := &m.reports[i]
		if r.Epoch != int64(e.Epoch) || r.Step != e.Step {
			t.Fatalf("report %d is of epoch %d, step %d", i, r.Epoch, r.Step)
		}
		if d := cmp.Diff(e.Metrics, Metrics(r), near); d != "" {
			t.Fatalf("epoch %d differs (-host +machine):\n%s", e.Epoch, d)
		}
	}
	if final := m.p.Final(m.h); !maps.Equal(final, m.state().Metrics) {
		t.Fatalf("Final says %v, State %v", final, m.state().Metrics)
	}
}

// TestReference runs PyTorch's own runs on the machine.
func TestReference(t *testing.T) {
	for _, ref := range traintest.References(t, "../train/testdata/reference") {
		t.Run(ref.Name, func(t *testing.T) {
			j := job{ref.Spec, ref.Model, ref.Set}
			p := j.compile(t)
			checkProgram(t, j, p)
			m := newMachine(t, j, p, ref.State)
			m.run()
			s := m.state()
			ref.CompareFinal(t, s.Params, s.Buffers, 1e-4)
		})
	}
}

// TestInitial: both devices begin with the same bits, from seed and from file.
func TestInitial(t *testing.T) {
	j := example(t, "everything")
	same := func() *train.State {
		got, err := j.compile(t).Initial()
		if err != nil {
			t.Fatal(err)
		}
		sameState(t, j.trainer(t, nil).State(), got)
		return got
	}
	s := same()
	j.spec.Init.From = filepath.Join(t.TempDir(), "model.safetensors")
	if _, err := j.compile(t).Initial(); err == nil || !strings.HasPrefix(err.Error(), "open init file "+j.spec.Init.From+": ") {
		t.Errorf("Initial without its file: %v", err)
	}
	for i := range s.Params {
		s.Params[i]++
	}
	if err := train.WriteModel(j.spec.Init.From, j.spec, &j.set.Info, j.model, s.Params, s.Buffers); err != nil {
		t.Fatal(err)
	}
	if got := same(); !slices.Equal(got.Params, s.Params) {
		t.Error("the parameters are not the file's")
	}
}

// TestStateAndBack: all that gpu/host can be in survives the way to the device.
func TestStateAndBack(t *testing.T) {
	for _, name := range []string{"bookkeeping", "tiny", "regularized", "everything"} {
		j := example(t, name)
		if j.spec.Steps > 0 {
			j.spec.Steps = 20
		}
		p := j.compile(t)
		image := j.image(t, p)
		fixed := slices.Clone(image[:dynamicPart])
		tr := j.trainer(t, nil)
		for done := false; !done; {
			want := tr.State()
			dst := image[p.StateOffset : p.StateOffset+p.StateBytes]
			if err := p.PutState(dst, want); err != nil {
				t.Fatal(err)
			}
			got, err := p.State(dst)
			if err != nil {
				t.Fatal(err)
			}
			sameState(t, want, got)
			if !slices.Equal(image[:dynamicPart], fixed) {
				t.Fatal("PutState wrote into the fixed part")
			}
			r, err := tr.Run(0)
			if err != nil {
				t.Fatal(err)
			}
			done = r.Done
		}
	}
}

// sameState compares bit for bit; cmp takes too long for vectors.
func sameState(t tb, want, got *train.State) {
	t.Helper()
	vectors := func(s *train.State) [][]float32 { return append([][]float32{s.Params, s.Buffers, s.Best}, s.Slots...) }
	if !slices.EqualFunc(vectors(want), vectors(got), slices.Equal) || (want.Best == nil) != (got.Best == nil) {
		t.Fatal("vectors differ")
	}
	a, b := *want, *got
	for _, s := range []*train.State{&a, &b} {
		s.Params, s.Buffers, s.Best, s.Slots = nil, nil, nil, nil
	}
	if d := cmp.Diff(a, b, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("step %d (-put +read):\n%s", want.Step, d)
	}
}

// TestFaultInHostsWords lets both diverge, in training and in validation.
func TestFaultInHostsWords(t *testing.T) {
	diverge := func(lr string, standardize bool, val int, spoil func(*dataset.Set)) {
		spec := fmt.Sprintf(`{"data": {"source": "teacher", "standardize": %v}, "model": [{"linear": 2}], "loss": "mse", "batch_size": 8,
			"optimizer": {"name": "sgd", "lr": %s}, "epochs": 2000}`, standardize, lr)
		j := newJob(t, spec, traintest.Set(train.MSE, []int{4}, 24, val, 0, 2))
		spoil(j.set)
		tr := j.trainer(t, nil)
		var want error
		for want == nil {
			_, want = tr.Run(0)
		}
		p := j.compile(t)
		s, err := p.Initial()
		if err != nil {
			t.Fatal(err)
		}
		m := newMachine(t, j, p, s)
		m.run()
		if d := cmp.Diff(want, error(p.Fault(&m.status))); d != "" {
			t.Errorf("fault differs (-host +program):\n%s", d)
		}
	}
	diverge("1e30", true, 0, func(*dataset.Set) {})
	diverge("0.001", false, 8, func(s *dataset.Set) { s.X[24*4+3] = float32(math.NaN()) })
	j := example(t, "lab")
	if f := j.compile(t).Fault(&kernels.Status{Doing: kernels.DoingTrain}); f != nil {
		t.Errorf("a job that trains has the fault %v", f)
	}
}
