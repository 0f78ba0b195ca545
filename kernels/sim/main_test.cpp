// The frame of the simulator's tests, and their main function; test.hpp.
#include "test.hpp"
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <sstream>
#include <unistd.h>

namespace test {

static std::string program;

void set(const char *variable, const std::string &value) { setenv(variable, value.c_str(), 1); }

std::string temporary(const char *name) {
	static const std::string folder = [] {
		const char *parent = getenv("TMPDIR");
		std::string path = std::string(parent ? parent : "/tmp") + "/simtest-XXXXXX";
		if (!mkdtemp(path.data())) abort();
		return path;
	}();
	return folder + "/" + name;
}

std::string contents(const std::string &path) {
	std::ifstream f(path);
	std::stringstream s;
	s << f.rdbuf();
	return s.str();
}

std::string stderr_of(const std::function<void()> &f) {
	std::string path = temporary("stderr");
	fflush(stderr);
	int before = dup(2), file = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	dup2(file, 2);
	f();
	fflush(stderr);
	dup2(before, 2);
	close(before);
	close(file);
	return contents(path);
}

Context::Context(int device) {
	MUST(cuInit(0));
	MUST(cuCtxCreate(&context, CU_CTX_SCHED_BLOCKING_SYNC, device));
	std::string image = contents(program.substr(0, program.rfind('/') + 1) + "test.so");
	MUST(cuModuleLoadData(&module, image.data()));
}

Context::~Context() {
	cuModuleUnload(module);
	cuCtxDestroy(context);
}

CUfunction Context::function(const char *name) {
	CUfunction f;
	MUST(cuModuleGetFunction(&f, module, name));
	return f;
}

CUdeviceptr alloc(size_t bytes) {
	CUdeviceptr p;
	MUST(cuMemAlloc(&p, bytes));
	return p;
}

int *pinned(size_t n) {
	void *p;
	MUST(cuMemHostAlloc(&p, n * sizeof(int), 0));
	memset(p, 0, n * sizeof(int));
	return (int *)p;
}

CUstream new_stream(unsigned flags) {
	CUstream s;
	MUST(cuStreamCreate(&s, flags));
	return s;
}

int read_int(CUdeviceptr p) {
	int v;
	MUST(cuMemcpyDtoH(&v, p, sizeof v));
	return v;
}

static double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

void bench() {
	Context c;
	CUstream s = new_stream();
	CUfunction nothing = c.function("nothing"), barriers = c.function("barriers");
	auto launch = [&](CUfunction f, unsigned grid, unsigned block, int n) {
		void *p[] = {&n};
		MUST(cuLaunchKernel(f, grid, 1, 1, block, 1, 1, 0, s, p, nullptr));
	};
	auto measure = [&](const char *what, int n, double per, const std::function<void()> &f) {
		double best = 1e9;
		for (int r = 0; r < 5; r++) {
			double t = seconds();
			for (int i = 0; i < n; i++) f();
			MUST(cuStreamSynchronize(s));
			best = std::min(best, seconds() - t);
		}
		printf("%-58s %8.1f ns\n", what, best / n / per * 1e9);
	};
	measure("launch of 1 thread, queued", 20000, 1, [&] { launch(nothing, 1, 1, 0); });
	measure("launch of 1 block of 256 threads, queued", 20000, 1, [&] { launch(nothing, 1, 256, 0); });
	measure("launch of 8 blocks of 256 threads, queued", 20000, 1, [&] { launch(nothing, 8, 256, 0); });
	measure("launch of 1 thread and wait for it", 2000, 1, [&] { launch(nothing, 1, 1, 0), MUST(cuStreamSynchronize(s)); });
	CUgraph g;
	CUgraphExec x;
	MUST(cuStreamBeginCapture(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
	for (int i = 0; i < 100; i++) launch(nothing, 1, 1, 0);
	MUST(cuStreamEndCapture(s, &g));
	MUST(cuGraphInstantiateWithFlags(&x, g, 0));
	measure("kernel of 1 thread in a graph of 100", 200, 100, [&] { MUST(cuGraphLaunch(x, s)); });
	measure("barrier of 32 threads, a thread", 10, 32 * 10000, [&] { launch(barriers, 1, 32, 10000); });
	measure("barrier of 256 threads, a thread", 10, 256 * 10000, [&] { launch(barriers, 1, 256, 10000); });
	measure("barrier of 1024 threads, a thread", 10, 1024 * 1000, [&] { launch(barriers, 1, 1024, 1000); });
	cuGraphExecDestroy(x);
	cuGraphDestroy(g);
	cuStreamDestroy(s);
}

} // namespace test

int main(int argc, char **argv) {
	test::program = argv[0];
	if (argc < 2) {
		for (test::Test *t = test::Test::first; t; t = t->next) puts(t->name);
		return 0;
	}
	if (!strcmp(argv[1], "-bench")) return test::bench(), 0;
	for (test::Test *t = test::Test::first; t; t = t->next)
		if (!strcmp(t->name, argv[1])) {
			t->body();
			return test::failures != 0;
		}
	fprintf(stderr, "no test %s\n", argv[1]);
	return 2;
}
