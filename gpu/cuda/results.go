//go:build cuda

package cuda

// #cgo CFLAGS: -I${SRCDIR}/include
// #cgo LDFLAGS: -L${SRCDIR}/shim/lib
// #include <cuda.h>
import "C"

import (
	"errors"
	"fmt"
	"reflect"
	"unsafe"

	"gorgonia.org/cu"
)

// check is the error of one of our own calls; nil for CUDA_SUCCESS.
func check(call string, r C.CUresult) error {
	if r == C.CUDA_SUCCESS {
		return nil
	}
	return newError(call, int(r))
}

// wrap is the error of a call that cu made; nil for nil. cu's errors are
// numbers of a type that it does not export.
func wrap(call string, err error) error {
	if err == nil {
		return nil
	}
	if v := reflect.ValueOf(err); v.CanInt() {
		return newError(call, int(v.Int()))
	}
	return fmt.Errorf("%s: %w", call, err)
}

func newError(call string, number int) *Error {
	return &Error{Code: number, Name: codeOf(number).name, Call: call}
}

// numberOf is the driver's number in an error; 0 when there is none.
func numberOf(err error) C.CUresult {
	var e *Error
	if errors.As(err, &e) {
		return C.CUresult(e.Code)
	}
	return C.CUDA_SUCCESS
}

// closed is the error of a call on an object that was closed, or whose context was.
func closed(call string) error { return newError(call, C.CUDA_ERROR_INVALID_HANDLE) }

// cu's handles are structs of one C pointer, of which only Stream's can be had.
// These lines do not compile if one of them changes.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(cu.Function{})-unsafe.Sizeof(C.CUfunction(nil))]
	_ = [1]struct{}{}[unsafe.Sizeof(cu.Module{})-unsafe.Sizeof(C.CUmodule(nil))]
)

func function(f cu.Function) C.CUfunction { return *(*C.CUfunction)(unsafe.Pointer(&f)) }
func stream(s cu.Stream) C.CUstream       { return C.CUstream(unsafe.Pointer(s.C())) }
