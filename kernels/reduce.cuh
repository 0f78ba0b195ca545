// Sums and maxima over the 32 lanes of a warp or the BLOCK threads of a block,
// handed to every thread. The tree is fixed: lanes by butterfly, then warps in
// order, so a result's bits follow from the threads' values alone. All threads
// of the warp, or of the block, call together.
//
// The block's take WARPS elements of shared memory as scratch. They begin and
// end with a barrier: scratch may have been in use right before and may be used
// for something else at once.
//
// sum_across_warps adds up what the lanes of equal number of all warps have, for
// columns that a lane each walks down; scratch is BLOCK elements.
//
// Floor: a block's reduction is 5 shuffles, 3 barriers and WARPS broadcast
// loads, some 150 cycles.
#pragma once
#include "job.cuh"

enum : u32 { WARPS = BLOCK / 32 };

// shuffle_xor returns v of the lane whose number differs in the bits of mask.
template <class T> DEV T shuffle_xor(T v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }

template <class T> DEV T warp_sum_of(T v) {
	for (int mask = 16; mask; mask >>= 1) v += shuffle_xor(v, mask);
	return v;
}
DEV float warp_sum(float v) { return warp_sum_of(v); }
DEV double warp_sum(double v) { return warp_sum_of(v); }
DEV int warp_sum(int v) { return warp_sum_of(v); }

// larger returns the greater of both; a NaN only if both are.
DEV float larger(float a, float b) { return a > b || b != b ? a : b; }

DEV float warp_max(float v) {
	for (int mask = 16; mask; mask >>= 1) v = larger(v, shuffle_xor(v, mask));
	return v;
}

template <class T> DEV T block_sum_of(T v, T *scratch) {
	v = warp_sum_of(v);
	__syncthreads();
	if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = v;
	__syncthreads();
	v = scratch[0];
	for (u32 warp = 1; warp < WARPS; warp++) v += scratch[warp];
	__syncthreads();
	return v;
}
DEV float block_sum(float v, float *scratch) { return block_sum_of(v, scratch); }
DEV double block_sum(double v, double *scratch) { return block_sum_of(v, scratch); }
DEV int block_sum(int v, int *scratch) { return block_sum_of(v, scratch); }

DEV float block_max(float v, float *scratch) {
	v = warp_max(v);
	__syncthreads();
	if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = v;
	__syncthreads();
	v = scratch[0];
	for (u32 warp = 1; warp < WARPS; warp++) v = larger(v, scratch[warp]);
	__syncthreads();
	return v;
}

template <class T> DEV T sum_across_warps(T v, T *scratch) {
	__syncthreads();
	scratch[threadIdx.x] = v;
	__syncthreads();
	u32 lane = threadIdx.x % 32;
	v = scratch[lane];
	for (u32 warp = 1; warp < WARPS; warp++) v += scratch[warp * 32 + lane];
	__syncthreads();
	return v;
}
