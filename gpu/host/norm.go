package host

import "math"

// batchNorm is torch.nn.BatchNorm1d and 2d: each channel is normalized over
// batch and positions, then scaled and shifted. Training normalizes by the
// batch's biased variance and moves the running statistics towards the
// batch's mean and unbiased variance; evaluation normalizes by those.
//
// Here and below a product is converted before it is added to, which keeps the
// compiler from fusing the two on the processors where it may: bits are equal
// on all. Sums are float64's. There a variance as mean square less squared mean loses
// less than the rounding of x to float32 had lost before.
type batchNorm[T real] struct {
	k               kernels[T]
	positions       int // elements of one channel in one sample
	eps, momentum   float64
	weight, bias    []T // (channels), as are all below
	dWeight, dBias  []T
	runMean, runVar []T // the model's buffers
	mean, inverse   []float64
	a, b, c         []float64 // scratch
}

// takeStatistics takes the norm's own memory for its channels.
func (l *batchNorm[T]) takeStatistics(from *arena, channels int) {
	for _, v := range []*[]float64{&l.mean, &l.inverse, &l.a, &l.b, &l.c} {
		*v = take[float64](from, channels)
	}
}

func (l *batchNorm[T]) forward(p *pass, x, y []T) {
	if p.train {
		l.measure(p.rows, x)
	} else {
		for c, v := range l.runVar {
			l.mean[c] = float64(l.runMean[c])
			l.inverse[c] = 1 / math.Sqrt(float64(v)+l.eps)
		}
	}
	// y = a·x + b
	for c, inverse := range l.inverse {
		l.a[c] = inverse * float64(l.weight[c])
		l.b[c] = float64(l.bias[c]) - float64(l.mean[c]*l.a[c])
	}
	if l.positions == 1 {
		for ; len(x) > 0; x, y = x[len(l.a):], y[len(l.a):] {
			for c, a := range l.a {
				y[c] = T(float64(a*float64(x[c])) + l.b[c])
			}
		}
		return
	}
	for len(x) > 0 {
		for c, a := range l.a {
			b, ys := l.b[c], y[:l.positions]
			for i, v := range x[:l.positions] {
				ys[i] = T(float64(a*float64(v)) + b)
			}
			x, y = x[l.positions:], y[l.positions:]
		}
	}
}

// measure sets mean and inverse, 1/√(var+eps), to the batch's and moves the
// running statistics.
func (l *batchNorm[T]) measure(rows int, x []T) {
	n := float64(rows * l.positions)
	sums, squares := l.a, l.b
	l.sums(x, x, sums, squares)
	for c, sum := range sums {
		mean := sum / n
		deviations := max(squares[c]-float64(sum*mean), 0) // Σ(x-mean)²; NaN stays
		l.mean[c] = mean
		l.inverse[c] = 1 / math.Sqrt(deviations/n+l.eps)
		l.runMean[c] = T(float64((1-l.momentum)*float64(l.runMean[c])) + float64(l.momentum*mean))
		l.runVar[c] = T(float64((1-l.momentum)*float64(l.runVar[c])) + l.momentum*deviations/(n-1))
	}
}

// sums sets, for each channel, sum to Σu and product to Σu·v.
func (l *batchNorm[T]) sums(u, v []T, sum, product []float64) {
	clear(sum)
	clear(product)
	if l.positions == 1 {
		for ; len(u) > 0; u, v = u[len(sum):], v[len(sum):] {
			for c := range sum {
				f := float64(u[c])
				sum[c] += f
				product[c] += float64(f * float64(v[c]))
			}
		}
		return
	}
	for len(u) > 0 {
		for c := range sum {
			sum[c] += l.k.sum(u[:l.positions])
			product[c] += l.k.dot(u[:l.positions], v[:l.positions])
			u, v = u[l.positions:], v[l.positions:]
		}
	}
}

// backward, with x̂ the normalized input and means over batch and positions:
//
//	dx = weight/√(var+eps) · (dy - mean(dy) - x̂·mean(dy·x̂))
func (l *batchNorm[T]) backward(p *pass, x, _, dy, dx []T) {
	n := float64(p.rows * l.positions)
	l.sums(dy, x, l.a, l.b)
	// dx = a·dy + b·x + c
	for c, inverse := range l.inverse {
		sum := l.a[c]
		sumNorm := (l.b[c] - float64(sum*l.mean[c])) * inverse
		l.dWeight[c], l.dBias[c] = T(sumNorm), T(sum)
		l.a[c] = float64(l.weight[c]) * inverse
		l.b[c] = -l.a[c] * inverse * sumNorm / n
		l.c[c] = -l.a[c]*sum/n - float64(l.b[c]*l.mean[c])
	}
	if dx == nil {
		return
	}
	if l.positions == 1 {
		for width := len(l.a); len(x) > 0; x, dy, dx = x[width:], dy[width:], dx[width:] {
			for c, a := range l.a {
				dx[c] = T(float64(a*float64(dy[c])) + float64(l.b[c]*float64(x[c])) + l.c[c])
			}
		}
		return
	}
	for len(x) > 0 {
		for c, a := range l.a {
			b, c := l.b[c], l.c[c]
			xs, dxs := x[:l.positions], dx[:l.positions]
			for i, g := range dy[:l.positions] {
				dxs[i] = T(float64(a*float64(g)) + float64(b*float64(xs[i])) + c)
			}
			x, dy, dx = x[l.positions:], dy[l.positions:], dx[l.positions:]
		}
	}
}

func (l *batchNorm[T]) uses() uses { return uses{input: true, elementwise: true} }

// layerNorm is torch.nn.LayerNorm over a whole sample, with a weight and a
// bias for each element. Sums are kept as in batchNorm.
type layerNorm[T real] struct {
	k              kernels[T]
	eps            float64
	weight, bias   []T // (elements)
	dWeight, dBias []T
	mean, inverse  []float64 // (batch); inverse is 1/√(var+eps)
}

func (l *layerNorm[T]) forward(p *pass, x, y []T) {
	size := len(l.weight)
	n := float64(size)
	for s := range p.rows {
		xs, ys := x[s*size:(s+1)*size], y[s*size:(s+1)*size]
		mean := l.k.sum(xs) / n
		variance := max(l.k.dot(xs, xs)/n-float64(mean*mean), 0)
		inverse := 1 / math.Sqrt(variance+l.eps)
		l.mean[s], l.inverse[s] = mean, inverse
		for i, v := range xs {
			ys[i] = T(T((float64(v)-mean)*inverse)*l.weight[i]) + l.bias[i]
		}
	}
}

// backward, with x̂ the normalized input, g = dy·weight and means over the
// sample:
//
//	dx = (g - mean(g) - x̂·mean(g·x̂)) / √(var+eps)
func (l *layerNorm[T]) backward(p *pass, x, _, dy, dx []T) {
	clear(l.dWeight)
	clear(l.dBias)
	size := len(l.weight)
	for s := range p.rows {
		xs, dys := x[s*size:(s+1)*size], dy[s*size:(s+1)*size]
		mean, inverse := l.mean[s], l.inverse[s]
		var sum, sumNorm float64
		for i, g := range dys {
			norm := (float64(xs[i]) - mean) * inverse
			l.dWeight[i] += T(float64(g) * norm)
			l.dBias[i] += g
			w := float64(g) * float64(l.weight[i])
			sum += w
			sumNorm += float64(w * norm)
		}
		if dx == nil {
			continue
		}
		// dx = inverse·g + b·x + c
		b := -inverse * inverse * sumNorm / float64(size)
		c := -inverse*sum/float64(size) - float64(b*mean)
		dxs := dx[s*size : (s+1)*size]
		for i, g := range dys {
			dxs[i] = T(float64(inverse*float64(g)*float64(l.weight[i])) + float64(b*float64(xs[i])) + c)
		}
	}
}

func (l *layerNorm[T]) uses() uses { return uses{input: true, elementwise: true} }
