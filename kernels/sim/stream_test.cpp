// Tests: streams really are asynchronous and ordered; events; host functions.
#include "test.hpp"
#include <atomic>
#include <thread>
#include <unistd.h>

using namespace test;

TEST(stream_is_asynchronous) {
	Context c;
	CUstream s = new_stream();
	CUdeviceptr count = alloc(4);
	int *flag = pinned(1), *out = pinned(1);
	OK(cuMemsetD32Async(count, 0, 1, s));
	OK(c.launch("wait_for", 1, 1, s, flag, count));
	OK(cuMemcpyDtoHAsync(out, count, 4, s));
	EQUAL(cuStreamQuery(s), CUDA_ERROR_NOT_READY);
	usleep(20000);
	EQUAL(*out, 0); // not copied yet
	EQUAL(cuStreamQuery(s), CUDA_ERROR_NOT_READY);
	__atomic_store_n(flag, 1, __ATOMIC_RELEASE);
	OK(cuStreamSynchronize(s));
	OK(cuStreamQuery(s));
	EQUAL(*out, 1);
	OK(cuMemFree(count));
	OK(cuMemFreeHost(flag));
	OK(cuMemFreeHost(out));
	OK(cuStreamDestroy(s));
}

// Pinned memory is read when the copy runs, pageable memory when it is asked for.
TEST(copy_in_reads_when_the_driver_would) {
	Context c;
	CUstream s = new_stream();
	CUdeviceptr count = alloc(4), a = alloc(4), b = alloc(4);
	int *flag = pinned(1), *pin = pinned(1), pageable = 1;
	*pin = 1;
	OK(c.launch("wait_for", 1, 1, s, flag, count));
	OK(cuMemcpyHtoDAsync(a, pin, 4, s));
	OK(cuMemcpyHtoDAsync(b, &pageable, 4, s));
	*pin = 2, pageable = 2; // too early for pinned memory: a program's mistake, and it shows
	__atomic_store_n(flag, 1, __ATOMIC_RELEASE);
	OK(cuStreamSynchronize(s));
	EQUAL(read_int(a), 2);
	EQUAL(read_int(b), 1);
	for (CUdeviceptr p : {count, a, b}) OK(cuMemFree(p));
	OK(cuMemFreeHost(flag)), OK(cuMemFreeHost(pin));
	OK(cuStreamDestroy(s));
}

// A copy out to pageable memory waits for its stream; to registered memory it does not.
TEST(copy_out_to_pageable_memory_waits) {
	Context c;
	CUstream s = new_stream();
	CUdeviceptr p = alloc(4);
	int pageable = 0, registered = 0;
	OK(cuMemsetD32Async(p, 7, 1, s));
	OK(c.launch("add", 1, 1, s, p, 1, 1));
	OK(cuMemcpyDtoHAsync(&pageable, p, 4, s));
	EQUAL(pageable, 8);
	OK(cuMemHostRegister(&registered, 4, 0));
	EQUAL(cuMemHostRegister(&registered, 4, 0), CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
	int *flag = pinned(1);
	CUdeviceptr count = alloc(4);
	OK(c.launch("wait_for", 1, 1, s, flag, count));
	OK(cuMemcpyDtoHAsync(&registered, p, 4, s));
	EQUAL(registered, 0);
	__atomic_store_n(flag, 1, __ATOMIC_RELEASE);
	OK(cuStreamSynchronize(s));
	EQUAL(registered, 8);
	OK(cuMemHostUnregister(&registered));
	EQUAL(cuMemHostUnregister(&registered), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
	OK(cuMemFree(p)), OK(cuMemFree(count)), OK(cuMemFreeHost(flag)), OK(cuStreamDestroy(s));
}

TEST(operations_run_in_order) {
	Context c;
	CUstream s = new_stream();
	CUdeviceptr p = alloc(4000), q = alloc(4000);
	OK(cuMemsetD32Async(p, 0, 1000, s));
	for (int i = 0; i < 100; i++) OK(c.launch("add", 4, 256, s, p, 1000, 1));
	OK(cuMemcpyDtoDAsync(q, p, 4000, s));
	OK(c.launch("fill", 4, 256, s, p, 1000, 5));
	std::vector<int> got(1000);
	OK(cuMemcpyDtoHAsync(got.data(), q, 4000, s));
	for (int v : got) EQUAL(v, 100);
	EQUAL(read_int(p + 3996), 5);
	OK(cuMemFree(p)), OK(cuMemFree(q)), OK(cuStreamDestroy(s));
}

TEST(events_order_streams) {
	Context c;
	CUstream a = new_stream(), b = new_stream();
	CUevent e;
	MUST(cuEventCreate(&e, CU_EVENT_DISABLE_TIMING));
	OK(cuEventQuery(e)); // never recorded
	OK(cuStreamWaitEvent(b, e, 0));
	CUdeviceptr count = alloc(4);
	int *flag = pinned(1), *out = pinned(1);
	OK(cuMemsetD32Async(count, 0, 1, a));
	OK(c.launch("wait_for", 1, 1, a, flag, count));
	OK(cuEventRecord(e, a));
	OK(cuStreamWaitEvent(b, e, 0));
	OK(cuMemcpyDtoHAsync(out, count, 4, b));
	usleep(20000);
	EQUAL(cuEventQuery(e), CUDA_ERROR_NOT_READY);
	EQUAL(cuStreamQuery(b), CUDA_ERROR_NOT_READY);
	EQUAL(*out, 0);
	__atomic_store_n(flag, 1, __ATOMIC_RELEASE);
	OK(cuEventSynchronize(e));
	OK(cuStreamSynchronize(b));
	EQUAL(*out, 1);
	float ms;
	EQUAL(cuEventElapsedTime(&ms, e, e), CUDA_ERROR_INVALID_HANDLE); // no timing
	OK(cuEventDestroy(e));
	EQUAL(cuEventDestroy(e), CUDA_ERROR_INVALID_HANDLE);
	OK(cuMemFree(count)), OK(cuMemFreeHost(flag)), OK(cuMemFreeHost(out));
	OK(cuStreamDestroy(a)), OK(cuStreamDestroy(b));
}

TEST(elapsed_time) {
	Context c;
	CUstream s = new_stream();
	CUevent from, to;
	MUST(cuEventCreate(&from, 0)), MUST(cuEventCreate(&to, 0));
	float ms = -1;
	EQUAL(cuEventElapsedTime(&ms, from, to), CUDA_ERROR_INVALID_HANDLE); // not recorded
	CUdeviceptr count = alloc(4);
	int *flag = pinned(1);
	OK(cuEventRecord(from, s));
	OK(c.launch("wait_for", 1, 1, s, flag, count));
	OK(cuEventRecord(to, s));
	OK(cuEventSynchronize(from));
	usleep(20000);
	EQUAL(cuEventElapsedTime(&ms, from, to), CUDA_ERROR_NOT_READY);
	__atomic_store_n(flag, 1, __ATOMIC_RELEASE);
	OK(cuStreamSynchronize(s));
	OK(cuEventElapsedTime(&ms, from, to));
	CHECK(ms >= 19.9f);
	OK(cuEventDestroy(from)), OK(cuEventDestroy(to)), OK(cuMemFree(count)), OK(cuMemFreeHost(flag)), OK(cuStreamDestroy(s));
}

// The default stream and blocking streams wait for each other, non-blocking ones do not.
TEST(default_stream_is_the_legacy_one) {
	Context c;
	CUstream blocking = new_stream(CU_STREAM_DEFAULT), free = new_stream();
	CUdeviceptr count = alloc(4), p = alloc(4);
	int *flag = pinned(1);
	OK(c.launch("wait_for", 1, 1, blocking, flag, count));
	OK(cuMemsetD32Async(p, 1, 1, nullptr));  // behind wait_for
	OK(c.launch("add", 1, 1, blocking, p, 1, 1)); // behind the memset
	OK(cuMemsetD32Async(p, 9, 1, free));
	OK(cuStreamSynchronize(free)); // although the others hang
	EQUAL(cuStreamQuery(nullptr), CUDA_ERROR_NOT_READY);
	EQUAL(cuStreamQuery(blocking), CUDA_ERROR_NOT_READY);
	__atomic_store_n(flag, 1, __ATOMIC_RELEASE);
	OK(cuCtxSynchronize());
	EQUAL(read_int(p), 2);
	OK(cuMemFree(count)), OK(cuMemFree(p)), OK(cuMemFreeHost(flag));
	OK(cuStreamDestroy(blocking)), OK(cuStreamDestroy(free));
}

// What a thread of its own says of calls in a host function.
struct Seen { std::atomic<int> calls{0}; CUresult inside; std::thread::id thread; int value; int *source; };

TEST(host_functions_run_in_the_stream) {
	Context c;
	CUstream s = new_stream();
	CUdeviceptr count = alloc(4);
	int *flag = pinned(1), *out = pinned(1);
	Seen seen;
	seen.source = out;
	OK(cuMemsetD32Async(count, 0, 1, s));
	OK(c.launch("wait_for", 1, 1, s, flag, count));
	OK(cuMemcpyDtoHAsync(out, count, 4, s));
	OK(cuLaunchHostFunc(s, [](void *p) {
		auto *seen = (Seen *)p;
		seen->value = *seen->source;
		seen->inside = cuCtxSynchronize();
		seen->thread = std::this_thread::get_id();
		seen->calls++;
	}, &seen));
	usleep(20000);
	EQUAL(seen.calls.load(), 0);
	__atomic_store_n(flag, 1, __ATOMIC_RELEASE);
	OK(cuStreamSynchronize(s));
	EQUAL(seen.calls.load(), 1);
	EQUAL(seen.value, 1);
	EQUAL(seen.inside, CUDA_ERROR_NOT_PERMITTED);
	CHECK(seen.thread != std::this_thread::get_id());
	OK(cuMemFree(count)), OK(cuMemFreeHost(flag)), OK(cuMemFreeHost(out)), OK(cuStreamDestroy(s));
}

// A synchronous copy from pageable memory may still be under way when it
// returns: a non-blocking stream must not rely on it.
TEST(copy_in_returns_before_it_is_done) {
	set("CUDASIM_DELAY", "300000");
	Context c;
	CUdeviceptr p = alloc(4);
	int two = 2;
	OK(cuMemcpyHtoD(p, &two, 4));
	two = 3;
	EQUAL(cuStreamQuery(nullptr), CUDA_ERROR_NOT_READY);
	EQUAL(read_int(p), 2);
	OK(cuMemFree(p));
}

// More grids than threads, each waiting for all others: they are resident
// together, up to 128, and every one of them makes progress.
TEST(resident_grids_all_make_progress) {
	set("CUDASIM_THREADS", "2");
	Context c;
	const int n = 24;
	CUdeviceptr count = alloc(4);
	OK(cuMemsetD32(count, 0, 1));
	OK(cuCtxSynchronize());
	std::vector<CUstream> streams;
	for (int i = 0; i < n; i++) streams.push_back(new_stream());
	for (CUstream s : streams) OK(c.launch("meet", 1, 1, s, count, n));
	OK(cuCtxSynchronize());
	EQUAL(read_int(count), n);
	for (CUstream s : streams) OK(cuStreamDestroy(s));
	OK(cuMemFree(count));
}

// The 129th grid waits for one of the others to end.
TEST(resident_grids_have_a_limit) {
	Context c;
	int *arrived = pinned(1), *flag = pinned(1), *late = pinned(1);
	std::vector<CUstream> streams;
	for (int i = 0; i < 129; i++) streams.push_back(new_stream());
	for (int i = 0; i < 128; i++) OK(c.launch("hold", 1, 1, streams[(size_t)i], arrived, flag));
	while (__atomic_load_n(arrived, __ATOMIC_ACQUIRE) < 128) usleep(1000);
	OK(c.launch("add", 1, 1, streams[128], late, 1, 1));
	usleep(50000);
	EQUAL(cuStreamQuery(streams[128]), CUDA_ERROR_NOT_READY);
	EQUAL(*late, 0);
	__atomic_store_n(flag, 1, __ATOMIC_RELEASE);
	OK(cuCtxSynchronize());
	EQUAL(*late, 1);
	for (CUstream s : streams) OK(cuStreamDestroy(s));
	OK(cuMemFreeHost(arrived)), OK(cuMemFreeHost(flag)), OK(cuMemFreeHost(late));
}

TEST(stream_handles) {
	Context c;
	CUstream s;
	OK(cuStreamCreateWithPriority(&s, CU_STREAM_NON_BLOCKING, -99));
	int least, greatest, priority;
	unsigned flags;
	OK(cuCtxGetStreamPriorityRange(&least, &greatest));
	OK(cuStreamGetPriority(s, &priority));
	OK(cuStreamGetFlags(s, &flags));
	EQUAL(priority, greatest);
	EQUAL(flags, (unsigned)CU_STREAM_NON_BLOCKING);
	CUdeviceptr p = alloc(4);
	OK(cuMemsetD32Async(p, 3, 1, s));
	OK(c.launch("add", 1, 1, s, p, 1, 1));
	CUevent e;
	EQUAL(cuEventCreate(&e, 8), CUDA_ERROR_INVALID_VALUE);
	MUST(cuEventCreate(&e, 0));
	OK(cuEventRecord(e, s));
	OK(cuStreamDestroy(s)); // what is queued still runs
	OK(cuEventSynchronize(e));
	OK(cuEventDestroy(e));
	EQUAL(cuStreamSynchronize(s), CUDA_ERROR_INVALID_HANDLE);
	EQUAL(cuStreamDestroy(s), CUDA_ERROR_INVALID_HANDLE);
	EQUAL(c.launch("add", 1, 1, s, p, 1, 1), CUDA_ERROR_INVALID_HANDLE);
	EQUAL(read_int(p), 4);
	OK(cuMemFree(p));
}

// Many host threads with a stream each.
TEST(threads) {
	Context c;
	std::vector<std::thread> threads;
	for (int t = 0; t < 8; t++)
		threads.emplace_back([&c] {
			OK(cuCtxSetCurrent(c.context));
			CUstream s = new_stream();
			CUdeviceptr p = alloc(4);
			OK(cuMemsetD32Async(p, 0, 1, s));
			for (int i = 0; i < 200; i++) OK(c.launch("add", 1, 1, s, p, 1, 1));
			int v = 0;
			OK(cuMemcpyDtoHAsync(&v, p, 4, s));
			EQUAL(v, 200);
			OK(cuMemFree(p));
			OK(cuStreamDestroy(s));
		});
	for (std::thread &t : threads) t.join();
}
