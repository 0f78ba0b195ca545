package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"weft/gpu/train/dataset"
	"weft/gpu/train/safetensors"
)

// Metadata keys of a saved model.
const (
	metaSpec  = "weft.spec"
	metaData  = "weft.data"
	metaTorch = "torch" // the equal nn.Sequential in Python
)

// Saved is a trained model as [ReadModel] returns it: all that prediction needs.
type Saved struct {
	Spec    *Spec
	Info    *dataset.Info // of the data it was trained on
	Model   *Model
	Params  []float32 // Model.ParamSize
	Buffers []float32 // Model.BufferSize
}

// WriteModel replaces the file at path by a trained model. It is a safetensors
// file with the tensors of the equal torch.nn.Sequential, ready for
// load_state_dict(strict=True); its metadata has the specification, the data's
// description and, under "torch", Python's expression for that Sequential.
// Batch norms' num_batches_tracked are written as 0: PyTorch uses them only
// with momentum=None. The write is atomic and durable; an error of the disk is
// a [*Fault] of code "disk".
func WriteModel(path string, s *Spec, info *dataset.Info, m *Model, params, buffers []float32) error {
	if len(params) != m.ParamSize || len(buffers) != m.BufferSize {
		return fmt.Errorf("write model: %d parameters and %d buffer values for a model of %d and %d",
			len(params), len(buffers), m.ParamSize, m.BufferSize)
	}
	data, err := json.Marshal(info)
	if err != nil {
		return fmt.Errorf("write model: describe data: %w", err)
	}
	meta := map[string]string{
		"format": "pt", metaSpec: string(s.JSON()), metaData: string(data), metaTorch: m.Torch(),
	}
	blobs := m.blobs(params, buffers)
	if err := replaceFile(path, func(w io.Writer) error { return safetensors.Write(w, meta, blobs) }); err != nil {
		return diskFault("model", path, err)
	}
	return nil
}

// blobs lists the model's tensors in PyTorch's state_dict order.
func (m *Model) blobs(params, buffers []float32) []safetensors.Blob {
	var blobs []safetensors.Blob
	add := func(t *Tensor, vector []float32) {
		blobs = append(blobs, safetensors.Blob{Name: t.Name, Shape: t.Shape, F32: t.of(vector)})
	}
	for i := range m.Stages {
		st := &m.Stages[i]
		for _, p := range st.Params {
			add(&m.Params[p], params)
		}
		for _, b := range st.Buffers {
			add(&m.Buffers[b], buffers)
		}
		if len(st.Buffers) > 0 {
			blobs = append(blobs, safetensors.Blob{Name: batchCount(st), I64: []int64{0}})
		}
	}
	return blobs
}

// ReadModel reads a model that [WriteModel] wrote. The error is a [*Fault]: of
// code "not_found", or "invalid" for a file that is not such a model.
func ReadModel(path string) (*Saved, error) {
	f, err := safetensors.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Fault{Code: "not_found", Message: fmt.Sprintf("there is no model %s", path)}
	}
	if err != nil {
		return nil, unreadable(path, err)
	}
	saved, err := readModel(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, unreadable(path, err)
	}
	return saved, nil
}

func unreadable(path string, err error) *Fault {
	return &Fault{
		Code:    "invalid",
		Message: fmt.Sprintf("cannot read the model %s: %v", path, err),
		Hint:    "weft model ID -o FILE writes the model of a job that succeeded",
	}
}

func readModel(f *safetensors.File) (*Saved, error) {
	if f.Metadata[metaSpec] == "" || f.Metadata[metaData] == "" {
		return nil, errors.New("its metadata has no specification: it was not written by weft")
	}
	spec, err := Parse([]byte(f.Metadata[metaSpec]))
	if err != nil {
		return nil, fmt.Errorf("its specification: %w", err)
	}
	info := new(dataset.Info)
	d := json.NewDecoder(bytes.NewReader([]byte(f.Metadata[metaData])))
	if err := d.Decode(info); err != nil {
		return nil, fmt.Errorf("its data description: %w", err)
	}
	c := &composer{outputs: outputsOf(info)}
	m := c.layers(spec.Model, info.Shape)
	if err := c.err(); err != nil {
		return nil, fmt.Errorf("its specification: %w", err)
	}
	if err := checkScales(info); err != nil {
		return nil, fmt.Errorf("its data description: %w", err)
	}
	// Sizes are compared before anything is allocated for them.
	if err := m.checkTensors(f); err != nil {
		return nil, err
	}
	saved := &Saved{Spec: spec, Info: info, Model: m,
		Params: make([]float32, m.ParamSize), Buffers: make([]float32, m.BufferSize)}
	return saved, m.readTensors(f, saved.Params, saved.Buffers)
}

// checkScales holds the means and deviations against the sample's shape.
func checkScales(info *dataset.Info) error {
	want := product(info.Shape)
	if len(info.Shape) == 3 {
		want = info.Shape[0]
	}
	if len(info.Mean) != len(info.Deviation) || (len(info.Mean) != 0 && len(info.Mean) != want) {
		return fmt.Errorf("%d means and %d deviations for %d features", len(info.Mean), len(info.Deviation), want)
	}
	return nil
}
