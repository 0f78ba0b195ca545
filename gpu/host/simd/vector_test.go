package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// vectorKernel is a kernel over vectors of equal length.
type vectorKernel struct {
	name    string
	vectors int
	run     func(k Kernels, v [][]float32)
}

// vectorKernels lists all of them, optimizers with every combination of options.
func vectorKernels() []vectorKernel {
	kernels := []vectorKernel{
		{"Add", 2, func(k Kernels, v [][]float32) { k.Add(v[0], v[1]) }},
		{"Mul", 2, func(k Kernels, v [][]float32) { k.Mul(v[0], v[1]) }},
		{"Scale", 1, func(k Kernels, v [][]float32) { k.Scale(v[0], 0.3) }},
		{"Axpy", 2, func(k Kernels, v [][]float32) { k.Axpy(0.3, v[0], v[1]) }},
		{"ReLU", 2, func(k Kernels, v [][]float32) { k.ReLU(v[0], v[1]) }},
		{"ReLU in place", 1, func(k Kernels, v [][]float32) { k.ReLU(v[0], v[0]) }},
		{"ReLUGrad", 3, func(k Kernels, v [][]float32) { k.ReLUGrad(v[0], v[1], v[2]) }},
		{"ReLUGrad in place", 2, func(k Kernels, v [][]float32) { k.ReLUGrad(v[0], v[0], v[1]) }},
		{"LeakyReLU", 2, func(k Kernels, v [][]float32) { k.LeakyReLU(v[0], v[1], 0.01) }},
		{"LeakyReLUGrad", 3, func(k Kernels, v [][]float32) { k.LeakyReLUGrad(v[0], v[1], v[2], 0.01) }},
		{"Exp", 2, func(k Kernels, v [][]float32) { k.Exp(v[0], v[1]) }},
		{"Exp in place", 1, func(k Kernels, v [][]float32) { k.Exp(v[0], v[0]) }},
		{"Tanh", 2, func(k Kernels, v [][]float32) { k.Tanh(v[0], v[1]) }},
		{"TanhGrad", 3, func(k Kernels, v [][]float32) { k.TanhGrad(v[0], v[1], v[2]) }},
		{"Sigmoid", 2, func(k Kernels, v [][]float32) { k.Sigmoid(v[0], v[1]) }},
		{"SigmoidGrad", 3, func(k Kernels, v [][]float32) { k.SigmoidGrad(v[0], v[1], v[2]) }},
		{"GELU", 2, func(k Kernels, v [][]float32) { k.GELU(v[0], v[1]) }},
		{"GELUGrad", 3, func(k Kernels, v [][]float32) { k.GELUGrad(v[0], v[1], v[2]) }},
		{"Adam", 4, func(k Kernels, v [][]float32) {
			s := NewAdam(1e-3, 0.9, 0.999, 1e-8, 0.01, 3)
			s.GradScale = 0.7
			k.Adam(s, v[0], v[1], v[2], v[3])
		}},
		{"Adam, small beta1", 4, func(k Kernels, v [][]float32) {
			k.Adam(NewAdam(1e-3, 0.3, 0.999, 1e-8, 0, 1), v[0], v[1], v[2], v[3])
		}},
		{"AdamW", 4, func(k Kernels, v [][]float32) {
			k.Adam(NewAdamW(1e-3, 0.9, 0.999, 1e-8, 0.01, 3), v[0], v[1], v[2], v[3])
		}},
		{"SGD", 2, func(k Kernels, v [][]float32) { k.SGD(NewSGD(0.1, 0, 0, 0.01, false, false), v[0], v[1], nil) }},
	}
	for _, yes := range []bool{false, true} {
		for _, first := range []bool{false, true} {
			name := fmt.Sprintf("SGD momentum nesterov=%v first=%v", yes, first)
			kernels = append(kernels, vectorKernel{name, 3, func(k Kernels, v [][]float32) {
				k.SGD(NewSGD(0.1, 0.9, 0.1, 0.01, yes, first), v[0], v[1], v[2])
			}})
		}
		for _, momentum := range []float64{0, 0.9} {
			name := fmt.Sprintf("RMSprop momentum=%v centered=%v", momentum, yes)
			kernels = append(kernels, vectorKernel{name, 5, func(k Kernels, v [][]float32) {
				k.RMSprop(NewRMSprop(0.01, 0.99, 1e-8, momentum, 0.01, yes), v[0], v[1], v[2], v[3], v[4])
			}})
		}
	}
	return kernels
}

func TestVectorsAreTheSameAtEveryLevel(t *testing.T) {
	for _, kernel := range vectorKernels() {
		t.Run(kernel.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				n := rapid.IntRange(0, 200).Draw(t, "n")
				kind := rapid.SampledFrom(kinds).Draw(t, "values")
				checkVectors(t, kernel, n, kind, drawRand(t))
			})
		})
	}
}

func TestVectorTails(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, kernel := range vectorKernels() {
		for n := range 41 {
			checkVectors(t, kernel, n, "normal", r)
		}
	}
}

// checkVectors runs a kernel at every level on the same input.
func checkVectors(t interface{ Fatalf(string, ...any) }, kernel vectorKernel, n int, kind string, r *rand.Rand) {
	input := make([][]float32, kernel.vectors)
	for i := range input {
		input[i] = make([]float32, n)
		values(r, kind, input[i])
	}
	var want [][]float32
	for _, level := range Levels() {
		memory := make([]guarded, len(input))
		v := make([][]float32, len(input))
		for i := range input {
			memory[i] = newGuarded(n)
			v[i] = memory[i].x
			copy(v[i], input[i])
		}
		kernel.run(For(level), v)
		if level == Portable {
			want = v
		}
		for i := range v {
			if d := firstDifference(v[i], want[i]); d != "" {
				t.Fatalf("%s at %v, n = %d, vector %d: %s", kernel.name, level, n, i, d)
			}
			if !memory[i].intact() {
				t.Fatalf("%s at %v, n = %d wrote outside of vector %d", kernel.name, level, n, i)
			}
		}
	}
}

// rowKernels combine rows with a vector; want is their definition for one row.
var rowKernels = []struct {
	name string
	run  func(k Kernels, rows, cols int, x, v []float32)
	want func(x, v []float32)
}{
	{"AddBias", Kernels.AddBias, func(x, v []float32) {
		for i := range x {
			x[i] += v[i]
		}
	}},
	{"AddBiasReLU", Kernels.AddBiasReLU, func(x, v []float32) {
		for i := range x {
			if x[i] += v[i]; x[i] < 0 {
				x[i] = 0
			}
		}
	}},
	{"AddColumnSums", Kernels.AddColumnSums, func(x, v []float32) {
		for i := range x {
			v[i] += x[i]
		}
	}},
}

func TestRowKernels(t *testing.T) {
	for _, kernel := range rowKernels {
		t.Run(kernel.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				rows, cols := rapid.IntRange(0, 20).Draw(t, "rows"), rapid.IntRange(0, 150).Draw(t, "cols")
				x, v := newGuarded(rows*cols), newGuarded(cols)
				r, kind := drawRand(t), rapid.SampledFrom(kinds).Draw(t, "values")
				values(r, kind, x.x)
				values(r, kind, v.x)
				x0, v0 := slices.Clone(x.x), slices.Clone(v.x)
				wantX, wantV := slices.Clone(x0), slices.Clone(v0)
				for i := range rows {
					kernel.want(wantX[i*cols:(i+1)*cols], wantV)
				}
				for _, level := range Levels() {
					copy(x.x, x0)
					copy(v.x, v0)
					kernel.run(For(level), rows, cols, x.x, v.x)
					if d := firstDifference(x.x, wantX) + firstDifference(v.x, wantV); d != "" {
						t.Fatalf("%v, %d×%d: %s", level, rows, cols, d)
					}
					if !x.intact() || !v.intact() {
						t.Fatalf("%v, %d×%d wrote outside", level, rows, cols)
					}
				}
			})
		})
	}
}

func TestReductions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(t, "n")
		x, y := newGuarded(n), newGuarded(n)
		r, kind := drawRand(t), rapid.SampledFrom(kinds).Draw(t, "values")
		values(r, kind, x.x)
		values(r, kind, y.x)
		for _, f := range []struct {
			name string
			run  func(k Kernels) float64
			term func(i int) float64
		}{
			{"Sum", func(k Kernels) float64 { return k.Sum(x.x) }, func(i int) float64 { return float64(x.x[i]) }},
			{"SumSquares", func(k Kernels) float64 { return k.SumSquares(x.x) },
				func(i int) float64 { return float64(x.x[i]) * float64(x.x[i]) }},
			{"Dot", func(k Kernels) float64 { return k.Dot(x.x, y.x) },
				func(i int) float64 { return float64(x.x[i]) * float64(y.x[i]) }},
		} {
			var s [16]float64
			for i := range n {
				s[i%16] += f.term(i)
			}
			for _, half := range []int{8, 4, 2, 1} {
				for i := range half {
					s[i] += s[i+half]
				}
			}
			for _, level := range Levels() {
				got := f.run(For(level))
				if math.Float64bits(got) != math.Float64bits(s[0]) && !(got != got && s[0] != s[0]) {
					t.Fatalf("%s of %d at %v is %v, want %v", f.name, n, level, got, s[0])
				}
			}
		}
	})
}

func TestVectorsDoNotAllocate(t *testing.T) {
	v := make([][]float32, 5)
	for i := range v {
		v[i] = make([]float32, 77)
	}
	for _, level := range Levels() {
		for _, kernel := range vectorKernels() {
			if n := testing.AllocsPerRun(10, func() { kernel.run(For(level), v) }); n != 0 {
				t.Errorf("%s at %v allocates %v times", kernel.name, level, n)
			}
		}
		var sum float64
		if n := testing.AllocsPerRun(10, func() { sum += For(level).Dot(v[0], v[1]) }); n != 0 {
			t.Errorf("Dot at %v allocates %v times", level, n)
		}
	}
}

func TestVectorsCheckTheirArguments(t *testing.T) {
	k := For(Best())
	two, three := make([]float32, 2), make([]float32, 3)
	tests := []struct {
		want string
		call func()
	}{
		{"simd: Add: src has 2 elements, needs 3", func() { k.Add(three, two) }},
		{"simd: Mul: src has 2 elements, needs 3", func() { k.Mul(three, two) }},
		{"simd: Axpy: y has 2 elements, needs 3", func() { k.Axpy(1, three, two) }},
		{"simd: Dot: y has 2 elements, needs 3", func() { k.Dot(three, two) }},
		{"simd: ReLU: src has 2 elements, needs 3", func() { k.ReLU(three, two) }},
		{"simd: ReLUGrad: dy has 2 elements, needs 3", func() { k.ReLUGrad(three, two, three) }},
		{"simd: ReLUGrad: y has 2 elements, needs 3", func() { k.ReLUGrad(three, three, two) }},
		{"simd: LeakyReLU: src has 2 elements, needs 3", func() { k.LeakyReLU(three, two, 1) }},
		{"simd: LeakyReLUGrad: x has 2 elements, needs 3", func() { k.LeakyReLUGrad(three, three, two, 1) }},
		{"simd: Exp: src has 2 elements, needs 3", func() { k.Exp(three, two) }},
		{"simd: Tanh: src has 2 elements, needs 3", func() { k.Tanh(three, two) }},
		{"simd: TanhGrad: y has 2 elements, needs 3", func() { k.TanhGrad(three, three, two) }},
		{"simd: Sigmoid: src has 2 elements, needs 3", func() { k.Sigmoid(three, two) }},
		{"simd: SigmoidGrad: dy has 2 elements, needs 3", func() { k.SigmoidGrad(three, two, three) }},
		{"simd: GELU: src has 2 elements, needs 3", func() { k.GELU(three, two) }},
		{"simd: GELUGrad: x has 2 elements, needs 3", func() { k.GELUGrad(three, three, two) }},
		{"simd: AddBias: bias has 2 elements, needs 3", func() { k.AddBias(1, 3, three, two) }},
		{"simd: AddBiasReLU: x has 3 elements, too few for 2×2 with leading dimension 2",
			func() { k.AddBiasReLU(2, 2, three, two) }},
		{"simd: AddColumnSums: acc has 2 elements, needs 3", func() { k.AddColumnSums(1, 3, three, two) }},
		{"simd: SGD: grad has 2 elements, needs 3", func() { k.SGD(SGDStep{}, three, two, nil) }},
		{"simd: SGD: buf has 0 elements, needs 3", func() { k.SGD(SGDStep{Momentum: 1}, three, three, nil) }},
		{"simd: Adam: v has 2 elements, needs 3", func() { k.Adam(AdamStep{}, three, three, three, two) }},
		{"simd: RMSprop: avg has 0 elements, needs 3",
			func() { k.RMSprop(RMSpropStep{Centered: true}, three, three, three, nil, nil) }},
		{"simd: RMSprop: buf has 2 elements, needs 3",
			func() { k.RMSprop(RMSpropStep{Momentum: 1}, three, three, three, two, nil) }},
	}
	for _, test := range tests {
		mustPanic(t, test.want, test.call)
	}
}
