// A small frame for the simulator's tests. Each test is a process of its own,
// since the environment is read once and a fatal error is for good:
//
//	simtest            lists the tests
//	simtest NAME       runs one: exit status 0, or 1 with the reasons on stderr
//	simtest -bench     measures launches and barriers
#pragma once
#include <cstdio>
#include <cstdlib>
#include <cuda.h>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

namespace test {

struct Test {
	const char *name;
	void (*body)();
	Test *next;
	static inline Test *first;
	Test(const char *name, void (*body)()) : name(name), body(body), next(first) { first = this; }
};
#define TEST(name) \
	static void test_##name(); \
	static test::Test entry_##name{#name, test_##name}; \
	static void test_##name()

inline int failures;
inline void fail(const char *file, int line, const std::string &what) {
	fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
	failures++;
}

template <class T> std::string text(const T &v) {
	if constexpr (std::is_convertible_v<T, std::string>) return std::string("\"") + std::string(v) + "\"";
	else if constexpr (std::is_enum_v<T>) {
		const char *name = nullptr;
		if constexpr (std::is_same_v<T, CUresult>) cuGetErrorName(v, &name);
		return name ? name : std::to_string((long long)v);
	} else if constexpr (std::is_pointer_v<T>) return std::to_string((unsigned long long)v);
	else return std::to_string(v);
}

template <class T> void equal(const char *file, int line, const char *what, T got, std::type_identity_t<T> want) {
	if (got != want) fail(file, line, std::string(what) + " is " + text(got) + ", want " + text(want));
}
// got == want, else the test goes on and fails.
#define EQUAL(got, want) test::equal(__FILE__, __LINE__, #got, got, want)
#define OK(call) EQUAL(call, CUDA_SUCCESS)
#define CHECK(what) ((what) ? (void)0 : test::fail(__FILE__, __LINE__, #what))
inline void must(const char *file, int line, const char *call, CUresult r) {
	if (r == CUDA_SUCCESS) return;
	fail(file, line, std::string(call) + " gives " + text(r));
	exit(1);
}
// For what the rest of a test needs.
#define MUST(call) test::must(__FILE__, __LINE__, #call, call)

void set(const char *variable, const std::string &value); // in the environment, before the first call

// A file of this test's own; its text.
std::string temporary(const char *name);
std::string contents(const std::string &path);

// What f writes to stderr.
std::string stderr_of(const std::function<void()> &f);

// Whether text has part in it.
inline bool has(const std::string &text, const std::string &part) { return text.find(part) != std::string::npos; }

// A context on device 0 with the module of test.cu, destroyed at the end.
class Context {
public:
	CUcontext context;
	CUmodule module;
	explicit Context(int device = 0);
	~Context();
	CUfunction function(const char *name);
	// Launches on the default stream or another.
	template <class... A> CUresult launch(const char *name, int grid, int block, CUstream stream, A... arguments) {
		void *params[] = {&arguments..., nullptr};
		return cuLaunchKernel(function(name), (unsigned)grid, 1, 1, (unsigned)block, 1, 1, 0, stream, params, nullptr);
	}
};

CUdeviceptr alloc(size_t bytes);
// Pinned ints, zero.
int *pinned(size_t n);
CUstream new_stream(unsigned flags = CU_STREAM_NON_BLOCKING);
int read_int(CUdeviceptr p); // after a cuCtxSynchronize

void bench();

} // namespace test
