package host

import (
	"math"

	"weft/gpu/host/simd"
	"weft/gpu/train"
)

// optimizer is one of torch.optim's algorithms over a model's whole vector.
//
// Floor of a step over N parameters with S slots: 4·N·(3+2·S) bytes moved
// (gradients and parameters read, parameters and slots read and written).
type optimizer struct {
	train.Optimizer
	k    simd.Kernels
	clip float64 // greatest 2-norm of the gradients; 0: any
}

// step updates params and slots by grads, which it leaves alone. done is the
// number of steps before this one.
func (o *optimizer) step(params, grads []float32, slots [][]float32, lr float64, done int64) {
	if len(params) == 0 {
		return
	}
	scale := o.scale(grads)
	switch o.Name {
	case train.SGD:
		s := simd.NewSGD(lr, o.Momentum, o.Dampening, o.WeightDecay, o.Nesterov, done == 0)
		s.GradScale = scale
		o.k.SGD(s, params, grads, slot(slots, 0))
	case train.Adam:
		s := simd.NewAdam(lr, o.Betas[0], o.Betas[1], o.Eps, o.WeightDecay, done+1)
		s.GradScale = scale
		o.k.Adam(s, params, grads, slots[0], slots[1])
	case train.AdamW:
		s := simd.NewAdamW(lr, o.Betas[0], o.Betas[1], o.Eps, o.WeightDecay, done+1)
		s.GradScale = scale
		o.k.Adam(s, params, grads, slots[0], slots[1])
	case train.RMSprop:
		s := simd.NewRMSprop(lr, o.Alpha, o.Eps, o.Momentum, o.WeightDecay, o.Centered)
		s.GradScale = scale
		momentum, average := 1, 1
		if o.Momentum != 0 {
			average = 2
		}
		o.k.RMSprop(s, params, grads, slots[0], slot(slots, momentum), slot(slots, average))
	}
}

// scale returns what torch.nn.utils.clip_grad_norm_ multiplies gradients by:
// clip/(norm+1e-6), 1 at most.
func (o *optimizer) scale(grads []float32) float32 {
	if o.clip == 0 {
		return 1
	}
	factor := float32(o.clip / (math.Sqrt(o.k.SumSquares(grads)) + 1e-6))
	if factor > 1 {
		return 1
	}
	return factor // NaN too, so that a broken gradient shows
}

// slot returns the i-th of slots, nil where the algorithm keeps none.
func slot(slots [][]float32, i int) []float32 {
	if i < len(slots) {
		return slots[i]
	}
	return nil
}
