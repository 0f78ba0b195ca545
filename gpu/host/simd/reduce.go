package simd

// The reductions keep sixteen float64 sums, sum l taking elements l, l+16,
// l+32, … in order, and add them as a tree at the end: l and l+8, then l and l+4,
// l and l+2, l and l+1. Products of two float32 are exact in float64. The vector
// levels add whole groups of sixteen; what is left and the tree are Go.

const lanes = 16

// Sum returns Σ x[i].
func (kr Kernels) Sum(x []float32) float64 {
	var s [lanes]float64
	done := kr.groups(len(x))
	switch {
	case done == 0:
	case kr.level == AVX512:
		sumAVX512(done, &x[0], &s)
	default:
		sumAVX2(done, &x[0], &s)
	}
	sumPortable(x[done:], &s)
	return tree(&s)
}

// SumSquares returns Σ x[i]².
func (kr Kernels) SumSquares(x []float32) float64 {
	var s [lanes]float64
	done := kr.groups(len(x))
	switch {
	case done == 0:
	case kr.level == AVX512:
		sumSquaresAVX512(done, &x[0], &s)
	default:
		sumSquaresAVX2(done, &x[0], &s)
	}
	dotPortable(x[done:], x[done:], &s)
	return tree(&s)
}

// Dot returns Σ x[i]·y[i].
func (kr Kernels) Dot(x, y []float32) float64 {
	checkLen("Dot", "y", y, len(x))
	var s [lanes]float64
	done := kr.groups(len(x))
	switch {
	case done == 0:
	case kr.level == AVX512:
		dotAVX512(done, &x[0], &y[0], &s)
	default:
		dotAVX2(done, &x[0], &y[0], &s)
	}
	dotPortable(x[done:], y[done:], &s)
	return tree(&s)
}

// groups returns how many of n elements the vector kernels take.
func (kr Kernels) groups(n int) int {
	if kr.level == Portable {
		return 0
	}
	return n &^ (lanes - 1)
}
