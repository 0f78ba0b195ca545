package traintest

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

// Reference is one of PyTorch's runs.
type Reference struct {
	Job
	Name string
	f    *safetensors.File
}

// References opens the runs in dir, gpu/train/testdata/reference as seen from
// the test, and closes them when the test ends.
func References(t *testing.T, dir string) []Reference {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if err != nil || len(files) < 40 {
		t.Fatalf("found %d reference runs (%v), there should be 40 at least", len(files), err)
	}
	var refs []Reference
	for _, path := range files {
		f, err := safetensors.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() }) // only read
		r := Reference{Name: strings.TrimSuffix(filepath.Base(path), ".safetensors"), f: f}
		r.Job = Compose(t, f.Metadata["spec"], r.set(t))
		r.State = &train.State{
			Params:  r.vector(t, "init.", r.Model.Params, r.Model.ParamSize),
			Buffers: r.vector(t, "init.", r.Model.Buffers, r.Model.BufferSize),
			Metrics: map[string]float64{},
		}
		for range r.Spec.Optimizer.Slots() {
			r.State.Slots = append(r.State.Slots, make([]float32, r.Model.ParamSize))
		}
		refs = append(refs, r)
	}
	return refs
}

// Floats returns a tensor of the run.
func (r *Reference) Floats(t *testing.T, name string) []float32 {
	t.Helper()
	v, err := r.f.Float32s(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (r *Reference) set(t *testing.T) *dataset.Set {
	t.Helper()
	spec, err := train.Parse([]byte(r.f.Metadata["spec"]))
	if err != nil {
		t.Fatalf("parse %s: %v", r.f.Metadata["spec"], err)
	}
	x, _ := r.f.Lookup("x")
	y, _ := r.f.Lookup("y")
	set := &dataset.Set{X: r.Floats(t, "x"), Info: dataset.Info{
		Rows: x.Shape[0], TrainRows: x.Shape[0], Shape: x.Shape[1:], Task: string(spec.Loss.Task()), MaxLabel: -1,
		Hash: r.Name,
	}}
	if spec.Loss == train.CrossEntropy {
		for _, v := range r.Floats(t, "y") {
			set.Labels = append(set.Labels, int32(v))
			set.MaxLabel = max(set.MaxLabel, int(v))
		}
	} else {
		set.Targets, set.TargetWidth = r.Floats(t, "y"), y.Shape[1]
	}
	return set
}

func (r *Reference) vector(t *testing.T, prefix string, tensors []train.Tensor, size int) []float32 {
	t.Helper()
	v := make([]float32, size)
	for _, p := range tensors {
		if n := copy(v[p.Offset:p.Offset+p.Size], r.Floats(t, prefix+p.Name)); n != p.Size {
			t.Fatalf("%s has %d numbers, the model wants %d", p.Name, n, p.Size)
		}
	}
	return v
}

// CompareFinal holds a model's final vectors against PyTorch's.
func (r *Reference) CompareFinal(t *testing.T, params, buffers []float32, tolerance float64) {
	t.Helper()
	for _, p := range r.Model.Params {
		Compare(t, p.Name, params[p.Offset:p.Offset+p.Size], r.Floats(t, "final."+p.Name), tolerance)
	}
	for _, b := range r.Model.Buffers {
		Compare(t, b.Name, buffers[b.Offset:b.Offset+b.Size], r.Floats(t, "final."+b.Name), tolerance)
	}
}

// Compare fails the test where got differs from want by more than tolerance of
// the tensor's 2-norm, or an element by more than tolerance of its own size
// plus tolerance of the tensor's root mean square (an element that is small
// because larger terms cancel carries their rounding).
func Compare(t *testing.T, name string, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d numbers, not %d", name, len(got), len(want))
		return
	}
	var off, norm float64
	for i, w := range want {
		d := float64(got[i]) - float64(w)
		off += d * d
		norm += float64(w) * float64(w)
	}
	off, norm = math.Sqrt(off), math.Sqrt(norm)
	floor := tolerance * norm / math.Sqrt(float64(len(want)))
	worst := ""
	for i, w := range want {
		d := math.Abs(float64(got[i]) - float64(w))
		if !(d <= floor+tolerance*math.Abs(float64(w))) {
			worst = fmt.Sprintf("; [%d] is %g, not %g", i, got[i], w)
		}
	}
	if !(off <= tolerance*norm) || worst != "" {
		t.Errorf("%s: off by %.2g of its norm%s", name, off/norm, worst)
	}
}
