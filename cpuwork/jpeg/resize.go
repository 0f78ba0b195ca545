package jpeg

import "math"

// within is the size of w x h made to fit into maxW x maxH (0: no limit), with its
// proportions kept and nothing made larger.
func within(w, h, maxW, maxH int) (int, int) {
	scale := 1.0
	if maxW > 0 {
		scale = min(scale, float64(maxW)/float64(w))
	}
	if maxH > 0 {
		scale = min(scale, float64(maxH)/float64(h))
	}
	if scale == 1 {
		return w, h
	}
	fit := func(side, limit int) int {
		n := max(int(math.Round(float64(side)*scale)), 1)
		if limit > 0 {
			n = min(n, limit)
		}
		return n
	}
	return fit(w, maxW), fit(h, maxH)
}

// boxFactor is by how much a picture can be shrunk by averaging squares of pixels
// and still have thrice the target's size for the better filter to work on.
func boxFactor(w, h, toW, toH int) int {
	return max(min(w/(3*toW), h/(3*toH)), 1)
}

// shrink averages squares of n x n pixels, rounded; those at the right and lower
// edges are smaller where the sides are not multiples of n.
func shrink(f frame, n int, s *scratch, sums *[]uint32) frame {
	out := s.frame((f.w+n-1)/n, (f.h+n-1)/n, f.channels)
	if cap(*sums) < out.w*f.channels {
		*sums = make([]uint32, out.w*f.channels)
	}
	sum := (*sums)[:out.w*f.channels]
	for y := range out.h {
		clear(sum)
		rows := min(n, f.h-y*n)
		for i := range rows {
			addSquares(sum, f.row(y*n+i), n, f.channels)
		}
		dst := out.row(y)
		for x := range out.w {
			count := uint32(rows * min(n, f.w-x*n)) // #nosec G115 -- n is at most 65535
			for c := range f.channels {
				dst[x*f.channels+c] = byte((sum[x*f.channels+c] + count/2) / count)
			}
		}
	}
	return out
}

func addSquares(sum []uint32, src []byte, n, channels int) {
	if channels == 1 {
		for x := range sum {
			for _, v := range src[x*n : min((x+1)*n, len(src))] {
				sum[x] += uint32(v)
			}
		}
		return
	}
	for x := 0; x < len(sum); x += 4 {
		var r, g, b uint32
		part := src[x*n : min((x+4)*n, len(src))]
		for ; len(part) >= 4; part = part[4:] {
			r += uint32(part[0])
			g += uint32(part[1])
			b += uint32(part[2])
		}
		sum[x] += r
		sum[x+1] += g
		sum[x+2] += b
	}
}

// fixed is the weights' fixed point: 14 bits leave room for 8-bit samples, the
// kernel's overshoot and its number of taps in 32 bits.
const fixed = 14

// taps are the weights by which a line of samples gives sample i of a shorter one:
// from[i] is the first source sample, weights[i*n:] its n weights.
type taps struct {
	n       int
	from    []int
	weights []int32
}

// catmullRom is the cubic convolution kernel with a = -1/2 (Keys 1981).
func catmullRom(x float64) float64 {
	x = math.Abs(x)
	switch {
	case x < 1:
		return (1.5*x-2.5)*x*x + 1
	case x < 2:
		return ((-0.5*x+2.5)*x-4)*x + 2
	}
	return 0
}

// kernel are the taps from a line of src samples to one of dst, which shows the
// first extent samples of it; the last of these may count in part. For shrinking
// the kernel is widened by the ratio, so that it filters what the result cannot
// hold.
func kernel(src int, extent float64, dst int) taps {
	ratio := extent / float64(dst)
	width := max(ratio, 1)
	t := taps{n: min(int(math.Ceil(4*width))+1, src), from: make([]int, dst)}
	t.weights = make([]int32, dst*t.n)
	exact := make([]float64, t.n)
	for i := range dst {
		center := (float64(i)+0.5)*ratio - 0.5
		from := min(max(int(math.Ceil(center-2*width)), 0), src-t.n)
		t.from[i] = from
		total := 0.0
		for k := range exact {
			exact[k] = catmullRom((float64(from+k) - center) / width)
			total += exact[k]
		}
		t.round(t.weights[i*t.n:(i+1)*t.n], exact, total)
	}
	return t
}

// round makes weights of fixed point whose sum is 1 exactly: what rounding left
// over goes to the largest, so that an even area keeps its value.
func (taps) round(weights []int32, exact []float64, total float64) {
	rest, largest := int32(1<<fixed), 0
	for k, v := range exact {
		weights[k] = int32(math.Round(v / total * (1 << fixed)))
		rest -= weights[k]
		if weights[k] > weights[largest] {
			largest = k
		}
	}
	weights[largest] += rest
}

// A resizer resamples frames and keeps its buffers.
type resizer struct {
	box, wide, out scratch
	sums           []uint32
	acc            []int32
}

// resize makes f w x h, both at most f's: averaged squares first where it is far
// larger, then Catmull-Rom, first along the rows and then along the columns. f is
// a picture whose sides the decoder has divided by the number denom and rounded
// up; full is its size before. Samples are taken as they are, that is in the
// file's gamma, as browsers and most tools do.
func (r *resizer) resize(f frame, full size, denom, w, h int) frame {
	if n := boxFactor(f.w, f.h, w, h); n > 1 {
		f = shrink(f, n, &r.box, &r.sums)
		denom *= n
	}
	if f.w != w {
		f = r.columns(f, float64(full.w)/float64(denom), w)
	}
	if f.h != h {
		f = r.rows(f, float64(full.h)/float64(denom), h)
	}
	return f
}

func (r *resizer) columns(f frame, extent float64, w int) frame {
	t := kernel(f.w, extent, w)
	out := r.wide.frame(w, f.h, f.channels)
	for y := range f.h {
		if f.channels == 1 {
			across1(out.row(y), f.row(y), t)
		} else {
			across4(out.row(y), f.row(y), t)
		}
	}
	return out
}

func across1(dst, src []byte, t taps) {
	for i := range dst {
		weights := t.weights[i*t.n : (i+1)*t.n]
		part := src[t.from[i] : t.from[i]+t.n]
		acc := int32(1 << (fixed - 1))
		for k, weight := range weights {
			acc += weight * int32(part[k])
		}
		dst[i] = clamp(acc >> fixed)
	}
}

func across4(dst, src []byte, t taps) {
	for i := range t.from {
		weights := t.weights[i*t.n : (i+1)*t.n]
		part := src[4*t.from[i] : 4*(t.from[i]+t.n)]
		r, g, b := int32(1<<(fixed-1)), int32(1<<(fixed-1)), int32(1<<(fixed-1))
		for _, weight := range weights {
			r += weight * int32(part[0])
			g += weight * int32(part[1])
			b += weight * int32(part[2])
			part = part[4:]
		}
		p := dst[4*i : 4*i+4 : 4*i+4]
		p[0], p[1], p[2], p[3] = clamp(r>>fixed), clamp(g>>fixed), clamp(b>>fixed), 0xff
	}
}

func (r *resizer) rows(f frame, extent float64, h int) frame {
	t := kernel(f.h, extent, h)
	out := r.out.frame(f.w, h, f.channels)
	if cap(r.acc) < f.w*f.channels {
		r.acc = make([]int32, f.w*f.channels)
	}
	acc := r.acc[:f.w*f.channels]
	for i := range h {
		for x := range acc {
			acc[x] = 1 << (fixed - 1)
		}
		for k, weight := range t.weights[i*t.n : (i+1)*t.n] {
			if weight == 0 {
				continue
			}
			src := f.row(t.from[i] + k)
			for x, v := range src[:len(acc)] {
				acc[x] += weight * int32(v)
			}
		}
		dst := out.row(i)
		for x, v := range acc {
			dst[x] = clamp(v >> fixed)
		}
	}
	return out
}

func clamp(v int32) byte { return byte(min(max(v, 0), 255)) }

func (r *resizer) trim() {
	r.box.trim()
	r.wide.trim()
	r.out.trim()
}
