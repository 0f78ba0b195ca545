package program

import (
	"weft/gpu/train"
	"weft/kernels"
)

// sectionsInOrder compiles every section. None is without a phase.
func (c *compiler) sectionsInOrder() {
	c.section(c.begin, kernels.DoingBegin)
	c.section(c.shuffle, kernels.DoingShuffle)
	c.section(c.step, kernels.DoingTrain)
	c.section(c.evaluate, kernels.DoingValidate, kernels.DoingTest)
	c.section(c.keep, kernels.DoingKeep)
	c.section(c.take, kernels.DoingTake)
}

// begin sets the gaps between gradients to zero: the sum of squares and the
// optimizer walk over them, and nothing else ever writes there.
func (c *compiler) begin() {
	zeros, grads := c.known.zeros.ptr(0), c.known.grads
	var ops []kernels.Op
	for gaps := c.params.gaps(); len(gaps) > 0; {
		a := kernels.Copy{From: zeros, To: grads.ptr(gaps[0].at), N: int32(gaps[0].bytes / sizeFloat)}
		gaps = gaps[1:]
		if len(gaps) > 0 {
			a.From2, a.To2, a.N2 = zeros, grads.ptr(gaps[0].at), int32(gaps[0].bytes/sizeFloat)
			gaps = gaps[1:]
		}
		ops = append(ops, kernels.NewOp(kernels.OpCopy, 0, a))
	}
	c.phase(ops...)
}

// shuffle draws the epoch's order.
func (c *compiler) shuffle() {
	if c.spec.Shuffle {
		c.phase(kernels.NewOp(kernels.OpShuffleRows, 0, kernels.ShuffleRows{
			Order: c.known.order.ptr(0), N: int32(c.info.TrainRows),
		}))
	}
}

// step is one training step: forward, loss, backward, clipping, optimizer.
func (c *compiler) step() {
	k := &c.known
	nodes := nodesOf(c.model, true)
	c.assignTraining(nodes)
	c.forward(nodes)

	k.loss = c.add("loss", training, c.rows*sizeDouble)
	k.right = c.add("right", training, c.rows*sizeInt)
	g := c.newGradients()
	z := nodes[len(nodes)-1].y
	c.phase(c.lossOp(z, g.take(int64(outputs(c.model))), k.loss, k.right))
	c.later(kernels.NewOp(kernels.OpLossSum, 0, kernels.LossSum{
		Loss: k.loss.ptr(0), Right: k.right.ptr(0), Width: int32(outputs(c.model)),
	}))
	c.backward(nodes, g)
	c.flush()
	c.clip()
	c.phase(c.optimizeOp())
	c.StepFlops = flops(nodes, c.rows)
}

// evaluate runs a batch of a part forward and adds up what its metrics need.
func (c *compiler) evaluate() {
	if c.info.ValRows+c.info.TestRows == 0 {
		return
	}
	k := &c.known
	nodes := nodesOf(c.model, false)
	rows := c.evalRows(nodes)
	c.EvalRows = int(rows)
	c.assignEvaluation(nodes, rows)
	c.forward(nodes)

	k.evalLoss = c.add("eval.loss", evaluating, rows*sizeDouble)
	k.evalRight = c.add("eval.right", evaluating, rows*sizeInt)
	z := nodes[len(nodes)-1].y
	c.phase(c.lossOp(z, 0, k.evalLoss, k.evalRight))
	sum := kernels.LossSum{Loss: k.evalLoss.ptr(0), Right: k.evalRight.ptr(0), Width: int32(outputs(c.model))}
	if k.squares != null {
		sum.Squares, sum.Z, sum.Target = k.squares.ptr(0), z, dataTargets.ptr(0)
	}
	c.phase(kernels.NewOp(kernels.OpLossSum, 0, sum))
}

// lossOp leaves the gradient of outputs z at dz; 0: it is not wanted.
func (c *compiler) lossOp(z, dz kernels.Ptr, loss, right region) kernels.Op {
	target := dataTargets
	if c.spec.Loss == train.CrossEntropy {
		target = dataLabels
	}
	return kernels.NewOp(kernels.OpLoss, 0, kernels.Loss{
		Z: z, Target: target.ptr(0), DZ: dz, Loss: loss.ptr(0), Right: right.ptr(0),
		Width: int32(outputs(c.model)), Kind: lossKind[c.spec.Loss],
	})
}

// sumChunk is job.cuh's SUM_CHUNK: numbers to a partial sum of squares.
const sumChunk = 4096

// clip scales the gradients down to a norm; the optimizer multiplies by the
// scale.
func (c *compiler) clip() {
	if c.spec.ClipGradNorm == 0 {
		return
	}
	n := c.params.elements()
	count := (n + sumChunk - 1) / sumChunk
	partial := c.add("clip.partial", training, count*sizeDouble).ptr(0)
	c.phase(kernels.NewOp(kernels.OpSumSquares, 0, kernels.SumSquares{
		G: c.known.grads.ptr(0), Partial: partial, N: int32(n),
	}))
	c.phase(kernels.NewOp(kernels.OpClipScale, 0, kernels.ClipScale{
		Partial: partial, Count: int32(count), Clip: c.spec.ClipGradNorm,
	}))
}

func (c *compiler) optimizeOp() kernels.Op {
	k, o := &c.known, &c.spec.Optimizer
	slot := func(i int) kernels.Ptr {
		if i >= len(k.slots) {
			return 0
		}
		return k.slots[i].ptr(0)
	}
	a := kernels.Optimize{
		Params: k.params.ptr(0), Grads: k.grads.ptr(0), Slot0: slot(0), Slot1: slot(1), Slot2: slot(2),
		N: int32(c.params.elements()), Kind: optimizerKind[o.Name],
	}
	// RMSprop's second vector is the average when there is no momentum.
	if o.Name == train.RMSprop && o.Momentum == 0 {
		a.Slot1, a.Slot2 = 0, a.Slot1
	}
	return kernels.NewOp(kernels.OpOptimize, 0, a)
}

// keep copies the model to the best epoch's, and take copies it back.
func (c *compiler) keep() { c.copyModel(true) }
func (c *compiler) take() { c.copyModel(false) }

func (c *compiler) copyModel(keep bool) {
	k := &c.known
	if k.best == null {
		return
	}
	a := kernels.Copy{From: k.params.ptr(0), To: k.best.ptr(0), N: int32(c.params.elements())}
	if c.buffers.bytes > 0 {
		a.From2, a.To2, a.N2 = k.buffers.ptr(0), k.best.ptr(c.params.bytes), int32(c.buffers.elements())
	}
	if !keep {
		a.From, a.To, a.From2, a.To2 = a.To, a.From, a.To2, a.From2
	}
	c.phase(kernels.NewOp(kernels.OpCopy, 0, a))
}

// What the kernels call losses, optimizers and schedules.
var (
	lossKind = map[train.Loss]int32{
		train.CrossEntropy: kernels.LossCrossEntropy, train.MSE: kernels.LossMSE,
		train.BCEWithLogits: kernels.LossBCEWithLogits, train.Huber: kernels.LossHuber,
	}
	optimizerKind = map[train.OptimizerName]int32{
		train.SGD: kernels.OptSGD, train.Adam: kernels.OptAdam,
		train.AdamW: kernels.OptAdamW, train.RMSprop: kernels.OptRMSprop,
	}
	scheduleKind = map[train.ScheduleName]int32{
		train.Constant: kernels.ScheduleConstant, train.Cosine: kernels.ScheduleCosine, train.StepLR: kernels.ScheduleStep,
		train.LinearLR: kernels.ScheduleLinear, train.OneCycle: kernels.ScheduleOneCycle,
	}
)

const (
	// leastEvalRows makes evaluation of small batches worth its launches.
	leastEvalRows = 128
	// modestBytes is what evaluation may always take, also where training takes
	// less.
	modestBytes = 4 << 20
)

// evalRows returns how many rows of the larger part are evaluated at once: as
// many as a training batch has and 128 at least, unless evaluation would then
// take more memory than training does.
func (c *compiler) evalRows(nodes []node) int64 {
	widest, unread := int64(1), int64(0)
	for i := range nodes {
		n := &nodes[i]
		widest = max(widest, n.in, n.out)
		if n.kind == kernels.OpMaxPool {
			unread = max(unread, n.out)
		}
	}
	part := int64(max(c.info.ValRows, c.info.TestRows))
	rows := min(max(c.rows, leastEvalRows), part)
	return max(min(rows, c.rows), min(rows, max(c.total(training), modestBytes)/(sizeFloat*(2*widest+unread))))
}
