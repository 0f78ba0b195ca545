// Pools: the greatest or the mean of what lies under a window, and back.
//
//   max_pool       x (R, c, h, w) -> y, from (R, c, oh, ow)
//   max_pool_grad  dy, from (R, c, oh, ow) -> dx (R, c, h, w)
//   avg_pool       x (R, c, h, w) -> y (R, c, oh, ow)
//   avg_pool_grad  dy (R, c, oh, ow) -> dx (R, c, h, w)
//
// Reference: gpu/host/pool.go, whose order of additions they keep. A gradient
// gathers: an element of dx walks over the windows that cover it, in order of
// place, so nothing is cleared before and no two threads add to one element.
//
// Floor: every element of x (or dx) and of y, from (or dy, from) moves once;
// 4 to 12 bytes a place and 4 an element. Windows that overlap find what they
// share in L1.
//
// A tile is POOL_CELLS places, or elements of dx, of all planes in a row, so
// POOL_EACH independent loads are under way in each thread. For squares of four
// without overlap (quarters) a thread takes a whole square both ways.
#pragma once
#include "context.cuh"
#include "window.cuh"

// Each tile copies its operation first: that lies in memory, where the compiler
// would have to look again after each store.

enum : i32 { POOL_EACH = 4, POOL_CELLS = POOL_EACH * BLOCK };

DEV int pool_tiles(int rows, i32 channels, i32 h, i32 w) {
	i64 cells = (i64)rows * channels * h * w;
	return (int)((cells + POOL_CELLS - 1) / POOL_CELLS);
}
DEV Cells pool_cells(int rows, i32 channels, i32 h, i32 w, int tile) {
	return cells_of((i64)rows * channels, h, w, (i64)tile * POOL_CELLS);
}

// A square of four: upper left a, upper right b, lower left c, lower right d.
struct Square { float a, b, c, d; };

// squares_load reads the calling thread's squares of the tile.
DEV void squares_load(Square (&s)[POOL_EACH], const Cells &cells, const float *x, const Window &w) {
	#pragma unroll
	for (i32 j = 0; j < POOL_EACH; j++) {
		i32 i = j * BLOCK + threadIdx.x;
		s[j] = {};
		if (i >= cells.count) continue;
		Cell at = cell_at(cells, i);
		const float *p = x + (at.plane * w.h + 2 * at.y) * w.w + 2 * at.x;
		if (w.w % 2 == 0) { // then rows begin at multiples of 8 bytes
			Pair upper = *(const Pair *)p, lower = *(const Pair *)(p + w.w);
			s[j] = {upper.a, upper.b, lower.a, lower.b};
		} else {
			s[j] = {p[0], p[1], p[w.w], p[w.w + 1]};
		}
	}
}

// square_store writes the square of dx at row 2·y and column 2·x of plane,
// which may hang over an odd edge.
DEV void square_store(float *dx, const Window &w, Cell at, Square s) {
	float *p = dx + (at.plane * w.h + 2 * at.y) * w.w + 2 * at.x;
	bool lower = 2 * at.y + 1 < w.h;
	if (w.w % 2 == 0) {
		*(Pair *)p = {s.a, s.b};
		if (lower) *(Pair *)(p + w.w) = {s.c, s.d};
		return;
	}
	bool right = 2 * at.x + 1 < w.w;
	p[0] = s.a;
	if (right) p[1] = s.b;
	if (lower) p[w.w] = s.c;
	if (lower && right) p[w.w + 1] = s.d;
}

// beats says that v replaces best: of equals the first stays, NaN beats all.
DEV bool beats(float v, float best) { return v > best || v != v; }

DEV int max_pool_tiles(const MaxPool &a, int rows) { return pool_tiles(rows, a.window.c, a.window.oh, a.window.ow); }

DEV void max_pool_tile(const Context &c, u32, const MaxPool &op, int tile) {
	MaxPool a = op;
	const Window &w = a.window;
	Cells cells = pool_cells(c.rows, w.c, w.oh, w.ow, tile);
	Divisor channels = divisor(w.c);
	i64 first = (i64)tile * POOL_CELLS;
	// The channel of a plane, without its sample's.
	i32 first_channel = (i32)(cells.plane - divided(cells.plane, w.c) * w.c);
	if (quarters(w)) {
		Square s[POOL_EACH];
		squares_load(s, cells, a.x, w);
		#pragma unroll
		for (i32 j = 0; j < POOL_EACH; j++) {
			i32 i = j * BLOCK + threadIdx.x;
			if (i >= cells.count) continue;
			Cell at = cell_at(cells, i);
			i32 channel = divide((u32)(first_channel + (i32)(at.plane - cells.plane)), channels).remainder;
			i32 upper = (channel * w.h + 2 * at.y) * w.w + 2 * at.x;
			float best = s[j].a;
			i32 from = upper;
			if (beats(s[j].b, best)) best = s[j].b, from = upper + 1;
			if (beats(s[j].c, best)) best = s[j].c, from = upper + w.w;
			if (beats(s[j].d, best)) best = s[j].d, from = upper + w.w + 1;
			a.y[first + i] = best;
			a.from[first + i] = from;
		}
		return;
	}
	for (i32 i = threadIdx.x; i < POOL_CELLS && i < cells.count; i += BLOCK) {
		Cell at = cell_at(cells, i);
		i32 channel = divide((u32)(first_channel + (i32)(at.plane - cells.plane)), channels).remainder;
		i32 y0 = at.y * w.sh - w.ph, x0 = at.x * w.sw - w.pw;
		i32 y1 = least(y0 + w.kh, w.h), x1 = least(x0 + w.kw, w.w);
		y0 = most(y0, 0), x0 = most(x0, 0);
		const float *plane = a.x + at.plane * w.h * w.w;
		i32 from = y0 * w.w + x0;
		float best = plane[from];
		for (i32 y = y0; y < y1; y++) {
			for (i32 x = x0; x < x1; x++) {
				float v = plane[y * w.w + x];
				if (beats(v, best)) best = v, from = y * w.w + x;
			}
		}
		a.y[first + i] = best;
		a.from[first + i] = channel * w.h * w.w + from;
	}
}

// The half-open range of places, of all, whose windows cover element i of a
// dimension.
struct Cover { i32 from, to; };

DEV Cover cover(i32 i, i32 kernel, i32 pad, Divisor stride, i32 all) {
	i32 last = divide((u32)(i + pad), stride).quotient;
	i32 before = i + pad - kernel; // the last element before the first window that covers i
	i32 first = before < 0 ? 0 : divide((u32)before, stride).quotient + 1;
	return {first, least(last + 1, all)};
}

DEV int pool_grad_tiles(const Window &w, int rows) {
	return quarters(w) ? pool_tiles(rows, w.c, ceil_div(w.h, 2), ceil_div(w.w, 2)) : pool_tiles(rows, w.c, w.h, w.w);
}

DEV int max_pool_grad_tiles(const MaxPoolGrad &a, int rows) { return pool_grad_tiles(a.window, rows); }

DEV void max_pool_grad_tile(const Context &c, u32, const MaxPoolGrad &op, int tile) {
	MaxPoolGrad a = op;
	const Window &w = a.window;
	Divisor channels = divisor(w.c);
	if (quarters(w)) {
		Cells cells = pool_cells(c.rows, w.c, ceil_div(w.h, 2), ceil_div(w.w, 2), tile);
		i32 first_channel = (i32)(cells.plane - divided(cells.plane, w.c) * w.c);
		float g[POOL_EACH];
		i32 from[POOL_EACH];
		#pragma unroll
		for (i32 j = 0; j < POOL_EACH; j++) {
			i32 i = j * BLOCK + threadIdx.x;
			g[j] = 0, from[j] = -1;
			if (i >= cells.count) continue;
			Cell at = cell_at(cells, i);
			if (at.y >= w.oh || at.x >= w.ow) continue;
			i64 place = (at.plane * w.oh + at.y) * w.ow + at.x;
			g[j] = a.dy[place], from[j] = a.from[place];
		}
		#pragma unroll
		for (i32 j = 0; j < POOL_EACH; j++) {
			i32 i = j * BLOCK + threadIdx.x;
			if (i >= cells.count) continue;
			Cell at = cell_at(cells, i);
			i32 channel = divide((u32)(first_channel + (i32)(at.plane - cells.plane)), channels).remainder;
			i32 winner = from[j] - ((channel * w.h + 2 * at.y) * w.w + 2 * at.x);
			square_store(a.dx, w, at, {
				winner == 0 ? g[j] : 0, winner == 1 ? g[j] : 0, winner == w.w ? g[j] : 0, winner == w.w + 1 ? g[j] : 0});
		}
		return;
	}
	Cells cells = pool_cells(c.rows, w.c, w.h, w.w, tile);
	i32 first_channel = (i32)(cells.plane - divided(cells.plane, w.c) * w.c);
	i64 first = (i64)tile * POOL_CELLS;
	Divisor sh = divisor(w.sh), sw = divisor(w.sw);
	for (i32 i = threadIdx.x; i < POOL_CELLS && i < cells.count; i += BLOCK) {
		Cell at = cell_at(cells, i);
		i32 channel = divide((u32)(first_channel + (i32)(at.plane - cells.plane)), channels).remainder;
		i32 self = (channel * w.h + at.y) * w.w + at.x;
		Cover rows = cover(at.y, w.kh, w.ph, sh, w.oh), columns = cover(at.x, w.kw, w.pw, sw, w.ow);
		i64 plane = at.plane * places_of(w);
		float sum = 0;
		for (i32 y = rows.from; y < rows.to; y++) {
			for (i32 x = columns.from; x < columns.to; x++) {
				i64 place = plane + y * w.ow + x;
				if (a.from[place] == self) sum += a.dy[place];
			}
		}
		a.dx[first + i] = sum;
	}
}

DEV int avg_pool_tiles(const AvgPool &a, int rows) { return pool_tiles(rows, a.window.c, a.window.oh, a.window.ow); }

DEV void avg_pool_tile(const Context &c, u32, const AvgPool &op, int tile) {
	AvgPool a = op;
	const Window &w = a.window;
	Cells cells = pool_cells(c.rows, w.c, w.oh, w.ow, tile);
	i64 first = (i64)tile * POOL_CELLS;
	if (quarters(w)) {
		Square s[POOL_EACH];
		squares_load(s, cells, a.x, w);
		#pragma unroll
		for (i32 j = 0; j < POOL_EACH; j++) {
			i32 i = j * BLOCK + threadIdx.x;
			if (i < cells.count) a.y[first + i] = (s[j].a + s[j].b + s[j].c + s[j].d) / 4;
		}
		return;
	}
	float area = (float)(w.kh * w.kw);
	for (i32 i = threadIdx.x; i < POOL_CELLS && i < cells.count; i += BLOCK) {
		Cell at = cell_at(cells, i);
		i32 y0 = at.y * w.sh - w.ph, x0 = at.x * w.sw - w.pw;
		i32 y1 = least(y0 + w.kh, w.h), x1 = least(x0 + w.kw, w.w);
		y0 = most(y0, 0), x0 = most(x0, 0);
		const float *plane = a.x + at.plane * w.h * w.w;
		float sum = 0;
		for (i32 y = y0; y < y1; y++) {
			for (i32 x = x0; x < x1; x++) sum += plane[y * w.w + x];
		}
		a.y[first + i] = sum / area;
	}
}

DEV int avg_pool_grad_tiles(const AvgPoolGrad &a, int rows) { return pool_grad_tiles(a.window, rows); }

DEV void avg_pool_grad_tile(const Context &c, u32, const AvgPoolGrad &op, int tile) {
	AvgPoolGrad a = op;
	const Window &w = a.window;
	if (quarters(w)) {
		Cells cells = pool_cells(c.rows, w.c, ceil_div(w.h, 2), ceil_div(w.w, 2), tile);
		float g[POOL_EACH];
		#pragma unroll
		for (i32 j = 0; j < POOL_EACH; j++) {
			i32 i = j * BLOCK + threadIdx.x;
			g[j] = 0;
			if (i >= cells.count) continue;
			Cell at = cell_at(cells, i);
			if (at.y < w.oh && at.x < w.ow) g[j] = a.dy[(at.plane * w.oh + at.y) * w.ow + at.x] / 4;
		}
		#pragma unroll
		for (i32 j = 0; j < POOL_EACH; j++) {
			i32 i = j * BLOCK + threadIdx.x;
			if (i < cells.count) square_store(a.dx, w, cell_at(cells, i), {g[j], g[j], g[j], g[j]});
		}
		return;
	}
	Cells cells = pool_cells(c.rows, w.c, w.h, w.w, tile);
	i64 first = (i64)tile * POOL_CELLS;
	Divisor sh = divisor(w.sh), sw = divisor(w.sw);
	float area = (float)(w.kh * w.kw);
	for (i32 i = threadIdx.x; i < POOL_CELLS && i < cells.count; i += BLOCK) {
		Cell at = cell_at(cells, i);
		Cover rows = cover(at.y, w.kh, w.ph, sh, w.oh), columns = cover(at.x, w.kw, w.pw, sw, w.ow);
		const float *plane = a.dy + at.plane * places_of(w);
		float sum = 0;
		for (i32 y = rows.from; y < rows.to; y++) {
			for (i32 x = columns.from; x < columns.to; x++) sum += plane[y * w.ow + x] / area;
		}
		a.dx[first + i] = sum;
	}
}
