package host

import (
	"fmt"

	"weft/gpu/train"
)

// network is a composed model bound to memory: vectors, activations for a
// batch, and the layers in between.
type network[T real] struct {
	vectors[T]
	batch  int
	input  int // elements of one sample
	output int
	nodes  []node[T]
	// firstParam is the first node with parameters: gradients are not wanted
	// before it. len(nodes): there are none.
	firstParam int
	gradA      []T // (batch, widest): activations' gradients, two in turn
	gradB      []T
	pass       pass // the sweep under way; a field, so that it need not be allocated
}

// node is a layer with its output for the batch. Several of the model's
// stages may have become one node, and flatten becomes none.
type node[T real] struct {
	layer   layer[T]
	uses    uses
	in, out int // elements of one sample
	y       []T // (batch, out)
}

// vectors are a network's flat vectors as train.Model lays them out.
type vectors[T real] struct {
	params, grads, buffers []T // grads nil: the network only evaluates
}

// takeVectors takes a model's vectors from a.
func takeVectors[T real](a *arena, m *train.Model) vectors[T] {
	return vectors[T]{
		params: take[T](a, m.ParamSize), grads: take[T](a, m.ParamSize), buffers: take[T](a, m.BufferSize),
	}
}

// newNetwork lays a network for batches of up to batch samples out in a,
// around vectors that stay the caller's. One that learns has gradients and
// dropout; seed keys the latter.
func newNetwork[T real](
	a *arena, k kernels[T], m *train.Model, v vectors[T], batch int, seed uint64, learns bool,
) (*network[T], error) {
	n := &network[T]{vectors: v, batch: batch, input: size(m.Input), output: size(m.Output)}
	b := builder[T]{arena: a, kernels: k, model: m, net: n, seed: seed, learns: learns}
	b.shareScratch()
	n.firstParam = -1
	for i := 0; i < len(m.Stages); i++ {
		s := &m.Stages[i]
		if s.Kind == train.Flatten || s.Kind == train.Dropout && (s.P == 0 || !learns) {
			continue // the same numbers in the same order
		}
		reluNext := i+1 < len(m.Stages) && m.Stages[i+1].Kind == train.ReLU
		fused := s.Kind == train.Linear && reluNext
		l, err := b.layer(s, fused)
		if err != nil {
			return nil, err
		}
		if len(s.Params) > 0 && n.firstParam < 0 {
			n.firstParam = len(n.nodes)
		}
		b.add(l, s)
		if fused {
			i++
		}
	}
	if n.firstParam < 0 {
		n.firstParam = len(n.nodes)
	}
	b.activationGradients()
	return n, nil
}

// forward runs x (rows, input) through the network and returns its output
// (rows, output), which stays valid until the next forward.
func (n *network[T]) forward(how pass, x []T) []T {
	n.pass = how
	p := &n.pass
	x = x[:p.rows*n.input]
	for i := range n.nodes {
		node := &n.nodes[i]
		y := node.y[:p.rows*node.out]
		node.layer.forward(p, x, y)
		x = y
	}
	return x
}

// outputGradient is where the loss puts its gradient for backward.
func (n *network[T]) outputGradient() []T { return n.gradA[:n.pass.rows*n.output] }

// backward sets grads from the last forward of x and outputGradient.
func (n *network[T]) backward(x []T) {
	p := &n.pass
	dy, free := n.gradA, n.gradB
	for i := len(n.nodes) - 1; i >= n.firstParam; i-- {
		node := &n.nodes[i]
		in := x
		if i > 0 {
			in = n.nodes[i-1].y
		}
		var dx []T
		switch {
		case i == n.firstParam:
		case node.uses.elementwise:
			dx = dy
		default:
			dx = free
		}
		if dx != nil {
			dx = dx[:p.rows*node.in]
		}
		node.layer.backward(p, in[:p.rows*node.in], node.y[:p.rows*node.out], dy[:p.rows*node.out], dx)
		if dx != nil && !node.uses.elementwise {
			dy, free = free, dy
		}
	}
}

func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// builder makes a network's layers.
type builder[T real] struct {
	arena   *arena
	kernels kernels[T]
	model   *train.Model
	net     *network[T]
	seed    uint64
	learns  bool
	scratch scratch[T]
}

// add appends a node for l, whose output replaces the one before it in memory
// where neither needs the older numbers any more.
func (b *builder[T]) add(l layer[T], s *train.Stage) {
	n := b.net
	nd := node[T]{layer: l, uses: l.uses(), in: s.InSize(), out: s.OutSize()}
	last := len(n.nodes) - 1
	if nd.uses.overwrites && last >= 0 && !n.nodes[last].uses.output {
		nd.y = n.nodes[last].y
	} else {
		nd.y = take[T](b.arena, n.batch*nd.out)
	}
	n.nodes = append(n.nodes, nd)
}

// activationGradients allocates two buffers that fit any gradient that
// backward hands from node to node.
func (b *builder[T]) activationGradients() {
	if !b.learns {
		return
	}
	widest := b.net.output
	for i := b.net.firstParam; i < len(b.net.nodes); i++ {
		widest = max(widest, b.net.nodes[i].out)
	}
	b.net.gradA = take[T](b.arena, b.net.batch*widest)
	b.net.gradB = take[T](b.arena, b.net.batch*widest)
}

// shareScratch allocates what all convolutions work in.
func (b *builder[T]) shareScratch() {
	var need scratchSizes
	for i := range b.model.Stages {
		if s := &b.model.Stages[i]; s.Kind == train.Conv2D {
			w := windowOf(s)
			need = need.max(w.scratch(s.Width))
		}
	}
	b.scratch = takeScratch[T](b.arena, need)
}

// parameter returns a stage's i-th parameter and its gradient, nil where it has none.
func (b *builder[T]) parameter(s *train.Stage, i int) (values, grads []T) {
	if i >= len(s.Params) {
		return nil, nil
	}
	t := b.model.Params[s.Params[i]]
	return piece(b.net.params, t), piece(b.net.grads, t)
}

func piece[T real](vector []T, t train.Tensor) []T {
	if vector == nil {
		return nil
	}
	return vector[t.Offset : t.Offset+t.Size : t.Offset+t.Size]
}

func (b *builder[T]) layer(s *train.Stage, relued bool) (layer[T], error) {
	weight, dWeight := b.parameter(s, 0)
	bias, dBias := b.parameter(s, 1)
	batch := b.net.batch
	switch s.Kind {
	case train.Linear:
		return &linear[T]{
			k: b.kernels, inputs: s.InSize(), outputs: s.Width, relu: relued,
			weight: weight, bias: bias, dWeight: dWeight, dBias: dBias,
		}, nil
	case train.Conv2D:
		l := newConv2D(b.kernels, windowOf(s), s.Width, b.scratch)
		l.weight, l.bias, l.dWeight, l.dBias = weight, bias, dWeight, dBias
		return l, nil
	case train.MaxPool2D:
		return &maxPool2d[T]{window: windowOf(s), from: take[int32](b.arena, batch*s.OutSize())}, nil
	case train.AvgPool2D:
		return &avgPool2d[T]{window: windowOf(s)}, nil
	case train.ReLU:
		return relu[T]{b.kernels}, nil
	case train.GELU:
		return gelu[T]{b.kernels}, nil
	case train.Tanh:
		return tanh[T]{b.kernels}, nil
	case train.Sigmoid:
		return sigmoid[T]{b.kernels}, nil
	case train.LeakyReLU:
		return leakyReLU[T]{b.kernels, T(s.Slope)}, nil
	case train.Dropout:
		return &dropout[T]{
			k: b.kernels, seed: b.seed, stage: s.Index, p: s.P, mask: take[T](b.arena, batch*s.OutSize()),
		}, nil
	case train.LayerNorm:
		return &layerNorm[T]{
			k: b.kernels, eps: s.Eps, weight: weight, bias: bias, dWeight: dWeight, dBias: dBias,
			mean: take[float64](b.arena, batch), inverse: take[float64](b.arena, batch),
		}, nil
	case train.BatchNorm1D, train.BatchNorm2D:
		l := &batchNorm[T]{
			k: b.kernels, positions: s.InSize() / s.In[0], eps: s.Eps, momentum: s.Momentum,
			weight: weight, bias: bias, dWeight: dWeight, dBias: dBias,
			runMean: piece(b.net.buffers, b.model.Buffers[s.Buffers[0]]),
			runVar:  piece(b.net.buffers, b.model.Buffers[s.Buffers[1]]),
		}
		l.takeStatistics(b.arena, s.In[0])
		return l, nil
	}
	return nil, fmt.Errorf("build layer %d: unknown kind %q", s.Index, s.Kind)
}

func windowOf(s *train.Stage) window {
	return window{
		channels: s.In[0], in: [2]int{s.In[1], s.In[2]}, out: [2]int{s.Out[1], s.Out[2]},
		kernel: s.Kernel, stride: s.Stride, pads: s.Padding,
	}
}
