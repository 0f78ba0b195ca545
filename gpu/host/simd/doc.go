// Package simd has the float32 vector kernels of the CPU device: matrix
// products, elementwise layers, reductions and optimizer updates, in AVX-512,
// in AVX2 with FMA, and in portable Go.
//
//	k := simd.For(simd.Best())
//	k.GemmNN(false, m, n, p, a, p, b, n, c, n) // c = a·b
//	k.AddBiasReLU(m, n, c, bias)
//
// # Same bits everywhere
//
// A training job must not change its result because it moved to another
// machine. So every kernel fixes its order of operations: an element of a
// matrix product is one chain of fused multiply-adds over k in increasing
// order, whatever the tile it falls into; reductions keep sixteen partial sums
// and add them in a fixed tree; functions such as [Kernels.Tanh] are one
// sequence of float32 operations. All levels return the same bits, the portable
// one included (it rounds a float32 fused multiply-add correctly by hand where
// the compiler does not emit one). Only the payload of a NaN may differ between
// the portable level and the others.
//
// # Memory
//
// Matrices are row-major with an explicit leading dimension (the distance
// between rows, in elements). Arguments do not overlap unless a kernel says that
// they may. No kernel allocates, and none reads or writes beyond the elements its
// arguments describe. Lengths are checked in Go, before any assembly is reached; a
// wrong one panics with the argument's name, since it is a mistake in the caller
// and not in the user's data. Assembly is not preempted: split vectors of many
// millions of elements where that matters.
//
// # Where to start reading
//
// level.go chooses, gemm.go splits products into blocks and gemm_portable.go
// says what a block computes; internal/gen writes the assembly (go generate).
// The package imports only golang.org/x/sys/cpu.
package simd

//go:generate go run ./internal/gen .
