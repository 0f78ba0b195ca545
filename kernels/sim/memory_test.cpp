// Tests: memory is limited, poisoned and guarded; leaks are reported.
#include "test.hpp"
#include <cstring>
#include <fstream>
#include <thread>
#include <sys/wait.h>
#include <unistd.h>

using namespace test;

TEST(memory_is_poisoned) {
	Context c;
	for (size_t n : {1ul, 255ul, 256ul, 257ul, 4096ul, 100000ul}) {
		CUdeviceptr p = alloc(n);
		EQUAL(p % 256, 0ull);
		std::string got(n, 0);
		OK(cuMemcpyDtoH(got.data(), p, n));
		CHECK(got == std::string(n, '\xff'));
		OK(cuMemsetD8(p, 1, n));
		OK(cuMemFree(p));
	}
}

TEST(memory_is_limited) {
	set("CUDASIM_MEMORY", "1048576");
	Context c;
	size_t free, total;
	OK(cuMemGetInfo(&free, &total));
	EQUAL(total, 1048576ul), EQUAL(free, 1048576ul);
	OK(cuDeviceTotalMem(&total, 0));
	EQUAL(total, 1048576ul);
	CUdeviceptr p = alloc(1000000), q;
	OK(cuMemGetInfo(&free, &total));
	CHECK(free <= 48576);
	EQUAL(cuMemAlloc(&q, 100000), CUDA_ERROR_OUT_OF_MEMORY);
	EQUAL(cuMemAlloc(&q, (size_t)-1), CUDA_ERROR_OUT_OF_MEMORY);
	EQUAL(cuMemAlloc(&q, 0), CUDA_ERROR_INVALID_VALUE);
	OK(cuMemFree(p));
	EQUAL(cuMemFree(p), CUDA_ERROR_INVALID_VALUE);
	EQUAL(cuMemFree(12345), CUDA_ERROR_INVALID_VALUE);
	OK(cuMemFree(0));
	OK(cuMemFree(alloc(1048576)));
}

TEST(another_process_has_memory) {
	std::string held = temporary("held");
	set("CUDASIM_MEMORY", "1000000");
	set("CUDASIM_HELD", held);
	Context c;
	size_t free, total;
	OK(cuMemGetInfo(&free, &total));
	EQUAL(free, 1000000ul);
	std::ofstream(held) << "700000\n";
	OK(cuMemGetInfo(&free, &total));
	EQUAL(free, 300000ul), EQUAL(total, 1000000ul);
	CUdeviceptr p;
	EQUAL(cuMemAlloc(&p, 400000), CUDA_ERROR_OUT_OF_MEMORY);
	std::ofstream(held) << "1000000";
	CUcontext second;
	EQUAL(cuCtxCreate(&second, 0, 0), CUDA_ERROR_OUT_OF_MEMORY);
	std::ofstream(held) << "0";
	OK(cuMemAlloc(&p, 400000));
	OK(cuMemFree(p));
}

TEST(copies_stay_in_their_allocation) {
	Context c;
	CUdeviceptr p = alloc(100);
	char host[300] = {};
	OK(cuMemcpyHtoD(p, host, 100));
	EQUAL(cuMemcpyHtoD(p, host, 101), CUDA_ERROR_INVALID_VALUE);
	EQUAL(cuMemcpyHtoD(p + 100, host, 1), CUDA_ERROR_INVALID_VALUE);
	EQUAL(cuMemcpyDtoH(host, p + 1, 100), CUDA_ERROR_INVALID_VALUE);
	EQUAL(cuMemcpyDtoH(host, (CUdeviceptr)host + 100, 100), CUDA_ERROR_INVALID_VALUE); // not the device's
	EQUAL(cuMemsetD8(p, 0, 101), CUDA_ERROR_INVALID_VALUE);
	EQUAL(cuMemsetD32(p + 2, 0, 1), CUDA_ERROR_INVALID_VALUE);
	OK(cuMemsetD32(p, 0, 25));
	OK(cuMemcpyHtoD(p + 100, host, 0));
	OK(cuMemFree(p));
	EQUAL(cuMemcpyHtoD(p, host, 1), CUDA_ERROR_INVALID_VALUE);
}

// Freed by one stream while another still copies: the copy finds nothing.
TEST(copy_from_memory_freed_in_a_stream) {
	Context c;
	CUstream s = new_stream();
	CUdeviceptr p, q = alloc(4);
	OK(cuMemAllocAsync(&p, 4, s));
	OK(cuMemFreeAsync(p, s));
	EQUAL(cuMemFreeAsync(p, s), CUDA_ERROR_INVALID_VALUE);
	std::string said = stderr_of([&] {
		cuMemcpyDtoDAsync(q, p, 4, s);
		CUresult r = cuStreamSynchronize(s);
		CHECK(r == CUDA_ERROR_ILLEGAL_ADDRESS || r == CUDA_SUCCESS); // found out at the call, if it was freed by then
	});
	CHECK(said.empty() || has(said, "cudasim: copy from the device of 4 bytes: "));
}

// poke writes p[at] and the error that follows is fatal.
static void poke(long long size, long long at, const char *want) {
	Context c;
	CUdeviceptr p = alloc((size_t)size);
	std::string said = stderr_of([&] {
		OK(c.launch("poke", 1, 32, nullptr, p, at));
		EQUAL(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
	});
	if (!has(said, want)) fail(__FILE__, __LINE__, "said " + text(said) + ", want " + text(want));
	CUdeviceptr q;
	EQUAL(cuMemAlloc(&q, 4), CUDA_ERROR_ILLEGAL_ADDRESS);
	EQUAL(cuMemFree(p), CUDA_ERROR_ILLEGAL_ADDRESS);
	EQUAL(cuCtxDestroy(c.context), CUDA_ERROR_ILLEGAL_ADDRESS);
	EQUAL(cuCtxCreate(&c.context, 0, 0), CUDA_ERROR_ILLEGAL_ADDRESS);
	const char *name;
	OK(cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &name));
}
TEST(kernel_writes_past_the_end) { poke(4096, 4096, "cudasim: kernel poke, block (0,0,0), thread 0: illegal access to 0x"); }
TEST(kernel_writes_far_past_the_end) { poke(1000, 2000, " bytes past an allocation of 1000 bytes"); }
TEST(kernel_writes_before) { poke(4096, -1, "1 bytes before an allocation of 4096 bytes"); }
TEST(kernel_writes_null) {
	Context c;
	std::string said = stderr_of([&] {
		OK(c.launch("poke", 1, 32, nullptr, (CUdeviceptr)0, 8ll));
		EQUAL(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
	});
	CHECK(has(said, "illegal access to 0x8: a null pointer"));
}
TEST(kernel_writes_freed_memory) {
	Context c;
	CUdeviceptr p = alloc(100);
	OK(cuMemFree(p));
	std::string said = stderr_of([&] {
		OK(c.launch("poke", 1, 32, nullptr, p, 8ll));
		EQUAL(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
	});
	CHECK(has(said, "memory that was freed"));
}

// Within the last 256 bytes nothing faults, but it is found at the end.
#ifndef __SANITIZE_ADDRESS__
TEST(kernel_writes_just_past_the_end) {
	Context c;
	CUdeviceptr p = alloc(100);
	OK(c.launch("poke", 1, 32, nullptr, p, 104ll));
	OK(cuCtxSynchronize());
	std::string said = stderr_of([&] { EQUAL(cuMemFree(p), CUDA_ERROR_ILLEGAL_ADDRESS); });
	EQUAL(said, std::string("cudasim: memory was written 4 bytes past an allocation of 100 bytes\ncudasim: found when the allocation was freed\n"));
}
TEST(kernel_writes_just_before) {
	Context c;
	CUdeviceptr p = alloc(100);
	OK(c.launch("poke", 1, 32, nullptr, p, -5ll));
	OK(cuCtxSynchronize());
	std::string said = stderr_of([&] { EQUAL(cuCtxDestroy(c.context), CUDA_ERROR_ILLEGAL_ADDRESS); });
	CHECK(has(said, "cudasim: memory was written 5 bytes before an allocation of 100 bytes\n"));
	CHECK(has(said, "cudasim: found when the context was destroyed\n"));
}
#endif

TEST(host_memory_is_mapped) {
	Context c;
	int *p = pinned(10);
	CUdeviceptr d;
	OK(cuMemHostGetDevicePointer(&d, p, 0));
	OK(c.launch("fill", 1, 32, nullptr, d, 10, 6));
	OK(cuCtxSynchronize());
	EQUAL(p[9], 6);
	int local;
	EQUAL(cuMemHostGetDevicePointer(&d, &local, 0), CUDA_ERROR_INVALID_VALUE);
	EQUAL(cuMemFreeHost(&local), CUDA_ERROR_INVALID_VALUE);
	EQUAL(cuMemFree((CUdeviceptr)p), CUDA_ERROR_INVALID_VALUE);
	OK(cuMemFreeHost(p));
}

TEST(pool_keeps_what_is_freed_up_to_its_threshold) {
	set("CUDASIM_MEMORY", "1048576");
	Context c;
	CUstream s = new_stream();
	CUmemoryPool pool;
	OK(cuDeviceGetDefaultMemPool(&pool, 0));
	uint64_t threshold = 512 << 10, used, reserved;
	OK(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold));
	auto use = [&] {
		OK(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
		OK(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &reserved));
	};
	CUdeviceptr p, q;
	OK(cuMemAllocAsync(&p, 300 << 10, s));
	OK(cuMemAllocAsync(&q, 600 << 10, s));
	use();
	EQUAL(used, 900ul << 10), EQUAL(reserved, 900ul << 10);
	OK(cuMemFreeAsync(q, s));
	OK(cuStreamSynchronize(s));
	use();
	EQUAL(used, 300ul << 10), EQUAL(reserved, 512ul << 10);
	size_t free, total;
	OK(cuMemGetInfo(&free, &total));
	EQUAL(free, 512ul << 10);
	EQUAL(cuMemAlloc(&q, 600 << 10), CUDA_ERROR_OUT_OF_MEMORY); // the pool holds it
	OK(cuMemPoolTrimTo(pool, 0));
	OK(cuMemAlloc(&q, 600 << 10));
	OK(cuMemFree(q));
	OK(cuMemFree(p)); // allowed for what AllocAsync gave
	OK(cuStreamDestroy(s));
}

TEST(leaks_are_reported) {
	std::string leaks = temporary("leaks");
	set("CUDASIM_LEAKS", leaks);
	static auto *c = new Context; // not destroyed by its destructor: as a program forgets
	alloc(100), alloc(23), pinned(2), new_stream();
	CUevent e;
	OK(cuEventCreate(&e, 0));
	CUgraph g;
	CUgraphExec x;
	OK(cuGraphCreate(&g, 0));
	OK(cuGraphInstantiateWithFlags(&x, g, 0));
	std::string said = stderr_of([&] { OK(cuCtxDestroy(c->context)); });
	std::string want = "cudasim: leaked 2 allocations (123 bytes), 1 host allocation (8 bytes), 1 stream, 1 event, 1 executable graph, 1 graph, 1 module\n";
	EQUAL(said, want);
	EQUAL(contents(leaks), want);
	EQUAL(cuCtxSynchronize(), CUDA_ERROR_INVALID_CONTEXT);
	EQUAL(cuCtxDestroy(c->context), CUDA_ERROR_INVALID_CONTEXT);
	EQUAL(cuEventDestroy(e), CUDA_ERROR_INVALID_CONTEXT);
}

TEST(no_leak_no_report) {
	std::string leaks = temporary("leaks");
	set("CUDASIM_LEAKS", leaks);
	std::string said = stderr_of([] {
		Context c;
		CUdeviceptr p = alloc(100);
		OK(cuMemFree(p));
	});
	EQUAL(said, std::string());
	CHECK(access(leaks.c_str(), F_OK));
}

TEST(faults_of_other_threads_are_not_taken) {
	Context c;
	OK(c.launch("nothing", 1, 1, nullptr));
	OK(cuCtxSynchronize()); // the handlers are there now
	int status;
	volatile uintptr_t nowhere = 8;
	pid_t child = fork();
	if (!child) {
		*(volatile int *)nowhere = 1;
		_exit(0);
	}
	waitpid(child, &status, 0);
	CHECK(!WIFEXITED(status) || WEXITSTATUS(status)); // the sanitizers exit
}
