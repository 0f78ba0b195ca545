// weft's own names for nvcc, which has all others; see lang/clang.cuh.
//
//	nvcc -std=c++17 -fmad=false -include lang/nvcc.cuh --ptx
#pragma once

#define DEV static __device__ __forceinline__
#define KERNEL(name, ...) extern "C" __global__ void __launch_bounds__(256, 2) name(__VA_ARGS__)
extern __shared__ __align__(16) char dynamic_shared[];
#define DYN_SHARED(T, name) T *name = (T *)dynamic_shared

DEV unsigned long long globaltimer_ns() {
	unsigned long long t;
	asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
	return t;
}
