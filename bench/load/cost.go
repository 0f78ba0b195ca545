package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Cost is what training asks of any device, whatever the program: the least
// that the formulas need. Operations are floating-point ones.
type Cost struct {
	Parameters        int64 // trained numbers
	OperationsPerRow  int64 // forward and backward
	BytesPerRow       int64 // the row and its target, read once
	BytesPerStep      int64 // parameters and optimizer state, read and written once
	SampleElements    int64
	OptimizerElements int64 // numbers of optimizer state a parameter
}

// Operations of a training run over so many rows.
func (c Cost) Operations(rows int64) int64 { return c.OperationsPerRow * rows }

// Bytes that a run moves if nothing of a model stays on the chip from one step
// to the next. One whose models do stay there can move less.
func (c Cost) Bytes(steps, rows int64) int64 { return c.BytesPerStep*steps + c.BytesPerRow*rows }

// floatBytes is the size of a float32, and of a label.
const floatBytes = 4

// Tensors are the shapes of a model's tensors by name, as safetensors has
// them: "0.weight" of a linear layer is [outputs, inputs], of a convolution
// [channels, inputs, height, width].
type Tensors map[string][]int

// StepCost counts what a specification's training takes, from the shapes that
// its model came to.
//
// A linear layer takes 2·in·out operations a row, a convolution
// 2·inputs·kernel·channels·height·width of its output: one multiplication and
// one addition each. Training takes that three times, forward, for the gradient
// of the weights, and for that of the inputs; the last not in the first layer,
// whose inputs are data. Everything else (activations, norms, losses, the
// optimizer, validation) is linear in sizes and left out.
func StepCost(spec json.RawMessage, t Tensors) (Cost, error) {
	var s specification
	if err := json.Unmarshal(spec, &s); err != nil {
		return Cost{}, fmt.Errorf("read specification: %w", err)
	}
	c := Cost{OptimizerElements: s.state()}
	w := walk{tensors: t, shape: s.sample()}
	for i := range s.Model {
		if err := w.layer(i, &s.Model[i], &c); err != nil {
			return Cost{}, fmt.Errorf("layer %d: %w", i, err)
		}
	}
	if w.first == 0 {
		return Cost{}, errors.New("no linear or convolution layer")
	}
	if c.SampleElements = elements(s.sample()); c.SampleElements == 0 {
		c.SampleElements = w.first
	}
	c.BytesPerRow = floatBytes * (c.SampleElements + 1)
	c.BytesPerStep = floatBytes * c.Parameters * 2 * (1 + c.OptimizerElements)
	return c, nil
}

// specification is the part of a specification that costs are made of. A
// source's rows are as long as the set's.
type specification struct {
	Data struct {
		Source string `json:"source"`
		Shape  []int  `json:"shape"`
		Make   struct {
			Features int `json:"features"`
		} `json:"make"`
	} `json:"data"`
	Model     []layer   `json:"model"`
	Optimizer optimizer `json:"optimizer"`
}

// features are those of the shipped and made sets.
var features = map[string]int{"digits": 64, "iris": 4, "wine": 13, "breast-cancer": 30, "diabetes": 10,
	"moons": 2, "spirals": 2, "blobs": 2, "teacher": 32}

// sample is the shape of a row; nil: only the data knows.
func (s *specification) sample() []int {
	switch n := features[s.Data.Source]; {
	case len(s.Data.Shape) > 0:
		return s.Data.Shape
	case s.Data.Make.Features > 0:
		return []int{s.Data.Make.Features}
	case n > 0:
		return []int{n}
	}
	return nil
}

// state counts the optimizer's numbers for each parameter.
func (s *specification) state() int64 {
	switch o := &s.Optimizer; o.Name {
	case "sgd":
		if o.Momentum > 0 {
			return 1
		}
		return 0
	case "rmsprop":
		n := int64(1)
		if o.Momentum > 0 {
			n++
		}
		if o.Centered {
			n++
		}
		return n
	}
	return 2 // adam, adamw
}

// optimizer is a name, or an object.
type optimizer struct {
	Name     string  `json:"name"`
	Momentum float64 `json:"momentum"`
	Centered bool    `json:"centered"`
}

func (o *optimizer) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &o.Name)
	}
	type plain optimizer
	return json.Unmarshal(b, (*plain)(o))
}

// layer is a name, a name with one value, or a name with an object.
type layer struct {
	kind string
	keys struct {
		Kernel  pair `json:"kernel"`
		Stride  pair `json:"stride"`
		Padding pair `json:"padding"`
	}
}

func (l *layer) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &l.kind)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	for kind, value := range m {
		l.kind = kind
		switch value = bytes.TrimSpace(value); {
		case len(value) > 0 && value[0] == '{':
			return json.Unmarshal(value, &l.keys)
		case kind == "maxpool2d" || kind == "avgpool2d":
			return json.Unmarshal(value, &l.keys.Kernel)
		}
	}
	return nil
}

// pair is one number for height and width, or both; zero: not given.
type pair [2]int

func (p *pair) UnmarshalJSON(b []byte) error {
	var n int
	if json.Unmarshal(b, &n) == nil {
		*p = pair{n, n}
		return nil
	}
	var both [2]int
	err := json.Unmarshal(b, &both)
	*p = both
	return err
}

// walk follows a sample's shape through a model.
type walk struct {
	tensors Tensors
	shape   []int // [channels, height, width] or [features]; nil: not known
	first   int64 // inputs of the first layer with weights; 0: none yet
}

func (w *walk) layer(i int, l *layer, c *Cost) error {
	prefix := strconv.Itoa(i) + "."
	weight, trained := w.tensors[prefix+"weight"]
	if want := map[string]int{"linear": 2, "conv2d": 4}[l.kind]; want != 0 && (!trained || len(weight) != want) {
		return fmt.Errorf("the model has no %sweight of %d dimensions", prefix, want)
	}
	c.Parameters += elements(weight) + elements(w.tensors[prefix+"bias"])
	var inputs, products int64
	switch l.kind {
	case "linear":
		inputs, products = int64(weight[1]), elements(weight)
		w.shape = []int{weight[0]}
	case "conv2d":
		if len(w.shape) != 3 {
			return errors.New("a convolution's input shape is not known; data.shape says it")
		}
		inputs = elements(w.shape)
		w.slide(l, pair{1, 1}, weight[0])
		products = elements(weight) * int64(w.shape[1]) * int64(w.shape[2])
	case "maxpool2d", "avgpool2d":
		if len(w.shape) == 3 {
			w.slide(l, l.keys.Kernel, w.shape[0])
		}
	case "flatten":
		if w.shape != nil {
			w.shape = []int{int(elements(w.shape))}
		}
	}
	if products == 0 {
		return nil
	}
	passes := int64(3)
	if w.first == 0 {
		passes, w.first = 2, inputs
	}
	c.OperationsPerRow += passes * 2 * products
	return nil
}

// slide gives the shape after a window's walk.
func (w *walk) slide(l *layer, stride pair, channels int) {
	if l.keys.Stride != (pair{}) {
		stride = l.keys.Stride
	}
	out := func(d int) int {
		return (w.shape[1+d]+2*l.keys.Padding[d]-l.keys.Kernel[d])/max(stride[d], 1) + 1
	}
	w.shape = []int{channels, out(0), out(1)}
}

// elements is a shape's product; 0 for no shape.
func elements(shape []int) int64 {
	if len(shape) == 0 {
		return 0
	}
	n := int64(1)
	for _, d := range shape {
		n *= int64(d)
	}
	return n
}
