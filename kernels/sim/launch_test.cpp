// Tests: launches and their limits, kernels that go wrong, faults to order.
#include "test.hpp"
#include <chrono>
#include <cstring>
#include <unistd.h>

using namespace test;

struct Mixed { char a; double b; }; // as in test.cu

static void check_parameters(CUdeviceptr out) {
	OK(cuCtxSynchronize());
	double got[5];
	OK(cuMemcpyDtoH(got, out, sizeof got));
	for (int i = 0; i < 5; i++) EQUAL(got[i], i + 1.0);
	OK(cuMemsetD8(out, 0, sizeof got));
}

TEST(parameters_are_copied) {
	Context c;
	CUdeviceptr out = alloc(40);
	{
		char a = 1;
		Mixed m{2, 3};
		float f = 4;
		long long l = 5;
		void *params[] = {&out, &a, &m, &f, &l};
		OK(cuLaunchKernel(c.function("parameters"), 1, 1, 1, 1, 1, 1, 0, nullptr, params, nullptr));
		a = 9, m = {}, f = 9, l = 9;
	}
	check_parameters(out);
	struct { CUdeviceptr out; char a; Mixed m; float f; long long l; } buffer{out, 1, {2, 3}, 4, 5};
	size_t size = sizeof buffer;
	void *extra[] = {(void *)1, &buffer, (void *)2, &size, nullptr};
	OK(cuLaunchKernel(c.function("parameters"), 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, extra));
	check_parameters(out);
	size = 8;
	EQUAL(cuLaunchKernel(c.function("parameters"), 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, extra), CUDA_ERROR_INVALID_VALUE);
	EQUAL(cuLaunchKernel(c.function("parameters"), 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
	OK(cuMemFree(out));
}

TEST(launch_limits) {
	Context c;
	CUfunction f = c.function("nothing");
	auto launch = [&](unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared) {
		return cuLaunchKernel(f, gx, gy, gz, bx, by, bz, shared, nullptr, nullptr, nullptr);
	};
	OK(launch(3, 2, 2, 32, 16, 2, 0));
	OK(launch(1, 1, 1, 1, 16, 64, 48 << 10));
	EQUAL(launch(1, 1, 1, 1025, 1, 1, 0), CUDA_ERROR_INVALID_VALUE);
	EQUAL(launch(1, 1, 1, 32, 33, 1, 0), CUDA_ERROR_INVALID_VALUE);
	EQUAL(launch(1, 1, 1, 1, 1, 65, 0), CUDA_ERROR_INVALID_VALUE);
	EQUAL(launch(0, 1, 1, 1, 1, 1, 0), CUDA_ERROR_INVALID_VALUE);
	EQUAL(launch(1, 1, 1, 0, 1, 1, 0), CUDA_ERROR_INVALID_VALUE);
	EQUAL(launch(1, 65536, 1, 1, 1, 1, 0), CUDA_ERROR_INVALID_VALUE);
	EQUAL(launch(0x80000000u, 1, 1, 1, 1, 1, 0), CUDA_ERROR_INVALID_VALUE);
	EQUAL(launch(1, 1, 1, 1, 1, 1, (48 << 10) + 1), CUDA_ERROR_INVALID_VALUE);
	EQUAL(cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, (227 << 10) + 1), CUDA_ERROR_INVALID_VALUE);
	OK(cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 227 << 10));
	OK(launch(1, 1, 1, 1, 1, 1, 227 << 10));
	OK(cuCtxSynchronize());
	int v;
	OK(cuFuncGetAttribute(&v, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, f));
	EQUAL(v, 227 << 10);
	OK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&v, f, 256, 48 << 10));
	EQUAL(v, 4); // 228 KiB by 49
	OK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&v, f, 1024, 0));
	EQUAL(v, 1); // 64 registers a thread
}

TEST(handles_are_checked) {
	Context c;
	CUfunction f = c.function("nothing");
	EQUAL(cuModuleGetFunction(&f, c.module, "no such"), CUDA_ERROR_NOT_FOUND);
	EQUAL(cuModuleUnload((CUmodule)12345), CUDA_ERROR_INVALID_HANDLE);
	EQUAL(cuLaunchKernel((CUfunction)12345, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr), CUDA_ERROR_INVALID_HANDLE);
	EQUAL(cuCtxSetCurrent((CUcontext)12345), CUDA_ERROR_INVALID_CONTEXT);
	CUmodule m;
	EQUAL(cuModuleLoadData(&m, ".version 7.8\n"), CUDA_ERROR_INVALID_IMAGE);
	char log[200] = "";
	CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
	void *values[] = {log, (void *)sizeof log};
	EQUAL(cuModuleLoadDataEx(&m, "something else", 2, options, values), CUDA_ERROR_INVALID_IMAGE);
	EQUAL(std::string(log), std::string("the image is no shared object for this machine; the simulator runs nothing else"));
	EQUAL((size_t)values[1], strlen(log));
	OK(cuCtxSetCurrent(nullptr));
	EQUAL(cuCtxSynchronize(), CUDA_ERROR_INVALID_CONTEXT);
	OK(cuCtxSetCurrent(c.context));
}

TEST(blocks_of_a_grid) {
	Context c;
	const int n = 40, blocks = 256;
	CUdeviceptr p = alloc(4 * blocks * n);
	std::vector<int> v(blocks * n);
	for (int i = 0; i < blocks * n; i++) v[(size_t)i] = i;
	OK(cuMemcpyHtoD(p, v.data(), v.size() * 4));
	void *params[] = {&p};
	OK(cuLaunchKernel(c.function("reverse"), n, 1, 1, blocks, 1, 1, 4 * blocks, nullptr, params, nullptr));
	OK(cuMemcpyDtoH(v.data(), p, v.size() * 4));
	for (int i = 0; i < blocks * n; i++) EQUAL(v[(size_t)i], i / blocks * blocks + blocks - 1 - i % blocks);
	OK(cuMemFree(p));
}

// A launch of 64 threads that goes wrong.
static void wrong(const char *kernel, CUresult code, const char *want, CUdeviceptr argument = 0) {
	set("CUDASIM_THREADS", "2");
	Context c;
	CUfunction nothing = c.function("nothing");
	if (argument) argument = alloc(64), cuMemsetD8(argument, 0, 64);
	std::string said = stderr_of([&] {
		OK(c.launch(kernel, 4, 64, nullptr, argument));
		EQUAL(cuCtxSynchronize(), code);
	});
	if (!has(said, want) || !has(said, std::string("cudasim: kernel ") + kernel + ", block (")) fail(__FILE__, __LINE__, "said " + text(said) + ", want " + text(want));
	EQUAL(cuLaunchKernel(nothing, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr), code);
}
TEST(deadlock_at_a_barrier) { wrong("return_before_barrier", CUDA_ERROR_LAUNCH_FAILED, "deadlock: 63 of 64 threads wait at "); }
TEST(deadlock_at_different_barriers) { wrong("different_barriers", CUDA_ERROR_LAUNCH_FAILED, "deadlock: thread 1 waits at "); }
TEST(deadlock_of_a_warp) { wrong("lost_lane", CUDA_ERROR_LAUNCH_FAILED, "deadlock: 31 of 64 threads wait for lanes of their warp"); }
#ifndef __SANITIZE_ADDRESS__
TEST(division_by_zero) { wrong("divide", CUDA_ERROR_LAUNCH_FAILED, "integer division by zero", 1); }
TEST(stack_overflow) { wrong("overflow_stack", CUDA_ERROR_LAUNCH_FAILED, "a thread's stack overflowed", 1); }
TEST(past_shared_memory) {
	Context c;
	int at = 4096;
	void *params[] = {&at};
	std::string said = stderr_of([&] {
		OK(cuLaunchKernel(c.function("poke_shared"), 1, 1, 1, 32, 1, 1, 4096, nullptr, params, nullptr));
		EQUAL(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
	});
	CHECK(has(said, "past the end of shared memory"));
}
#endif

static double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

TEST(fault_oom) {
	set("CUDASIM_FAULT", "oom@3,oom@4");
	Context c;
	CUdeviceptr p = alloc(4), q = alloc(4), r;
	EQUAL(cuMemAlloc(&r, 4), CUDA_ERROR_OUT_OF_MEMORY);
	EQUAL(cuMemAllocAsync(&r, 4, nullptr), CUDA_ERROR_OUT_OF_MEMORY);
	OK(cuMemAlloc(&r, 4));
	for (CUdeviceptr x : {p, q, r}) OK(cuMemFree(x));
}

TEST(fault_sticky) {
	set("CUDASIM_FAULT", "sticky@2");
	Context c;
	OK(c.launch("nothing", 1, 1, nullptr));
	OK(cuCtxSynchronize());
	std::string said = stderr_of([&] {
		OK(c.launch("nothing", 1, 1, nullptr));
		EQUAL(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
	});
	EQUAL(said, std::string("cudasim: kernel nothing: illegal access, as ordered by CUDASIM_FAULT\n"));
	CUdeviceptr p;
	EQUAL(cuMemAlloc(&p, 4), CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST(fault_launch) {
	set("CUDASIM_FAULT", "launch@2:701,launch@4:719");
	Context c;
	OK(c.launch("nothing", 1, 1, nullptr));
	EQUAL(c.launch("nothing", 1, 1, nullptr), CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
	OK(c.launch("nothing", 1, 1, nullptr));
	OK(cuCtxSynchronize());
	EQUAL(c.launch("nothing", 1, 1, nullptr), CUDA_ERROR_LAUNCH_FAILED);
	EQUAL(cuCtxSynchronize(), CUDA_ERROR_LAUNCH_FAILED);
}

// Kernels in graphs count, at the launch of the graph.
TEST(fault_in_a_graph) {
	set("CUDASIM_FAULT", "launch@5:701,slow@6:100");
	Context c;
	CUstream s = new_stream();
	CUdeviceptr p = alloc(4);
	OK(cuMemsetD32Async(p, 0, 1, s));
	CUgraph g;
	CUgraphExec x;
	OK(cuStreamBeginCapture(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
	for (int i = 0; i < 3; i++) OK(c.launch("add", 1, 1, s, p, 1, 1));
	OK(cuStreamEndCapture(s, &g));
	OK(cuGraphInstantiateWithFlags(&x, g, 0));
	OK(cuGraphLaunch(x, s));                                            // 1 2 3
	EQUAL(cuGraphLaunch(x, s), CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);     // 4 5
	OK(cuStreamSynchronize(s));
	double before = seconds();
	OK(cuGraphLaunch(x, s)); // 6 7 8
	OK(cuStreamSynchronize(s));
	CHECK(seconds() - before >= 0.3);
	EQUAL(read_int(p), 6);
	OK(cuGraphExecDestroy(x)), OK(cuGraphDestroy(g)), OK(cuMemFree(p)), OK(cuStreamDestroy(s));
}

// Other streams go on.
TEST(fault_hang) {
	set("CUDASIM_FAULT", "hang@2");
	Context *c = new Context; // its end would wait for ever
	CUstream a = new_stream(), b = new_stream();
	CUdeviceptr p = alloc(4);
	OK(c->launch("nothing", 1, 1, a));
	OK(c->launch("nothing", 1, 1, a));
	OK(cuMemsetD32Async(p, 5, 1, b));
	OK(c->launch("add", 1, 1, b, p, 1, 1));
	OK(cuStreamSynchronize(b));
	usleep(100000);
	EQUAL(cuStreamQuery(a), CUDA_ERROR_NOT_READY);
	int v = 0;
	OK(cuMemcpyDtoHAsync(&v, p, 4, b));
	EQUAL(v, 6);
	fflush(nullptr);
	_exit(failures != 0); // as a watchdog ends the worker
}

TEST(fault_slow) {
	set("CUDASIM_FAULT", "slow@2:60");
	Context c;
	double before = seconds();
	for (int i = 0; i < 4; i++) OK(c.launch("nothing", 1, 1, nullptr));
	OK(cuCtxSynchronize());
	CHECK(seconds() - before >= 0.18);
}

TEST(fault_happens_once) {
	std::string once = temporary("once");
	set("CUDASIM_FAULT", "launch@1:701,launch@2:701");
	set("CUDASIM_FAULT_ONCE", once);
	fclose(fopen(once.c_str(), "w")); // another process had the first fault
	Context c;
	OK(c.launch("nothing", 1, 1, nullptr));
	EQUAL(c.launch("nothing", 1, 1, nullptr), CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
	CHECK(!access((once + ".2").c_str(), F_OK));
}
