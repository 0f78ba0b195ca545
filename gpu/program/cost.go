package program

import "weft/kernels"

// flops counts the operations of a training step's matrix products, 2 per
// multiply-add: forward, to the weights, and where it is wanted to the input.
// The other layers are linear in their sizes and do not count beside them.
func flops(nodes []node, rows int64) int64 {
	learner := firstLearner(nodes)
	var sum int64
	for i := range nodes {
		n := &nodes[i]
		if !n.product() {
			continue
		}
		products := int64(3)
		if i == learner {
			products = 2
		}
		sum += products * 2 * rows * int64(n.stage.FanIn) * n.out
	}
	return sum
}

// What makes a block's worth of work: enough to hide that the block had to
// fetch it, and little enough that a phase does not wait for one block.
const (
	blockSide     = 32   // of a square of a product's results
	blockElements = 1024 // of anything that is done element by element
)

// usefulBlocks estimates how many blocks the busiest phase of a training step
// keeps busy: the width that a job spread over blocks can use. It is an estimate
// by the work there is, not the kernels' own count of tiles.
func (p *Program) usefulBlocks(rows int64) int {
	most := int64(1)
	s := p.sections[kernels.DoingTrain]
	for _, phase := range p.phases[s.First : s.First+s.Count] {
		var blocks int64
		for i := range phase.Count {
			blocks += blocksOf(&p.ops[phase.First+i], rows)
		}
		most = max(most, blocks)
	}
	return int(most)
}

// blocksOf is usefulBlocks of one operation on a batch of rows.
func blocksOf(op *kernels.Op, rows int64) int64 {
	product := func(m, n int64) int64 { return ceil(m, blockSide) * ceil(n, blockSide) }
	elements := func(n int64) int64 { return ceil(n, blockElements) }
	of := func(n int32) int64 { return elements(rows * int64(n)) }
	image := func(w *kernels.Window) int64 { return int64(w.C) * int64(w.H) * int64(w.W) }
	places := func(w *kernels.Window) int64 { return int64(w.OH) * int64(w.OW) }
	switch op.Kind {
	case kernels.OpLinear:
		a := kernels.ArgsOf[kernels.Linear](op)
		return product(rows, int64(a.Out))
	case kernels.OpLinearGradInput:
		a := kernels.ArgsOf[kernels.LinearGradInput](op)
		return product(rows, int64(a.In))
	case kernels.OpLinearGradWeight:
		a := kernels.ArgsOf[kernels.LinearGradWeight](op)
		return product(int64(a.Out), int64(a.In))
	case kernels.OpConv2D:
		a := kernels.ArgsOf[kernels.Conv2D](op)
		return product(rows*places(&a.Window), int64(a.Out))
	case kernels.OpConv2DGradInput:
		a := kernels.ArgsOf[kernels.Conv2DGradInput](op)
		return product(rows*int64(a.Window.H)*int64(a.Window.W), int64(a.Window.C))
	case kernels.OpConv2DGradWeight:
		a := kernels.ArgsOf[kernels.Conv2DGradWeight](op)
		w := &a.Window
		return int64(a.Splits) * product(int64(a.Out), int64(w.C)*int64(w.KH)*int64(w.KW)+1)
	case kernels.OpConv2DGradWeightSum:
		a := kernels.ArgsOf[kernels.Conv2DGradWeightSum](op)
		return elements(int64(a.Out) * int64(a.Patch+1))
	case kernels.OpMaxPool:
		a := kernels.ArgsOf[kernels.MaxPool](op)
		return elements(rows * image(&a.Window))
	case kernels.OpMaxPoolGrad:
		a := kernels.ArgsOf[kernels.MaxPoolGrad](op)
		return elements(rows * image(&a.Window))
	case kernels.OpAvgPool:
		a := kernels.ArgsOf[kernels.AvgPool](op)
		return elements(rows * image(&a.Window))
	case kernels.OpAvgPoolGrad:
		a := kernels.ArgsOf[kernels.AvgPoolGrad](op)
		return elements(rows * image(&a.Window))
	case kernels.OpActivate:
		return of(kernels.ArgsOf[kernels.Activate](op).N)
	case kernels.OpActivateGrad:
		return of(kernels.ArgsOf[kernels.ActivateGrad](op).N)
	case kernels.OpDropout:
		return of(kernels.ArgsOf[kernels.Dropout](op).N)
	case kernels.OpLayerNorm:
		return of(kernels.ArgsOf[kernels.LayerNorm](op).N)
	case kernels.OpLayerNormGradInput:
		return of(kernels.ArgsOf[kernels.LayerNormGradInput](op).N)
	case kernels.OpLayerNormGradWeight:
		return of(kernels.ArgsOf[kernels.LayerNormGradWeight](op).N)
	case kernels.OpBatchNorm:
		a := kernels.ArgsOf[kernels.BatchNorm](op)
		return min(of(a.Channels*a.Plane), int64(a.Channels))
	case kernels.OpBatchNormGrad:
		a := kernels.ArgsOf[kernels.BatchNormGrad](op)
		return min(of(a.Channels*a.Plane), int64(a.Channels))
	case kernels.OpLoss:
		return of(kernels.ArgsOf[kernels.Loss](op).Width)
	case kernels.OpGatherRows:
		return of(kernels.ArgsOf[kernels.GatherRows](op).N)
	case kernels.OpSumSquares:
		return elements(int64(kernels.ArgsOf[kernels.SumSquares](op).N))
	case kernels.OpOptimize:
		return elements(int64(kernels.ArgsOf[kernels.Optimize](op).N))
	default: // sums of sums, which one block does
		return 1
	}
}

func ceil(n, d int64) int64 { return (n + d - 1) / d }
