// What convolutions and pools share: division by a number known at run time
// only, and the arithmetic of windows.
#pragma once
#include "job.cuh"

// Divisor divides by d > 0 with a multiplication, for n in [0, 2³²).
// The quotient by the rounded down reciprocal is at most one too small.
struct Divisor { u32 d, reciprocal; };

DEV Divisor divisor(i32 d) { return {(u32)d, 0xffffffffu / (u32)d}; }

struct Division { i32 quotient, remainder; };

DEV Division divide(u32 n, Divisor by) {
	u32 q = (u32)((u64)n * by.reciprocal >> 32);
	u32 r = n - q * by.d;
	if (r >= by.d) q++, r -= by.d;
	return {(i32)q, (i32)r};
}

// divided returns n/d; 64 bits only where they are needed, as that takes some
// hundred instructions. d may be 64 bits wide likewise.
DEV i64 divided(i64 n, i64 d) { return n >> 32 || d >> 32 ? n / d : (i64)((u32)n / (u32)d); }

DEV i32 ceil_div(i32 n, i32 d) { return (n + d - 1) / d; }
DEV i32 least(i32 a, i32 b) { return a < b ? a : b; }
DEV i32 most(i32 a, i32 b) { return a > b ? a : b; }

// Pair is two floats side by side at a multiple of 8 bytes.
struct alignas(8) Pair { float a, b; };

DEV i32 image_size(const Window &w) { return w.c * w.h * w.w; }
DEV i32 places_of(const Window &w) { return w.oh * w.ow; }

// quarters says that a window is the usual one of pools: squares of four
// without overlap or padding.
DEV bool quarters(const Window &w) {
	return w.kh == 2 && w.kw == 2 && w.sh == 2 && w.sw == 2 && w.ph == 0 && w.pw == 0;
}

// Cells walks over planes of h by w cells, all planes in a row: a thread's
// cells in a tile lie BLOCK apart, so that lanes lie side by side.
struct Cells {
	i64 plane;  // of the tile's first cell
	i64 count;  // cells from the tile's first to the end of all planes
	i32 offset; // of the tile's first cell in its plane
	Divisor size, width;
};

struct Cell { i64 plane; i32 y, x; };

DEV Cells cells_of(i64 planes, i32 h, i32 w, i64 first) {
	i64 plane = divided(first, h * w);
	return {plane, planes * (h * w) - first, (i32)(first - plane * (h * w)), divisor(h * w), divisor(w)};
}

// cell_at returns the tile's cell number i < 2³¹ - h·w.
DEV Cell cell_at(const Cells &c, i32 i) {
	Division in_plane = divide((u32)(c.offset + i), c.size);
	Division in_row = divide((u32)in_plane.remainder, c.width);
	return {c.plane + in_plane.quotient, in_row.quotient, in_row.remainder};
}
