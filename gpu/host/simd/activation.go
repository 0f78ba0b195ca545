package simd

// The forward functions take src and write dst; dst may be src. The gradients
// take dy, the gradient of the loss by the function's result, and write dx, the
// gradient by its argument; dx may be dy. Each says whether it needs the
// argument x or the result y of the forward function.

// ReLU computes dst[i] = max(src[i], 0); a NaN stays one.
func (kr Kernels) ReLU(dst, src []float32) {
	checkLen("ReLU", "src", src, len(dst))
	switch n := len(dst); {
	case n == 0:
	case kr.level == AVX512:
		reluAVX512(n, &dst[0], &src[0])
	case kr.level == AVX2:
		reluAVX2(n, &dst[0], &src[0])
	default:
		reluPortable(dst, src)
	}
}

// ReLUGrad computes dx[i] = dy[i] where y[i] > 0 (or is NaN), else 0.
func (kr Kernels) ReLUGrad(dx, dy, y []float32) {
	checkLen("ReLUGrad", "dy", dy, len(dx))
	checkLen("ReLUGrad", "y", y, len(dx))
	switch n := len(dx); {
	case n == 0:
	case kr.level == AVX512:
		reluGradAVX512(n, &dx[0], &dy[0], &y[0])
	case kr.level == AVX2:
		reluGradAVX2(n, &dx[0], &dy[0], &y[0])
	default:
		reluGradPortable(dx, dy, y)
	}
}

// LeakyReLU computes dst[i] = src[i] where that is positive, else slope·src[i].
func (kr Kernels) LeakyReLU(dst, src []float32, slope float32) {
	checkLen("LeakyReLU", "src", src, len(dst))
	kr.LeakyReLUGrad(dst, src, src, slope)
}

// LeakyReLUGrad computes dx[i] = dy[i] where x[i] > 0, else slope·dy[i].
func (kr Kernels) LeakyReLUGrad(dx, dy, x []float32, slope float32) {
	checkLen("LeakyReLUGrad", "dy", dy, len(dx))
	checkLen("LeakyReLUGrad", "x", x, len(dx))
	switch n := len(dx); {
	case n == 0:
	case kr.level == AVX512:
		leakyReLUGradAVX512(n, &dx[0], &dy[0], &x[0], slope)
	case kr.level == AVX2:
		leakyReLUGradAVX2(n, &dx[0], &dy[0], &x[0], slope)
	default:
		leakyReLUGradPortable(dx, dy, x, slope)
	}
}

// Exp computes dst[i] = e^src[i].
func (kr Kernels) Exp(dst, src []float32) {
	checkLen("Exp", "src", src, len(dst))
	switch n := len(dst); {
	case n == 0:
	case kr.level == AVX512:
		expAVX512(n, &dst[0], &src[0])
	case kr.level == AVX2:
		expAVX2(n, &dst[0], &src[0])
	default:
		expPortable(dst, src)
	}
}

// Tanh computes dst[i] = tanh(src[i]).
func (kr Kernels) Tanh(dst, src []float32) {
	checkLen("Tanh", "src", src, len(dst))
	switch n := len(dst); {
	case n == 0:
	case kr.level == AVX512:
		tanhAVX512(n, &dst[0], &src[0])
	case kr.level == AVX2:
		tanhAVX2(n, &dst[0], &src[0])
	default:
		tanhPortable(dst, src)
	}
}

// TanhGrad computes dx[i] = dy[i]·(1 - y[i]²).
func (kr Kernels) TanhGrad(dx, dy, y []float32) {
	checkLen("TanhGrad", "dy", dy, len(dx))
	checkLen("TanhGrad", "y", y, len(dx))
	switch n := len(dx); {
	case n == 0:
	case kr.level == AVX512:
		tanhGradAVX512(n, &dx[0], &dy[0], &y[0])
	case kr.level == AVX2:
		tanhGradAVX2(n, &dx[0], &dy[0], &y[0])
	default:
		tanhGradPortable(dx, dy, y)
	}
}

// Sigmoid computes dst[i] = 1/(1 + e^-src[i]).
func (kr Kernels) Sigmoid(dst, src []float32) {
	checkLen("Sigmoid", "src", src, len(dst))
	switch n := len(dst); {
	case n == 0:
	case kr.level == AVX512:
		sigmoidAVX512(n, &dst[0], &src[0])
	case kr.level == AVX2:
		sigmoidAVX2(n, &dst[0], &src[0])
	default:
		sigmoidPortable(dst, src)
	}
}

// SigmoidGrad computes dx[i] = dy[i]·(1 - y[i])·y[i].
func (kr Kernels) SigmoidGrad(dx, dy, y []float32) {
	checkLen("SigmoidGrad", "dy", dy, len(dx))
	checkLen("SigmoidGrad", "y", y, len(dx))
	switch n := len(dx); {
	case n == 0:
	case kr.level == AVX512:
		sigmoidGradAVX512(n, &dx[0], &dy[0], &y[0])
	case kr.level == AVX2:
		sigmoidGradAVX2(n, &dx[0], &dy[0], &y[0])
	default:
		sigmoidGradPortable(dx, dy, y)
	}
}

// GELU computes dst[i] = x·Φ(x) for x = src[i], with Φ the normal distribution
// function (torch's approximate='none').
func (kr Kernels) GELU(dst, src []float32) {
	checkLen("GELU", "src", src, len(dst))
	switch n := len(dst); {
	case n == 0:
	case kr.level == AVX512:
		geluAVX512(n, &dst[0], &src[0])
	case kr.level == AVX2:
		geluAVX2(n, &dst[0], &src[0])
	default:
		geluPortable(dst, src)
	}
}

// GELUGrad computes dx[i] = dy[i]·(Φ(x) + x·φ(x)) for x = x[i], with φ the
// normal density.
func (kr Kernels) GELUGrad(dx, dy, x []float32) {
	checkLen("GELUGrad", "dy", dy, len(dx))
	checkLen("GELUGrad", "x", x, len(dx))
	switch n := len(dx); {
	case n == 0:
	case kr.level == AVX512:
		geluGradAVX512(n, &dx[0], &dy[0], &x[0])
	case kr.level == AVX2:
		geluGradAVX2(n, &dx[0], &dy[0], &x[0])
	default:
		geluGradPortable(dx, dy, x)
	}
}
