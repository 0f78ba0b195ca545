package main

import "github.com/mmcloughlin/avo/reg"

// emitOptimizer emits the optimizers' updates. Each is, operation by operation,
// the function of the same name in optimizer_portable.go.
func emitOptimizer(e *emitter) {
	e.stream("sgd", "param grad", "scale decay minusLR", "is SGD without momentum.", 4, func(s *stream) {
		p := s.read("param")
		s.VFMADD231PS(s.gradient(p), s.scalar("minusLR"), p)
		s.write(p, "param")
	})
	emitSGDMomentum(e, "sgdMomentum", false)
	emitSGDMomentum(e, "sgdNesterov", true)
	emitAdam(e)
	emitRMSprop(e, "rmsprop", false, false)
	emitRMSprop(e, "rmspropMomentum", true, false)
	emitRMSprop(e, "rmspropCentered", false, true)
	emitRMSprop(e, "rmspropCenteredMomentum", true, true)
}

// gradient returns fma(decay, p, grad·scale).
func (s *stream) gradient(p reg.VecVirtual) reg.VecVirtual {
	g := s.read("grad")
	s.VMULPS(s.scalar("scale"), g, g)
	s.VFMADD231PS(s.scalar("decay"), p, g)
	return g
}

func emitSGDMomentum(e *emitter, name string, nesterov bool) {
	e.stream(name, "param grad buf", "scale decay minusLR momentum gain", "is SGD with momentum.", 2, func(s *stream) {
		p, b := s.read("param"), s.read("buf")
		g := s.gradient(p)
		momentum := s.scalar("momentum")
		s.VMULPS(momentum, b, b)
		s.VFMADD231PS(s.scalar("gain"), g, b)
		s.write(b, "buf")
		if nesterov {
			s.VFMADD231PS(momentum, b, g)
			b = g
		}
		s.VFMADD231PS(s.scalar("minusLR"), b, p)
		s.write(p, "param")
	})
}

func emitAdam(e *emitter) {
	e.stream("adam", "param grad m v", "scale decay shrink weight coeff beta2 oneMinusB2 sqrtBC2 eps minusStep",
		"is Adam and AdamW.", 2, func(s *stream) {
			p := s.read("param")
			s.VMULPS(s.scalar("shrink"), p, p)
			g := s.gradient(p)
			m := s.lerp(s.read("m"), g)
			s.write(m, "m")
			v := s.meanSquare(g, "beta2", "oneMinusB2")
			s.VSQRTPS(v, v)
			s.VDIVPS(s.scalar("sqrtBC2"), v, v)
			s.VADDPS(s.scalar("eps"), v, v)
			s.addQuotient(p, m, v, "minusStep")
			s.write(p, "param")
		})
}

func emitRMSprop(e *emitter, name string, momentum, centered bool) {
	pointers, scalars, doc := "param grad v", "scale decay alpha oneMinusAlpha eps minusLR", "is RMSprop"
	if momentum {
		pointers, scalars, doc = pointers+" buf", scalars+" momentum", doc+" with momentum"
	}
	if centered {
		pointers, scalars, doc = pointers+" avg", scalars+" weight coeff", doc+", centered"
	}
	e.stream(name, pointers, scalars, doc+".", 2, func(s *stream) {
		p := s.read("param")
		g := s.gradient(p)
		d := s.meanSquare(g, "alpha", "oneMinusAlpha")
		if centered {
			a := s.lerp(s.read("avg"), g)
			s.write(a, "avg")
			s.VFNMADD231PS(a, a, d)
		}
		s.VSQRTPS(d, d)
		s.VADDPS(s.scalar("eps"), d, d)
		if momentum {
			b := s.read("buf")
			s.VMULPS(s.scalar("momentum"), b, b)
			s.VDIVPS(d, g, g)
			s.VADDPS(g, b, b)
			s.write(b, "buf")
			s.VFMADD231PS(s.scalar("minusLR"), b, p)
		} else {
			s.addQuotient(p, g, d, "minusLR")
		}
		s.write(p, "param")
	})
}

// lerp returns fma(coeff, end-start, base), where base is start for a weight
// below a half and else end.
func (s *stream) lerp(start, end reg.VecVirtual) reg.VecVirtual {
	half, way := s.vector(), s.vector()
	s.VMOVUPS(s.constant(0.5), half)
	base := s.pick(lessQ, s.scalar("weight"), half, start, end)
	s.VSUBPS(start, end, way)
	s.VFMADD231PS(s.scalar("coeff"), way, base)
	return base
}

// meanSquare updates v to fma(fresh·g, g, v·old) and returns it.
func (s *stream) meanSquare(g reg.VecVirtual, old, fresh string) reg.VecVirtual {
	v, square := s.read("v"), s.vector()
	s.VMULPS(s.scalar(old), v, v)
	s.VMULPS(s.scalar(fresh), g, square)
	s.VFMADD231PS(g, square, v)
	s.write(v, "v")
	return v
}

// addQuotient adds (factor·x)/d to p.
func (s *stream) addQuotient(p, x, d reg.VecVirtual, factor string) {
	q := s.vector()
	s.VMULPS(s.scalar(factor), x, q)
	s.VDIVPS(d, q, q)
	s.VADDPS(q, p, p)
}
