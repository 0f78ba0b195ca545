package host

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"weft/gpu/train"
	"weft/gpu/train/dataset"
	"weft/gpu/train/philox"
)

// gradientCases are compositions that between them hold every layer in every
// place that matters: first, last but one, before and behind its neighbours.
var gradientCases = []struct {
	name  string
	shape []int
	model []train.Layer
	loss  train.Loss
}{
	{"linear", []int{5}, list(lin(3)), train.CrossEntropy},
	{"linear_no_bias", []int{5}, list(linFree(4), relu_, linFree(3)), train.CrossEntropy},
	{"linear_relu", []int{5}, list(lin(6), relu_, lin(6), relu_, relu_, lin(3)), train.CrossEntropy},
	{"relu_first", []int{5}, list(relu_, lin(4), relu_, lin(3)), train.CrossEntropy},
	{"gelu", []int{5}, list(lin(6), act(train.GELU), lin(3)), train.CrossEntropy},
	{"tanh", []int{5}, list(lin(6), act(train.Tanh), relu_, lin(3)), train.CrossEntropy},
	{"sigmoid", []int{5}, list(lin(6), relu_, act(train.Sigmoid), lin(3)), train.CrossEntropy},
	{"leaky_relu", []int{5}, list(lin(6), train.Layer{Kind: train.LeakyReLU, Slope: 0.2}, lin(3)), train.CrossEntropy},
	{"activation_chain", []int{5}, list(lin(6), act(train.GELU), act(train.Tanh), act(train.Sigmoid), act(train.GELU),
		lin(3)), train.CrossEntropy},
	{"dropout", []int{5}, list(lin(8), relu_, drop(0.4), lin(8), drop(0.3), act(train.Tanh), lin(3)), train.CrossEntropy},
	{"dropout_first", []int{5}, list(drop(0.3), lin(3)), train.CrossEntropy},
	{"layernorm", []int{5}, list(lin(6), norm(train.LayerNorm), relu_, lin(3)), train.CrossEntropy},
	{"layernorm_first", []int{5}, list(norm(train.LayerNorm), lin(3)), train.CrossEntropy},
	{"batchnorm1d", []int{5}, list(lin(6), norm(train.BatchNorm1D), relu_, lin(3)), train.CrossEntropy},
	{"batchnorm1d_first", []int{5}, list(norm(train.BatchNorm1D), lin(3)), train.CrossEntropy},
	{"batchnorm2d", []int{2, 4, 5}, list(conv(3, 3, 1, 1), norm(train.BatchNorm2D), relu_, flat, lin(3)),
		train.CrossEntropy},
	{"conv2d", []int{2, 5, 4}, list(conv(3, 3, 1, 0), act(train.Tanh), flat, lin(3)), train.CrossEntropy},
	{"conv2d_stride", []int{2, 7, 6}, list(conv(2, 2, 1, 0), conv(3, 3, 2, 1), act(train.Tanh), flat, lin(3)),
		train.CrossEntropy},
	{"conv2d_wide_padding", []int{1, 2, 2}, list(conv(2, 3, 1, 2), conv(2, 4, 3, 3), flat, lin(3)), train.CrossEntropy},
	{"conv2d_pointwise", []int{2, 3, 3}, list(conv(3, 1, 1, 0), act(train.Tanh), conv(2, 1, 1, 0), flat, lin(3)),
		train.CrossEntropy},
	{"conv2d_no_bias", []int{2, 3, 3}, list(noBias(conv(3, 2, 1, 0)), flat, lin(3)), train.CrossEntropy},
	{"maxpool2d", []int{2, 6, 5}, list(conv(3, 2, 1, 0), pool(train.MaxPool2D, 2, 2, 0), flat, lin(3)),
		train.CrossEntropy},
	{"maxpool2d_overlap", []int{2, 6, 5}, list(conv(3, 2, 1, 0), pool(train.MaxPool2D, 3, 1, 1), flat, lin(3)),
		train.CrossEntropy},
	{"avgpool2d", []int{2, 6, 5}, list(conv(3, 2, 1, 0), pool(train.AvgPool2D, 2, 2, 0), flat, lin(3)),
		train.CrossEntropy},
	{"avgpool2d_overlap", []int{2, 6, 5}, list(conv(3, 2, 1, 0), pool(train.AvgPool2D, 3, 2, 1), flat, lin(3)),
		train.CrossEntropy},
	{"lenet", []int{1, 8, 8}, list(conv(3, 3, 1, 1), norm(train.BatchNorm2D), relu_, pool(train.MaxPool2D, 2, 2, 0),
		conv(4, 3, 1, 0), act(train.GELU), pool(train.AvgPool2D, 2, 1, 0), drop(0.2), flat, lin(6),
		norm(train.LayerNorm), act(train.Tanh), lin(3)), train.CrossEntropy},
	{"mse", []int{5}, list(lin(4), act(train.Tanh), lin(2)), train.MSE},
	{"huber", []int{5}, list(lin(4), act(train.Tanh), lin(2)), train.Huber},
	{"bce_with_logits", []int{5}, list(lin(4), act(train.Tanh), lin(2)), train.BCEWithLogits},
}

var (
	relu_ = act(train.ReLU)
	flat  = act(train.Flatten)
)

func list(l ...train.Layer) []train.Layer { return l }
func act(k train.LayerKind) train.Layer   { return train.Layer{Kind: k} }
func lin(width int) train.Layer           { return train.Layer{Kind: train.Linear, Width: width} }
func linFree(width int) train.Layer       { return noBias(lin(width)) }
func drop(p float64) train.Layer          { return train.Layer{Kind: train.Dropout, P: p} }
func noBias(l train.Layer) train.Layer    { l.NoBias = true; return l }
func norm(k train.LayerKind) train.Layer  { return train.Layer{Kind: k, Eps: 1e-5, Momentum: 0.1} }
func conv(width, k, s, p int) train.Layer {
	l := pool(train.Conv2D, k, s, p)
	l.Width = width
	return l
}
func pool(kind train.LayerKind, k, s, p int) train.Layer {
	// The height's kernel is as asked, the width's one narrower where there is
	// room, so that no test passes with the two exchanged.
	kw := k
	if k > 2 {
		kw--
	}
	return train.Layer{Kind: kind, Kernel: [2]int{k, kw}, Stride: [2]int{s, s}, Padding: [2]int{p, min(p, kw/2)}}
}

// probe is a float64 network with data, whose loss is a function of its
// parameters and its input.
type probe struct {
	net  *network[float64]
	crit criterion[float64]
	x    []float64
	want targets[float64]
	p    pass
}

func newProbe(t *testing.T, shape []int, layers []train.Layer, loss train.Loss) *probe {
	t.Helper()
	const rows = 4
	last := layers[len(layers)-1]
	set := randomSet(loss, shape, rows, 0, 0, last.Width)
	spec := &train.Spec{Model: layers, Loss: loss, BatchSize: rows, Epochs: 1, Data: dataset.Spec{}}
	m, err := train.Compose(spec, &set.Info)
	if err != nil {
		t.Fatal(err)
	}
	build := func(a *arena) *network[float64] {
		net, err := newNetwork(a, loops[float64]{}, m, takeVectors[float64](a, m), rows, 3, true)
		if err != nil {
			t.Fatal(err)
		}
		return net
	}
	var count arena
	build(&count)
	pr := &probe{net: build(newArena(count.used)), p: pass{rows: rows, train: true, step: 5}}
	pr.crit = criterion[float64]{k: loops[float64]{}, loss: loss, width: size(m.Output)}
	s := philox.New(1, philox.MakeData, 1).Source()
	for i := range pr.net.params {
		pr.net.params[i] = s.Normal() / 2
	}
	for range rows * size(shape) {
		pr.x = append(pr.x, s.Normal())
	}
	pr.want.labels = set.Labels
	for _, v := range set.Targets {
		pr.want.values = append(pr.want.values, float64(v))
	}
	return pr
}

// loss returns the loss and leaves its gradient by the output in place.
func (pr *probe) loss() float64 {
	z := pr.net.forward(pr.p, pr.x)
	return pr.crit.apply(z, pr.want, pr.net.outputGradient())
}

// difference returns the central difference of the loss by *v.
func (pr *probe) difference(v *float64) float64 {
	const h = 1e-5
	at := *v
	*v = at + h
	up := pr.loss()
	*v = at - h
	down := pr.loss()
	*v = at
	return (up - down) / (2 * h)
}

// near allows central differences their error: h² of curvature and rounding.
func near(got, want float64) bool {
	return math.Abs(got-want) <= 1e-7+1e-5*math.Abs(want)
}

func TestGradientsAreDifferences(t *testing.T) {
	for _, c := range gradientCases {
		t.Run(c.name, func(t *testing.T) {
			pr := newProbe(t, c.shape, c.model, c.loss)
			pr.loss()
			pr.net.backward(pr.x)
			grads := slices.Clone(pr.net.grads)
			zero := 0
			for i := range pr.net.params {
				if want := pr.difference(&pr.net.params[i]); !near(grads[i], want) {
					t.Errorf("parameter %d: gradient %g, difference %g", i, grads[i], want)
				}
				if grads[i] == 0 {
					zero++
				}
			}
			if zero > len(grads)*3/4 {
				t.Errorf("%d of %d gradients are 0: the case tests nothing", zero, len(grads))
			}
		})
	}
}

// TestInputGradientsAreDifferences runs each layer behind an identity with
// parameters, so that the gradient by its input is wanted, and reads that
// gradient from the identity's bias: one per element, summed over the batch.
func TestInputGradientsAreDifferences(t *testing.T) {
	for _, c := range gradientCases {
		t.Run(c.name, func(t *testing.T) {
			pr := newProbe(t, c.shape, c.model, c.loss)
			shift := &shiftLayer{by: make([]float64, len(pr.x)), grad: make([]float64, len(pr.x))}
			n := pr.net
			in := n.input
			n.nodes = slices.Insert(n.nodes, 0, node[float64]{layer: shift, in: in, out: in, y: make([]float64, len(pr.x))})
			n.firstParam = 0
			widest := 0
			for _, nd := range n.nodes {
				widest = max(widest, nd.out)
			}
			n.gradA, n.gradB = make([]float64, n.batch*widest), make([]float64, n.batch*widest)
			pr.loss()
			n.backward(pr.x)
			grads := slices.Clone(shift.grad)
			for i := range shift.by {
				if want := pr.difference(&shift.by[i]); !near(grads[i], want) {
					t.Errorf("input %d: gradient %g, difference %g", i, grads[i], want)
				}
			}
		})
	}
}

// shiftLayer adds a number of its own to each element of the batch.
type shiftLayer struct{ by, grad []float64 }

func (l *shiftLayer) forward(_ *pass, x, y []float64) {
	for i, v := range x {
		y[i] = v + l.by[i]
	}
}

func (l *shiftLayer) backward(_ *pass, _, _, dy, _ []float64) { copy(l.grad, dy) }
func (l *shiftLayer) uses() uses                              { return uses{} }

// TestRunningStatistics holds batch norm's buffers against torch's rule.
func TestRunningStatistics(t *testing.T) {
	pr := newProbe(t, []int{3}, list(norm(train.BatchNorm1D), lin(2)), train.CrossEntropy)
	copy(pr.net.buffers, []float64{1, 2, 3, 4, 5, 6})
	pr.loss()
	rows := float64(pr.p.rows)
	for c := range 3 {
		var mean, squares float64
		for r := range pr.p.rows {
			mean += pr.x[r*3+c] / rows
		}
		for r := range pr.p.rows {
			squares += (pr.x[r*3+c] - mean) * (pr.x[r*3+c] - mean)
		}
		wantMean := 0.9*float64(c+1) + 0.1*mean
		wantVar := 0.9*float64(c+4) + 0.1*squares/(rows-1)
		if got := pr.net.buffers[c]; math.Abs(got-wantMean) > 1e-12 {
			t.Errorf("running mean %d is %g, want %g", c, got, wantMean)
		}
		if got := pr.net.buffers[3+c]; math.Abs(got-wantVar) > 1e-12 {
			t.Errorf("running variance %d is %g, want %g", c, got, wantVar)
		}
	}
	before := fmt.Sprint(pr.net.buffers)
	pr.p.train = false
	pr.loss()
	if after := fmt.Sprint(pr.net.buffers); after != before {
		t.Errorf("evaluation changed the running statistics from %s to %s", before, after)
	}
}
