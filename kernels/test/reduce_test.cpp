// Sums and maxima over a warp and a block.
#include "harness.hpp"
#include "../reduce.cuh"

using namespace harness;

// Every thread must get bits, and scratch must be free again at once.
template <class T> static void sums(const char *name) {
	Buffer<T> v(BLOCK), of_warp(BLOCK), of_block(BLOCK), again(BLOCK), of_lanes(BLOCK);
	v.random(-100, 100);
	if (sizeof(T) == 8) v[3] = (T)(1 << 30); // needs both halves of a double
	block([&] {
		int t = threadIdx.x;
		T *scratch = (T *)shared();
		if (t < 32) scratch[t] = -1; // in use right before
		of_warp[t] = warp_sum(v[t]);
		of_block[t] = block_sum(v[t], scratch);
		if (t < 32) scratch[t] = -1; // and right after
		again[t] = block_sum(v[t], scratch);
		scratch[t] = -1;
		of_lanes[t] = sum_across_warps(v[t], scratch);
		scratch[t] = -1;
	});
	double want = 0;
	for (u32 t = 0; t < BLOCK; t++) {
		want += v[t];
		double w = 0;
		for (u32 i = t / 32 * 32; i < t / 32 * 32 + 32; i++) w += v[i];
		if (!(std::fabs(of_warp[t] - w) <= 1e-3)) FAIL("warp_sum(%s): thread %u has %g, want %g", name, t, (double)of_warp[t], w);
		w = 0;
		for (u32 i = t % 32; i < BLOCK; i += 32) w += v[i];
		if (!(std::fabs(of_lanes[t] - w) <= 1e-3)) FAIL("sum_across_warps(%s): thread %u has %g, want %g", name, t, (double)of_lanes[t], w);
	}
	for (u32 t = 0; t < BLOCK; t++) {
		if (!(std::fabs(of_block[t] - want) <= 1e-3)) FAIL("block_sum(%s): thread %u has %g, want %g", name, t, (double)of_block[t], want);
		if (of_block[t] != of_block[0] || again[t] != of_block[0]) FAIL("block_sum(%s): thread %u differs from thread 0", name, t);
	}
	if (!of_warp.guarded() || !of_block.guarded()) FAIL("%s: wrote beside a buffer", name);
}

static void maxima() {
	Buffer<float> v(BLOCK), of_warp(BLOCK), of_block(BLOCK);
	for (u32 at : {0u, 31u, 32u, 100u, 255u}) {
		v.random(-2, -1);
		v[at] = -0.5f;
		v[(at + 1) % BLOCK] = NAN; // passed over
		block([&] {
			of_warp[threadIdx.x] = warp_max(v[threadIdx.x]);
			of_block[threadIdx.x] = block_max(v[threadIdx.x], shared());
		});
		for (u32 t = 0; t < BLOCK; t++) {
			if (of_block[t] != -0.5f) FAIL("block_max: thread %u has %g with the greatest at %u", t, of_block[t], at);
			if ((of_warp[t] == -0.5f) != (t / 32 == at / 32)) FAIL("warp_max: thread %u has %g with the greatest at %u", t, of_warp[t], at);
		}
	}
	for (u32 i = 0; i < BLOCK; i++) v[i] = NAN;
	block([&] { of_block[threadIdx.x] = block_max(v[threadIdx.x], shared()); });
	if (!std::isnan(of_block[7])) FAIL("block_max of NaNs is %g", of_block[7]);
}

int main() {
	sums<float>("float");
	sums<double>("double");
	sums<int>("int");
	maxima();
	return failures != 0;
}
