package train

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"weft/gpu/train/philox"
	"weft/gpu/train/safetensors"
)

// InitParams fills params and buffers, of lengths ParamSize and BufferSize,
// with the values that PyTorch's layers start from. Weights and biases of
// linear and conv2d are uniform in [-b, b) with b = 1/√fan_in, which is
// kaiming_uniform with a = √5 (nn.Linear.reset_parameters); norms have weight
// 1 and bias 0, running means are 0 and running variances 1.
//
// Tensor i of Params draws from stream i of the seed's initial weights, so a
// tensor's values do not depend on the tensors before it.
func (m *Model) InitParams(seed uint64, params, buffers []float32) {
	for i := range m.Stages {
		st := &m.Stages[i]
		for k, p := range st.Params {
			dst := m.Params[p].of(params)
			switch {
			case st.Kind == Linear || st.Kind == Conv2D:
				bound := float32(1 / math.Sqrt(float64(st.FanIn)))
				fillUniform(dst, bound, philox.New(seed, philox.InitWeights, uint64(p)))
			case k == 0:
				fill(dst, 1)
			default:
				fill(dst, 0)
			}
		}
		for k, b := range st.Buffers {
			fill(m.Buffers[b].of(buffers), float32(k)) // running_mean 0, running_var 1
		}
	}
}

// of returns the part of a model's vector that t names.
func (t *Tensor) of(vector []float32) []float32 { return vector[t.Offset : t.Offset+t.Size] }

func fill(dst []float32, x float32) {
	for i := range dst {
		dst[i] = x
	}
}

// fillUniform draws from [-bound, bound). 2u-1 is exact in float32, so each
// value is rounded once and equal on every machine.
func fillUniform(dst []float32, bound float32, s philox.Stream) {
	src := s.Source()
	for i := range dst {
		dst[i] = (2*src.Float32() - 1) * bound
	}
}

// InitFrom fills params and buffers from a file with the model's tensors, as
// torch's load_state_dict(strict=True) would. It returns a [*Fault] that names
// every tensor that is missing, unexpected or of another shape.
func (m *Model) InitFrom(f *safetensors.File, params, buffers []float32) error {
	err := m.checkTensors(f)
	if err == nil {
		err = m.readTensors(f, params, buffers)
	}
	if err == nil {
		return nil
	}
	return &Fault{
		Code:    "invalid",
		Message: "the initial weights do not fit the model: " + err.Error(),
		Hint:    "names and shapes must be those of the same torch.nn.Sequential: 0.weight, 0.bias, …",
	}
}

// checkTensors compares a file's names and shapes with the model's.
func (m *Model) checkTensors(f *safetensors.File) error {
	wanted := slices.Concat(m.Params, m.Buffers)
	var missing, shapes, extra []string
	known := make(map[string]bool, len(wanted))
	for i := range wanted {
		t := &wanted[i]
		known[t.Name] = true
		switch found, ok := f.Lookup(t.Name); {
		case !ok:
			missing = append(missing, t.Name)
		case !slices.Equal(found.Shape, t.Shape):
			shapes = append(shapes, fmt.Sprintf("%s is %s, the model needs %s",
				t.Name, shapeString(found.Shape), shapeString(t.Shape)))
		}
	}
	for _, t := range f.Tensors {
		if !known[t.Name] && !m.isBatchCount(t.Name) {
			extra = append(extra, clip(t.Name))
		}
	}
	if words := mismatch(missing, extra, shapes); words != "" {
		return errors.New(words)
	}
	return nil
}

// readTensors copies a file's tensors, whose shapes fit, to their places.
func (m *Model) readTensors(f *safetensors.File, params, buffers []float32) error {
	for i := range m.Params {
		if err := f.ReadFloat32s(m.Params[i].Name, m.Params[i].of(params)); err != nil {
			return err
		}
	}
	for i := range m.Buffers {
		if err := f.ReadFloat32s(m.Buffers[i].Name, m.Buffers[i].of(buffers)); err != nil {
			return err
		}
	}
	return nil
}

// isBatchCount reports whether name is a batch norm's num_batches_tracked,
// which PyTorch saves and nothing here needs.
func (m *Model) isBatchCount(name string) bool {
	for i := range m.Stages {
		if len(m.Stages[i].Buffers) > 0 && name == batchCount(&m.Stages[i]) {
			return true
		}
	}
	return false
}

func batchCount(st *Stage) string { return fmt.Sprintf("%d.num_batches_tracked", st.Index) }

func mismatch(missing, extra, shapes []string) string {
	var parts []string
	if len(missing) > 0 {
		parts = append(parts, "missing "+few(missing))
	}
	if len(extra) > 0 {
		parts = append(parts, "unexpected "+few(extra))
	}
	if len(shapes) > 0 {
		parts = append(parts, few(shapes))
	}
	return strings.Join(parts, "; ")
}

// few joins the first names of a list that may be long.
func few(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// shapeString writes a shape as PyTorch does: [8, 3, 3].
func shapeString(shape []int) string {
	return strings.ReplaceAll(fmt.Sprint(shape), " ", ", ")
}
