//go:build cuda

package cuda

// #include <cuda.h>
// #include <string.h>
//
// // The kernel's parameters are in words: the i-th begins at word at[i], or, where
// // at is null, is word i. Those of at may be larger and are aligned to 16 bytes here.
// static CUresult launch(CUfunction f, unsigned grid, unsigned block, unsigned shared, CUstream s,
// 		const uint64_t *words, unsigned n, const uint32_t *at, unsigned args) {
// 	void *params[args + 1];
// 	_Alignas(16) uint64_t aligned[at ? n + 1 : 1];
// 	if (at) {
// 		memcpy(aligned, words, n * sizeof *words);
// 		words = aligned;
// 	}
// 	for (unsigned i = 0; i < args; i++) params[i] = (void *)(words + (at ? at[i] : i));
// 	return cuLaunchKernel(f, grid, 1, 1, block, 1, 1, shared, s, params, 0);
// }
//
// #cgo noescape launch
// #cgo nocallback launch
import "C"

import (
	"math"
	"unsafe"
)

// Arg is a value for a kernel's parameter: of a scalar's own size, or the bytes
// of a struct.
type Arg struct {
	bits  uint64
	bytes []byte // nil for a scalar
}

// Pointer is an argument for a pointer parameter.
func Pointer(p Ptr) Arg { return Arg{bits: uint64(p)} }

// Uint32 is an argument for a parameter of 32 bits without sign.
func Uint32(v uint32) Arg { return Arg{bits: uint64(v)} }

// Int32 is an argument for a parameter of 32 bits with sign.
func Int32(v int32) Arg { return Arg{bits: uint64(uint32(v))} }

// Uint64 is an argument for a parameter of 64 bits without sign.
func Uint64(v uint64) Arg { return Arg{bits: v} }

// Int64 is an argument for a parameter of 64 bits with sign.
func Int64(v int64) Arg { return Arg{bits: uint64(v)} }

// Float32 is an argument for a float.
func Float32(v float32) Arg { return Arg{bits: uint64(math.Float32bits(v))} }

// Float64 is an argument for a double.
func Float64(v float64) Arg { return Arg{bits: math.Float64bits(v)} }

// Bytes is an argument for a struct that is passed by value. A launch with one
// allocates.
func Bytes(b []byte) Arg {
	if b == nil {
		b = []byte{}
	}
	return Arg{bytes: b}
}

const (
	fastArgs = 16   // scalars that a launch passes without allocating
	maxWords = 8192 // of 8 bytes, of all parameters with their gaps; drivers take less
)

// Launch has the stream run f on grid blocks of block threads, in one dimension,
// with so many bytes of dynamic shared memory a block. The arguments' values are
// taken before it returns; their number and sizes must be the kernel's, which
// nobody checks. With up to 16 scalars it does not allocate.
func (s *Stream) Launch(f *Function, grid, block, shared int, args ...Arg) error {
	if !s.open() {
		return closed("cuLaunchKernel")
	}
	if len(args) > fastArgs || hasBytes(args) {
		return s.launchLarge(f, grid, block, shared, args)
	}
	var words [fastArgs]uint64
	for i, a := range args {
		words[i] = a.bits
	}
	return check("cuLaunchKernel", C.launch(function(f.handle), C.uint(grid), C.uint(block), C.uint(shared), s.c(),
		(*C.uint64_t)(&words[0]), fastArgs, nil, C.uint(len(args))))
}

func hasBytes(args []Arg) bool {
	for _, a := range args {
		if a.bytes != nil {
			return true
		}
	}
	return false
}

// launchLarge is Launch for parameters of any number and size.
func (s *Stream) launchLarge(f *Function, grid, block, shared int, args []Arg) error {
	if len(args) > maxWords {
		return newError("cuLaunchKernel", C.CUDA_ERROR_INVALID_VALUE)
	}
	words := make([]uint64, 0, 2*len(args))
	at := make([]uint32, len(args))
	for i, a := range args {
		words = append(words, make([]uint64, len(words)%2)...) // to 16 bytes
		at[i] = uint32(len(words))
		if a.bytes == nil {
			words = append(words, a.bits)
			continue
		}
		words = append(words, make([]uint64, (len(a.bytes)+7)/8)...)
		copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words[at[i]:]))), len(a.bytes)), a.bytes)
	}
	if len(words) > maxWords {
		return newError("cuLaunchKernel", C.CUDA_ERROR_INVALID_VALUE)
	}
	return check("cuLaunchKernel", C.launch(function(f.handle), C.uint(grid), C.uint(block), C.uint(shared), s.c(),
		(*C.uint64_t)(unsafe.SliceData(words)), C.uint(len(words)), (*C.uint32_t)(unsafe.SliceData(at)), C.uint(len(args))))
}
