//go:build cuda

package cuda

// #include <cuda.h>
//
// static CUresult host_alloc(void **host, CUdeviceptr *device, size_t bytes) {
// 	CUresult r = cuMemHostAlloc(host, bytes, CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP);
// 	if (r == CUDA_SUCCESS && (r = cuMemHostGetDevicePointer(device, *host, 0)) != CUDA_SUCCESS) cuMemFreeHost(*host);
// 	return r;
// }
//
// static CUresult pool(CUmemoryPool *of) {
// 	CUdevice device;
// 	CUresult r = cuCtxGetDevice(&device);
// 	return r == CUDA_SUCCESS ? cuDeviceGetDefaultMemPool(of, device) : r;
// }
//
// static CUresult pool_keep(uint64_t bytes) {
// 	CUmemoryPool p;
// 	CUresult r = pool(&p);
// 	return r == CUDA_SUCCESS ? cuMemPoolSetAttribute(p, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &bytes) : r;
// }
//
// static CUresult pool_trim(size_t keep) {
// 	CUmemoryPool p;
// 	CUresult r = pool(&p);
// 	return r == CUDA_SUCCESS ? cuMemPoolTrimTo(p, keep) : r;
// }
//
// static CUresult pool_use(uint64_t *used, uint64_t *reserved) {
// 	CUmemoryPool p;
// 	CUresult r = pool(&p);
// 	if (r == CUDA_SUCCESS) r = cuMemPoolGetAttribute(p, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, used);
// 	return r == CUDA_SUCCESS ? cuMemPoolGetAttribute(p, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, reserved) : r;
// }
import "C"

import (
	"slices"
	"unsafe"

	"gorgonia.org/cu"
)

// Alloc takes memory of the device, aligned to 256 bytes; its contents are
// undefined. It waits for work in the context. [IsOutOfMemory] tells the one
// error to expect.
func (c *Context) Alloc(bytes int64) (Ptr, error) {
	if c.over.Load() {
		return 0, closed("cuMemAlloc")
	}
	p, err := cu.MemAlloc(bytes)
	if err != nil {
		return 0, wrap("cuMemAlloc", err)
	}
	c.live[allocations].Add(1)
	return Ptr(p), nil
}

// Free gives back what Alloc or AllocAsync gave; freeing 0 does nothing. It waits
// for work in the context.
func (c *Context) Free(p Ptr) error {
	if p == 0 {
		return nil
	}
	return c.release(allocations, func() error { return wrap("cuMemFree", cu.MemFree(cu.DevicePtr(p))) })
}

// Host is page-locked memory of the host that the device reads and writes too,
// under the address Device. Copies between it and the device run asynchronously.
type Host struct {
	Bytes  []byte // nil after Free
	Device Ptr

	context *Context
}

// AllocHost takes page-locked memory, mapped into the device's addresses and
// known to all contexts of the process. It is slow (milliseconds for many
// megabytes), and what it takes is gone for the rest of the machine.
func (c *Context) AllocHost(bytes int64) (*Host, error) {
	if c.over.Load() {
		return nil, closed("cuMemHostAlloc")
	}
	var p unsafe.Pointer
	var device C.CUdeviceptr
	if err := check("cuMemHostAlloc", C.host_alloc(&p, &device, C.size_t(bytes))); err != nil {
		return nil, err
	}
	c.live[hostAllocations].Add(1)
	c.pin(span{uintptr(p), uintptr(p) + uintptr(bytes)})
	return &Host{Bytes: unsafe.Slice((*byte)(p), bytes), Device: Ptr(device), context: c}, nil
}

// Free gives the memory back; a second call does nothing. Nobody may use Bytes
// or the device's address any more.
func (h *Host) Free() error {
	if h.Bytes == nil {
		return nil
	}
	p := unsafe.Pointer(unsafe.SliceData(h.Bytes))
	err := h.context.release(hostAllocations, func() error { return wrap("cuMemFreeHost", cu.MemFreeHost(p)) })
	if err == nil {
		h.context.unpin(uintptr(p))
		h.Bytes = nil
	}
	return err
}

// span is the addresses from first up to end.
type span struct{ first, end uintptr }

// pin adds a span to the page-locked ones.
func (c *Context) pin(s span) {
	c.pinning.Lock()
	defer c.pinning.Unlock()
	spans := slices.Clone(c.spans())
	i, _ := slices.BinarySearchFunc(spans, s.first, byFirst)
	spans = slices.Insert(spans, i, s)
	c.pinned.Store(&spans)
}

// unpin takes out the span that begins at first.
func (c *Context) unpin(first uintptr) {
	c.pinning.Lock()
	defer c.pinning.Unlock()
	spans := slices.Clone(c.spans())
	if i, ok := slices.BinarySearchFunc(spans, first, byFirst); ok {
		spans = slices.Delete(spans, i, i+1)
	}
	c.pinned.Store(&spans)
}

// isPinned says whether all of b is page-locked.
func (c *Context) isPinned(b []byte) bool {
	spans := c.spans()
	first := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	i, ok := slices.BinarySearchFunc(spans, first, byFirst)
	if !ok {
		i-- // the one that begins before it
	}
	return i >= 0 && first+uintptr(len(b)) <= spans[i].end
}

func (c *Context) spans() []span {
	if p := c.pinned.Load(); p != nil {
		return *p
	}
	return nil
}

func byFirst(s span, first uintptr) int {
	switch {
	case s.first < first:
		return -1
	case s.first > first:
		return 1
	}
	return 0
}

// AllocAsync takes memory of the device in the stream's order, from a pool: it
// may be used by what is submitted to the stream afterwards.
func (s *Stream) AllocAsync(bytes int64) (Ptr, error) {
	if !s.open() {
		return 0, closed("cuMemAllocAsync")
	}
	var p C.CUdeviceptr
	if err := check("cuMemAllocAsync", C.cuMemAllocAsync(&p, C.size_t(bytes), s.c())); err != nil {
		return 0, err
	}
	s.context.live[allocations].Add(1)
	return Ptr(p), nil
}

// FreeAsync gives memory of Alloc or AllocAsync back once the stream has come
// so far.
func (s *Stream) FreeAsync(p Ptr) error {
	if !s.open() {
		return closed("cuMemFreeAsync")
	}
	return s.context.release(allocations, func() error {
		return check("cuMemFreeAsync", C.cuMemFreeAsync(C.CUdeviceptr(p), s.c()))
	})
}

// KeepFreed has the pool of AllocAsync keep up to so many bytes that were freed
// instead of giving them back to the device at the next synchronisation; at
// first it keeps none.
func (c *Context) KeepFreed(bytes int64) error {
	return check("cuMemPoolSetAttribute", C.pool_keep(C.uint64_t(bytes)))
}

// TrimPool gives freed memory of AllocAsync's pool back to the device, but for
// keep bytes.
func (c *Context) TrimPool(keep int64) error {
	return check("cuMemPoolTrimTo", C.pool_trim(C.size_t(keep)))
}

// PoolUse is the bytes of AllocAsync's pool that are in use, and those that it
// holds of the device's memory.
func (c *Context) PoolUse() (used, reserved int64, err error) {
	var u, r C.uint64_t
	err = check("cuMemPoolGetAttribute", C.pool_use(&u, &r))
	return int64(u), int64(r), err
}
