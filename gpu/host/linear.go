package host

// linear is torch.nn.Linear, y = x·Wᵀ + b, with a ReLU behind it where the
// model has one there.
//
// Floor, for R p.rows, I inputs and O outputs: 2·R·I·O operations forward and
// 4·R·I·O backward (half of them when dx is not wanted) against I·O+R·(I+O)
// elements read.
type linear[T real] struct {
	k            kernels[T]
	inputs       int
	outputs      int
	relu         bool
	weight, bias []T // (outputs, inputs), (outputs); bias nil: none
	dWeight      []T
	dBias        []T
}

func (l *linear[T]) forward(p *pass, x, y []T) {
	l.k.nt(p.rows, l.outputs, l.inputs, x, l.weight, y, false)
	switch {
	case l.bias == nil && l.relu:
		l.k.relu(y, y)
	case l.bias == nil:
	case l.relu:
		l.k.addBiasReLU(y, l.bias)
	default:
		l.k.addBias(y, l.bias)
	}
}

func (l *linear[T]) backward(p *pass, x, y, dy, dx []T) {
	if l.relu {
		l.k.reluGrad(dy, dy, y)
	}
	l.k.tn(l.outputs, l.inputs, p.rows, dy, x, l.dWeight, false)
	if l.bias != nil {
		l.k.columnSums(l.dBias, dy)
	}
	if dx != nil {
		l.k.nn(p.rows, l.inputs, l.outputs, dy, l.weight, dx, false)
	}
}

func (l *linear[T]) uses() uses { return uses{input: true, output: l.relu} }
