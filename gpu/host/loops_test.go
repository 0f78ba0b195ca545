package host

import "math"

// loops is kernels in plain Go: float64 for gradient checks, and float32 to
// hold the vector kernels against.
type loops[T real] struct{}

var _ kernels[float64] = loops[float64]{}

func (loops[T]) nn(m, n, k int, a, b, c []T, accumulate bool) {
	for i := range m {
		row := c[i*n : (i+1)*n]
		if !accumulate {
			clear(row)
		}
		for p := range k {
			for j, v := range b[p*n : (p+1)*n] {
				row[j] += a[i*k+p] * v
			}
		}
	}
}

func (loops[T]) nt(m, n, k int, a, b, c []T, accumulate bool) {
	for i := range m {
		for j := range n {
			var sum T
			if accumulate {
				sum = c[i*n+j]
			}
			for p, v := range b[j*k : (j+1)*k] {
				sum += a[i*k+p] * v
			}
			c[i*n+j] = sum
		}
	}
}

func (loops[T]) tn(m, n, k int, a, b, c []T, accumulate bool) {
	if !accumulate {
		clear(c[:m*n])
	}
	for p := range k {
		for i := range m {
			row := c[i*n : (i+1)*n]
			for j, v := range b[p*n : (p+1)*n] {
				row[j] += a[p*m+i] * v
			}
		}
	}
}

func (loops[T]) addBias(y, bias []T) {
	for i := range y {
		y[i] += bias[i%len(bias)]
	}
}

func (l loops[T]) addBiasReLU(y, bias []T) {
	l.addBias(y, bias)
	l.relu(y, y)
}

func (loops[T]) columnSums(sums, x []T) {
	clear(sums)
	for i, v := range x {
		sums[i%len(sums)] += v
	}
}

func (loops[T]) sum(x []T) (sum float64) {
	for _, v := range x {
		sum += float64(v)
	}
	return sum
}

func (loops[T]) dot(x, y []T) (sum float64) {
	for i, v := range x {
		sum += float64(v) * float64(y[i])
	}
	return sum
}

func (loops[T]) add(y, x []T) {
	for i, v := range x {
		y[i] += v
	}
}

func (loops[T]) multiply(y, a, b []T) {
	for i, v := range a {
		y[i] = v * b[i]
	}
}

// each sets y to f of x.
func each[T real](y, x []T, f func(float64) float64) {
	for i, v := range x {
		y[i] = T(f(float64(v)))
	}
}

// slope sets dx to dy times f's derivative, a function of by.
func slope[T real](dx, dy, by []T, f func(float64) float64) {
	for i, v := range by {
		dx[i] = dy[i] * T(f(float64(v)))
	}
}

func step(v, below float64) float64 {
	if v > 0 {
		return 1
	}
	return below
}

func (loops[T]) exp(y, x []T)  { each(y, x, math.Exp) }
func (loops[T]) tanh(y, x []T) { each(y, x, math.Tanh) }

func (loops[T]) tanhGrad(dx, dy, y []T) {
	slope(dx, dy, y, func(v float64) float64 { return 1 - v*v })
}

func (loops[T]) relu(y, x []T) {
	each(y, x, func(v float64) float64 { return max(v, 0) })
}

func (loops[T]) reluGrad(dx, dy, y []T) {
	slope(dx, dy, y, func(v float64) float64 { return step(v, 0) })
}

func (loops[T]) leakyReLU(y, x []T, s T) {
	each(y, x, func(v float64) float64 { return v * step(v, float64(s)) })
}

func (loops[T]) leakyReLUGrad(dx, dy, x []T, s T) {
	slope(dx, dy, x, func(v float64) float64 { return step(v, float64(s)) })
}

func (loops[T]) sigmoid(y, x []T) {
	each(y, x, func(v float64) float64 { return 1 / (1 + math.Exp(-v)) })
}

func (loops[T]) sigmoidGrad(dx, dy, y []T) {
	slope(dx, dy, y, func(v float64) float64 { return v * (1 - v) })
}

func (loops[T]) gelu(y, x []T) {
	each(y, x, func(v float64) float64 { return v * normalCDF(v) })
}

func (loops[T]) geluGrad(dx, dy, x []T) {
	slope(dx, dy, x, func(v float64) float64 {
		return normalCDF(v) + v*math.Exp(-v*v/2)/math.Sqrt(2*math.Pi)
	})
}

func normalCDF(z float64) float64 { return 0.5 * (1 + math.Erf(z/math.Sqrt2)) }
