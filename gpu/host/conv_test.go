package host

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// drawWindow draws a window that fits its image at least once.
func drawWindow(t *rapid.T) window {
	w := window{channels: rapid.IntRange(1, 3).Draw(t, "channels")}
	for d := range 2 {
		w.in[d] = rapid.IntRange(1, 7).Draw(t, "in")
		w.pads[d] = rapid.IntRange(0, 3).Draw(t, "padding")
		w.kernel[d] = rapid.IntRange(1, w.in[d]+2*w.pads[d]).Draw(t, "kernel")
		w.stride[d] = rapid.IntRange(1, 3).Draw(t, "stride")
		w.out[d] = (w.in[d]+2*w.pads[d]-w.kernel[d])/w.stride[d] + 1
	}
	return w
}

// under calls visit with every element of the image under the kernel at each
// position: the definition that pools and convolutions share.
func under(w *window, visit func(position, patch, element int)) {
	for oy := range w.out[0] {
		for ox := range w.out[1] {
			for c := range w.channels {
				for ky := range w.kernel[0] {
					for kx := range w.kernel[1] {
						iy, ix := oy*w.stride[0]-w.pads[0]+ky, ox*w.stride[1]-w.pads[1]+kx
						if iy < 0 || iy >= w.in[0] || ix < 0 || ix >= w.in[1] {
							continue
						}
						visit(oy*w.out[1]+ox, (c*w.kernel[0]+ky)*w.kernel[1]+kx, (c*w.in[0]+iy)*w.in[1]+ix)
					}
				}
			}
		}
	}
}

// integers are numbers whose products and sums are exact, so that two orders
// of adding give the same bits.
func integers[T real](t *rapid.T, n int) []T {
	x := make([]T, n)
	for i := range x {
		x[i] = T(rapid.IntRange(-9, 9).Draw(t, "x"))
	}
	return x
}

// TestConvolutionIsItsDefinition holds all three ways to convolve, forward and
// backward, against the sums that define them.
func TestConvolutionIsItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWindow(t)
		outputs, rows := rapid.IntRange(1, 3).Draw(t, "outputs"), rapid.IntRange(1, 2).Draw(t, "rows")
		var a arena
		takeScratch[float64](&a, w.scratch(outputs))
		l := newConv2D(loops[float64]{}, w, outputs, takeScratch[float64](newArena(a.used), w.scratch(outputs)))
		k := w.patch()
		l.weight, l.bias = integers[float64](t, outputs*k), integers[float64](t, outputs)
		l.dWeight, l.dBias = make([]float64, outputs*k), make([]float64, outputs)
		x := integers[float64](t, rows*w.image())
		dy := integers[float64](t, rows*outputs*w.positions())
		y, dx := make([]float64, len(dy)), make([]float64, len(x))
		p := pass{rows: rows, train: true}
		l.forward(&p, x, y)
		l.backward(&p, x, y, dy, dx)

		wantY, wantDX := make([]float64, len(y)), make([]float64, len(x))
		wantDW, wantDB := make([]float64, len(l.weight)), make([]float64, outputs)
		for o := range outputs {
			for s := range rows {
				at := (s*outputs + o) * w.positions()
				for i := range w.positions() {
					wantY[at+i] = l.bias[o]
					wantDB[o] += dy[at+i]
				}
				under(&w, func(position, patch, element int) {
					element += s * w.image()
					wantY[at+position] += l.weight[o*k+patch] * x[element]
					wantDW[o*k+patch] += dy[at+position] * x[element]
					wantDX[element] += dy[at+position] * l.weight[o*k+patch]
				})
			}
		}
		same(t, "y", y, wantY)
		same(t, "dx", dx, wantDX)
		same(t, "dWeight", l.dWeight, wantDW)
		same(t, "dBias", l.dBias, wantDB)
	})
}

// TestPoolsAreTheirDefinition does the same for pools, where a window has no
// more padding than half its kernel. Integers make for many ties.
func TestPoolsAreTheirDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWindow(t)
		for d := range 2 {
			w.pads[d] = min(w.pads[d], w.kernel[d]/2)
			w.kernel[d] = min(w.kernel[d], w.in[d]+2*w.pads[d])
			w.pads[d] = min(w.pads[d], w.kernel[d]/2)
			w.out[d] = (w.in[d]+2*w.pads[d]-w.kernel[d])/w.stride[d] + 1
		}
		out := w.channels * w.positions()
		area := w.kernel[0] * w.kernel[1]
		x, dy := integers[float64](t, w.image()), integers[float64](t, out)
		wantTop, wantMean := make([]float64, out), make([]float64, out)
		first := make([]int, out)
		for i := range wantTop {
			wantTop[i] = math.Inf(-1)
		}
		under(&w, func(position, patch, element int) {
			i := patch/area*w.positions() + position
			wantMean[i] += x[element] / float64(area)
			if x[element] > wantTop[i] {
				wantTop[i], first[i] = x[element], element
			}
		})
		wantDX, wantDXMean := make([]float64, len(x)), make([]float64, len(x))
		for i, element := range first {
			wantDX[element] += dy[i]
		}
		under(&w, func(position, patch, element int) {
			wantDXMean[element] += dy[patch/area*w.positions()+position] / float64(area)
		})

		p := pass{rows: 1, train: true}
		y, dx := make([]float64, out), make([]float64, len(x))
		top := &maxPool2d[float64]{window: w, from: make([]int32, out)}
		top.forward(&p, x, y)
		top.backward(&p, x, y, dy, dx)
		same(t, "max pool's y", y, wantTop)
		same(t, "max pool's dx", dx, wantDX)
		mean := &avgPool2d[float64]{window: w}
		mean.forward(&p, x, y)
		mean.backward(&p, x, y, dy, dx)
		same(t, "average pool's y", y, wantMean)
		same(t, "average pool's dx", dx, wantDXMean)
	})
}

// same allows for the rounding of divisions only.
func same(t *rapid.T, name string, got, want []float64) {
	t.Helper()
	for i, w := range want {
		if !(math.Abs(got[i]-w) < 1e-9) {
			t.Fatalf("%s[%d] is %v, want %v\ngot  %v\nwant %v", name, i, got[i], w, got, want)
		}
	}
}
