// The host side of the kernels' language: what kernels/lang/clang.cuh gives
// device code for the GPU, this gives it for g++ and the simulator. Included
// before a .cu file (-include device.hpp), or by test programs that run blocks
// themselves (sim::run_block).
//
// Threads of a block are fibers of one OS thread (block.hpp), so nothing here
// is atomic between them by itself, and a plain loop never lets others run.
#pragma once
#include "kernel.hpp"
#include <cmath>
#include <type_traits>
#include <ctime>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __constant__
#define __shared__ static thread_local // one block at a time on an OS thread
#define DEV static inline
#define DYN_SHARED(T, name) T *name = (T *)sim::cur->dyn
#define warpSize 32

#define threadIdx (sim::self().thread)
#define blockIdx (sim::cur->index)
#define blockDim (sim::cur->size)
#define gridDim (sim::cur->grid)

struct alignas(8) float2 { float x, y; };
struct float3 { float x, y, z; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(8) int2 { int x, y; };
struct int3 { int x, y, z; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) longlong2 { long long x, y; };
struct alignas(16) ulonglong2 { unsigned long long x, y; };
DEV float2 make_float2(float x, float y) { return {x, y}; }
DEV float3 make_float3(float x, float y, float z) { return {x, y, z}; }
DEV float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
DEV double2 make_double2(double x, double y) { return {x, y}; }
DEV int2 make_int2(int x, int y) { return {x, y}; }
DEV int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
DEV uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
DEV uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// Barriers and fences. The line tells barriers apart when threads go astray.
DEV void __syncthreads(const char *file = __builtin_FILE(), int line = __builtin_LINE()) { sim::sync_block(file, line); }
DEV void __syncwarp(unsigned mask = ~0u) { sim::sync_warp(mask); }
DEV void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
DEV void __threadfence_block() { __atomic_signal_fence(__ATOMIC_SEQ_CST); }
DEV void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

// Warp shuffles: int, unsigned, (unsigned) long long, float, double.
template <class T> DEV T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
	unsigned lane = sim::self().number % 32, w = (unsigned)width;
	return sim::exchange(mask, value, (lane & ~(w - 1)) | ((unsigned)source & (w - 1)));
}
template <class T> DEV T __shfl_xor_sync(unsigned mask, T value, int x, int width = 32) {
	unsigned lane = sim::self().number % 32, to = lane ^ (unsigned)x;
	return sim::exchange(mask, value, to < (lane & ~(unsigned)(width - 1)) + (unsigned)width ? to : lane);
}
template <class T> DEV T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
	unsigned lane = sim::self().number % 32, to = lane + delta;
	return sim::exchange(mask, value, to < (lane & ~(unsigned)(width - 1)) + (unsigned)width ? to : lane);
}
template <class T> DEV T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
	unsigned lane = sim::self().number % 32, first = lane & ~(unsigned)(width - 1);
	return sim::exchange(mask, value, lane - first >= delta ? lane - delta : lane);
}
DEV unsigned __ballot_sync(unsigned mask, int predicate) { return sim::ballot(mask, predicate != 0); }
DEV int __any_sync(unsigned mask, int predicate) { return sim::ballot(mask, predicate != 0) != 0; }
DEV int __all_sync(unsigned mask, int predicate) { return sim::ballot(mask, predicate == 0) == 0; }

// Atomics between blocks, in one order with what comes before and after.
template <class T> DEV T atomicAdd(T *p, std::type_identity_t<T> v) {
	static_assert(sizeof(T) >= 4);
	if constexpr (std::is_integral_v<T>) return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);
	T old, sum;
	__atomic_load(p, &old, __ATOMIC_RELAXED);
	do sum = old + v;
	while (!__atomic_compare_exchange(p, &old, &sum, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	return old;
}
template <class T> DEV T atomicExch(T *p, std::type_identity_t<T> v) {
	T old;
	__atomic_exchange(p, &v, &old, __ATOMIC_ACQ_REL);
	return old;
}
template <class T> DEV T atomicCAS(T *p, std::type_identity_t<T> compare, std::type_identity_t<T> v) {
	__atomic_compare_exchange_n(p, &compare, v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
	return compare;
}
template <class T> DEV T atomicOr(T *p, std::type_identity_t<T> v) { return __atomic_fetch_or(p, v, __ATOMIC_ACQ_REL); }
template <class T> DEV T atomicAnd(T *p, std::type_identity_t<T> v) { return __atomic_fetch_and(p, v, __ATOMIC_ACQ_REL); }
template <class T> DEV T atomicMax(T *p, std::type_identity_t<T> v) {
	T old = __atomic_load_n(p, __ATOMIC_RELAXED);
	while (old < v && !__atomic_compare_exchange_n(p, &old, v, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {}
	return old;
}

// Integers.
DEV unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
DEV int __mulhi(int a, int b) { return (int)((int64_t)a * b >> 32); }
DEV unsigned long long __umul64hi(unsigned long long a, unsigned long long b) { return (unsigned long long)((unsigned __int128)a * b >> 64); }
DEV long long __mul64hi(long long a, long long b) { return (long long)((__int128)a * b >> 64); }
DEV int __clz(int v) { return v ? __builtin_clz((unsigned)v) : 32; }
DEV int __clzll(long long v) { return v ? __builtin_clzll((unsigned long long)v) : 64; }
DEV int __popc(unsigned v) { return __builtin_popcount(v); }
DEV int __popcll(unsigned long long v) { return __builtin_popcountll(v); }
DEV int __ffs(int v) { return __builtin_ffs(v); }
DEV int min(int a, int b) { return a < b ? a : b; }
DEV int max(int a, int b) { return a > b ? a : b; }
DEV unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
DEV unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
DEV long long min(long long a, long long b) { return a < b ? a : b; }
DEV long long max(long long a, long long b) { return a > b ? a : b; }
DEV unsigned long long min(unsigned long long a, unsigned long long b) { return a < b ? a : b; }
DEV unsigned long long max(unsigned long long a, unsigned long long b) { return a > b ? a : b; }

// Floats. fmaf, sqrtf, fmaxf, fminf, fabsf and the like are those of <cmath>,
// and round as the device's do.
template <class To, class From> DEV To sim_bits(From from) {
	static_assert(sizeof(To) == sizeof(From));
	To to;
	memcpy(&to, &from, sizeof to);
	return to;
}
DEV int __float_as_int(float v) { return sim_bits<int>(v); }
DEV unsigned __float_as_uint(float v) { return sim_bits<unsigned>(v); }
DEV float __int_as_float(int v) { return sim_bits<float>(v); }
DEV float __uint_as_float(unsigned v) { return sim_bits<float>(v); }
DEV long long __double_as_longlong(double v) { return sim_bits<long long>(v); }
DEV double __longlong_as_double(long long v) { return sim_bits<double>(v); }
DEV float __fadd_rn(float a, float b) { return a + b; }
DEV float __fmul_rn(float a, float b) { return a * b; }
DEV float __fdiv_rn(float a, float b) { return a / b; }
DEV float __fsqrt_rn(float a) { return sqrtf(a); }

// Loads and stores with a cache hint.
template <class T> DEV T __ldg(const T *p) { return *p; }
template <class T> DEV T __ldcg(const T *p) { return *p; }
template <class T> DEV T __ldcs(const T *p) { return *p; }
template <class T> DEV void __stcs(T *p, std::type_identity_t<T> v) { *p = v; }
template <class T> DEV void __stcg(T *p, std::type_identity_t<T> v) { *p = v; }

// Nanoseconds that only go up, the same for all blocks.
DEV unsigned long long globaltimer_ns() {
	timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned long long)t.tv_sec * 1000000000ull + (unsigned long long)t.tv_nsec;
}
