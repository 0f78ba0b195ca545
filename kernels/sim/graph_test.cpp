// Tests: captures and graphs.
#include "test.hpp"
#include <atomic>
#include <thread>
#include <unistd.h>

using namespace test;

// A stream, a counter that kernels add to, and what they leave behind.
struct Bench : Context {
	CUstream s = new_stream();
	CUdeviceptr p = alloc(8);
	Bench() {
		OK(cuMemsetD32Async(p, 0, 2, s));
		OK(cuStreamSynchronize(s));
	}
	~Bench() {
		OK(cuMemFree(p));
		OK(cuStreamDestroy(s));
	}
	void add(CUstream stream, int value) { OK(launch("add", 1, 1, stream, p, 1, value)); }
	CUgraph capture(const std::function<void()> &f) {
		CUgraph g;
		OK(cuStreamBeginCapture(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
		f();
		OK(cuStreamEndCapture(s, &g));
		return g;
	}
	static CUgraphExec executable(CUgraph g) {
		CUgraphExec x;
		OK(cuGraphInstantiateWithFlags(&x, g, 0));
		return x;
	}
	int value() {
		OK(cuStreamSynchronize(s));
		return read_int(p);
	}
};

TEST(graph_of_all_operations) {
	Bench b;
	int *out = pinned(1), *in = pinned(1);
	std::atomic<int> calls{0};
	*in = 10;
	CUgraph g = b.capture([&] {
		OK(cuMemcpyHtoDAsync(b.p, in, 4, b.s)); // read when the graph runs
		b.add(b.s, 1);
		OK(cuMemcpyDtoDAsync(b.p + 4, b.p, 4, b.s));
		OK(cuMemsetD32Async(b.p, 3, 1, b.s));
		OK(cuMemcpyDtoHAsync(out, b.p + 4, 4, b.s));
		OK(cuLaunchHostFunc(b.s, [](void *p) { ++*(std::atomic<int> *)p; }, &calls));
	});
	EQUAL(b.value(), 0); // nothing has run
	size_t n = 0;
	OK(cuGraphGetNodes(g, nullptr, &n));
	EQUAL(n, 6ul);
	CUgraphExec x = b.executable(g);
	OK(cuGraphDestroy(g)); // the executable graph lives on
	*in = 20;
	OK(cuGraphLaunch(x, b.s));
	EQUAL(b.value(), 3);
	EQUAL(*out, 21);
	OK(cuGraphLaunch(x, b.s)), OK(cuGraphLaunch(x, b.s));
	EQUAL(b.value(), 3);
	EQUAL(calls.load(), 3);
	OK(cuGraphExecDestroy(x));
	EQUAL(cuGraphLaunch(x, b.s), CUDA_ERROR_INVALID_HANDLE);
	OK(cuMemFreeHost(out)), OK(cuMemFreeHost(in));
}

TEST(graph_update) {
	Bench b;
	CUgraph g = b.capture([&] { b.add(b.s, 1), b.add(b.s, 10); });
	CUgraph same = b.capture([&] { b.add(b.s, 2), b.add(b.s, 20); });
	CUgraph longer = b.capture([&] { b.add(b.s, 1), b.add(b.s, 1), b.add(b.s, 1); });
	CUgraph other = b.capture([&] { b.add(b.s, 1), OK(cuMemsetD32Async(b.p, 0, 1, b.s)); });
	CUgraphExec x = b.executable(g);
	OK(cuGraphLaunch(x, b.s));
	CUgraphExecUpdateResult result;
	CUgraphNode at;
	OK(cuGraphExecUpdate(x, same, &at, &result));
	EQUAL(result, CU_GRAPH_EXEC_UPDATE_SUCCESS);
	OK(cuGraphLaunch(x, b.s));
	EQUAL(b.value(), 33);
	EQUAL(cuGraphExecUpdate(x, longer, &at, &result), CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
	EQUAL(result, CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
	CUgraphExecUpdateResultInfo info;
	EQUAL(cuGraphExecUpdate_v2(x, other, &info), CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
	EQUAL(info.result, CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED);
	OK(cuGraphExecUpdate_v2(x, g, &info));
	OK(cuGraphLaunch(x, b.s));
	EQUAL(b.value(), 44);
	OK(cuGraphExecDestroy(x));
	for (CUgraph y : {g, same, longer, other}) OK(cuGraphDestroy(y));
}

TEST(graph_kernel_node_params) {
	Bench b;
	CUgraph g = b.capture([&] { b.add(b.s, 1); });
	CUgraphNode node;
	size_t n = 1;
	OK(cuGraphGetNodes(g, &node, &n));
	CUgraphExec x = b.executable(g);
	int one = 1, value = 100;
	void *params[] = {&b.p, &one, &value};
	CUDA_KERNEL_NODE_PARAMS p{b.function("add"), 1, 1, 1, 1, 1, 1, 0, params, nullptr};
	OK(cuGraphLaunch(x, b.s));
	OK(cuGraphExecKernelNodeSetParams(x, node, &p));
	value = 7; // copied at the call
	OK(cuGraphLaunch(x, b.s));
	EQUAL(b.value(), 101);
	p.blockDimX = 2000;
	EQUAL(cuGraphExecKernelNodeSetParams(x, node, &p), CUDA_ERROR_INVALID_VALUE);
	OK(cuGraphExecDestroy(x)), OK(cuGraphDestroy(g));
}

TEST(graph_by_hand) {
	Bench b;
	CUgraph g;
	CUgraphNode first, second, empty;
	OK(cuGraphCreate(&g, 0));
	int one = 1, value = 5;
	void *params[] = {&b.p, &one, &value};
	CUDA_KERNEL_NODE_PARAMS p{b.function("add"), 1, 1, 1, 1, 1, 1, 0, params, nullptr};
	OK(cuGraphAddKernelNode(&first, g, nullptr, 0, &p));
	OK(cuGraphAddKernelNode(&second, g, &first, 1, &p));
	OK(cuGraphAddEmptyNode(&empty, g, &second, 1));
	CUgraphExec x = b.executable(g);
	OK(cuGraphLaunch(x, b.s));
	EQUAL(b.value(), 10);
	OK(cuGraphExecDestroy(x)), OK(cuGraphDestroy(g));
}

// A second stream joins the capture by an event and must be joined again.
TEST(capture_of_two_streams) {
	Bench b;
	CUstream t = new_stream();
	CUevent fork, join;
	OK(cuEventCreate(&fork, CU_EVENT_DISABLE_TIMING)), OK(cuEventCreate(&join, CU_EVENT_DISABLE_TIMING));
	auto forked = [&](bool joined) {
		OK(cuStreamBeginCapture(b.s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
		b.add(b.s, 1);
		OK(cuEventRecord(fork, b.s));
		OK(cuStreamWaitEvent(t, fork, 0));
		b.add(t, 10);
		CUstreamCaptureStatus status;
		OK(cuStreamIsCapturing(t, &status));
		EQUAL(status, CU_STREAM_CAPTURE_STATUS_ACTIVE);
		EQUAL(cuEventQuery(fork), CUDA_ERROR_CAPTURED_EVENT);
		if (joined) OK(cuEventRecord(join, t)), OK(cuStreamWaitEvent(b.s, join, 0));
		CUgraph g;
		EQUAL(cuStreamEndCapture(t, &g), CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
		EQUAL(cuStreamEndCapture(b.s, &g), joined ? CUDA_SUCCESS : CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
		return g;
	};
	CUgraph g = forked(true);
	CUgraphExec x = b.executable(g);
	OK(cuGraphLaunch(x, b.s));
	EQUAL(b.value(), 11);
	CHECK(!forked(false));
	b.add(t, 100); // it captures no more
	OK(cuStreamSynchronize(t));
	EQUAL(b.value(), 111);
	OK(cuGraphExecDestroy(x)), OK(cuGraphDestroy(g)), OK(cuEventDestroy(fork)), OK(cuEventDestroy(join)), OK(cuStreamDestroy(t));
}

TEST(capture_forbids) {
	Bench b;
	CUgraph g;
	EQUAL(cuStreamEndCapture(b.s, &g), CUDA_ERROR_ILLEGAL_STATE);
	EQUAL(cuStreamBeginCapture(nullptr, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
	auto spoils = [&](CUstreamCaptureMode mode, CUresult want, const std::function<CUresult()> &f) {
		OK(cuStreamBeginCapture(b.s, mode));
		EQUAL(cuStreamBeginCapture(b.s, mode), CUDA_ERROR_ILLEGAL_STATE);
		EQUAL(f(), want);
		CUresult end = cuStreamEndCapture(b.s, &g);
		EQUAL(end, want == CUDA_SUCCESS ? CUDA_SUCCESS : CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
		if (end == CUDA_SUCCESS) OK(cuGraphDestroy(g));
	};
	CUdeviceptr p = 0;
	const auto own = CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
	spoils(own, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, [&] { return cuStreamSynchronize(b.s); });
	spoils(own, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, [&] { return cuStreamQuery(b.s); });
	spoils(own, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, [&] { return cuCtxSynchronize(); });
	spoils(own, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, [&] { return cuMemAlloc(&p, 4); });
	spoils(CU_STREAM_CAPTURE_MODE_RELAXED, CUDA_SUCCESS, [&] { return cuMemAlloc(&p, 4); });
	OK(cuMemFree(p));
	auto elsewhere = [&] {
		CUresult r;
		std::thread([&] {
			cuCtxSetCurrent(b.context);
			r = cuMemAlloc(&p, 4);
		}).join();
		return r;
	};
	spoils(own, CUDA_SUCCESS, elsewhere); // other threads may
	OK(cuMemFree(p));
	spoils(CU_STREAM_CAPTURE_MODE_GLOBAL, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, elsewhere);
	// The default stream would have to wait for a blocking stream that captures.
	CUstream blocking = new_stream(CU_STREAM_DEFAULT);
	OK(cuStreamBeginCapture(blocking, own));
	EQUAL(cuMemsetD32Async(b.p, 0, 1, nullptr), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
	EQUAL(cuStreamEndCapture(blocking, &g), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
	OK(cuStreamDestroy(blocking));
	EQUAL(b.value(), 0);
}

// An executable graph does not run beside itself.
TEST(graph_in_two_streams) {
	Bench b;
	CUstream t = new_stream();
	CUgraph g = b.capture([&] {
		for (int i = 0; i < 200; i++) b.add(b.s, 1); // would lose some
	});
	CUgraphExec x = b.executable(g);
	for (int i = 0; i < 10; i++) OK(cuGraphLaunch(x, i % 2 ? b.s : t));
	OK(cuCtxSynchronize());
	EQUAL(b.value(), 2000);
	OK(cuGraphExecDestroy(x)), OK(cuGraphDestroy(g)), OK(cuStreamDestroy(t));
}
