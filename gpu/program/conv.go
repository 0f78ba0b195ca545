package program

import (
	"fmt"

	"weft/kernels"
)

// partials are the two buffers that convolutions leave sums of weight gradients
// in: the next phase adds one up while the next convolution may write the other.
type partials struct {
	c     *compiler
	turns [2]region
	next  int
	sums  []kernels.Op // what adds up those that the phase at hand leaves
}

func (p *partials) take(bytes int64) kernels.Ptr {
	r := &p.turns[p.next]
	if *r == null {
		*r = p.c.add([...]string{"partial.a", "partial.b"}[p.next], training, 0)
	}
	p.c.grow(*r, bytes)
	p.next = 1 - p.next
	return r.ptr(0)
}

// ready lets the next phase add up what the last one left.
func (p *partials) ready() {
	for _, sum := range p.sums {
		p.c.later(sum)
	}
	p.sums = p.sums[:0]
}

// convWeightOp leaves the partial sums of a convolution's weight gradient.
func (c *compiler) convWeightOp(n *node, dy, dw, db kernels.Ptr, p *partials) kernels.Op {
	s := n.stage
	w := windowOf(s)
	patch := int64(s.FanIn)
	splits := convSplits(&w, int64(s.Width), c.rows)
	size := splits * int64(s.Width) * (patch + 1)
	c.fits(fmt.Sprintf("layer %d's (%s) gradient", s.Index, s.Kind), c.rows, size)
	partial := p.take(size * sizeFloat)
	p.sums = append(p.sums, kernels.NewOp(kernels.OpConv2DGradWeightSum, 0, kernels.Conv2DGradWeightSum{
		Partial: partial, DW: dw, DB: db, Out: int32(s.Width), Patch: int32(patch), Splits: int32(splits),
	}))
	return kernels.NewOp(kernels.OpConv2DGradWeight, n.flags(), kernels.Conv2DGradWeight{
		X: n.x, DY: dy, Partial: partial, Window: w, Out: int32(s.Width), Splits: int32(splits),
	})
}

// convSplits is how many shares a batch of up to rows is divided into for a
// convolution's weight gradient: conv2d_splits of kernels/conv.cuh.
func convSplits(w *kernels.Window, out, rows int64) int64 {
	groups := ceil(out, 8)
	outTiles := ceil(groups, 8)
	groups = ceil(groups, outTiles)
	quads := ceil(int64(w.C)*int64(w.KH)*int64(w.KW), 4)
	patchTiles := ceil(quads, min(256/groups, 128))
	quads = ceil(quads, patchTiles)
	teams := 256 / (groups * quads)
	lines := rows * int64(w.OH)
	return max(1, min(lines*int64(w.OW)/(64*teams), 264/(outTiles*patchTiles), lines))
}
