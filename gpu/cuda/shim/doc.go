// Package shim stands where the CUDA driver library would be linked, so that a
// program that imports gorgonia.org/cu builds with gcc alone and starts on a
// machine that has no driver.
//
// It defines every driver function that cu and package cuda refer to
// (functions.h) as a trampoline: a jump through a slot. Until [Load] is called
// nothing is looked up and nothing is opened: cuInit and cuDeviceGetCount, which
// cu calls when the program starts, succeed and count no device, and every other
// function answers CUDA_ERROR_NOT_INITIALIZED. After Load a slot is filled by
// dlsym at its first use, and from then on a call costs one indirect jump more
// than a call to the library. A function that the driver lacks answers
// CUDA_ERROR_NOT_FOUND.
//
// All symbols are hidden: a program that exports its symbols to libraries it
// opens, as go-nvml does, must not offer these to the driver itself. The empty
// archive lib/libcuda.a is what cu's -lcuda finds.
//
// Only package cuda imports this and cu. It names lib/ to the linker itself: flags
// come in the order of packages from the importer down, so lib/ stands before the
// folders that cu names, in which a toolkit's libcuda.so may lie. Without the
// build tag cuda the package is empty.
package shim
