package host

// scratch is what all convolutions of a network work in by turns.
type scratch[T real] struct {
	columns []T // (patch, width)
	padded  []T // an image and its padding
	wide    []T // (outputs, width)
}

// scratchSizes is how many elements of each are needed.
type scratchSizes struct{ columns, padded, wide int }

func (w *window) scratch(outputs int) scratchSizes {
	switch {
	case w.direct():
		return scratchSizes{}
	case w.strides():
		return scratchSizes{columns: w.patch() * w.positions()}
	default:
		z := scratchSizes{columns: w.patch() * w.lineUp(), wide: outputs * w.lineUp()}
		if w.pads != [2]int{} {
			z.padded = w.channels * w.paddedPlane()
		}
		return z
	}
}

// max returns sizes that are enough for both.
func (z scratchSizes) max(y scratchSizes) scratchSizes {
	return scratchSizes{max(z.columns, y.columns), max(z.padded, y.padded), max(z.wide, y.wide)}
}

func takeScratch[T real](a *arena, z scratchSizes) scratch[T] {
	return scratch[T]{take[T](a, z.columns), take[T](a, z.padded), take[T](a, z.wide)}
}

// newConv2D returns a convolution without parameters yet, with the unfolder
// that suits its window. The scratch is empty when memory is only counted.
func newConv2D[T real](k kernels[T], w window, outputs int, s scratch[T]) *conv2d[T] {
	l := &conv2d[T]{k: k, window: w, outputs: outputs, width: w.positions()}
	if w.direct() || s.columns == nil {
		return l
	}
	z := w.scratch(outputs)
	l.columns = s.columns[:z.columns]
	if w.strides() {
		l.unfolder = &strided[T]{&l.window, l.columns}
		return l
	}
	l.width, l.wide = w.lineUp(), s.wide[:z.wide]
	l.unfolder = &dense[T]{k, &l.window, l.columns, s.padded[:z.padded]}
	return l
}

// direct says that an image already is its matrix of columns: a kernel of one
// element that stops everywhere.
func (w *window) direct() bool {
	return w.kernel == [2]int{1, 1} && !w.strides() && w.pads == [2]int{}
}

// strides says that the kernel skips places.
func (w *window) strides() bool { return w.stride != [2]int{1, 1} }

func (w *window) paddedWidth() int { return w.in[1] + 2*w.pads[1] }
func (w *window) paddedPlane() int { return (w.in[0] + 2*w.pads[0]) * w.paddedWidth() }

// lineUp returns the distance from the first to behind the last position of a
// kernel of stride 1 in a padded plane.
func (w *window) lineUp() int { return (w.out[0]-1)*w.paddedWidth() + w.out[1] }

// dense unfolds for stride 1. There, what one element of the kernel sees as the
// kernel moves along the padded plane is a stretch of that plane: one copy makes
// a row of the matrix. The price is columns at the places between the last
// position of a row and the first of the next, which narrow leaves out and
// widen sets to zero.
type dense[T real] struct {
	k       kernels[T]
	window  *window
	columns []T
	padded  []T // empty without padding: the image serves
}

func (u *dense[T]) unfold(image []T) []T {
	w := u.window
	if len(u.padded) > 0 {
		u.pad(image)
		image = u.padded
	}
	width, plane := w.lineUp(), w.paddedPlane()
	to := u.columns
	for c := range w.channels {
		for ky := range w.kernel[0] {
			for kx := range w.kernel[1] {
				at := c*plane + ky*w.paddedWidth() + kx
				copy(to[:width], image[at:])
				to = to[width:]
			}
		}
	}
	return u.columns
}

// pad copies image into the middle of padded, whose edges are never written
// but by fold, which clears them.
func (u *dense[T]) pad(image []T) {
	w := u.window
	clear(u.padded)
	for c := range w.channels {
		for y := range w.in[0] {
			line := image[(c*w.in[0]+y)*w.in[1]:]
			copy(u.padded[w.inPadded(c, y):], line[:w.in[1]])
		}
	}
}

// inPadded returns where line y of channel c begins in a padded image.
func (w *window) inPadded(c, y int) int {
	return c*w.paddedPlane() + (y+w.pads[0])*w.paddedWidth() + w.pads[1]
}

func (u *dense[T]) fold(image, columns []T) {
	w := u.window
	sum := image
	if len(u.padded) > 0 {
		sum = u.padded
	}
	clear(sum)
	width, plane := w.lineUp(), w.paddedPlane()
	for c := range w.channels {
		for ky := range w.kernel[0] {
			for kx := range w.kernel[1] {
				at := c*plane + ky*w.paddedWidth() + kx
				u.k.add(sum[at:at+width], columns[:width])
				columns = columns[width:]
			}
		}
	}
	if len(u.padded) == 0 {
		return
	}
	for c := range w.channels {
		for y := range w.in[0] {
			line := image[(c*w.in[0]+y)*w.in[1]:]
			copy(line[:w.in[1]], u.padded[w.inPadded(c, y):])
		}
	}
}

// narrow takes y (planes, positions) out of wide (planes, lineUp).
func narrow[T real](w *window, y, wide []T) {
	row, width, stride := w.out[1], w.lineUp(), w.paddedWidth()
	for ; len(y) > 0; wide = wide[width:] {
		for oy := range w.out[0] {
			copy(y[:row], wide[oy*stride:])
			y = y[row:]
		}
	}
}

// widen is narrow backwards, with zeros in between.
func widen[T real](w *window, wide, y []T) {
	row, width, stride := w.out[1], w.lineUp(), w.paddedWidth()
	for ; len(y) > 0; wide = wide[width:] {
		for oy := range w.out[0] {
			at := oy * stride
			copy(wide[at:at+row], y)
			if oy < w.out[0]-1 {
				clear(wide[at+row : at+stride])
			}
			y = y[row:]
		}
	}
}

// strided unfolds for any stride, element by element.
type strided[T real] struct {
	window  *window
	columns []T
}

// unfold (im2col) takes the elements under the kernel at each position, zero
// where it hangs over the edge.
func (u *strided[T]) unfold(image []T) []T {
	w, columns := u.window, u.columns
	row := 0
	for c := range w.channels {
		plane := image[c*w.in[0]*w.in[1] : (c+1)*w.in[0]*w.in[1]]
		for ky := range w.kernel[0] {
			for kx := range w.kernel[1] {
				to := columns[row*w.positions() : (row+1)*w.positions()]
				row++
				first, last := w.inside(kx)
				for oy := range w.out[0] {
					line := to[oy*w.out[1] : (oy+1)*w.out[1]]
					iy := oy*w.stride[0] - w.pads[0] + ky
					if iy < 0 || iy >= w.in[0] || first >= last {
						clear(line)
						continue
					}
					clear(line[:first])
					clear(line[last:])
					from := plane[iy*w.in[1]+first*w.stride[1]-w.pads[1]+kx:]
					for i := first; i < last; i++ {
						line[i] = from[(i-first)*w.stride[1]]
					}
				}
			}
		}
	}
	return columns
}

// fold (col2im) is unfold transposed.
func (u *strided[T]) fold(image, columns []T) {
	w := u.window
	clear(image)
	row := 0
	for c := range w.channels {
		plane := image[c*w.in[0]*w.in[1] : (c+1)*w.in[0]*w.in[1]]
		for ky := range w.kernel[0] {
			for kx := range w.kernel[1] {
				from := columns[row*w.positions() : (row+1)*w.positions()]
				row++
				first, last := w.inside(kx)
				for oy := range w.out[0] {
					iy := oy*w.stride[0] - w.pads[0] + ky
					if iy < 0 || iy >= w.in[0] || first >= last {
						continue
					}
					to := plane[iy*w.in[1]+first*w.stride[1]-w.pads[1]+kx:]
					for i, v := range from[oy*w.out[1]+first : oy*w.out[1]+last] {
						to[i*w.stride[1]] += v
					}
				}
			}
		}
	}
}

// inside returns the half-open range of output columns at which column kx of
// the kernel lies on the image.
func (w *window) inside(kx int) (first, last int) {
	over := w.pads[1] - kx // columns before the image at output 0
	if over > 0 {
		first = (over + w.stride[1] - 1) / w.stride[1]
	}
	last = min(w.out[1], (w.in[1]-1+over)/w.stride[1]+1)
	if w.in[1]-1+over < 0 {
		last = 0
	}
	return min(first, w.out[1]), max(last, 0)
}
