package host

import (
	"weft/gpu/host/simd"
	"weft/gpu/train"
)

// vectorKernels is kernels in the machine's vector instructions.
type vectorKernels struct {
	simd.Kernels
	scratch []float32 // for the widest nt of the model it was made for
}

var _ kernels[float32] = (*vectorKernels)(nil)

// newVectorKernels takes the scratch that a model's products need from a.
func newVectorKernels(a *arena, m *train.Model) *vectorKernels {
	need := 0
	for i := range m.Stages {
		s := &m.Stages[i]
		switch s.Kind {
		case train.Linear:
			need = max(need, simd.NTScratch(s.Width, s.InSize()))
		case train.Conv2D:
			w := windowOf(s)
			need = max(need, simd.NTScratch(w.patch(), max(w.positions(), w.lineUp())))
		}
	}
	return &vectorKernels{Kernels: simd.For(simd.Best()), scratch: take[float32](a, need)}
}

func (v *vectorKernels) nn(m, n, k int, a, b, c []float32, accumulate bool) {
	v.GemmNN(accumulate, m, n, k, a, k, b, n, c, n)
}

func (v *vectorKernels) nt(m, n, k int, a, b, c []float32, accumulate bool) {
	v.GemmNT(accumulate, m, n, k, a, k, b, k, c, n, v.scratch)
}

func (v *vectorKernels) tn(m, n, k int, a, b, c []float32, accumulate bool) {
	v.GemmTN(accumulate, m, n, k, a, m, b, n, c, n)
}

func (v *vectorKernels) addBias(y, bias []float32) {
	v.AddBias(len(y)/len(bias), len(bias), y, bias)
}

func (v *vectorKernels) addBiasReLU(y, bias []float32) {
	v.AddBiasReLU(len(y)/len(bias), len(bias), y, bias)
}

func (v *vectorKernels) columnSums(sums, x []float32) {
	clear(sums)
	v.AddColumnSums(len(x)/len(sums), len(sums), x, sums)
}

func (v *vectorKernels) multiply(y, a, b []float32) {
	if &y[0] != &a[0] {
		copy(y, a)
	}
	v.Mul(y, b)
}

func (v *vectorKernels) add(y, x []float32) { v.Add(y, x) }

func (v *vectorKernels) sum(x []float32) float64    { return v.Sum(x) }
func (v *vectorKernels) dot(x, y []float32) float64 { return v.Dot(x, y) }

func (v *vectorKernels) relu(y, x []float32)                     { v.ReLU(y, x) }
func (v *vectorKernels) reluGrad(dx, dy, y []float32)            { v.ReLUGrad(dx, dy, y) }
func (v *vectorKernels) leakyReLU(y, x []float32, slope float32) { v.LeakyReLU(y, x, slope) }
func (v *vectorKernels) leakyReLUGrad(dx, dy, x []float32, slope float32) {
	v.LeakyReLUGrad(dx, dy, x, slope)
}
func (v *vectorKernels) tanh(y, x []float32)             { v.Tanh(y, x) }
func (v *vectorKernels) tanhGrad(dx, dy, y []float32)    { v.TanhGrad(dx, dy, y) }
func (v *vectorKernels) sigmoid(y, x []float32)          { v.Sigmoid(y, x) }
func (v *vectorKernels) sigmoidGrad(dx, dy, y []float32) { v.SigmoidGrad(dx, dy, y) }
func (v *vectorKernels) gelu(y, x []float32)             { v.GELU(y, x) }
func (v *vectorKernels) geluGrad(dx, dy, x []float32)    { v.GELUGrad(dx, dy, x) }
func (v *vectorKernels) exp(y, x []float32)              { v.Exp(y, x) }
