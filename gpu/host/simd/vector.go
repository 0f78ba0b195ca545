package simd

// Add computes dst[i] += src[i].
func (kr Kernels) Add(dst, src []float32) {
	checkLen("Add", "src", src, len(dst))
	switch n := len(dst); {
	case n == 0:
	case kr.level == AVX512:
		addAVX512(n, &dst[0], &src[0])
	case kr.level == AVX2:
		addAVX2(n, &dst[0], &src[0])
	default:
		addPortable(dst, src)
	}
}

// Mul computes dst[i] *= src[i], for instance by a dropout mask.
func (kr Kernels) Mul(dst, src []float32) {
	checkLen("Mul", "src", src, len(dst))
	switch n := len(dst); {
	case n == 0:
	case kr.level == AVX512:
		mulAVX512(n, &dst[0], &src[0])
	case kr.level == AVX2:
		mulAVX2(n, &dst[0], &src[0])
	default:
		mulPortable(dst, src)
	}
}

// Scale computes x[i] *= a.
func (kr Kernels) Scale(x []float32, a float32) {
	switch n := len(x); {
	case n == 0:
	case kr.level == AVX512:
		scaleAVX512(n, &x[0], a)
	case kr.level == AVX2:
		scaleAVX2(n, &x[0], a)
	default:
		scalePortable(x, a)
	}
}

// Axpy computes y[i] += a·x[i] with one rounding.
func (kr Kernels) Axpy(a float32, x, y []float32) {
	checkLen("Axpy", "y", y, len(x))
	switch n := len(x); {
	case n == 0:
	case kr.level == AVX512:
		axpyAVX512(n, &x[0], &y[0], a)
	case kr.level == AVX2:
		axpyAVX2(n, &x[0], &y[0], a)
	default:
		axpyPortable(a, x, y)
	}
}

// AddBias adds bias to every row of x, rows×cols without gaps.
func (kr Kernels) AddBias(rows, cols int, x, bias []float32) {
	checkMatrix("AddBias", "x", x, rows, cols, cols)
	checkLen("AddBias", "bias", bias, cols)
	switch {
	case rows == 0 || cols == 0:
	case kr.level == AVX512:
		addBiasAVX512(rows, cols, &x[0], &bias[0])
	case kr.level == AVX2:
		addBiasAVX2(rows, cols, &x[0], &bias[0])
	default:
		addBiasPortable(rows, cols, x, bias)
	}
}

// AddBiasReLU adds bias to every row of x, rows×cols without gaps, and replaces
// what is negative by zero.
func (kr Kernels) AddBiasReLU(rows, cols int, x, bias []float32) {
	checkMatrix("AddBiasReLU", "x", x, rows, cols, cols)
	checkLen("AddBiasReLU", "bias", bias, cols)
	switch {
	case rows == 0 || cols == 0:
	case kr.level == AVX512:
		addBiasReLUAVX512(rows, cols, &x[0], &bias[0])
	case kr.level == AVX2:
		addBiasReLUAVX2(rows, cols, &x[0], &bias[0])
	default:
		addBiasReLUPortable(rows, cols, x, bias)
	}
}

// AddColumnSums adds the rows of x, rows×cols without gaps, to acc one after the
// other: acc[j] = ((acc[j] + x[0][j]) + x[1][j]) + …
func (kr Kernels) AddColumnSums(rows, cols int, x, acc []float32) {
	checkMatrix("AddColumnSums", "x", x, rows, cols, cols)
	checkLen("AddColumnSums", "acc", acc, cols)
	switch {
	case rows == 0 || cols == 0:
	case kr.level == AVX512:
		addColumnSumsAVX512(rows, cols, &x[0], &acc[0])
	case kr.level == AVX2:
		addColumnSumsAVX2(rows, cols, &x[0], &acc[0])
	default:
		addColumnSumsPortable(rows, cols, x, acc)
	}
}
