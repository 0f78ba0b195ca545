package simd

import (
	"fmt"
	"testing"
)

// traffic is how many vectors a kernel reads and writes, for its bandwidth.
var traffic = map[string]int{
	"Add": 3, "Scale": 2, "Axpy": 3, "ReLU": 2, "ReLUGrad": 3, "Exp": 2, "Tanh": 2, "TanhGrad": 3, "Sigmoid": 2,
	"GELU": 2, "GELUGrad": 3, "SGD": 3, "Adam": 7, "AdamW": 7,
}

// BenchmarkVector runs elementwise kernels on as many elements as a small
// network has parameters, which stay in the first- or second-level cache.
func BenchmarkVector(b *testing.B) {
	const n = 9000
	for _, kernel := range vectorKernels() {
		passes, ok := traffic[kernel.name]
		if !ok {
			continue
		}
		for _, level := range Levels() {
			b.Run(fmt.Sprintf("%s/%s", kernel.name, level), func(b *testing.B) {
				k := For(level)
				v := make([][]float32, kernel.vectors)
				for i := range v {
					v[i] = ramp(n)
				}
				if kernel.vectors == 4 {
					k.Scale(v[3], 0)
				}
				b.ReportAllocs()
				for b.Loop() {
					kernel.run(k, v)
				}
				reportBandwidth(b, passes*n)
			})
		}
	}
}

// BenchmarkRows runs the kernels that combine rows with a vector on a batch of
// 64 rows of a wide layer and of an output layer.
func BenchmarkRows(b *testing.B) {
	const rows = 64
	for _, kernel := range rowKernels {
		for _, cols := range []int{10, 64, 512} {
			for _, level := range Levels() {
				b.Run(fmt.Sprintf("%s/%dx%d/%s", kernel.name, rows, cols, level), func(b *testing.B) {
					x, v := make([]float32, rows*cols), make([]float32, cols)
					b.ReportAllocs()
					for b.Loop() {
						kernel.run(For(level), rows, cols, x, v)
					}
					reportBandwidth(b, 2*rows*cols)
				})
			}
		}
	}
}

func BenchmarkSumSquares(b *testing.B) {
	x := ramp(9000)
	for _, level := range Levels() {
		b.Run(level.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				For(level).SumSquares(x)
			}
			reportBandwidth(b, len(x))
		})
	}
}

// reportBandwidth reports how fast that many float32 an iteration were moved.
func reportBandwidth(b *testing.B, floats int) {
	b.ReportMetric(4*float64(floats)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
}
