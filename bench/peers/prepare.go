package peers

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"weft/gpu/train"
	"weft/gpu/train/dataset"
	"weft/gpu/train/philox"
)

// Work is load.json, which describes the binary files beside it: float32 and
// int32 in the machine's own order, rows one after the other.
type Work struct {
	Models []workModel `json:"models"`
	Data   []workData  `json:"data"`
	Same   bool        `json:"same"`   // models differ by learning rate, order and initial parameters only
	Differ string      `json:"differ"` // what else they differ by
}

// Steps is how many optimizer steps all models take together.
func (w *Work) Steps() int64 {
	n := int64(0)
	for i := range w.Models {
		n += w.Models[i].Steps
	}
	return n
}

type workModel struct {
	Name      string      `json:"name"`
	Data      int         `json:"data"`
	Layers    []workLayer `json:"layers"`
	Loss      string      `json:"loss"`
	Optimizer workOptim   `json:"optimizer"`
	Batch     int         `json:"batch"`
	DropLast  bool        `json:"drop_last"`
	Steps     int64       `json:"steps"`
	Epochs    int         `json:"epochs"`     // begun
	Order     int64       `json:"order"`      // where its epochs' rows are in order.i32, in numbers
	Start     int64       `json:"start"`      // where its parameters are in start.f32
	Shapes    [][]int     `json:"parameters"` // weight and bias, layer by layer
}

type workLayer struct {
	Kind    string `json:"kind"`
	In      int    `json:"in,omitempty"` // features or channels
	Out     int    `json:"out,omitempty"`
	Kernel  []int  `json:"kernel,omitempty"`
	Stride  []int  `json:"stride,omitempty"`
	Padding []int  `json:"padding,omitempty"`
	Bias    bool   `json:"bias,omitempty"`
}

type workOptim struct {
	Name        string     `json:"name"`
	LR          float64    `json:"lr"`
	Betas       [2]float64 `json:"betas"`
	Eps         float64    `json:"eps"`
	WeightDecay float64    `json:"weight_decay"`
	Momentum    float64    `json:"momentum"`
}

type workData struct {
	X      string `json:"x"`
	Y      string `json:"y"`
	Labels bool   `json:"labels"` // y is int32, else float32 with width columns
	Width  int    `json:"width"`
	Shape  []int  `json:"shape"`
	Train  int    `json:"train"`
	Val    int    `json:"val"` // rows after the training rows
}

// CannotError says what of a load the peers' scripts do not have.
type CannotError struct{ Reason string }

func (e *CannotError) Error() string { return e.Reason }

func cannot(format string, args ...any) error { return &CannotError{fmt.Sprintf(format, args...)} }

// maxOrder bounds order.i32, in bytes.
const maxOrder = 1 << 30

// Prepare writes the work of specifications, as the daemon takes them, into a
// folder. A [*CannotError] says that the scripts could not do the same.
func Prepare(ctx context.Context, dir string, specs []json.RawMessage) (*Work, error) {
	w := &Work{Same: true}
	order, err := newNumbers(filepath.Join(dir, "order.i32"))
	if err != nil {
		return nil, err
	}
	defer order.file.Close()
	start, err := newNumbers(filepath.Join(dir, "start.f32"))
	if err != nil {
		return nil, err
	}
	defer start.file.Close()
	sets := map[string]int{}
	infos := []*dataset.Info{}
	for _, js := range specs {
		spec, err := train.Parse(js)
		if err != nil {
			return nil, fmt.Errorf("read specification: %w", err)
		}
		key, err := dataset.Key(&spec.Data, spec.Loss.Task())
		if err != nil {
			return nil, fmt.Errorf("name data: %w", err)
		}
		at, known := sets[key]
		if !known {
			set, err := dataset.Load(ctx, &spec.Data, spec.Loss.Task())
			if err != nil {
				return nil, fmt.Errorf("load data: %w", err)
			}
			at = len(w.Data)
			d, err := writeData(dir, at, set)
			if err != nil {
				return nil, err
			}
			sets[key] = at
			w.Data, infos = append(w.Data, *d), append(infos, &set.Info)
		}
		m, err := model(spec, infos[at], order, start)
		if err != nil {
			return nil, err
		}
		m.Data = at
		w.Models = append(w.Models, *m)
		if w.Same {
			w.Differ = difference(&w.Models[0], m)
			w.Same = w.Differ == ""
		}
	}
	if err := order.close(); err != nil {
		return nil, err
	}
	if err := start.close(); err != nil {
		return nil, err
	}
	js, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("write load: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "load.json"), js, 0o600); err != nil {
		return nil, fmt.Errorf("write load: %w", err)
	}
	return w, nil
}

// difference says what keeps two models from running as one.
func difference(a, b *workModel) string {
	oa, ob := a.Optimizer, b.Optimizer
	oa.LR, ob.LR = 0, 0
	switch {
	case !reflect.DeepEqual(a.Layers, b.Layers):
		return "architectures"
	case a.Data != b.Data:
		return "data"
	case a.Batch != b.Batch || a.DropLast != b.DropLast:
		return "batch sizes"
	case a.Steps != b.Steps:
		return "numbers of steps"
	case a.Loss != b.Loss:
		return "losses"
	case oa != ob:
		return "optimizers"
	}
	return ""
}

// model describes one, and writes its epochs' orders and its parameters.
func model(spec *train.Spec, info *dataset.Info, order, start *numbers) (*workModel, error) {
	if err := within(spec); err != nil {
		return nil, err
	}
	composed, err := train.Compose(spec, info)
	if err != nil {
		return nil, fmt.Errorf("compose model: %w", err)
	}
	_, steps, epochs := spec.Plan(info.TrainRows)
	o := spec.Optimizer
	m := &workModel{Name: spec.Name, Loss: string(spec.Loss), Batch: spec.BatchSize, DropLast: spec.DropLast,
		Steps: steps, Epochs: epochs, Order: order.n, Start: start.n,
		Optimizer: workOptim{string(o.Name), o.LR, o.Betas, o.Eps, o.WeightDecay, o.Momentum}}
	for i := range composed.Stages {
		st := &composed.Stages[i]
		l := workLayer{Kind: string(st.Kind)}
		switch st.Kind {
		case train.Linear:
			l.In, l.Out, l.Bias = st.FanIn, st.OutSize(), !st.NoBias
		case train.Conv2D:
			l.In, l.Out, l.Bias = st.In[0], st.Out[0], !st.NoBias
			l.Kernel, l.Stride, l.Padding = st.Kernel[:], st.Stride[:], st.Padding[:]
		case train.MaxPool2D:
			l.Kernel, l.Stride, l.Padding = st.Kernel[:], st.Stride[:], st.Padding[:]
			if st.Padding != [2]int{} {
				return nil, cannot("padded pooling is not in the peers' scripts")
			}
		case train.Flatten, train.ReLU, train.Tanh, train.Sigmoid:
		default:
			return nil, cannot("layer %s is not in the peers' scripts", st.Kind)
		}
		m.Layers = append(m.Layers, l)
	}
	for _, t := range composed.Params {
		m.Shapes = append(m.Shapes, t.Shape)
	}
	params, buffers := make([]float32, composed.ParamSize), make([]float32, composed.BufferSize)
	composed.InitParams(spec.Seed, params, buffers)
	if err := start.write(params, len(params)); err != nil {
		return nil, err
	}
	if (order.n+int64(epochs)*int64(info.TrainRows))*4 > maxOrder {
		return nil, cannot("the order of all epochs' rows takes more than 1 GiB")
	}
	rows := make([]int32, info.TrainRows)
	for epoch := range epochs {
		if spec.Shuffle {
			philox.Permutation(spec.Seed, uint64(epoch), rows)
		} else {
			for i := range rows {
				rows[i] = int32(i)
			}
		}
		if err := order.write(rows, len(rows)); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// within says what of a specification the scripts do not have.
func within(s *train.Spec) error {
	o := s.Optimizer
	switch {
	case s.Schedule.Name != train.Constant || s.Schedule.WarmupSteps > 0:
		return cannot("learning rate schedules are not in the peers' scripts")
	case s.ClipGradNorm > 0:
		return cannot("clipping is not in the peers' scripts")
	case s.EarlyStopping != nil:
		return cannot("early stopping is not in the peers' scripts")
	case s.Init.From != "":
		return cannot("init.from is not in the peers' scripts")
	case s.Precision != "" && s.Precision != "float32":
		return cannot("precision %s is not in the peers' scripts", s.Precision)
	case o.Name != "adam" && o.Name != "adamw" && o.Name != "sgd":
		return cannot("optimizer %s is not in the peers' scripts", o.Name)
	case o.Nesterov || o.Dampening != 0:
		return cannot("nesterov and dampening are not in the peers' scripts")
	}
	return nil
}

func writeData(dir string, i int, s *dataset.Set) (*workData, error) {
	d := &workData{X: fmt.Sprintf("x%d.f32", i), Shape: s.Shape, Train: s.TrainRows, Val: s.ValRows,
		Labels: s.Labels != nil, Width: s.TargetWidth, Y: fmt.Sprintf("y%d.f32", i)}
	var y any = s.Targets
	if d.Labels {
		d.Y = fmt.Sprintf("y%d.i32", i)
		y = s.Labels
	}
	for _, f := range []struct {
		name string
		data any
	}{{d.X, s.X}, {d.Y, y}} {
		n, err := newNumbers(filepath.Join(dir, f.name))
		if err != nil {
			return nil, err
		}
		err = n.write(f.data, 0)
		if err == nil {
			err = n.close()
		}
		n.file.Close() // again: nothing happens
		if err != nil {
			return nil, err
		}
	}
	return d, nil
}

// numbers is a file of float32 or int32 that is being written.
type numbers struct {
	file *os.File
	out  *bufio.Writer
	n    int64 // written
}

func newNumbers(path string) (*numbers, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("write load: %w", err)
	}
	return &numbers{file: f, out: bufio.NewWriterSize(f, 1<<20)}, nil
}

func (f *numbers) write(values any, n int) error {
	f.n += int64(n)
	if err := binary.Write(f.out, binary.NativeEndian, values); err != nil {
		return fmt.Errorf("write load: %w", err)
	}
	return nil
}

func (f *numbers) close() error {
	if err := f.out.Flush(); err != nil {
		return fmt.Errorf("write load: %w", err)
	}
	if err := f.file.Close(); err != nil {
		return fmt.Errorf("write load: %w", err)
	}
	return nil
}
