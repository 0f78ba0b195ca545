package host

// maxPool2d is torch.nn.MaxPool2d without ceil_mode and dilation. Padding is
// minus infinity; of equal elements the first wins and NaN beats all.
type maxPool2d[T real] struct {
	window window
	from   []int32 // (batch, outputs): index of the winner in its sample
}

func (l *maxPool2d[T]) forward(p *pass, x, y []T) {
	w := &l.window
	in, out := w.image(), w.channels*w.positions()
	for s := range p.rows {
		xs, ys, from := x[s*in:(s+1)*in], y[s*out:(s+1)*out], l.from[s*out:(s+1)*out]
		if w.quarters() {
			quarter(w, xs, ys, from)
			continue
		}
		i := 0
		for c := range w.channels {
			for oy := range w.out[0] {
				y0, y1 := w.span(0, oy)
				for ox := range w.out[1] {
					x0, x1 := w.span(1, ox)
					at := greatest(xs, c*w.in[0]*w.in[1], w.in[1], y0, y1, x0, x1)
					ys[i], from[i] = xs[at], int32(at)
					i++
				}
			}
		}
	}
}

func (l *maxPool2d[T]) backward(p *pass, _, _, dy, dx []T) {
	if dx == nil {
		return
	}
	w := &l.window
	in, out := w.image(), w.channels*w.positions()
	for s := range p.rows {
		dxs := dx[s*in : (s+1)*in]
		clear(dxs)
		from := l.from[s*out : (s+1)*out]
		for i, g := range dy[s*out : (s+1)*out] {
			dxs[from[i]] += g
		}
	}
}

func (l *maxPool2d[T]) uses() uses { return uses{} }

// greatest returns the index in x of the greatest element in rows y0 to y1
// and columns x0 to x1 of the plane of that width that starts at plane.
func greatest[T real](x []T, plane, width, y0, y1, x0, x1 int) int {
	at := plane + y0*width + x0
	best := x[at]
	for iy := y0; iy < y1; iy++ {
		line := plane + iy*width
		for i := line + x0; i < line+x1; i++ {
			if v := x[i]; v > best || v != v {
				best, at = v, i
			}
		}
	}
	return at
}

// quarters says that a window is the usual one: squares of four without
// overlap or padding.
func (w *window) quarters() bool {
	two := [2]int{2, 2}
	return w.kernel == two && w.stride == two && w.pads == [2]int{}
}

// quarter is maxPool2d.forward of one sample for such a window, without the
// branches on random numbers that make greatest several times slower.
func quarter[T real](w *window, x, y []T, from []int32) {
	width, n := w.in[1], w.out[1]
	for c := range w.channels {
		for oy := range w.out[0] {
			at := (c*w.in[0] + 2*oy) * width
			upper, lower := x[at:at+width], x[at+width:at+2*width]
			ys, froms := y[:n], from[:n]
			y, from = y[n:], from[n:]
			for ox := range ys {
				a, b, c, d := upper[2*ox], upper[2*ox+1], lower[2*ox], lower[2*ox+1]
				top := max(a, b, c, d)
				ys[ox] = top
				// The first that equals top is found by counting those before it.
				skip := differ(a, top)
				i := at + 2*ox + skip
				skip &= differ(b, top)
				i += skip * (width - 1)
				skip &= differ(c, top)
				froms[ox] = int32(i + skip)
			}
		}
	}
}

func differ[T real](a, b T) int {
	if a != b {
		return 1
	}
	return 0
}

// span returns the half-open range of the image that lies under the kernel at
// output o in dimension d (0 rows, 1 columns).
func (w *window) span(d, o int) (from, to int) {
	from = o*w.stride[d] - w.pads[d]
	return max(from, 0), min(from+w.kernel[d], w.in[d])
}

// avgPool2d is torch.nn.AvgPool2d with its defaults: padding counts as zeros
// of the mean.
type avgPool2d[T real] struct{ window window }

func (l *avgPool2d[T]) forward(p *pass, x, y []T) {
	w := &l.window
	in, i := w.in[0]*w.in[1], 0
	area := T(w.kernel[0] * w.kernel[1])
	for c := range p.rows * w.channels {
		plane := x[c*in : (c+1)*in]
		for oy := range w.out[0] {
			y0, y1 := w.span(0, oy)
			for ox := range w.out[1] {
				x0, x1 := w.span(1, ox)
				var sum T
				for iy := y0; iy < y1; iy++ {
					for _, v := range plane[iy*w.in[1]+x0 : iy*w.in[1]+x1] {
						sum += v
					}
				}
				y[i] = sum / area
				i++
			}
		}
	}
}

func (l *avgPool2d[T]) backward(p *pass, _, _, dy, dx []T) {
	if dx == nil {
		return
	}
	w := &l.window
	in, i := w.in[0]*w.in[1], 0
	area := T(w.kernel[0] * w.kernel[1])
	for c := range p.rows * w.channels {
		plane := dx[c*in : (c+1)*in]
		clear(plane)
		for oy := range w.out[0] {
			y0, y1 := w.span(0, oy)
			for ox := range w.out[1] {
				x0, x1 := w.span(1, ox)
				g := dy[i] / area
				i++
				for iy := y0; iy < y1; iy++ {
					for ix := iy*w.in[1] + x0; ix < iy*w.in[1]+x1; ix++ {
						plane[ix] += g
					}
				}
			}
		}
	}
}

func (l *avgPool2d[T]) uses() uses { return uses{} }
