package simd

func sgdPortable(s SGDStep, param, grad []float32) {
	for i, p := range param {
		g := fma32(s.WeightDecay, p, grad[i]*s.GradScale)
		param[i] = fma32(-s.LR, g, p)
	}
}

func sgdMomentumPortable(s SGDStep, param, grad, buf []float32) {
	for i, p := range param {
		g := fma32(s.WeightDecay, p, grad[i]*s.GradScale)
		b := fma32(s.Gain, g, buf[i]*s.Momentum)
		buf[i] = b
		if s.Nesterov {
			b = fma32(s.Momentum, b, g)
		}
		param[i] = fma32(-s.LR, b, p)
	}
}

func adamPortable(s AdamStep, param, grad, m, v []float32) {
	for i, p := range param {
		p *= s.Decay
		g := fma32(s.WeightDecay, p, grad[i]*s.GradScale)
		m[i] = lerp(m[i], g, s.OneMinusB1)
		v[i] = fma32(s.OneMinusB2*g, g, v[i]*s.Beta2)
		d := sqrt(v[i])/s.SqrtBC2 + s.Eps
		param[i] = p + float32(-s.StepSize*m[i])/d
	}
}

func rmspropPortable(s RMSpropStep, param, grad, v, buf, avg []float32) {
	for i, p := range param {
		g := fma32(s.WeightDecay, p, grad[i]*s.GradScale)
		v[i] = fma32(s.OneMinusAlpha*g, g, v[i]*s.Alpha)
		d := v[i]
		if s.Centered {
			avg[i] = lerp(avg[i], g, s.OneMinusAlpha)
			d = fma32(-avg[i], avg[i], d)
		}
		d = sqrt(d) + s.Eps
		if s.Momentum != 0 {
			buf[i] = float32(buf[i]*s.Momentum) + g/d
			param[i] = fma32(-s.LR, buf[i], p)
		} else {
			param[i] = p + float32(-s.LR*g)/d
		}
	}
}

// lerp is torch's: exact at both ends.
func lerp(start, end, w float32) float32 {
	base := end
	if w < 0.5 {
		base = start
	}
	return fma32(lerpCoeff(w), end-start, base)
}

// lerpCoeff returns what the way from start to end is multiplied by before it is
// added to start, for w < ½, or to end.
func lerpCoeff(w float32) float32 {
	if w < 0.5 {
		return w
	}
	return w - 1
}
