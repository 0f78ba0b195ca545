package program

import (
	"fmt"
	"math"

	"weft/gpu/train"
	"weft/kernels"
)

// assignTraining gives nodes their memory for training. Every output stays
// until the backward sweep, but for those that no later operation reads: a node
// that works element by element then puts its output in their place.
func (c *compiler) assignTraining(nodes []node) {
	learner := firstLearner(nodes)
	x := c.enter(nodes, func(bytes int64) kernels.Ptr { return c.add("x", training, bytes).ptr(0) }, c.rows)
	var none node
	for i := range nodes {
		n, below := &nodes[i], &none
		if i > learner {
			below = &nodes[i-1]
		}
		n.x = x
		up := n.handsUp(below)
		if n.elementwise() && c.mayReplace(n, below, up, i > learner) {
			n.y = x
		} else {
			n.y = c.add(n.name("y"), training, c.array(n.stage, c.rows, n.out)).ptr(0)
		}
		c.own(n, c.rows, func(what string, bytes int64) kernels.Ptr { return c.add(n.name(what), training, bytes).ptr(0) })
		switch {
		case up && n.kind == kernels.OpDropout && !(below.due.signOnly() && below.value == below.y):
			n.due, n.value = below.due, below.value
		case up:
			n.due, n.value = below.due, n.y
		case i >= learner && n.act.byValue:
			n.due, n.value = n.act, n.y
		}
		x = n.y
	}
}

// mayReplace reports whether nobody reads n's input after n.
func (c *compiler) mayReplace(n, below *node, up, learns bool) bool {
	switch {
	case learns && n.keepsInput():
		return false
	case below.value != n.x:
		return true
	default: // a derivative's value, unless its sign will do and n's output has it
		return up && below.due.signOnly()
	}
}

// assignEvaluation gives nodes their memory for evaluation: two buffers in turn,
// and one that takes what only a backward sweep would read.
func (c *compiler) assignEvaluation(nodes []node, rows int64) {
	var turns [2]region
	next := 0
	take := func(bytes int64) kernels.Ptr {
		r := &turns[next]
		if *r == null {
			*r = c.add([...]string{"eval.a", "eval.b"}[next], evaluating, 0)
		}
		c.grow(*r, bytes)
		next = 1 - next
		return r.ptr(0)
	}
	unread := null
	x := c.enter(nodes, take, rows)
	for i := range nodes {
		n := &nodes[i]
		n.x, n.y = x, x
		if !n.elementwise() {
			n.y = take(c.array(n.stage, rows, n.out))
		}
		c.own(n, rows, func(_ string, bytes int64) kernels.Ptr {
			if unread == null {
				unread = c.add("eval.unread", evaluating, 0)
			}
			c.grow(unread, bytes)
			return unread.ptr(0)
		})
		x = n.y
	}
}

// enter returns where the first node finds its input: in the data set, if it
// is one that can pick its rows there, else in memory that take returns.
func (c *compiler) enter(nodes []node, take func(bytes int64) kernels.Ptr, rows int64) kernels.Ptr {
	first := &nodes[0]
	if first.product() {
		first.input = true
		return dataX.ptr(0)
	}
	return take(c.array(first.stage, rows, first.in))
}

// own gives a node, with memory that take returns, what its forward operation
// leaves for its backward ones beside y.
func (c *compiler) own(n *node, rows int64, take func(what string, bytes int64) kernels.Ptr) {
	switch n.kind {
	case kernels.OpMaxPool:
		n.from = take("from", c.array(n.stage, rows, n.out))
	case kernels.OpLayerNorm:
		n.stats = take("stats", rows*2*sizeFloat)
	case kernels.OpBatchNorm:
		n.stats = take("stats", int64(n.stage.In[0])*2*sizeFloat)
	default:
	}
}

// array returns the bytes of (rows, width) numbers of 4 bytes.
func (c *compiler) array(s *train.Stage, rows, width int64) int64 {
	c.fits(fmt.Sprintf("layer %d (%s)", s.Index, s.Kind), rows, rows*width)
	return rows * width * sizeFloat
}

func (n *node) name(what string) string { return fmt.Sprintf("%d.%s", n.stage.Index, what) }

// forward adds the phases that compute every node's output.
func (c *compiler) forward(nodes []node) {
	if first := &nodes[0]; !first.input {
		c.phase(kernels.NewOp(kernels.OpGatherRows, kernels.FlagInput, kernels.GatherRows{
			X: dataX.ptr(0), Y: first.x, N: int32(first.in),
		}))
	}
	for i := range nodes {
		c.phase(c.forwardOp(&nodes[i]))
	}
}

func (c *compiler) forwardOp(n *node) kernels.Op {
	s := n.stage
	w, b := c.param(s, 0), c.param(s, 1)
	switch n.kind {
	case kernels.OpLinear:
		return kernels.NewOp(n.kind, n.flags(), kernels.Linear{
			X: n.x, W: w, B: b, Y: n.y, In: int32(n.in), Out: int32(n.out), Act: n.act.kind, Slope: n.act.slope,
		})
	case kernels.OpConv2D:
		return kernels.NewOp(n.kind, n.flags(), kernels.Conv2D{
			X: n.x, W: w, B: b, Y: n.y, Window: windowOf(s), Out: int32(s.Width), Act: n.act.kind, Slope: n.act.slope,
		})
	case kernels.OpMaxPool:
		return kernels.NewOp(n.kind, 0, kernels.MaxPool{X: n.x, Y: n.y, From: n.from, Window: windowOf(s)})
	case kernels.OpAvgPool:
		return kernels.NewOp(n.kind, 0, kernels.AvgPool{X: n.x, Y: n.y, Window: windowOf(s)})
	case kernels.OpActivate:
		return kernels.NewOp(n.kind, 0, kernels.Activate{
			X: n.x, Y: n.y, N: int32(n.out), Act: n.act.kind, Slope: n.act.slope,
		})
	case kernels.OpDropout:
		return dropoutOp(n, n.x, n.y)
	case kernels.OpLayerNorm:
		return kernels.NewOp(n.kind, 0, kernels.LayerNorm{
			X: n.x, W: w, B: b, Y: n.y, Stats: n.stats, N: int32(n.in), Eps: float32(s.Eps),
		})
	case kernels.OpBatchNorm:
		return kernels.NewOp(n.kind, 0, kernels.BatchNorm{
			X: n.x, W: w, B: b, Y: n.y, Stats: n.stats,
			RunningMean: c.buffer(s, 0), RunningVar: c.buffer(s, 1),
			Channels: int32(s.In[0]), Plane: int32(n.in / int64(s.In[0])),
			Eps: float32(s.Eps), Momentum: float32(s.Momentum),
		})
	default:
		panic(fmt.Sprintf("program: layer %d has no forward operation: %s", s.Index, s.Kind))
	}
}

// flags says whether the rows of x are the data set's.
func (n *node) flags() uint32 {
	if n.input {
		return kernels.FlagInput
	}
	return 0
}

// dropoutOp is a dropout of x, or of the gradient with y for x.
func dropoutOp(n *node, x, y kernels.Ptr) kernels.Op {
	s := n.stage
	// A number is 24 bits over 2^24: it is less than p where its bits are less
	// than p·2^24, rounded up.
	a := kernels.Dropout{X: x, Y: y, N: int32(n.out), Stage: int32(s.Index), Limit: uint32(math.Ceil(s.P * (1 << 24)))}
	if s.P < 1 {
		a.Keep = float32(1 / (1 - s.P))
	}
	return kernels.NewOp(kernels.OpDropout, 0, a)
}

func windowOf(s *train.Stage) kernels.Window {
	return kernels.Window{
		C: int32(s.In[0]), H: int32(s.In[1]), W: int32(s.In[2]), OH: int32(s.Out[1]), OW: int32(s.Out[2]),
		KH: int32(s.Kernel[0]), KW: int32(s.Kernel[1]), SH: int32(s.Stride[0]), SW: int32(s.Stride[1]),
		PH: int32(s.Padding[0]), PW: int32(s.Padding[1]),
	}
}
