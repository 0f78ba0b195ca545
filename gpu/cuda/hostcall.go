//go:build cuda

package cuda

// #include <cuda.h>
//
// extern void weftCudaHostCall(void *);
//
// static inline CUresult launch_host_call(CUstream s, uintptr_t handle) {
// 	return cuLaunchHostFunc(s, weftCudaHostCall, (void *)handle);
// }
import "C"

import (
	"runtime/cgo"
	"sync/atomic"
	"unsafe"
)

// hostCall is a function that the driver calls, under a cgo.Handle.
type hostCall struct {
	f      func()
	repeat bool // part of a graph: called at every run, the handle is the graph's
}

// hostCalls are the handles of a graph's host calls, shared by the graph and
// what was made of it.
type hostCalls struct {
	users   atomic.Int32
	handles []cgo.Handle // set before the capture ends
}

// drop gives up one use; the last deletes the handles.
func (c *hostCalls) drop() {
	if c.users.Add(-1) == 0 {
		for _, h := range c.handles {
			h.Delete()
		}
	}
}

// Call has f called when the work submitted to the stream so far is done, on a
// thread of the driver; work submitted afterwards waits for it. f must not call
// this package nor wait for anything that does. In a capture f becomes part of
// the graph and is called at each run. If the work before it fails f is never
// called.
func (s *Stream) Call(f func()) error {
	if !s.open() {
		return closed("cuLaunchHostFunc")
	}
	if s.capture == nil {
		var status C.CUstreamCaptureStatus
		if err := check("cuStreamIsCapturing", C.cuStreamIsCapturing(s.c(), &status)); err != nil {
			return err
		}
		if status != C.CU_STREAM_CAPTURE_STATUS_NONE { // in another stream's graph, which could not keep f
			return newError("cuLaunchHostFunc", C.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED)
		}
	}
	h := cgo.NewHandle(hostCall{f, s.capture != nil})
	if err := check("cuLaunchHostFunc", C.launch_host_call(s.c(), C.uintptr_t(h))); err != nil {
		h.Delete()
		return err
	}
	if s.capture != nil {
		s.capture.handles = append(s.capture.handles, h)
	}
	return nil
}

//export weftCudaHostCall
func weftCudaHostCall(p unsafe.Pointer) {
	h := cgo.Handle(uintptr(p))
	call := h.Value().(hostCall)
	if !call.repeat {
		h.Delete()
	}
	call.f()
}
