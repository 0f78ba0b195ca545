package load

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Load is a set of models that are trained at the same time.
type Load struct {
	Name   string
	About  string // in a line
	Models int    // how many it has; Spec goes on beyond them with new seeds

	model func(i int) Spec
}

// Spec is a training specification, as docs/specification.md has it, as far
// as loads use it. Exactly one of Epochs and Steps is set.
type Spec struct {
	Name      string    `json:"name"`
	Data      Data      `json:"data"`
	Model     []any     `json:"model"`
	Loss      string    `json:"loss"`
	Optimizer Optimizer `json:"optimizer"`
	BatchSize int       `json:"batch_size"`
	Epochs    int       `json:"epochs,omitempty"`
	Steps     int64     `json:"steps,omitempty"`
	Seed      int       `json:"seed"`
}

// Data names a shipped set, or says how rows are made.
type Data struct {
	Source string `json:"source"`
	Make   *Make  `json:"make,omitempty"`
	Shape  []int  `json:"shape,omitempty"` // of a sample
}

// Make are the parameters of a made set; a fifth of the rows validates.
type Make struct {
	Rows     int `json:"rows"`
	Features int `json:"features"`
	Classes  int `json:"classes,omitempty"` // 0: a number to regress
}

// Optimizer is one of torch.optim's, with its defaults.
type Optimizer struct {
	Name string  `json:"name"`
	LR   float64 `json:"lr"`
}

// JSON returns the specification as the daemon takes it.
func (s Spec) JSON() json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil { // names, numbers and lists of them always marshal
		panic(err)
	}
	return b
}

// All are the loads, from the smallest to the largest.
var All = []Load{
	{"lab", "10 MLPs 64-64-64-10 on digits, batch 32, Adam: the textbook exercise", 10, lab},
	{"wide", "128 MLPs 784-128-10, batch 64, Adam, MNIST-shaped", 128, wide},
	{"mixed", "64 MLPs on digits, all of different depth, width, batch and learning rate", 64, mixed},
	{"tiny", "1,000 MLPs 32-64-64-1 on tabular data, batch 32, Adam", 1000, tiny},
	{"cnn", "32 LeNet-sized CNNs on 28x28, batch 32, Adam", 32, cnn},
}

// Find returns the load of a name.
func Find(name string) (Load, bool) {
	for _, l := range All {
		if l.Name == name {
			return l, true
		}
	}
	return Load{}, false
}

// Names lists the loads' names.
func Names() []string {
	names := make([]string, len(All))
	for i, l := range All {
		names[i] = l.Name
	}
	return names
}

// Spec returns model i, counted from 0. Those beyond the load's own repeat its
// shapes and learning rates with seeds of their own.
func (l Load) Spec(i int) Spec {
	s := l.model(i % l.Models)
	s.Name = fmt.Sprintf("%s-%0*d", l.Name, len(strconv.Itoa(l.Models-1)), i)
	s.Seed = i
	return s
}

// lab has the widths of the exercise and a sweep's learning rates.
func lab(i int) Spec {
	return Spec{Data: Data{Source: "digits"}, Model: mlp([]int{64, 64}, 10), Loss: "cross_entropy",
		Optimizer: adam(i, 10, 3e-4, 1e-2), BatchSize: 32, Epochs: 200}
}

// wide has the shape of MNIST and not its rows: 10,000 made ones, whose labels
// a random network gave, so that there is something left to learn throughout.
func wide(i int) Spec {
	return Spec{Data: Data{Source: "teacher", Make: &Make{Rows: 10_000, Features: 784, Classes: 10}},
		Model: mlp([]int{128}, 10), Loss: "cross_entropy",
		Optimizer: adam(i, 128, 1e-4, 1e-2), BatchSize: 64, Epochs: 4}
}

// mixed walks depth, width, batch and rate at strides that have no factor in
// common with 64, so that the first few of its models differ as much as all.
func mixed(i int) Spec {
	const n = 64
	depth, width, batch := 1+i%8, 16+4*(i*29%n), 8+2*(i*37%n)
	hidden := make([]int, depth)
	for k := range hidden {
		hidden[k] = max(8, width-8*k) // narrower from layer to layer
	}
	return Spec{Data: Data{Source: "digits"}, Model: mlp(hidden, 10), Loss: "cross_entropy",
		Optimizer: adam(i*11%n, n, 1e-4, 1e-2), BatchSize: batch, Epochs: 40}
}

// tiny is one model a customer or a sensor: numbers to regress from 32 columns.
func tiny(i int) Spec {
	return Spec{Data: Data{Source: "teacher", Make: &Make{Rows: 1_280, Features: 32}},
		Model: mlp([]int{64, 64}, 1), Loss: "mse",
		Optimizer: adam(i, 1000, 1e-4, 1e-2), BatchSize: 32, Epochs: 10}
}

// cnn is LeCun's LeNet-5 with relu and max pooling, as textbooks have it now.
func cnn(i int) Spec {
	conv := func(channels, padding int) any {
		return map[string]any{"conv2d": map[string]int{"channels": channels, "kernel": 5, "padding": padding}}
	}
	pool := map[string]any{"maxpool2d": 2}
	layers := []any{conv(6, 2), "relu", pool, conv(16, 0), "relu", pool, "flatten"}
	return Spec{Data: Data{Source: "teacher", Make: &Make{Rows: 2_560, Features: 784, Classes: 10},
		Shape: []int{1, 28, 28}}, Model: append(layers, mlp([]int{120, 84}, 10)...), Loss: "cross_entropy",
		Optimizer: adam(i, 32, 1e-4, 3e-3), BatchSize: 32, Epochs: 2}
}

// mlp is hidden layers with relu, and an output layer.
func mlp(hidden []int, outputs int) []any {
	var layers []any
	for _, w := range hidden {
		layers = append(layers, map[string]any{"linear": w}, "relu")
	}
	return append(layers, map[string]any{"linear": outputs})
}

// adam has the i-th of n rates that are evenly spaced by factor from low to
// high, with three digits.
func adam(i, n int, low, high float64) Optimizer {
	rate := low * math.Pow(high/low, float64(i)/float64(n-1))
	text := strconv.FormatFloat(rate, 'e', 2, 64)
	rate, err := strconv.ParseFloat(text, 64)
	if err != nil { // FormatFloat wrote it
		panic(err)
	}
	return Optimizer{Name: "adam", LR: rate}
}
