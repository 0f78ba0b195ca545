package host

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"weft/gpu/train"
	"weft/gpu/train/dataset"
	"weft/gpu/train/safetensors"
)

// The agreement with PyTorch that is asked for: a whole tensor differs by
// referenceNorm of its 2-norm at most, and each element by referenceElement of
// its own size plus referenceFloor of the tensor's root mean square (an
// element that is small because larger terms cancel carries their rounding).
// After 20 steps the furthest tensor, a bias before a batch norm, is at 2e-6.
const (
	referenceNorm    = 1e-5
	referenceElement = 1e-5
	referenceFloor   = 1e-5
)

// TestReference follows PyTorch's own runs, step by step: see
// gpu/train/testdata/make_reference.py.
func TestReference(t *testing.T) {
	files, err := filepath.Glob("../train/testdata/reference/*.safetensors")
	if err != nil || len(files) < 40 {
		t.Fatalf("found %d reference runs (%v), there should be 40 at least", len(files), err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".safetensors")
		t.Run(name, func(t *testing.T) { followReference(t, path) })
	}
}

func followReference(t *testing.T, path string) {
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ref := reference{t, f}
	c := ref.job()
	c.State = &train.State{
		Params:  ref.vector("init.", c.Model.Params, c.Model.ParamSize),
		Buffers: ref.vector("init.", c.Model.Buffers, c.Model.BufferSize),
	}
	for range c.Spec.Optimizer.Slots() {
		c.State.Slots = append(c.State.Slots, make([]float32, c.Model.ParamSize))
	}
	tr := newTrainer(t, c)

	var losses []float32
	for !tr.done {
		sum, rows, step := tr.state.LossSum, tr.state.LossRows, tr.state.Step
		if err := tr.advance(); err != nil {
			t.Fatal(err)
		}
		if tr.state.Step > step {
			losses = append(losses, float32((tr.state.LossSum-sum)/float64(tr.state.LossRows-rows)))
		}
	}
	compare(t, "losses", losses, ref.floats("losses"))

	params, buffers, _ := tr.Result()
	for _, p := range c.Model.Params {
		compare(t, p.Name, params[p.Offset:p.Offset+p.Size], ref.floats("final."+p.Name))
	}
	for _, b := range c.Model.Buffers {
		compare(t, b.Name, buffers[b.Offset:b.Offset+b.Size], ref.floats("final."+b.Name))
	}
	out := make([]float32, c.Data.Rows*size(c.Model.Output))
	if err := Predict(c.Model, params, buffers, c.Data.X, c.Data.Rows, out); err != nil {
		t.Fatal(err)
	}
	compare(t, "output", out, ref.floats("output"))
}

// reference is one of PyTorch's runs.
type reference struct {
	t *testing.T
	f *safetensors.File
}

func (r reference) floats(name string) []float32 {
	r.t.Helper()
	v, err := r.f.Float32s(name)
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// job makes the run's specification and data set into a job.
func (r reference) job() Config {
	r.t.Helper()
	spec, err := train.Parse([]byte(r.f.Metadata["spec"]))
	if err != nil {
		r.t.Fatalf("parse %s: %v", r.f.Metadata["spec"], err)
	}
	x, _ := r.f.Lookup("x")
	y, _ := r.f.Lookup("y")
	set := &dataset.Set{X: r.floats("x"), Info: dataset.Info{
		Rows: x.Shape[0], TrainRows: x.Shape[0], Shape: x.Shape[1:], Task: string(spec.Loss.Task()), MaxLabel: -1,
	}}
	if spec.Loss == train.CrossEntropy {
		for _, v := range r.floats("y") {
			set.Labels = append(set.Labels, int32(v))
			set.MaxLabel = max(set.MaxLabel, int(v))
		}
	} else {
		set.Targets, set.TargetWidth = r.floats("y"), y.Shape[1]
	}
	m, err := train.Compose(spec, &set.Info)
	if err != nil {
		r.t.Fatal(err)
	}
	return Config{Spec: spec, Model: m, Data: set}
}

func (r reference) vector(prefix string, tensors []train.Tensor, size int) []float32 {
	r.t.Helper()
	v := make([]float32, size)
	for _, p := range tensors {
		if n := copy(v[p.Offset:p.Offset+p.Size], r.floats(prefix+p.Name)); n != p.Size {
			r.t.Fatalf("%s has %d numbers, the model wants %d", p.Name, n, p.Size)
		}
	}
	return v
}

// compare fails the test where got is further from PyTorch's want than the
// agreement above.
func compare(t *testing.T, name string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d numbers, PyTorch has %d", name, len(got), len(want))
		return
	}
	var off, norm float64
	for i, w := range want {
		d := float64(got[i]) - float64(w)
		off += d * d
		norm += float64(w) * float64(w)
	}
	off, norm = math.Sqrt(off), math.Sqrt(norm)
	floor := referenceFloor * norm / math.Sqrt(float64(len(want)))
	worst := ""
	for i, w := range want {
		d := math.Abs(float64(got[i]) - float64(w))
		if !(d <= floor+referenceElement*math.Abs(float64(w))) {
			worst = fmt.Sprintf("; [%d] is %g, PyTorch's %g", i, got[i], w)
		}
	}
	if !(off <= referenceNorm*norm) || worst != "" {
		t.Errorf("%s: off by %.2g of its norm%s", name, off/norm, worst)
	}
}
