package host

// window is how a kernel walks over one image: sizes are height, width.
type window struct {
	channels             int // of the input
	in, out              [2]int
	kernel, stride, pads [2]int
}

// positions returns the number of places the kernel stops at.
func (w *window) positions() int { return w.out[0] * w.out[1] }

// patch returns the elements under the kernel, all channels together.
func (w *window) patch() int { return w.channels * w.kernel[0] * w.kernel[1] }

// image returns the elements of the input.
func (w *window) image() int { return w.channels * w.in[0] * w.in[1] }

// conv2d is torch.nn.Conv2d (cross-correlation, zero padding) by im2col: per
// sample, the patches under the kernel become the columns of a matrix and the
// convolution one product. The columns are built again in backward, which
// costs less than keeping them for every sample of a batch.
//
// Floor, per sample, for K = channels·kernel area, P positions and O output
// channels: 2·O·K·P operations forward, 4·O·K·P backward, and K·P elements
// written and read again for the columns each way.
type conv2d[T real] struct {
	k            kernels[T]
	window       window
	outputs      int
	weight, bias []T // (outputs, channels, height, width), (outputs); bias nil: none
	dWeight      []T
	dBias        []T
	unfolder     unfolder[T] // nil: an image already is its columns
	columns      []T         // (patch, width), for backward; nil likewise
	width        int         // columns of a matrix, the positions at least
	wide         []T         // (outputs, width); nil where width is positions
}

// unfolder turns an image into its matrix of columns and back.
type unfolder[T real] interface {
	// unfold returns image's columns (patch, width), valid until the next call.
	unfold(image []T) []T
	// fold sets image to the sum of what columns has for each of its elements.
	fold(image, columns []T)
}

func (l *conv2d[T]) forward(p *pass, x, y []T) {
	in, out := l.window.image(), l.outputs*l.window.positions()
	for s := range p.rows {
		ys := y[s*out : (s+1)*out]
		result := ys
		if l.wide != nil {
			result = l.wide
		}
		for o, b := range l.bias {
			fill(result[o*l.width:(o+1)*l.width], b)
		}
		columns := l.unfold(x[s*in : (s+1)*in])
		l.k.nn(l.outputs, l.width, l.window.patch(), l.weight, columns, result, l.bias != nil)
		if l.wide != nil {
			narrow(&l.window, ys, l.wide)
		}
	}
}

func (l *conv2d[T]) backward(p *pass, x, _, dy, dx []T) {
	in, positions, patch := l.window.image(), l.window.positions(), l.window.patch()
	out := l.outputs * positions
	clear(l.dBias)
	for s := range p.rows {
		dys := dy[s*out : (s+1)*out]
		for o := range l.dBias {
			l.dBias[o] += T(l.k.sum(dys[o*positions : (o+1)*positions]))
		}
		if l.wide != nil {
			widen(&l.window, l.wide, dys)
			dys = l.wide
		}
		columns := l.unfold(x[s*in : (s+1)*in])
		l.k.nt(l.outputs, patch, l.width, dys, columns, l.dWeight, s > 0)
		if dx == nil {
			continue
		}
		dxs := dx[s*in : (s+1)*in]
		if l.unfolder == nil {
			l.k.tn(patch, l.width, l.outputs, l.weight, dys, dxs, false)
			continue
		}
		l.k.tn(patch, l.width, l.outputs, l.weight, dys, l.columns, false)
		l.unfolder.fold(dxs, l.columns)
	}
}

func (l *conv2d[T]) unfold(image []T) []T {
	if l.unfolder == nil {
		return image
	}
	return l.unfolder.unfold(image)
}

func (l *conv2d[T]) uses() uses { return uses{input: true} }

// fill sets every element of x, which is not empty, to v by doubling copies.
func fill[T real](x []T, v T) {
	x[0] = v
	for n := 1; n < len(x); n *= 2 {
		copy(x[n:], x[:n])
	}
}
