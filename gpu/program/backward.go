package program

import (
	"fmt"

	"weft/kernels"
)

// gradients are the two buffers that activations' gradients are handed on in:
// an operation reads one and writes the other, so that all operations of its
// phase may still read the first.
type gradients struct {
	c       *compiler
	turns   [2]region
	current int // the one that holds the gradient of what is at hand
}

func (c *compiler) newGradients() *gradients { return &gradients{c: c, current: 1} }

// at returns the gradient at hand.
func (g *gradients) at() kernels.Ptr { return g.turns[g.current].ptr(0) }

// take returns the other buffer, grown to width numbers a row, and makes it
// the one at hand.
func (g *gradients) take(width int64) kernels.Ptr {
	g.current = 1 - g.current
	r := &g.turns[g.current]
	if *r == null {
		*r = g.c.add([...]string{"grad.a", "grad.b"}[g.current], training, 0)
	}
	g.c.grow(*r, g.c.rows*width*sizeFloat)
	return r.ptr(0)
}

// backward adds the phases that compute the gradients of all parameters; g
// holds the last output's. The chain of input gradients decides how many there
// are; what it does not wait for joins its phases.
func (c *compiler) backward(nodes []node, g *gradients) {
	learner := firstLearner(nodes)
	partials := partials{c: c}
	applied := false // the derivative due at the node at hand is in g already
	for i := len(nodes) - 1; i >= learner; i-- {
		n := &nodes[i]
		if n.due.kind != kernels.ActIdentity && !applied {
			c.phase(activateGradOp(n, n.due, n.value, g.at()))
		}
		applied = false
		switch dy := g.at(); {
		case n.kind == kernels.OpActivate:
			if !n.act.byValue {
				c.phase(activateGradOp(n, n.act, n.x, dy))
			}
		case n.kind == kernels.OpDropout:
			c.phase(dropoutOp(n, dy, dy))
			applied = n.handsUp(&nodes[i-1])
		case i > learner:
			below := &nodes[i-1]
			dx := g.take(n.in)
			c.phase(c.gradOps(n, below, dy, dx, &partials)...)
			applied = n.product() || n.handsUp(below)
		default:
			c.phase(c.gradOps(n, &node{}, dy, 0, &partials)...)
		}
		partials.ready()
	}
}

// activateGradOp multiplies d, the gradient of n's output, by act's derivative.
func activateGradOp(n *node, act activation, v, d kernels.Ptr) kernels.Op {
	return kernels.NewOp(kernels.OpActivateGrad, 0, kernels.ActivateGrad{
		DY: d, V: v, DX: d, N: int32(n.out), Act: act.kind, Slope: act.slope,
	})
}

// gradOps returns what computes n's gradients from dy: those of its parameters,
// and dx unless it is 0. A product's dx is multiplied by the derivative due below.
func (c *compiler) gradOps(n, below *node, dy, dx kernels.Ptr, partials *partials) []kernels.Op {
	s := n.stage
	w, dw, db := c.param(s, 0), c.grad(s, 0), c.grad(s, 1)
	act, y := below.due, below.value
	var ops []kernels.Op
	switch n.kind {
	case kernels.OpLinear:
		if dx != 0 {
			ops = append(ops, kernels.NewOp(kernels.OpLinearGradInput, 0, kernels.LinearGradInput{
				DY: dy, W: w, Y: y, DX: dx, In: int32(n.in), Out: int32(n.out), Act: act.kind, Slope: act.slope,
			}))
		}
		return append(ops, kernels.NewOp(kernels.OpLinearGradWeight, n.flags(), kernels.LinearGradWeight{
			X: n.x, DY: dy, DW: dw, DB: db, In: int32(n.in), Out: int32(n.out),
		}))
	case kernels.OpConv2D:
		if dx != 0 {
			ops = append(ops, kernels.NewOp(kernels.OpConv2DGradInput, 0, kernels.Conv2DGradInput{
				DY: dy, W: w, Y: y, DX: dx, Window: windowOf(s), Out: int32(s.Width), Act: act.kind, Slope: act.slope,
			}))
		}
		return append(ops, c.convWeightOp(n, dy, dw, db, partials))
	case kernels.OpMaxPool:
		return append(ops, kernels.NewOp(kernels.OpMaxPoolGrad, 0, kernels.MaxPoolGrad{
			DY: dy, From: n.from, DX: dx, Window: windowOf(s),
		}))
	case kernels.OpAvgPool:
		return append(ops, kernels.NewOp(kernels.OpAvgPoolGrad, 0, kernels.AvgPoolGrad{
			DY: dy, DX: dx, Window: windowOf(s),
		}))
	case kernels.OpLayerNorm:
		if dx != 0 {
			ops = append(ops, kernels.NewOp(kernels.OpLayerNormGradInput, 0, kernels.LayerNormGradInput{
				X: n.x, DY: dy, W: w, Stats: n.stats, DX: dx, N: int32(n.in),
			}))
		}
		return append(ops, kernels.NewOp(kernels.OpLayerNormGradWeight, 0, kernels.LayerNormGradWeight{
			X: n.x, DY: dy, Stats: n.stats, DW: dw, DB: db, N: int32(n.in),
		}))
	case kernels.OpBatchNorm:
		return append(ops, kernels.NewOp(kernels.OpBatchNormGrad, 0, kernels.BatchNormGrad{
			X: n.x, DY: dy, W: w, Stats: n.stats, DX: dx, DW: dw, DB: db,
			Channels: int32(s.In[0]), Plane: int32(n.in / int64(s.In[0])),
		}))
	default:
		panic(fmt.Sprintf("program: layer %d has no gradient operation: %s", s.Index, s.Kind))
	}
}
