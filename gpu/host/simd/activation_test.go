package simd

import (
	"math"
	"testing"
)

// activations lists the functions beside their definitions and how many units in
// the last place they may be off. Gradients are taken for dy = 1; GELU's passes
// through zero near -0.75, where only its absolute error means anything.
var activations = []struct {
	name  string
	run   func(k Kernels, dst, src []float32)
	exact func(x float64) float64
	ulps  float64
	floor float64 // results below this are judged as if they were this large
}{
	{"Exp", Kernels.Exp, math.Exp, 1, 0},
	{"Tanh", Kernels.Tanh, math.Tanh, 1.5, 0},
	{"Sigmoid", Kernels.Sigmoid, func(x float64) float64 {
		if x < 0 { // as accurate where the result is tiny
			return math.Exp(x) / (1 + math.Exp(x))
		}
		return 1 / (1 + math.Exp(-x))
	}, 2.5, 0},
	{"GELU", Kernels.GELU, func(x float64) float64 { return x * cdf(x) }, 5, 1e-37},
	{"GELUGrad", func(k Kernels, dst, src []float32) {
		for i := range dst {
			dst[i] = 1
		}
		k.GELUGrad(dst, dst, src)
	}, func(x float64) float64 { return cdf(x) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi) }, 3, 0.5},
}

// cdf returns Φ(x), also where erfc underflows.
func cdf(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }

// TestActivationsAreAccurate sweeps all float32 with a stride, and in steps of
// one where the formulas change.
func TestActivationsAreAccurate(t *testing.T) {
	x := sweep()
	want, got := make([]float32, len(x)), make([]float32, len(x))
	for _, f := range activations {
		t.Run(f.name, func(t *testing.T) {
			f.run(For(Portable), want, x)
			for _, level := range Levels() {
				f.run(For(level), got, x)
				if d := firstDifference(got, want); d != "" {
					t.Errorf("%v differs from portable: %s", level, d)
				}
			}
			worst, at := 0.0, float32(0)
			for i, v := range x {
				if e := ulpError(want[i], f.exact(float64(v)), f.floor); e > worst {
					worst, at = e, v
				}
			}
			t.Logf("worst error %.2f ulp, at %g", worst, at)
			if worst > f.ulps {
				t.Errorf("worst error is %.2f ulp, at %g; want at most %v", worst, at, f.ulps)
			}
		})
	}
}

// sweep returns finite arguments over the whole range of float32 and, densely,
// around the places where a formula takes another branch.
func sweep() []float32 {
	var x []float32
	add := func(bits uint32) {
		if v := math.Float32frombits(bits); v-v == 0 {
			x = append(x, v, -v)
		}
	}
	for bits := uint32(0); bits < 1<<31; bits += 39989 {
		add(bits)
	}
	for bits := math.Float32bits(0.01); bits < math.Float32bits(110); bits += 997 {
		add(bits)
	}
	for _, edge := range []float32{tanhSmall, tanhMax, normalMax, expMax, 88.722839, 87.33655, 103.97208, 1, 4} {
		for bits := math.Float32bits(edge) - 300; bits < math.Float32bits(edge)+300; bits++ {
			add(bits)
		}
	}
	return x
}

// ulpError returns how far got is from want in units of the last place of want
// rounded to float32.
func ulpError(got float32, want, floor float64) float64 {
	if float64(got) == want || math.IsInf(float64(float32(want)), 0) && float32(want) == got {
		return 0
	}
	scale := ulp(float32(max(math.Abs(want), floor)))
	if math.IsInf(float64(scale), 0) || scale != scale {
		return math.Inf(1)
	}
	return math.Abs(float64(got)-want) / float64(scale)
}

func TestActivationsAtTheEdges(t *testing.T) {
	inf, nan, negative := float32(math.Inf(1)), float32(math.NaN()), float32(math.Copysign(0, -1))
	tests := []struct {
		name    string
		run     func(k Kernels, dst, src []float32)
		x, want float32
	}{
		{"Exp", Kernels.Exp, inf, inf},
		{"Exp", Kernels.Exp, -inf, 0},
		{"Exp", Kernels.Exp, nan, nan},
		{"Exp", Kernels.Exp, negative, 1},
		{"Exp", Kernels.Exp, 88.72284, inf},
		{"Exp", Kernels.Exp, -103.9, math.SmallestNonzeroFloat32},
		{"Tanh", Kernels.Tanh, inf, 1},
		{"Tanh", Kernels.Tanh, -inf, -1},
		{"Tanh", Kernels.Tanh, nan, nan},
		{"Tanh", Kernels.Tanh, negative, negative},
		{"Sigmoid", Kernels.Sigmoid, inf, 1},
		{"Sigmoid", Kernels.Sigmoid, -inf, 0},
		{"Sigmoid", Kernels.Sigmoid, nan, nan},
		{"GELU", Kernels.GELU, inf, inf},
		{"GELU", Kernels.GELU, -100, negative},
		{"GELU", Kernels.GELU, nan, nan},
		{"GELU", Kernels.GELU, 20, 20},
		{"ReLU", Kernels.ReLU, inf, inf},
		{"ReLU", Kernels.ReLU, -inf, 0},
		{"ReLU", Kernels.ReLU, nan, nan},
	}
	for _, test := range tests {
		for _, level := range Levels() {
			// Nine elements: a whole vector or none, and a tail.
			src, dst := make([]float32, 9), make([]float32, 9)
			for i := range src {
				src[i] = test.x
			}
			test.run(For(level), dst, src)
			for i, got := range dst {
				if !same(got, test.want) {
					t.Errorf("%s(%v) at %v, element %d, is %v, want %v", test.name, test.x, level, i, got, test.want)
				}
			}
		}
	}
}

func TestReLUGradPassesWhatReLUPassed(t *testing.T) {
	nan := float32(math.NaN())
	y := []float32{1, 0, -1, nan, 2, float32(math.Copysign(0, -1)), 3, 0, 5, -5}
	want := []float32{7, 0, 0, 7, 7, 0, 7, 0, 7, 0}
	for _, level := range Levels() {
		dx := []float32{7, 7, 7, 7, 7, 7, 7, 7, 7, 7}
		For(level).ReLUGrad(dx, dx, y)
		if d := firstDifference(dx, want); d != "" {
			t.Errorf("%v: %s", level, d)
		}
	}
}
