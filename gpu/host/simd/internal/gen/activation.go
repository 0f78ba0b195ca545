package main

import (
	"math"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitActivation emits activations and their gradients. Each is, operation by
// operation, the function of the same name in activation_portable.go, where the
// formulas are explained.
func emitActivation(e *emitter) {
	e.stream("relu", "dst src", "", "computes dst = max(src, 0).", 4, func(s *stream) {
		x := s.read("src")
		s.VMAXPS(x, s.zeros(), x) // of two zeros and for NaN: x
		s.write(x, "dst")
	})
	e.stream("reluGrad", "dx dy y", "", "computes dx = dy where y > 0, else 0.", 4, func(s *stream) {
		s.write(s.pick(notLessEqQ, s.read("y"), s.constant(0), s.read("dy"), s.zeros()), "dx")
	})
	e.stream("leakyReLUGrad", "dx dy x", "slope", "computes dx = dy where x > 0, else slope·dy.", 4, func(s *stream) {
		dy, scaled := s.read("dy"), s.vector()
		s.VMULPS(s.scalar("slope"), dy, scaled)
		s.write(s.pick(greaterQ, s.read("x"), s.constant(0), dy, scaled), "dx")
	})
	e.stream("exp", "dst src", "", "computes dst = e^src.", 2, func(s *stream) {
		s.write(s.exp(s.read("src"), nil), "dst")
	})
	e.stream("tanh", "dst src", "", "computes dst = tanh(src).", 2, func(s *stream) {
		s.write(s.tanh(s.read("src")), "dst")
	})
	e.stream("tanhGrad", "dx dy y", "", "computes dx = dy·(1 - y²).", 4, func(s *stream) {
		y := s.read("y")
		s.VMULPS(y, y, y)
		s.VMULPS(s.read("dy"), s.from1(y), y)
		s.write(y, "dx")
	})
	e.stream("sigmoid", "dst src", "", "computes dst = 1/(1 + e^-src).", 2, func(s *stream) {
		s.write(s.sigmoid(s.read("src")), "dst")
	})
	e.stream("sigmoidGrad", "dx dy y", "", "computes dx = dy·(1 - y)·y.", 4, func(s *stream) {
		y := s.read("y")
		d := s.from1(y)
		s.VMULPS(s.read("dy"), d, d)
		s.VMULPS(y, d, d)
		s.write(d, "dx")
	})
	e.stream("gelu", "dst src", "", "computes dst = src·Φ(src).", 1, func(s *stream) {
		x := s.read("src")
		cdf, _ := s.normal(x)
		s.VMULPS(x, cdf, x)
		s.write(x, "dst")
	})
	e.stream("geluGrad", "dx dy x", "", "computes dx = dy·(Φ(x) + x·φ(x)).", 1, func(s *stream) {
		x := s.read("x")
		cdf, bell := s.normal(x)
		s.VMULPS(s.constant(invSqrt2Pi), bell, bell)
		s.VFMADD231PS(x, bell, cdf)
		s.VMULPS(s.read("dy"), cdf, cdf)
		s.write(cdf, "dx")
	})
}

// The numbers of activation_portable.go.
const (
	log2E      = 1.4426950216293335
	ln2Hi      = 0.6931471824645996
	ln2Lo      = -1.904654323148236e-09
	roundMagic = 3 << 22
	expMax     = 89
	expMin     = -104
	tanhSmall  = 0.625
	tanhMax    = 10
	normalMax  = 15
	invSqrt2Pi = 0.3989422804014327
)

var (
	expCoeffs    = []float32{0.49999993, 0.1666652, 0.041668394, 0.008368781, 0.0013814465}
	tanhCoeffs   = []float32{-0.33333331, 0.13333206, -0.053946767, 0.0217007, -0.008177395, 0.002142959}
	normalCoeffs = []float32{
		0.18882128, 0.15197416, 0.09678433, 0.04663039, 0.015099537, 0.0018857265,
		-0.00087282417, -0.00040927203, 4.2735079e-05, 5.5514525e-05, -1.1579752e-05,
	}
)

// from1 returns 1 - x.
func (e *emitter) from1(x reg.VecVirtual) reg.VecVirtual {
	one := e.vector()
	e.VMOVUPS(e.constant(1), one)
	e.VSUBPS(x, one, one)
	return one
}

// abs returns |x|.
func (e *emitter) abs(x reg.VecVirtual) reg.VecVirtual {
	y := e.vector()
	e.VANDPS(e.pattern(math.MaxInt32), x, y)
	return y
}

// least returns the lesser of x and a constant; NaN stays.
func (e *emitter) least(x reg.VecVirtual, v float32) reg.VecVirtual {
	c := e.vector()
	e.VMOVUPS(e.constant(v), c)
	e.VMINPS(x, c, c)
	return c
}

// polynomial returns c[0] + c[1]·x + c[2]·x² + …, by Horner's rule.
func (e *emitter) polynomial(x reg.VecVirtual, c []float32) reg.VecVirtual {
	y := e.vector()
	e.VMOVUPS(e.constant(c[len(c)-1]), y)
	for i := len(c) - 2; i >= 0; i-- {
		e.VFMADD213PS(e.constant(c[i]), x, y)
	}
	return y
}

// expParts returns y and t with e^(x + correction) = y·2ⁿ, n being in the low
// bits of t; a nil correction is none. It overwrites x.
func (e *emitter) expParts(x, correction reg.VecVirtual, magic float32) (y, t reg.VecVirtual) {
	m, n := e.vector(), e.vector()
	t = e.vector()
	e.VMOVUPS(e.constant(magic), m)
	e.VMOVAPS(m, t)
	e.VFMADD231PS(e.constant(log2E), x, t)
	e.VSUBPS(m, t, n)
	e.VFMADD231PS(e.constant(-ln2Hi), n, x)
	e.VFMADD231PS(e.constant(-ln2Lo), n, x)
	if correction != nil {
		e.VADDPS(correction, x, x)
	}
	y = e.polynomial(x, expCoeffs)
	square := e.vector()
	e.VMULPS(x, x, square)
	e.VFMADD213PS(x, square, y)
	e.VADDPS(e.constant(1), y, y)
	return y, t
}

// exp returns e^(x + correction).
func (e *emitter) exp(x, correction reg.VecVirtual) reg.VecVirtual {
	x = e.least(x, expMax)
	low := e.vector()
	e.VMOVUPS(e.constant(expMin), low)
	e.VMAXPS(x, low, x)
	y, t := e.expParts(x, correction, roundMagic+254)
	half := e.vector()
	e.VPSUBD(e.constant(roundMagic), t, t)
	e.VPSRAD(U8(1), t, half)
	e.VPSUBD(half, t, t)
	for _, power := range []reg.VecVirtual{half, t} {
		e.VPSLLD(U8(23), power, power)
		e.VMULPS(power, y, y)
	}
	return y
}

// expNormal returns e^x for a result and a power of two in the normal range.
func (e *emitter) expNormal(x reg.VecVirtual) reg.VecVirtual {
	y, t := e.expParts(x, nil, roundMagic)
	e.VPSLLD(U8(23), t, t)
	e.VPADDD(t, y, y)
	return y
}

// tanh returns tanh(x).
func (e *emitter) tanh(x reg.VecVirtual) reg.VecVirtual {
	size := e.abs(x)
	z, small := e.vector(), e.vector()
	e.VMULPS(x, x, z)
	p := e.polynomial(z, tanhCoeffs)
	e.VMULPS(size, z, small)
	e.VFMADD213PS(size, small, p)

	large, two := e.least(size, tanhMax), e.vector()
	e.VADDPS(large, large, large)
	large = e.expNormal(large)
	e.VADDPS(e.constant(1), large, large)
	e.VMOVUPS(e.constant(2), two)
	e.VDIVPS(large, two, large)
	large = e.from1(large)
	y, sign := e.pick(notGreaterEqQ, size, e.constant(tanhSmall), p, large), e.vector()
	e.VANDPS(e.pattern(1<<31), x, sign)
	e.VORPS(sign, y, y)
	return y
}

// sigmoid returns 1/(1 + e^-x).
func (e *emitter) sigmoid(x reg.VecVirtual) reg.VecVirtual {
	minus := e.vector()
	e.VORPS(e.pattern(1<<31), x, minus)
	power := e.exp(minus, nil)
	top := e.pick(lessQ, x, e.zeros(), power, e.ones())
	e.VADDPS(e.constant(1), power, power)
	e.VDIVPS(power, top, top)
	return top
}

// ones returns a vector of ones.
func (e *emitter) ones() reg.VecVirtual {
	x := e.vector()
	e.VMOVUPS(e.constant(1), x)
	return x
}

// normal returns Φ(x) and e^(-x²/2).
func (e *emitter) normal(x reg.VecVirtual) (cdf, bell reg.VecVirtual) {
	s := e.least(e.abs(x), normalMax)
	square, rest := e.vector(), e.vector()
	e.VMULPS(s, s, square)
	e.VMOVAPS(square, rest)
	e.VFMSUB231PS(s, s, rest)
	e.VMULPS(e.constant(-0.5), square, square)
	e.VMULPS(e.constant(-0.5), rest, rest)
	bell = e.exp(square, rest)

	t, four := e.vector(), e.vector()
	e.VADDPS(e.constant(4), s, t)
	e.VMOVUPS(e.constant(4), four)
	e.VDIVPS(t, four, t)
	u := e.vector()
	e.VMULPS(e.constant(-0.5), s, u)
	e.VFMADD213PS(e.constant(1), t, u)
	tail := e.polynomial(u, normalCoeffs)
	e.VMULPS(t, tail, tail)
	e.VMULPS(bell, tail, tail)
	return e.pick(lessQ, x, e.zeros(), tail, e.from1(tail)), bell
}
