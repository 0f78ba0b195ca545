// CUDA C's vocabulary from clang's own builtins, for a build without CUDA's
// toolkit and its libdevice (kernels/generate includes it before the source):
//
//	clang++-19 -x cuda --cuda-device-only -nocudainc -nocudalib -nostdinc -fdeclspec -include lang/clang.cuh
//
// Beside CUDA's names it gives weft's own, which lang/nvcc.cuh and
// sim/device.hpp give too:
//
//	DEV                 a device function, always inlined
//	KERNEL(name, ...)   the head of a kernel with these parameters, under its plain name,
//	                    for blocks of 256 threads of which a multiprocessor holds two
//	DYN_SHARED(T, p)    declares T *p: the launch's dynamic shared memory, 16-byte aligned
//	globaltimer_ns()    nanoseconds of a clock that all blocks share (its step is up to 1 µs)
#pragma once
#if !defined(__clang__) || !defined(__CUDA__)
#error "lang/clang.cuh is for clang -x cuda; nvcc takes lang/nvcc.cuh, the simulator sim/device.hpp"
#endif

typedef __SIZE_TYPE__ size_t;

#define __host__ __attribute__((host))
#define __device__ __attribute__((device))
#define __global__ __attribute__((global))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))

#define DEV static __device__ __forceinline__
#define KERNEL(name, ...) extern "C" __global__ void __launch_bounds__(256, 2) name(__VA_ARGS__)
extern __shared__ __align__(16) char dynamic_shared[];
#define DYN_SHARED(T, name) T *name = (T *)dynamic_shared

struct __align__(8) float2 { float x, y; };
struct __align__(16) float4 { float x, y, z, w; };
struct __align__(8) int2 { int x, y; };
struct __align__(16) int4 { int x, y, z, w; };
struct __align__(8) uint2 { unsigned x, y; };
struct __align__(16) uint4 { unsigned x, y, z, w; };
struct __align__(16) double2 { double x, y; };

// A special register of three dimensions, read where a member is named.
#define SPECIAL_REGISTER(name, builtin) \
	struct name##_register { \
		__declspec(property(get = get_x)) unsigned x; \
		__declspec(property(get = get_y)) unsigned y; \
		__declspec(property(get = get_z)) unsigned z; \
		__device__ __forceinline__ unsigned get_x() const { return __nvvm_read_ptx_sreg_##builtin##_x(); } \
		__device__ __forceinline__ unsigned get_y() const { return __nvvm_read_ptx_sreg_##builtin##_y(); } \
		__device__ __forceinline__ unsigned get_z() const { return __nvvm_read_ptx_sreg_##builtin##_z(); } \
	}; \
	extern const __device__ name##_register name;
SPECIAL_REGISTER(threadIdx, tid)
SPECIAL_REGISTER(blockIdx, ctaid)
SPECIAL_REGISTER(blockDim, ntid)
SPECIAL_REGISTER(gridDim, nctaid)
#undef SPECIAL_REGISTER
static const int warpSize = 32;

DEV unsigned long long globaltimer_ns() {
	unsigned long long t;
	__asm__ volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
	return t;
}

// Barriers and fences. __syncthreads is a builtin of clang's.
DEV void __syncwarp(unsigned mask = 0xffffffffu) { __nvvm_bar_warp_sync(mask); }
DEV void __threadfence() { __nvvm_membar_gl(); }
DEV void __threadfence_block() { __nvvm_membar_cta(); }
DEV void __threadfence_system() { __nvvm_membar_sys(); }

// Bits.
DEV unsigned __float_as_uint(float v) { return __builtin_bit_cast(unsigned, v); }
DEV int __float_as_int(float v) { return __builtin_bit_cast(int, v); }
DEV float __uint_as_float(unsigned v) { return __builtin_bit_cast(float, v); }
DEV float __int_as_float(int v) { return __builtin_bit_cast(float, v); }
DEV long long __double_as_longlong(double v) { return __builtin_bit_cast(long long, v); }
DEV double __longlong_as_double(long long v) { return __builtin_bit_cast(double, v); }
DEV unsigned __umulhi(unsigned a, unsigned b) { return __nvvm_mulhi_ui(a, b); }
DEV unsigned long long __umul64hi(unsigned long long a, unsigned long long b) { return __nvvm_mulhi_ull(a, b); }
DEV int __popc(unsigned v) { return __builtin_popcount(v); }
DEV int __clz(int v) { return v ? __builtin_clz((unsigned)v) : 32; }

// Exchange between the lanes of a warp.
#define SHUFFLE(name, builtin, by) \
	DEV int name(unsigned mask, int v, by at) { return __nvvm_shfl_sync_##builtin##_i32(mask, v, at, 31); } \
	DEV unsigned name(unsigned mask, unsigned v, by at) { return (unsigned)name(mask, (int)v, at); } \
	DEV float name(unsigned mask, float v, by at) { return __nvvm_shfl_sync_##builtin##_f32(mask, v, at, 31); } \
	DEV unsigned long long name(unsigned mask, unsigned long long v, by at) { \
		unsigned low = name(mask, (unsigned)v, at), high = name(mask, (unsigned)(v >> 32), at); \
		return (unsigned long long)high << 32 | low; \
	} \
	DEV long long name(unsigned mask, long long v, by at) { return (long long)name(mask, (unsigned long long)v, at); } \
	DEV double name(unsigned mask, double v, by at) { return __longlong_as_double(name(mask, __double_as_longlong(v), at)); }
SHUFFLE(__shfl_sync, idx, int)
SHUFFLE(__shfl_xor_sync, bfly, int)
SHUFFLE(__shfl_down_sync, down, unsigned)
#undef SHUFFLE
DEV int __any_sync(unsigned mask, int v) { return __nvvm_vote_any_sync(mask, v); }
DEV int __all_sync(unsigned mask, int v) { return __nvvm_vote_all_sync(mask, v); }
DEV unsigned __ballot_sync(unsigned mask, int v) { return __nvvm_vote_ballot_sync(mask, v); }

// Atomics, relaxed; of integers only, since floats would add in any order.
DEV int atomicAdd(int *p, int v) { return __nvvm_atom_add_gen_i(p, v); }
DEV unsigned atomicAdd(unsigned *p, unsigned v) { return (unsigned)__nvvm_atom_add_gen_i((int *)p, (int)v); }
DEV unsigned long long atomicAdd(unsigned long long *p, unsigned long long v) {
	return (unsigned long long)__nvvm_atom_add_gen_ll((long long *)p, (long long)v);
}

// Loads of what no thread writes while the kernel runs.
DEV float __ldg(const float *p) { return __nvvm_ldg_f(p); }
DEV int __ldg(const int *p) { return __nvvm_ldg_i(p); }
DEV double __ldg(const double *p) { return __nvvm_ldg_d(p); }

// Arithmetic, rounded as IEEE 754 says. fminf and fmaxf pass a NaN over.
DEV float fmaf(float a, float b, float c) { return __nvvm_fma_rn_f(a, b, c); }
DEV double fma(double a, double b, double c) { return __nvvm_fma_rn_d(a, b, c); }
DEV float sqrtf(float v) { return __nvvm_sqrt_rn_f(v); }
DEV double sqrt(double v) { return __nvvm_sqrt_rn_d(v); }
DEV float fabsf(float v) { return __builtin_fabsf(v); }
DEV double fabs(double v) { return __builtin_fabs(v); }
DEV float fminf(float a, float b) { return __nvvm_fmin_f(a, b); }
DEV float fmaxf(float a, float b) { return __nvvm_fmax_f(a, b); }
DEV double fmin(double a, double b) { return __nvvm_fmin_d(a, b); }
DEV double fmax(double a, double b) { return __nvvm_fmax_d(a, b); }
