package host

import (
	"math"

	"weft/gpu/train"
)

// targets are what a batch's outputs are held against: labels for
// cross_entropy, values (rows, width) for the others.
type targets[T real] struct {
	labels []int32
	values []T
}

// criterion computes losses as torch.nn's of the same name with the default
// reduction: the mean over rows for cross_entropy, over all elements for the
// others.
type criterion[T real] struct {
	k     kernels[T]
	loss  train.Loss
	width int // outputs of one row
}

// apply returns the mean loss of the outputs z (rows, width) and sets grad,
// of z's shape, to its gradient.
func (c *criterion[T]) apply(z []T, t targets[T], grad []T) float64 {
	switch c.loss {
	case train.CrossEntropy:
		return c.crossEntropy(z, t.labels, grad)
	case train.MSE:
		return meanSquare(z, t.values, grad)
	case train.BCEWithLogits:
		return binaryCrossEntropy(z, t.values, grad)
	default:
		return huber(z, t.values, grad)
	}
}

// crossEntropy: row r costs log Σ exp z - z[label], with the greatest z taken
// off first; its gradient is (softmax(z) - onehot(label)) / rows.
func (c *criterion[T]) crossEntropy(z []T, labels []int32, grad []T) float64 {
	var total float64
	for r, label := range labels {
		zs, gs := z[r*c.width:(r+1)*c.width], grad[r*c.width:(r+1)*c.width]
		top := zs[0]
		for _, v := range zs[1:] {
			top = max(top, v)
		}
		for i, v := range zs {
			gs[i] = v - top
		}
		total -= float64(gs[label])
	}
	c.k.exp(grad, grad)
	scale := T(1) / T(len(labels))
	for r, label := range labels {
		gs := grad[r*c.width : (r+1)*c.width]
		var sum T
		for _, e := range gs {
			sum += e
		}
		total += math.Log(float64(sum))
		factor := scale / sum
		for i := range gs {
			gs[i] *= factor
		}
		gs[label] -= scale
	}
	return total / float64(len(labels))
}

// meanSquare: (z-t)².
func meanSquare[T real](z, t, grad []T) float64 {
	n := T(len(z))
	var total float64
	for i, v := range z {
		d := v - t[i]
		total += float64(float64(d) * float64(d))
		grad[i] = 2 * d / n
	}
	return total / float64(len(z))
}

// binaryCrossEntropy: max(z, 0) - z·t + log(1+exp(-|z|)), which is
// -t·log σ(z) - (1-t)·log(1-σ(z)) without overflow.
func binaryCrossEntropy[T real](z, t, grad []T) float64 {
	n := float64(len(z))
	var total float64
	for i, v := range z {
		x, want := float64(v), float64(t[i])
		e := math.Exp(-math.Abs(x))
		total += math.Max(x, 0) - float64(x*want) + math.Log1p(e)
		sigmoid := 1 / (1 + e)
		if x < 0 {
			sigmoid = e / (1 + e)
		}
		grad[i] = T((sigmoid - want) / n)
	}
	return total / n
}

// huber: ½(z-t)² where |z-t| < 1, |z-t| - ½ elsewhere.
func huber[T real](z, t, grad []T) float64 {
	n := T(len(z))
	var total float64
	for i, v := range z {
		d := v - t[i]
		switch {
		case d > 1:
			total += float64(d) - 0.5
			grad[i] = 1 / n
		case d < -1:
			total += -float64(d) - 0.5
			grad[i] = -1 / n
		default: // NaN too
			total += float64(0.5 * float64(d) * float64(d))
			grad[i] = d / n
		}
	}
	return total / float64(len(z))
}
