//go:build cuda

package cuda

// #include <cuda.h>
//
// static CUresult copy_in(CUdeviceptr dst, const void *src, size_t n, CUstream s, int wait) {
// 	CUresult r = cuMemcpyHtoDAsync(dst, src, n, s);
// 	return r == CUDA_SUCCESS && wait ? cuStreamSynchronize(s) : r;
// }
//
// static CUresult copy_out(void *dst, CUdeviceptr src, size_t n, CUstream s, int wait) {
// 	CUresult r = cuMemcpyDtoHAsync(dst, src, n, s);
// 	return r == CUDA_SUCCESS && wait ? cuStreamSynchronize(s) : r;
// }
import "C"

import (
	"unsafe"

	"gorgonia.org/cu"
)

// Stream is a queue of work of the device, done in order. Streams do not wait
// for each other but through events.
type Stream struct {
	handle  cu.Stream
	context *Context
	capture *hostCalls // of the graph being captured; nil when none is
}

// NewStream makes a stream that does not wait for the default one. priority is
// one of [Context.PriorityRange]'s: 0 is the default and the least, -1 and below
// go first.
func (c *Context) NewStream(priority int) (*Stream, error) {
	if c.over.Load() {
		return nil, closed("cuStreamCreateWithPriority")
	}
	h, err := cu.MakeStreamWithPriority(priority, cu.NonBlocking)
	if err != nil {
		return nil, wrap("cuStreamCreateWithPriority", err)
	}
	c.live[streams].Add(1)
	return &Stream{handle: h, context: c}, nil
}

// Close destroys the stream once its work is done, without waiting for that; a
// second call does nothing.
func (s *Stream) Close() error {
	if s.handle == cu.NoStream {
		return nil
	}
	return s.context.release(streams, func() error { return wrap("cuStreamDestroy", s.handle.Destroy()) })
}

// open says that the stream can be used.
func (s *Stream) open() bool { return s.handle != cu.NoStream && !s.context.over.Load() }

func (s *Stream) c() C.CUstream { return stream(s.handle) }

// CopyIn copies host memory to the device, in the stream's order. From
// [Host].Bytes it returns at once, and src must stay as it is until the copy is
// done; from any other memory it returns when the copy, and all before it in the
// stream, is done: for little and seldom.
func (s *Stream) CopyIn(dst Ptr, src []byte) error {
	const call = "cuMemcpyHtoDAsync"
	if len(src) == 0 {
		return nil
	}
	wait, err := s.mustWait(call, src)
	if err != nil {
		return err
	}
	return check(call, C.copy_in(C.CUdeviceptr(dst), unsafe.Pointer(unsafe.SliceData(src)), C.size_t(len(src)), s.c(), wait))
}

// CopyOut copies the device's memory to the host's, in the stream's order, and
// waits where CopyIn does.
func (s *Stream) CopyOut(dst []byte, src Ptr) error {
	const call = "cuMemcpyDtoHAsync"
	if len(dst) == 0 {
		return nil
	}
	wait, err := s.mustWait(call, dst)
	if err != nil {
		return err
	}
	return check(call, C.copy_out(unsafe.Pointer(unsafe.SliceData(dst)), C.CUdeviceptr(src), C.size_t(len(dst)), s.c(), wait))
}

// mustWait says (1) that a copy of host memory must be waited for, because the
// garbage collector owns it; a copy that is captured cannot be.
func (s *Stream) mustWait(call string, host []byte) (C.int, error) {
	switch {
	case !s.open():
		return 0, closed(call)
	case s.context.isPinned(host):
		return 0, nil
	case s.capture != nil:
		return 0, newError(call, C.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED)
	}
	return 1, nil
}

// CopyDevice copies n bytes within the device's memory.
func (s *Stream) CopyDevice(dst, src Ptr, n int64) error {
	if !s.open() {
		return closed("cuMemcpyDtoDAsync")
	}
	return wrap("cuMemcpyDtoDAsync", cu.MemcpyDtoDAsync(cu.DevicePtr(dst), cu.DevicePtr(src), n, s.handle))
}

// Set sets n bytes of the device's memory to value.
func (s *Stream) Set(dst Ptr, value byte, n int64) error {
	if !s.open() {
		return closed("cuMemsetD8Async")
	}
	return wrap("cuMemsetD8Async", cu.MemsetD8Async(cu.DevicePtr(dst), value, n, s.handle))
}

// Synchronize waits until all work submitted so far is done; the error may be
// that work's.
func (s *Stream) Synchronize() error {
	if !s.open() {
		return closed("cuStreamSynchronize")
	}
	return wrap("cuStreamSynchronize", s.handle.Synchronize())
}

// Query says whether all work submitted so far is done, without waiting. It does
// not allocate.
func (s *Stream) Query() (done bool, err error) {
	if !s.open() {
		return false, closed("cuStreamQuery")
	}
	return ready("cuStreamQuery", C.cuStreamQuery(s.c()))
}

// ready is the answer to a query.
func ready(call string, r C.CUresult) (done bool, err error) {
	if r == C.CUDA_ERROR_NOT_READY {
		return false, nil
	}
	err = check(call, r)
	return err == nil, err
}
