package simd

import "math"

// The steps below carry an optimizer's hyper-parameters for one update, reduced
// from float64 to float32 where torch.optim's single-tensor path does it. The
// formulas follow that path's operations one by one; fma is a product and a sum
// rounded once, as torch's add with alpha and its addcmul do on processors with
// AVX2, and all else is rounded each time. A weight decay of 0 adds 0·p, which
// changes nothing while parameters are finite.
// GradScale multiplies every gradient first, so that clipping needs no pass of
// its own; the constructors set it to 1, which changes nothing.

// SGDStep is one update of torch.optim.SGD.
type SGDStep struct {
	GradScale   float32
	LR          float32
	WeightDecay float32
	Momentum    float32
	Gain        float32 // 1 - dampening
	Nesterov    bool
	First       bool // the buffer takes the gradient as it is
}

// NewSGD returns the update of torch.optim.SGD. first says that the momentum
// buffer holds nothing yet.
func NewSGD(lr, momentum, dampening, weightDecay float64, nesterov, first bool) SGDStep {
	return SGDStep{
		GradScale: 1, LR: float32(lr), WeightDecay: float32(weightDecay),
		Momentum: float32(momentum), Gain: float32(1 - dampening),
		Nesterov: nesterov, First: first,
	}
}

// SGD updates param. With s.Momentum = 0, buf is not used and may be nil.
//
//	g = fma(wd, p, grad·scale)
//	b = fma(gain, g, momentum·b)      b = g the first time
//	g = fma(momentum, b, g)           with Nesterov; else g = b
//	p = fma(-lr, g, p)
func (kr Kernels) SGD(s SGDStep, param, grad, buf []float32) {
	checkLen("SGD", "grad", grad, len(param))
	if s.Momentum != 0 {
		checkLen("SGD", "buf", buf, len(param))
		kr.sgdMomentum(s, param, grad, buf)
		return
	}
	switch n := len(param); {
	case n == 0:
	case kr.level == AVX512:
		sgdAVX512(n, &param[0], &grad[0], s.GradScale, s.WeightDecay, -s.LR)
	case kr.level == AVX2:
		sgdAVX2(n, &param[0], &grad[0], s.GradScale, s.WeightDecay, -s.LR)
	default:
		sgdPortable(s, param, grad)
	}
}

func (kr Kernels) sgdMomentum(s SGDStep, param, grad, buf []float32) {
	if s.First {
		clear(buf)
		s.Gain = 1
	}
	if len(param) == 0 || kr.level == Portable {
		sgdMomentumPortable(s, param, grad, buf)
		return
	}
	n, p, g, b := len(param), &param[0], &grad[0], &buf[0]
	switch avx512 := kr.level == AVX512; {
	case avx512 && s.Nesterov:
		sgdNesterovAVX512(n, p, g, b, s.GradScale, s.WeightDecay, -s.LR, s.Momentum, s.Gain)
	case avx512:
		sgdMomentumAVX512(n, p, g, b, s.GradScale, s.WeightDecay, -s.LR, s.Momentum, s.Gain)
	case s.Nesterov:
		sgdNesterovAVX2(n, p, g, b, s.GradScale, s.WeightDecay, -s.LR, s.Momentum, s.Gain)
	default:
		sgdMomentumAVX2(n, p, g, b, s.GradScale, s.WeightDecay, -s.LR, s.Momentum, s.Gain)
	}
}

// AdamStep is one update of torch.optim.Adam or AdamW.
type AdamStep struct {
	GradScale   float32
	WeightDecay float32 // Adam: added to the gradient; AdamW: 0
	Decay       float32 // AdamW: 1 - lr·weight decay; Adam: 1
	OneMinusB1  float32
	Beta2       float32
	OneMinusB2  float32
	SqrtBC2     float32 // √(1 - β₂^step)
	Eps         float32
	StepSize    float32 // lr / (1 - β₁^step)
}

// NewAdam returns the update number step (from 1) of torch.optim.Adam, where
// weight decay is an L2 penalty.
func NewAdam(lr, beta1, beta2, eps, weightDecay float64, step int64) AdamStep {
	t := float64(step)
	return AdamStep{
		GradScale: 1, WeightDecay: float32(weightDecay), Decay: 1,
		OneMinusB1: float32(1 - beta1), Beta2: float32(beta2), OneMinusB2: float32(1 - beta2),
		SqrtBC2: float32(math.Sqrt(1 - math.Pow(beta2, t))), Eps: float32(eps),
		StepSize: float32(lr / (1 - math.Pow(beta1, t))),
	}
}

// NewAdamW returns the update number step (from 1) of torch.optim.AdamW, where
// weight decay shrinks the parameters.
func NewAdamW(lr, beta1, beta2, eps, weightDecay float64, step int64) AdamStep {
	s := NewAdam(lr, beta1, beta2, eps, 0, step)
	s.Decay = float32(1 - lr*weightDecay)
	return s
}

// Adam updates param and the moments m and v.
//
//	p = p·decay
//	g = fma(wd, p, grad·scale)
//	m = lerp(m, g, 1-β₁)              fma(w, g-m, m) for w < ½, else fma(w-1, g-m, g)
//	v = fma((1-β₂)·g, g, v·β₂)
//	p = p + (-step size·m) / (√v/√bc2 + eps)
func (kr Kernels) Adam(s AdamStep, param, grad, m, v []float32) {
	checkLen("Adam", "grad", grad, len(param))
	checkLen("Adam", "m", m, len(param))
	checkLen("Adam", "v", v, len(param))
	switch n := len(param); {
	case n == 0:
	case kr.level == AVX512:
		adamAVX512(n, &param[0], &grad[0], &m[0], &v[0], s.GradScale, s.WeightDecay, s.Decay, s.OneMinusB1,
			lerpCoeff(s.OneMinusB1), s.Beta2, s.OneMinusB2, s.SqrtBC2, s.Eps, -s.StepSize)
	case kr.level == AVX2:
		adamAVX2(n, &param[0], &grad[0], &m[0], &v[0], s.GradScale, s.WeightDecay, s.Decay, s.OneMinusB1,
			lerpCoeff(s.OneMinusB1), s.Beta2, s.OneMinusB2, s.SqrtBC2, s.Eps, -s.StepSize)
	default:
		adamPortable(s, param, grad, m, v)
	}
}

// RMSpropStep is one update of torch.optim.RMSprop.
type RMSpropStep struct {
	GradScale     float32
	LR            float32
	WeightDecay   float32
	Alpha         float32
	OneMinusAlpha float32
	Eps           float32
	Momentum      float32
	Centered      bool
}

// NewRMSprop returns the update of torch.optim.RMSprop.
func NewRMSprop(lr, alpha, eps, momentum, weightDecay float64, centered bool) RMSpropStep {
	return RMSpropStep{
		GradScale: 1, LR: float32(lr), WeightDecay: float32(weightDecay),
		Alpha: float32(alpha), OneMinusAlpha: float32(1 - alpha), Eps: float32(eps),
		Momentum: float32(momentum), Centered: centered,
	}
}

// RMSprop updates param, the mean square v, with momentum the buffer buf, and
// when centered the mean gradient avg. What is not used may be nil.
//
//	g = fma(wd, p, grad·scale)
//	v = fma((1-α)·g, g, v·α)
//	a = lerp(a, g, 1-α)               when centered
//	d = √v + eps                      √fma(-a, a, v) + eps when centered
//	b = b·momentum + g/d ; p = fma(-lr, b, p)     with momentum, else
//	p = p + (-lr·g)/d
func (kr Kernels) RMSprop(s RMSpropStep, param, grad, v, buf, avg []float32) {
	checkLen("RMSprop", "grad", grad, len(param))
	checkLen("RMSprop", "v", v, len(param))
	if s.Momentum != 0 {
		checkLen("RMSprop", "buf", buf, len(param))
	}
	if s.Centered {
		checkLen("RMSprop", "avg", avg, len(param))
	}
	switch {
	case len(param) == 0:
	case kr.level == AVX512:
		rmspropAllAVX512(s, param, grad, v, buf, avg)
	case kr.level == AVX2:
		rmspropAllAVX2(s, param, grad, v, buf, avg)
	default:
		rmspropPortable(s, param, grad, v, buf, avg)
	}
}

func rmspropAllAVX512(s RMSpropStep, param, grad, v, buf, avg []float32) {
	n, p, g, q := len(param), &param[0], &grad[0], &v[0]
	scale, wd, alpha, fresh, eps, lr := s.GradScale, s.WeightDecay, s.Alpha, s.OneMinusAlpha, s.Eps, -s.LR
	w, c := fresh, lerpCoeff(fresh)
	switch {
	case s.Centered && s.Momentum != 0:
		rmspropCenteredMomentumAVX512(n, p, g, q, &buf[0], &avg[0], scale, wd, alpha, fresh, eps, lr, s.Momentum, w, c)
	case s.Centered:
		rmspropCenteredAVX512(n, p, g, q, &avg[0], scale, wd, alpha, fresh, eps, lr, w, c)
	case s.Momentum != 0:
		rmspropMomentumAVX512(n, p, g, q, &buf[0], scale, wd, alpha, fresh, eps, lr, s.Momentum)
	default:
		rmspropAVX512(n, p, g, q, scale, wd, alpha, fresh, eps, lr)
	}
}

func rmspropAllAVX2(s RMSpropStep, param, grad, v, buf, avg []float32) {
	n, p, g, q := len(param), &param[0], &grad[0], &v[0]
	scale, wd, alpha, fresh, eps, lr := s.GradScale, s.WeightDecay, s.Alpha, s.OneMinusAlpha, s.Eps, -s.LR
	w, c := fresh, lerpCoeff(fresh)
	switch {
	case s.Centered && s.Momentum != 0:
		rmspropCenteredMomentumAVX2(n, p, g, q, &buf[0], &avg[0], scale, wd, alpha, fresh, eps, lr, s.Momentum, w, c)
	case s.Centered:
		rmspropCenteredAVX2(n, p, g, q, &avg[0], scale, wd, alpha, fresh, eps, lr, w, c)
	case s.Momentum != 0:
		rmspropMomentumAVX2(n, p, g, q, &buf[0], scale, wd, alpha, fresh, eps, lr, s.Momentum)
	default:
		rmspropAVX2(n, p, g, q, scale, wd, alpha, fresh, eps, lr)
	}
}
