// Runs tile functions on the simulator's fibers and compares what they write.
#pragma once
#include "../sim/device.hpp"
#ifndef DEV
#define DEV static inline
#endif
#include "../context.cuh"
#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace harness {

inline int failures = 0;
#define FAIL(...) (fprintf(stderr, "%s:%d: ", __FILE__, __LINE__), fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), ++harness::failures)

inline std::mt19937_64 rng{20260101};

// A buffer as device memory is: 256-byte aligned, poisoned, with guard zones.
template <class T> struct Buffer {
	static constexpr size_t guard = 64;
	std::vector<char> raw;
	T *p;
	size_t n;
	explicit Buffer(size_t n) : raw(n * sizeof(T) + 2 * guard * 8 + 512), n(n) {
		memset(raw.data(), 0xff, raw.size()); // NaN
		p = (T *)(((uintptr_t)raw.data() + guard * 8 + 255) / 256 * 256);
	}
	Buffer &random(double lo = -1, double hi = 1) {
		std::uniform_real_distribution<double> d(lo, hi);
		for (size_t i = 0; i < n; i++) p[i] = (T)d(rng);
		return *this;
	}
	T &operator[](size_t i) { return p[i]; }
	operator T *() { return p; }
	// Nothing beside the buffer was written.
	bool guarded() const {
		for (const char *c = raw.data(); c < (char *)p; c++) if (*c != (char)0xff) return false;
		for (const char *c = (char *)(p + n); c < raw.data() + raw.size(); c++) if (*c != (char)0xff) return false;
		return true;
	}
};

inline std::function<void()> task;
static void run_task(void **) { task(); }

// Runs f once in every thread of one block.
inline void block(std::function<void()> f) {
	task = std::move(f);
	sim::run_block(run_task, nullptr, uint3{0, 0, 0}, dim3{BLOCK, 1, 1}, dim3{1, 1, 1}, SHARED_BYTES);
}
inline float *shared() { return (float *)sim::cur->dyn; }

// ||got-want||/||want||; NaN anywhere gives infinity.
template <class T> double distance(const T *got, const std::vector<double> &want) {
	double d = 0, w = 0;
	for (size_t i = 0; i < want.size(); i++) {
		if (std::isnan((double)got[i])) return INFINITY;
		d += (got[i] - want[i]) * (got[i] - want[i]);
		w += want[i] * want[i];
	}
	return w == 0 ? std::sqrt(d) : std::sqrt(d / w);
}

} // namespace harness
