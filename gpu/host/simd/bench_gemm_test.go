package simd

import (
	"fmt"
	"testing"
)

// shape is a product's m×n×k.
type shape struct{ m, n, k int }

// gemmShapes are the products of the benchmark loads' layers, and squares.
var gemmShapes = []shape{
	{32, 64, 64}, {32, 10, 64}, {64, 64, 64}, {64, 128, 784}, {64, 10, 128},
	{64, 64, 32}, {128, 784, 64}, {64, 512, 512}, {256, 256, 256}, {1024, 1024, 1024},
}

func BenchmarkGemm(b *testing.B) {
	for _, op := range []string{"NN", "TN", "NT"} {
		for _, s := range gemmShapes {
			for _, level := range Levels() {
				b.Run(fmt.Sprintf("%s/%dx%dx%d/%s", op, s.m, s.n, s.k, level), func(b *testing.B) {
					benchmarkGemm(b, For(level), op, s)
				})
			}
		}
	}
}

func benchmarkGemm(b *testing.B, k Kernels, op string, s shape) {
	x, y := ramp(s.m*s.k), ramp(s.k*s.n)
	c := make([]float32, s.m*s.n)
	scratch := make([]float32, NTScratch(s.n, s.k))
	b.ReportAllocs()
	for b.Loop() {
		switch op {
		case "NN":
			k.GemmNN(false, s.m, s.n, s.k, x, s.k, y, s.n, c, s.n)
		case "TN":
			k.GemmTN(false, s.m, s.n, s.k, x, s.m, y, s.n, c, s.n)
		case "NT":
			k.GemmNT(false, s.m, s.n, s.k, x, s.k, y, s.k, c, s.n, scratch)
		}
	}
	flop := 2 * float64(s.m) * float64(s.n) * float64(s.k)
	b.ReportMetric(flop*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

// ramp returns n values in [-1, 1) without a pattern that rounding could like.
func ramp(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(uint32(i+1)*2654435761>>8)/(1<<23) - 1
	}
	return x
}
