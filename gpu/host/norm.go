package host

import "math"

// batchNorm is torch.nn.BatchNorm1d and 2d: each channel is normalized over
// batch and positions, then scaled and shifted. Training normalizes by the
// batch's biased variance and moves the running statistics towards the
// batch's mean and unbiased variance; evaluation normalizes by those.
// Statistics are summed in float64.
type batchNorm[T real] struct {
	channels         int
	positions        int // elements of one channel in one sample
	eps, momentum    float64
	weight, bias     []T // (channels)
	dWeight, dBias   []T
	runMean, runVar  []T       // (channels), the model's buffers
	mean, inverse    []float64 // (channels) of the batch; inverse is 1/√(var+eps)
	sumDY, sumDYNorm []float64 // (channels), scratch
}

func (l *batchNorm[T]) forward(p *pass, x, y []T) {
	if p.train {
		l.measure(p.rows, x)
	} else {
		for c := range l.channels {
			l.mean[c] = float64(l.runMean[c])
			l.inverse[c] = 1 / math.Sqrt(float64(l.runVar[c])+l.eps)
		}
	}
	// y = x·scale + shift.
	scale, shift := l.sumDY, l.sumDYNorm
	for c := range l.channels {
		scale[c] = l.inverse[c] * float64(l.weight[c])
		shift[c] = float64(l.bias[c]) - l.mean[c]*scale[c]
	}
	for at := 0; at < len(x); {
		for c := range l.channels {
			a, b := scale[c], shift[c]
			for end := at + l.positions; at < end; at++ {
				y[at] = T(float64(x[at])*a + b)
			}
		}
	}
}

// measure sets mean and inverse to the batch's and moves the running ones.
func (l *batchNorm[T]) measure(rows int, x []T) {
	n := float64(rows * l.positions)
	mean, squares := l.mean, l.inverse
	clear(mean)
	for at := 0; at < len(x); {
		for c := range mean {
			sum := mean[c]
			for end := at + l.positions; at < end; at++ {
				sum += float64(x[at])
			}
			mean[c] = sum
		}
	}
	for c := range mean {
		mean[c] /= n
	}
	clear(squares)
	for at := 0; at < len(x); {
		for c, m := range mean {
			sum := squares[c]
			for end := at + l.positions; at < end; at++ {
				d := float64(x[at]) - m
				sum += d * d
			}
			squares[c] = sum
		}
	}
	for c, sq := range squares {
		l.runMean[c] = T((1-l.momentum)*float64(l.runMean[c]) + l.momentum*mean[c])
		l.runVar[c] = T((1-l.momentum)*float64(l.runVar[c]) + l.momentum*sq/(n-1))
		l.inverse[c] = 1 / math.Sqrt(sq/n+l.eps)
	}
}

// backward, with x̂ the normalized input and means over batch and positions:
// dx = weight/√(var+eps) · (dy - mean(dy) - x̂·mean(dy·x̂)).
func (l *batchNorm[T]) backward(p *pass, x, _, dy, dx []T) {
	clear(l.sumDY)
	clear(l.sumDYNorm)
	for at := 0; at < len(x); {
		for c, mean := range l.mean {
			sum, sumNorm := l.sumDY[c], l.sumDYNorm[c]
			for end := at + l.positions; at < end; at++ {
				g := float64(dy[at])
				sum += g
				sumNorm += g * (float64(x[at]) - mean)
			}
			l.sumDY[c], l.sumDYNorm[c] = sum, sumNorm
		}
	}
	for c, inverse := range l.inverse {
		l.sumDYNorm[c] *= inverse
		l.dWeight[c], l.dBias[c] = T(l.sumDYNorm[c]), T(l.sumDY[c])
	}
	if dx == nil {
		return
	}
	n := float64(p.rows * l.positions)
	for at := 0; at < len(x); {
		for c, mean := range l.mean {
			inverse := l.inverse[c]
			scale := float64(l.weight[c]) * inverse
			shift, slope := l.sumDY[c]/n, l.sumDYNorm[c]/n*inverse
			for end := at + l.positions; at < end; at++ {
				dx[at] = T(scale * (float64(dy[at]) - shift - slope*(float64(x[at])-mean)))
			}
		}
	}
}

func (l *batchNorm[T]) uses() uses { return uses{input: true, elementwise: true} }

// layerNorm is torch.nn.LayerNorm over a whole sample, with a weight and a
// bias for each element. Statistics are summed in float64.
type layerNorm[T real] struct {
	eps            float64
	weight, bias   []T // (elements)
	dWeight, dBias []T
	mean, inverse  []float64 // (batch); inverse is 1/√(var+eps)
}

func (l *layerNorm[T]) forward(p *pass, x, y []T) {
	size := len(l.weight)
	for s := range p.rows {
		xs, ys := x[s*size:(s+1)*size], y[s*size:(s+1)*size]
		var sum, squares float64
		for _, v := range xs {
			sum += float64(v)
		}
		mean := sum / float64(size)
		for _, v := range xs {
			d := float64(v) - mean
			squares += d * d
		}
		inverse := 1 / math.Sqrt(squares/float64(size)+l.eps)
		l.mean[s], l.inverse[s] = mean, inverse
		for i, v := range xs {
			ys[i] = T((float64(v)-mean)*inverse*float64(l.weight[i]) + float64(l.bias[i]))
		}
	}
}

// backward, with x̂ the normalized input, g = dy·weight and means over the
// sample: dx = (g - mean(g) - x̂·mean(g·x̂)) / √(var+eps).
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
			sumNorm += w * norm
		}
		if dx == nil {
			continue
		}
		sum /= float64(size)
		sumNorm /= float64(size)
		dxs := dx[s*size : (s+1)*size]
		for i, g := range dys {
			norm := (float64(xs[i]) - mean) * inverse
			dxs[i] = T(inverse * (float64(g)*float64(l.weight[i]) - sum - norm*sumNorm))
		}
	}
}

func (l *layerNorm[T]) uses() uses { return uses{input: true, elementwise: true} }
