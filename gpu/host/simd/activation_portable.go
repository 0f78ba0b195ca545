package simd

func reluPortable(dst, src []float32) {
	for i, x := range src {
		dst[i] = relu(x)
	}
}

func relu(x float32) float32 {
	if 0 > x {
		return 0
	}
	return x
}

func reluGradPortable(dx, dy, y []float32) {
	for i, v := range y {
		if v <= 0 {
			dx[i] = 0
		} else {
			dx[i] = dy[i]
		}
	}
}

func leakyReLUGradPortable(dx, dy, x []float32, slope float32) {
	for i, v := range x {
		if v > 0 {
			dx[i] = dy[i]
		} else {
			dx[i] = dy[i] * slope
		}
	}
}

func expPortable(dst, src []float32) {
	for i, x := range src {
		dst[i] = exp(x, 0)
	}
}

func tanhPortable(dst, src []float32) {
	for i, x := range src {
		dst[i] = tanh(x)
	}
}

func tanhGradPortable(dx, dy, y []float32) {
	for i, v := range y {
		dx[i] = dy[i] * (1 - float32(v*v))
	}
}

func sigmoidPortable(dst, src []float32) {
	for i, x := range src {
		dst[i] = sigmoid(x)
	}
}

func sigmoidGradPortable(dx, dy, y []float32) {
	for i, v := range y {
		dx[i] = (1 - v) * dy[i] * v
	}
}

func geluPortable(dst, src []float32) {
	for i, x := range src {
		cdf, _ := normal(x)
		dst[i] = x * cdf
	}
}

func geluGradPortable(dx, dy, x []float32) {
	for i, v := range x {
		cdf, bell := normal(v)
		dx[i] = dy[i] * fma32(v, bell*invSqrt2Pi, cdf)
	}
}
