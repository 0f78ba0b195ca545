//go:build cuda

package shim

// #cgo CFLAGS: -I${SRCDIR}/../include
// #cgo LDFLAGS: -ldl
// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"errors"
	"unsafe"
)

// ErrNoInit is Load's error for a shared library that is no CUDA driver.
var ErrNoInit = errors.New("it has no function cuInit")

// Load opens the driver library that dlopen finds under path, a file or a bare
// name such as libcuda.so.1, and points the driver's functions at it. It sets
// CUDA_DEVICE_MAX_CONNECTIONS=32 in the environment that the driver reads,
// unless it is set. The error is dlopen's words or [ErrNoInit], and then nothing
// has changed; after a success further calls return nil and change nothing. It
// does not call cuInit.
func Load(path string) error {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var why [512]C.char
	switch C.weft_cuda_load(name, &why[0], C.size_t(len(why))) {
	case C.WEFT_CUDA_LOADED:
		return nil
	case C.WEFT_CUDA_NO_INIT:
		return ErrNoInit
	}
	return errors.New(C.GoString(&why[0]))
}

// Path is the file of the loaded driver library, "" before [Load].
func Path() string { return C.GoString(C.weft_cuda_path()) }

// Has says whether the loaded driver has the function.
func Has(name string) bool {
	n := C.CString(name)
	defer C.free(unsafe.Pointer(n))
	return C.weft_cuda_has(n) != 0
}
