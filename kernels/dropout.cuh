// dropout: y = x·keep or x·0, R·n elements; in evaluation y = x.
//
// Reference: gpu/host/dropout.go, same bits.
//
// Floor: 8 bytes an element; Philox costs some 20 instructions an element.
#pragma once
#include "activation.cuh"
#include "philox.cuh"

DEV int dropout_tiles(const Dropout &a, int rows) { return element_tiles((i64)rows * a.n); }

DEV void dropout_tile(const Context &c, u32, const Dropout &args, int tile) {
	const Dropout a = args;
	const i64 first = (i64)tile * ELEMENTS, count = (i64)c.rows * a.n - first;
	const bool wide = aligned(a.x) && aligned(a.y);
	const u64 seed = c.job->seed, stream = (u64)a.stage << 48 | (u64)c.step;
	Four v[FOURS_EACH];
#pragma unroll
	for (i32 k = 0; k < FOURS_EACH; k++) {
		i32 at = (k * BLOCK + threadIdx.x) * 4;
		v[k] = load_four(a.x + first + at, count - at, wide);
	}
#pragma unroll 1
	for (i32 k = 0; k < FOURS_EACH; k++) {
		i32 at = (k * BLOCK + threadIdx.x) * 4;
		if (c.train) {
			u32 words[4];
			philox_block(seed, PHILOX_DROPOUT, stream, (u64)(first + at) / 4, words);
#pragma unroll
			for (i32 i = 0; i < 4; i++) v[0].f[i] *= words[i] >> 8 < a.limit ? 0 : a.keep;
		}
		store_four(a.y + first + at, v[0], count - at, wide);
		shift(v);
	}
}
