// Copies of rows and vectors.
//
//	gather_rows  y (R, n) = the batch's rows of x
//	copy         to (n) = from (n), to2 (n2) = from2 (n2)
//
// Reference: Go's copy. Floor: 8 bytes an element, and 4 a row of an order.
#pragma once
#include "activation.cuh"

DEV int gather_rows_tiles(const GatherRows &a, int rows) { return element_tiles((i64)rows * a.n); }

// gather: units of size 1 or 4 elements a row.
template <class T> DEV void gather(const Context &c, u32 flags, const GatherRows &a, u32 units, i64 first, i32 count) {
	const i64 all = (i64)c.rows * units;
#pragma unroll 4
	for (i32 at = threadIdx.x; at < count; at += BLOCK) {
		i64 i = first + at;
		if (i >= all) continue;
		u32 row = (u32)i / units, column = (u32)i - row * units;
		((T *)a.y)[i] = ((const T *)a.x)[batch_row(c, flags, (i32)row) * units + column];
	}
}

DEV void gather_rows_tile(const Context &c, u32 flags, const GatherRows &args, int tile) {
	const GatherRows a = args;
	if (a.n % 4 == 0 && aligned(a.x) && aligned(a.y))
		gather<float4>(c, flags, a, (u32)a.n / 4, (i64)tile * (ELEMENTS / 4), ELEMENTS / 4);
	else
		gather<float>(c, flags, a, (u32)a.n, (i64)tile * ELEMENTS, ELEMENTS);
}

DEV int copy_tiles(const Copy &a, int) { return element_tiles(a.n) + element_tiles(a.n2); }

DEV void copy_tile(const Context &, u32, const Copy &a, int tile) {
	const bool second = tile >= element_tiles(a.n);
	const i64 first = (i64)(second ? tile - element_tiles(a.n) : tile) * ELEMENTS;
	const float *from = (second ? a.from2 : a.from) + first;
	float *to = (second ? a.to2 : a.to) + first;
	const i64 count = (second ? a.n2 : a.n) - first;
	const bool wide = aligned(from) && aligned(to);
	Four v[FOURS_EACH];
#pragma unroll
	for (i32 k = 0; k < FOURS_EACH; k++) {
		i32 at = (k * BLOCK + threadIdx.x) * 4;
		v[k] = load_four(from + at, count - at, wide);
	}
#pragma unroll
	for (i32 k = 0; k < FOURS_EACH; k++) {
		i32 at = (k * BLOCK + threadIdx.x) * 4;
		store_four(to + at, v[k], count - at, wide);
	}
}
