package program

import (
	"weft/gpu/train"
	"weft/kernels"
)

// activation is a function that is applied element by element.
type activation struct {
	kind  int32
	slope float32
	// byValue: its derivative is had from its value. The others, GELU and
	// LEAKY_RELU of a slope <= 0, need their argument.
	byValue bool
}

// activationOf returns what a stage computes, if that is an activation.
func activationOf(s *train.Stage) (activation, bool) {
	switch s.Kind {
	case train.ReLU:
		return activation{kind: kernels.ActReLU, byValue: true}, true
	case train.Tanh:
		return activation{kind: kernels.ActTanh, byValue: true}, true
	case train.Sigmoid:
		return activation{kind: kernels.ActSigmoid, byValue: true}, true
	case train.GELU:
		return activation{kind: kernels.ActGELU}, true
	case train.LeakyReLU:
		slope := float32(s.Slope)
		return activation{kind: kernels.ActLeakyReLU, slope: slope, byValue: slope > 0}, true
	default:
		return activation{}, false
	}
}

// node is one forward operation: a stage, and with a linear or conv2d stage the
// activation behind it where there is one by value.
type node struct {
	stage   *train.Stage
	kind    kernels.Kind
	act     activation // of OpActivate the function; else the one fused, perhaps ActIdentity
	in, out int64      // elements of one sample

	// Memory, symbolic; set by assignTraining and assignEvaluation.
	input bool        // x is the data set
	x, y  kernels.Ptr // (rows, in), (rows, out); y may be x
	stats kernels.Ptr // of norms
	from  kernels.Ptr // of maxpool2d

	// What the gradient of y has to be multiplied by before the node's own
	// backward operations: the derivative of an activation by value, which is
	// this node's or that of a node below which it was handed up from. value
	// (rows, out) is what it is had from.
	due   activation
	value kernels.Ptr
}

// kindOf says which operation a stage is.
var kindOf = map[train.LayerKind]kernels.Kind{
	train.Linear:      kernels.OpLinear,
	train.Conv2D:      kernels.OpConv2D,
	train.MaxPool2D:   kernels.OpMaxPool,
	train.AvgPool2D:   kernels.OpAvgPool,
	train.ReLU:        kernels.OpActivate,
	train.GELU:        kernels.OpActivate,
	train.Tanh:        kernels.OpActivate,
	train.Sigmoid:     kernels.OpActivate,
	train.LeakyReLU:   kernels.OpActivate,
	train.Dropout:     kernels.OpDropout,
	train.LayerNorm:   kernels.OpLayerNorm,
	train.BatchNorm1D: kernels.OpBatchNorm,
	train.BatchNorm2D: kernels.OpBatchNorm,
}

// nodesOf turns a model's stages into nodes. Flatten vanishes, for it leaves
// the numbers in their order, and so does a dropout that drops nothing: one of
// probability 0, and in evaluation any.
func nodesOf(m *train.Model, learns bool) []node {
	var nodes []node
	for i := range m.Stages {
		s := &m.Stages[i]
		if s.Kind == train.Flatten || s.Kind == train.Dropout && (s.P == 0 || !learns) {
			continue
		}
		act, activates := activationOf(s)
		if below := fusesInto(nodes, act); activates && below != nil {
			below.act = act
			continue
		}
		nodes = append(nodes, node{
			stage: s, kind: kindOf[s.Kind], act: act, in: int64(s.InSize()), out: int64(s.OutSize()),
		})
	}
	return nodes
}

// fusesInto returns the node that takes in an activation of the last node's
// output; nil: none does. ReLU may pass by maxpool2d and dropout: it leaves the
// greatest the greatest, and a kept number's sign. Where that makes numbers of a
// window equal they are 0, and no gradient comes to them.
func fusesInto(nodes []node, act activation) *node {
	if !act.byValue {
		return nil
	}
	i := len(nodes) - 1
	for act.kind == kernels.ActReLU && i >= 0 && (nodes[i].kind == kernels.OpMaxPool || nodes[i].kind == kernels.OpDropout) {
		i--
	}
	if i < 0 || !nodes[i].product() || nodes[i].act.kind != kernels.ActIdentity {
		return nil
	}
	return &nodes[i]
}

// product reports whether n is a matrix product of some kind: it can take its
// input from the data set itself, and apply activations by value.
func (n *node) product() bool { return n.kind == kernels.OpLinear || n.kind == kernels.OpConv2D }

// keepsInput reports whether n's backward operations read x.
func (n *node) keepsInput() bool {
	switch n.kind {
	case kernels.OpLinear, kernels.OpConv2D, kernels.OpLayerNorm, kernels.OpBatchNorm:
		return true
	case kernels.OpActivate:
		return !n.act.byValue
	default:
		return false
	}
}

// elementwise reports whether n's y may be x, as far as the kernel goes.
func (n *node) elementwise() bool { return n.kind == kernels.OpActivate || n.kind == kernels.OpDropout }

// handsUp reports whether the derivative that is due below n is due above n
// instead, where it can be applied by the operation that computes n's gradient,
// or to fewer numbers: multiplications element by element may change places, and
// a window's greatest number is the one whose gradient comes back.
func (n *node) handsUp(below *node) bool {
	switch n.kind {
	case kernels.OpDropout:
		return below.due.kind != kernels.ActIdentity
	case kernels.OpMaxPool:
		return below.due.kind != kernels.ActIdentity && below.value == below.y
	default:
		return false
	}
}

// signOnly reports whether a's derivative is had from the sign of its value: a
// dropped number may have lost it, since no gradient passes there.
func (a activation) signOnly() bool {
	return a.kind == kernels.ActReLU || a.kind == kernels.ActLeakyReLU
}

// firstLearner returns the first node with parameters: no gradient is wanted
// before it. Compose refuses models that have none.
func firstLearner(nodes []node) int {
	for i := range nodes {
		if len(nodes[i].stage.Params) > 0 {
			return i
		}
	}
	return len(nodes)
}
