// Entry points: memory, copies and memsets.
//
// What a copy does when follows the real driver's rules: from pageable memory
// the bytes are taken at the call; pinned memory is read or written when the
// copy runs; a copy to pageable memory is done when the call returns.
#include "graph.hpp"

namespace cudasim {
namespace {

CUresult check_count(void *out, size_t bytes) { return out && bytes ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; }

CUresult alloc_host(CUctx_st &context, void **p, size_t bytes) {
	if (CUresult r = check_count(p, bytes)) return r;
	if (CUresult r = check_unsafe()) return r;
	*p = (void *)allocate(Kind::HOST, bytes, context.device, &context);
	return *p ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult free_now(CUctx_st &context, uintptr_t p, bool host) {
	if (!p) return CUDA_SUCCESS;
	if (CUresult r = check_unsafe()) return r;
	if (!find(p, 0)) return CUDA_ERROR_INVALID_VALUE;
	if (CUresult r = synchronize(context)) return r;
	switch (release(p, host)) {
	case Freed::YES: return CUDA_SUCCESS;
	case Freed::NOT_FOUND: return CUDA_ERROR_INVALID_VALUE;
	case Freed::OVERRUN: set_poison(CUDA_ERROR_ILLEGAL_ADDRESS, "found when the allocation was freed");
	}
	return poison();
}

enum Direction { TO_DEVICE, TO_HOST, ON_DEVICE };

bool pinned(const void *p, size_t n) { return find((uintptr_t)p, n); }

// A copy in the stream; sync: as the calls without "Async" wait for it.
CUresult copy(CUctx_st &context, CUstream handle, Direction direction, void *to, const void *from, size_t n, bool sync) {
	auto stream = find_stream(context, handle);
	if (!stream) return CUDA_ERROR_INVALID_HANDLE;
	if (sync)
		if (CUresult r = check_unsafe()) return r;
	if (!n) return CUDA_SUCCESS;
	bool known_to = pinned(to, n), known_from = pinned(from, n);
	if (!to || !from || (direction != TO_HOST && !known_to) || (direction != TO_DEVICE && !known_from)) return CUDA_ERROR_INVALID_VALUE;
	bool stage = !known_from && !stream->capturing;
	Ticket ticket;
	if (sync && stage) {
		if (CUresult r = submit(stream, std::make_shared<Empty>(), &ticket)) return r;
		ticket.wait();
	}
	if (CUresult r = submit(stream, std::make_shared<Copy>(to, !known_to, from, !known_from, n, stage), &ticket)) return r;
	bool waits = direction == TO_HOST ? sync || !known_to : direction == TO_DEVICE && sync && known_from;
	if (!waits || stream->capturing) return CUDA_SUCCESS;
	ticket.wait();
	return poison();
}

CUresult set(CUctx_st &context, CUstream handle, CUdeviceptr to, unsigned value, unsigned width, size_t count) {
	auto stream = find_stream(context, handle);
	if (!stream) return CUDA_ERROR_INVALID_HANDLE;
	if (!count) return CUDA_SUCCESS;
	if (to % width || count > SIZE_MAX / width || !find(to, count * width)) return CUDA_ERROR_INVALID_VALUE;
	return submit(stream, std::make_shared<Set>((void *)to, value, width, count));
}

int pool_device(CUmemoryPool pool) {
	auto n = (uintptr_t)pool;
	return n && n <= (uintptr_t)settings().devices ? (int)n - 1 : -1;
}

} // namespace
} // namespace cudasim

using namespace cudasim;

API(cuMemGetInfo, size_t *free, size_t *total) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) {
		Usage u = usage(context.device);
		*free = u.free, *total = u.total;
		return CUDA_SUCCESS;
	});
}

API(cuMemAlloc, CUdeviceptr *p, size_t bytes) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) -> CUresult {
		if (CUresult r = check_count(p, bytes)) return r;
		if (CUresult r = check_unsafe()) return r;
		if (count_allocation()) return CUDA_ERROR_OUT_OF_MEMORY;
		*p = allocate(Kind::DEVICE, bytes, context.device, &context);
		return *p ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
	});
}

API(cuMemFree, CUdeviceptr p) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) { return free_now(context, p, false); });
}

API(cuMemAllocAsync, CUdeviceptr *p, size_t bytes, CUstream handle) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) -> CUresult {
		if (CUresult r = check_count(p, bytes)) return r;
		auto stream = find_stream(context, handle);
		if (!stream) return CUDA_ERROR_INVALID_HANDLE;
		if (CUresult r = check_capturing(*stream)) return r; // allocation nodes: not here
		if (count_allocation()) return CUDA_ERROR_OUT_OF_MEMORY;
		*p = allocate(Kind::STREAM_ORDERED, bytes, context.device, &context);
		return *p ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
	});
}

API(cuMemFreeAsync, CUdeviceptr p, CUstream handle) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) -> CUresult {
		auto stream = find_stream(context, handle);
		if (!stream) return CUDA_ERROR_INVALID_HANDLE;
		if (CUresult r = check_capturing(*stream)) return r;
		if (!p) return CUDA_SUCCESS;
		if (!begin_release(p)) return CUDA_ERROR_INVALID_VALUE;
		return submit(stream, std::make_shared<Other>([p] {
			if (release(p, false) == Freed::OVERRUN) set_poison(CUDA_ERROR_ILLEGAL_ADDRESS, "found when the allocation was freed");
		}));
	});
}

API(cuMemPoolSetAttribute, CUmemoryPool pool, CUmemPool_attribute which, void *value) {
	return call<INITIALIZED>(__func__, [&]() -> CUresult {
		int device = pool_device(pool);
		if (device < 0 || which != CU_MEMPOOL_ATTR_RELEASE_THRESHOLD) return CUDA_ERROR_INVALID_VALUE;
		pool_threshold(device, *(uint64_t *)value);
		return CUDA_SUCCESS;
	});
}

API(cuMemPoolGetAttribute, CUmemoryPool pool, CUmemPool_attribute which, void *value) {
	return call<INITIALIZED>(__func__, [&]() -> CUresult {
		int device = pool_device(pool);
		if (device < 0) return CUDA_ERROR_INVALID_VALUE;
		PoolUse u = pool_use(device);
		auto *out = (uint64_t *)value;
		switch ((int)which) {
		case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD: *out = u.threshold; return CUDA_SUCCESS;
		case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT: *out = u.reserved; return CUDA_SUCCESS;
		case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH: *out = u.reserved_high; return CUDA_SUCCESS;
		case CU_MEMPOOL_ATTR_USED_MEM_CURRENT: *out = u.used; return CUDA_SUCCESS;
		case CU_MEMPOOL_ATTR_USED_MEM_HIGH: *out = u.used_high; return CUDA_SUCCESS;
		}
		return CUDA_ERROR_INVALID_VALUE;
	});
}

API(cuMemPoolTrimTo, CUmemoryPool pool, size_t keep) {
	return call<INITIALIZED>(__func__, [&]() -> CUresult {
		int device = pool_device(pool);
		if (device < 0) return CUDA_ERROR_INVALID_VALUE;
		pool_trim(device, keep);
		return CUDA_SUCCESS;
	});
}

API(cuMemHostAlloc, void **p, size_t bytes, unsigned flags) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) { return flags & ~7u ? CUDA_ERROR_INVALID_VALUE : alloc_host(context, p, bytes); });
}
API(cuMemAllocHost_v2, void **p, size_t bytes) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) { return alloc_host(context, p, bytes); });
}

API(cuMemFreeHost, void *p) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) -> CUresult {
		Allocation a;
		if (p && (!find((uintptr_t)p, 0, &a) || a.kind != Kind::HOST)) return CUDA_ERROR_INVALID_VALUE;
		return free_now(context, (uintptr_t)p, true);
	});
}

API(cuMemHostRegister, void *p, size_t bytes, unsigned) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) -> CUresult {
		if (CUresult r = check_count(p, bytes)) return r;
		return register_host((uintptr_t)p, bytes, &context) ? CUDA_SUCCESS : CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
	});
}

API(cuMemHostUnregister, void *p) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) -> CUresult {
		Allocation a;
		if (!find((uintptr_t)p, 0, &a) || a.kind != Kind::REGISTERED || a.base != (uintptr_t)p) return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
		return free_now(context, (uintptr_t)p, true);
	});
}

API(cuMemHostGetDevicePointer, CUdeviceptr *out, void *p, unsigned flags) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) -> CUresult {
		Allocation a;
		if (flags || !find((uintptr_t)p, 1, &a) || a.on_device()) return CUDA_ERROR_INVALID_VALUE;
		*out = (CUdeviceptr)p;
		return CUDA_SUCCESS;
	});
}

API(cuMemGetAddressRange, CUdeviceptr *base, size_t *bytes, CUdeviceptr p) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) -> CUresult {
		Allocation a;
		if (!find(p, 1, &a)) return CUDA_ERROR_NOT_FOUND;
		if (base) *base = a.base;
		if (bytes) *bytes = a.bytes;
		return CUDA_SUCCESS;
	});
}

API(cuMemcpyHtoD, CUdeviceptr to, const void *from, size_t n) {
	return call<CONTEXT>(__func__, [&](CUctx_st &c) { return copy(c, nullptr, TO_DEVICE, (void *)to, from, n, true); });
}
API(cuMemcpyDtoH, void *to, CUdeviceptr from, size_t n) {
	return call<CONTEXT>(__func__, [&](CUctx_st &c) { return copy(c, nullptr, TO_HOST, to, (void *)from, n, true); });
}
API(cuMemcpyDtoD, CUdeviceptr to, CUdeviceptr from, size_t n) {
	return call<CONTEXT>(__func__, [&](CUctx_st &c) { return copy(c, nullptr, ON_DEVICE, (void *)to, (void *)from, n, true); });
}
API(cuMemcpyHtoDAsync, CUdeviceptr to, const void *from, size_t n, CUstream stream) {
	return call<CONTEXT>(__func__, [&](CUctx_st &c) { return copy(c, stream, TO_DEVICE, (void *)to, from, n, false); });
}
API(cuMemcpyDtoHAsync, void *to, CUdeviceptr from, size_t n, CUstream stream) {
	return call<CONTEXT>(__func__, [&](CUctx_st &c) { return copy(c, stream, TO_HOST, to, (void *)from, n, false); });
}
API(cuMemcpyDtoDAsync, CUdeviceptr to, CUdeviceptr from, size_t n, CUstream stream) {
	return call<CONTEXT>(__func__, [&](CUctx_st &c) { return copy(c, stream, ON_DEVICE, (void *)to, (void *)from, n, false); });
}

// By unified addressing: the addresses say which way.
static Direction direction(CUdeviceptr to, size_t n) { return pinned((void *)to, n) ? TO_DEVICE : TO_HOST; }
API(cuMemcpy, CUdeviceptr to, CUdeviceptr from, size_t n) {
	return call<CONTEXT>(__func__, [&](CUctx_st &c) { return copy(c, nullptr, direction(to, n), (void *)to, (void *)from, n, true); });
}
API(cuMemcpyAsync, CUdeviceptr to, CUdeviceptr from, size_t n, CUstream stream) {
	return call<CONTEXT>(__func__, [&](CUctx_st &c) { return copy(c, stream, direction(to, n), (void *)to, (void *)from, n, false); });
}

API(cuMemsetD8, CUdeviceptr to, unsigned char value, size_t n) {
	return call<CONTEXT>(__func__, [&](CUctx_st &c) { return set(c, nullptr, to, value, 1, n); });
}
API(cuMemsetD16, CUdeviceptr to, unsigned short value, size_t n) {
	return call<CONTEXT>(__func__, [&](CUctx_st &c) { return set(c, nullptr, to, value, 2, n); });
}
API(cuMemsetD32, CUdeviceptr to, unsigned value, size_t n) {
	return call<CONTEXT>(__func__, [&](CUctx_st &c) { return set(c, nullptr, to, value, 4, n); });
}
API(cuMemsetD8Async, CUdeviceptr to, unsigned char value, size_t n, CUstream stream) {
	return call<CONTEXT>(__func__, [&](CUctx_st &c) { return set(c, stream, to, value, 1, n); });
}
API(cuMemsetD16Async, CUdeviceptr to, unsigned short value, size_t n, CUstream stream) {
	return call<CONTEXT>(__func__, [&](CUctx_st &c) { return set(c, stream, to, value, 2, n); });
}
API(cuMemsetD32Async, CUdeviceptr to, unsigned value, size_t n, CUstream stream) {
	return call<CONTEXT>(__func__, [&](CUctx_st &c) { return set(c, stream, to, value, 4, n); });
}
