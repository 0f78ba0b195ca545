// shuffle_rows: order[i] = the row that epoch visits i-th.
//
// order (n) i32. The reference is gpu/train/philox's Permutation, of which
// this is a copy: every place is computed for itself. Floor: 4·n bytes
// written; about 40 integer operations for each of fewer than two walks (more
// only below 128 rows).
#pragma once
#include "context.cuh"
#include "philox.cuh"

enum : i32 { SHUFFLE_ROUNDS = 8, SHUFFLE_BITS = 8, SHUFFLE_TILE = 4 * BLOCK };

DEV int shuffle_rows_tiles(const ShuffleRows &a, int) { return (a.n + SHUFFLE_TILE - 1) / SHUFFLE_TILE; }

DEV void shuffle_rows_tile(const Context &c, u32, const ShuffleRows &a, int tile) {
	u64 *keys = (u64 *)c.shared; // a and b of every round
	if (threadIdx.x < SHUFFLE_ROUNDS) {
		u32 w[4];
		philox_block(c.job->seed, PHILOX_SHUFFLE, (u64)c.job->state.epoch, threadIdx.x, w);
		keys[2 * threadIdx.x] = w[0] | (u64)w[1] << 32;
		keys[2 * threadIdx.x + 1] = w[2] | (u64)w[3] << 32;
	}
	__syncthreads();
	u32 bits = SHUFFLE_BITS;
	while ((u64)1 << bits < (u64)a.n) bits++;
	u32 left = bits / 2, right = bits - left;
	u64 mask = ((u64)1 << right) - 1;
	for (i32 i = tile * SHUFFLE_TILE + threadIdx.x; i < a.n && i < (tile + 1) * SHUFFLE_TILE; i += BLOCK) {
		u64 v = (u64)i;
		do {
			u64 l = v >> right, r = v & mask;
#pragma unroll
			for (i32 k = 0; k < SHUFFLE_ROUNDS; k += 2) {
				l ^= (keys[2 * k] * r + keys[2 * k + 1]) >> (64 - left);
				r ^= (keys[2 * k + 2] * l + keys[2 * k + 3]) >> (64 - right);
			}
			v = l << right | r;
		} while (v >= (u64)a.n);
		a.order[i] = (i32)v;
	}
}
