// Convolutions (torch's: cross-correlation with zero padding) and their
// gradients, without a matrix of columns in memory.
//
//	conv2d                  x (R, c, h, w), w (out, c, kh, kw), b (out) -> y (R, out, oh, ow)
//	conv2d_grad_input       dy (R, out, oh, ow), w -> dx (R, c, h, w)
//	conv2d_grad_weight      x, dy -> partial (splits, out, c·kh·kw + 1)
//	conv2d_grad_weight_sum  partial -> dw (out, c, kh, kw), db (out)
//
// Reference: gpu/host/conv.go.
//
// Floor: 2·out·c·kh·kw operations a place and sample each, 256 of them a cycle
// on a multiprocessor of 128 lanes; x, y and the weights move once.
//
// Forward and back to the input are one routine, correlate: a tile stages the
// part of the image that its places look at, padding as zeros, and its weights
// for as many channels at a time as SHARED_BYTES hold. Each thread then has 8
// channels of the output at CORRELATE_PLACES (or half as many) places, lanes
// side by side: 4 conflict-free words and 2 broadcasts of 16 bytes from shared
// memory for 32 multiplications, which is what keeps both busy. The warps divide
// into those of other channels and those of other places, so that layers of 6
// channels fill a tile (8 by 1024) as well as those of 64 (64 by 128). An
// element's sum runs over channel, row and column of the kernel in increasing
// order (back: channel in increasing, rows and columns in decreasing order)
// however large the tile; the bias is added after.
//
// Back to the input with a stride s, elements that lie s apart are the places of
// a correlation of stride 1 with every s-th element of the kernel; tiles go by
// such classes. None multiplies the zeros between.
//
// The weights' gradient sums over the places of the batch, so those are split:
// each split is a share of the lines of places (all samples' lines in a row),
// lines·s/splits to lines·(s+1)/splits, and a tile adds up one share for at most
// 64 outputs by 512 elements of the patch. A thread has 8 outputs by 4 elements; a
// layer too small to employ 256 threads that way deals a share's places out to
// several teams, whose sums are added in order at the end. The tiles of the first
// elements add up the gradient itself for the bias.
//
// Kernels so large that not even one place and channel fit into shared memory
// (some 900 elements, for the weights' gradient some 12000) are summed straight
// from memory, in the same order but slowly.
//
// conv2d_splits says how many splits the program should ask for.
#pragma once
#include "activation.cuh"
#include "context.cuh"
#include "reduce.cuh"
#include "window.cuh"

enum : i32 {
	SHARED_FLOATS = SHARED_BYTES / 4,
	CHANNELS_EACH = 8,       // of the output, that a thread has
	CORRELATE_PLACES = 4,    // that a thread has
	CORRELATE_TILES = 64,    // below this many, threads have half the places
	STAGE_LOADS = 8,         // a thread's loads under way
	PATCH_EACH = 4,          // elements of the patch, that a thread has
	PATCH_TILE = 128 * PATCH_EACH,
	SPLIT_PLACES = 64,       // that a thread should see at least
	SPLIT_TILES = 264,       // enough for 132 multiprocessors
	SUM_EACH = 4, SUM_TILE = SUM_EACH * BLOCK,
};

// Lines is a run of lines of places through all samples, and where those look
// in their images: a place's row times sy plus oy is the first row under the
// kernel, of kh; columns likewise.
struct Lines {
	i32 h, w;         // of the image
	i32 gh, gw;       // places of a sample
	i32 kh, kw;
	i32 sy, sx, oy, ox;
};

// Stage is how lines of a tile's places lie in shared memory: of each channel
// the rows they look at, samples one below the other.
struct Stage {
	i32 lines, width; // places of a tile; width <= gw
	i32 segments;     // tiles side by side
	i32 rows, pitch;  // of a channel
	i32 gap;          // rows by which the next sample lies lower than its lines alone would
	i32 period;       // rows from sample to sample
};

DEV i32 plane_of(const Stage &s) { return s.rows * s.pitch; }

// stage_of returns the stage for that many lines of that many places.
DEV Stage stage_of(const Lines &l, i32 lines, i32 width) {
	Stage s;
	s.lines = lines;
	s.width = width;
	s.segments = ceil_div(l.gw, width);
	s.gap = most(l.kh - l.sy, 0);
	s.period = l.gh * l.sy + s.gap;
	// A run of lines touches one sample more than it fills, at most.
	s.rows = (lines - 1) * l.sy + (lines + l.gh - 2) / l.gh * s.gap + l.kh;
	s.pitch = (width - 1) * l.sx + l.kw;
	// A few places a line: samples an odd distance apart keep lanes off each other's banks.
	if (l.gw < 32) s.pitch |= 1;
	return s;
}

// fit returns the largest stage of at most that many places, all lines below
// all_lines, that fits into room words: planes channels of it, and extra words
// for each place. lines is 0 if none does.
DEV Stage fit(const Lines &l, i32 places, i32 all_lines, i32 planes, i32 extra, i32 room) {
	i32 width = ceil_div(l.gw, ceil_div(l.gw, places));
	for (; width > 0; width = width > 1 ? ceil_div(width, 2) : 0) {
		i64 a_line = (i64)planes * l.sy * stage_of(l, 1, width).pitch + extra * width; // the least that one costs
		i32 lines = least(least(places / width, all_lines), (i32)divided(room, a_line));
		while (lines > 0) {
			Stage s = stage_of(l, lines, width);
			i64 over = (i64)planes * s.rows * s.pitch + (i64)extra * lines * width - room;
			if (over <= 0) return s;
			lines -= (i32)divided(over + a_line - 1, a_line);
		}
	}
	Stage none = {};
	return none;
}

// Rows finds the rows of a batch as batch_row does, without looking into the
// job each time.
struct Rows { const i32 *order; i64 first; };

DEV Rows rows_of(const Context &c, u32 flags) {
	if (!(flags & INPUT)) return {nullptr, 0};
	const i32 *order = c.job->order;
	if (c.train && order) return {order + c.first, 0};
	return {nullptr, c.first};
}
DEV i64 row_at(const Rows &rows, i32 r) { return rows.order ? (i64)rows.order[r] : rows.first + r; }

// Source is a batch of images (R, channels, h, w).
struct Source {
	const float *x;
	Rows rows;
	i32 count; // R
	i32 channels;
};

// stage_image copies channels [first, first+count) of what the lines from line
// on, places from column on, look at into to (count, rows, pitch).
DEV void stage_image(float *to, const Source &source, const Lines &l, const Stage &s, i32 line, i32 column, i32 first, i32 count) {
	i32 sample0 = line / l.gh, row0 = (line - sample0 * l.gh) * l.sy;
	i32 x0 = column * l.sx + l.ox;
	i32 width = (s.width - 1) * l.sx + l.kw;
	Divisor by_width = divisor(width), by_rows = divisor(s.rows), by_period = divisor(s.period);
	i32 n = count * s.rows * width;
	for (i32 begin = threadIdx.x; begin < n; begin += STAGE_LOADS * (i32)BLOCK) {
		float v[STAGE_LOADS];
		#pragma unroll
		for (i32 j = 0; j < STAGE_LOADS; j++) {
			i32 i = begin + j * (i32)BLOCK;
			v[j] = 0;
			if (i >= n) continue;
			Division in_row = divide((u32)i, by_width);
			Division in_plane = divide((u32)in_row.quotient, by_rows);
			Division in_sample = divide((u32)(in_plane.remainder + row0), by_period);
			i32 r = sample0 + in_sample.quotient, y = in_sample.remainder + l.oy, x = in_row.remainder + x0;
			if (r >= source.count || y < 0 || y >= l.h || x < 0 || x >= l.w) continue;
			v[j] = source.x[((row_at(source.rows, r) * source.channels + first + in_plane.quotient) * l.h + y) * l.w + x];
		}
		#pragma unroll
		for (i32 j = 0; j < STAGE_LOADS; j++) {
			i32 i = begin + j * (i32)BLOCK;
			if (i >= n) continue;
			Division in_row = divide((u32)i, by_width);
			to[in_row.quotient * s.pitch + in_row.remainder] = v[j];
		}
	}
}

// WindowPlace is where a place of a tile is.
struct WindowPlace { i32 sample, y, x; bool real; };

// place_at returns the tile's place number p, in lines of the stage's width.
DEV WindowPlace place_at(const Lines &l, const Stage &s, i32 all_lines, i32 line, i32 column, i32 p, Divisor by_width, Divisor by_height) {
	Division d = divide((u32)p, by_width);
	Division in_sample = divide((u32)(line + d.quotient), by_height);
	WindowPlace at = {in_sample.quotient, in_sample.remainder, column + d.remainder, false};
	at.real = d.quotient < s.lines && line + d.quotient < all_lines && at.x < l.gw;
	return at;
}

// staged_at returns where the place's first element lies in a staged plane.
DEV i32 staged_at(const Lines &l, const Stage &s, i32 line, i32 column, WindowPlace at) {
	i32 sample0 = line / l.gh, y0 = line - sample0 * l.gh;
	i32 row = (at.sample - sample0) * s.period + (at.y - y0) * l.sy;
	return row * s.pitch + (at.x - column) * l.sx;
}

// Correlation is a convolution or one class of its way back.
struct Correlation {
	Lines lines;
	Source source;
	i32 out;                      // channels of the result
	const float *w;               // of output m, channel k, row j and column i at
	i32 w_out, w_channel, w_row, w_column; // m·w_out + k·w_channel + j·w_row + i·w_column
	float *y;                     // (R, out, yh, yw)
	i32 yh, yw, yy, yx;           // place (j, i) is row j·ysy+yy and column i·ysx+yx
	i32 ysy, ysx;
};

// Shape is how a correlation is cut into tiles.
struct Shape {
	i32 groups;       // of CHANNELS_EACH outputs in a tile: 1, 2, 4 or 8
	i32 each;         // places a thread: CORRELATE_PLACES or its half
	Stage stage;
	bool straight;    // from memory: nothing is staged
	i32 chunk;        // channels staged at a time
	i32 out_tiles, line_tiles;
};

DEV i32 weight_pitch(i32 groups) { return groups * CHANNELS_EACH + 4; } // keeps stores off each other's banks

// tile_groups returns how many groups of outputs a tile should have: few
// superfluous ones, but many to share what is staged.
DEV i32 tile_groups(i32 out) {
	i32 all = ceil_div(out, CHANNELS_EACH), best = 1;
	for (i32 groups = 2; groups <= 8; groups *= 2) {
		i32 cost = ceil_div(all, groups) * (2 * groups + 1);
		if (cost <= ceil_div(all, best) * (2 * best + 1)) best = groups;
	}
	return best;
}

DEV int shape_tiles(const Shape &s) { return s.out_tiles * s.line_tiles * s.stage.segments; }

// shape_of returns how correlations like l, that many classes of them, are cut.
DEV Shape shape_of(const Lines &l, i32 channels, i32 out, i32 rows, i32 classes) {
	i32 all_lines = rows * l.gh, taps = l.kh * l.kw;
	Shape s;
	s.groups = tile_groups(out);
	while (s.groups > 1 && (i64)taps * weight_pitch(s.groups) > SHARED_FLOATS / 2) s.groups /= 2;
	s.out_tiles = ceil_div(out, s.groups * CHANNELS_EACH);
	i32 weights = taps * weight_pitch(s.groups); // words, of a channel
	for (s.each = CORRELATE_PLACES;; s.each = CORRELATE_PLACES / 2) {
		i32 places = BLOCK / s.groups * s.each;
		s.stage = fit(l, places, all_lines, 1, 0, SHARED_FLOATS - weights);
		s.straight = s.stage.lines == 0;
		if (s.straight) {
			s.each = CORRELATE_PLACES / 2; // correlate_straight is compiled for no more
			places = BLOCK / s.groups * s.each;
			i32 width = least(l.gw, places);
			s.stage = stage_of(l, places / width, width);
			s.chunk = channels;
		} else {
			i32 fitting = SHARED_FLOATS / (plane_of(s.stage) + weights);
			s.chunk = ceil_div(channels, ceil_div(channels, fitting));
		}
		s.line_tiles = ceil_div(all_lines, s.stage.lines);
		if (s.each < CORRELATE_PLACES || classes * shape_tiles(s) >= CORRELATE_TILES) return s;
	}
}

// stage_weights copies those of outputs from m on and channels [first,
// first+count) into to (count·kh·kw, weight_pitch).
DEV void stage_weights(float *to, const Correlation &a, const Shape &s, i32 m, i32 first, i32 count) {
	i32 taps = a.lines.kh * a.lines.kw, n = count * taps, pitch = weight_pitch(s.groups);
	Divisor by_taps = divisor(taps), by_width = divisor(a.lines.kw);
	// A warp takes 4 outputs by 8 elements: 32 bytes side by side, 32 banks.
	i32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
	i32 quads = s.groups * CHANNELS_EACH / 4, all = quads * ceil_div(n, 8);
	Divisor by_quads = divisor(quads);
	for (i32 begin = warp; begin < all; begin += STAGE_LOADS * (i32)WARPS) {
		float v[STAGE_LOADS];
		#pragma unroll
		for (i32 j = 0; j < STAGE_LOADS; j++) {
			Division d = divide((u32)(begin + j * (i32)WARPS), by_quads);
			i32 o = d.remainder * 4 + lane / 8, k = d.quotient * 8 + lane % 8;
			v[j] = 0;
			if (k >= n || m + o >= a.out) continue;
			Division channel = divide((u32)k, by_taps);
			Division row = divide((u32)channel.remainder, by_width);
			v[j] = a.w[(i64)(m + o) * a.w_out + (i64)(first + channel.quotient) * a.w_channel + row.quotient * a.w_row + row.remainder * a.w_column];
		}
		#pragma unroll
		for (i32 j = 0; j < STAGE_LOADS; j++) {
			Division d = divide((u32)(begin + j * (i32)WARPS), by_quads);
			i32 o = d.remainder * 4 + lane / 8, k = d.quotient * 8 + lane % 8;
			if (k < n) to[k * pitch + o] = v[j];
		}
	}
}

// correlate_staged adds the products of staged channels. KW is the kernel's width, or 0
// if that has no code of its own.
template <i32 PLACES, i32 KW, i32 UNROLL = KW ? KW : 2> DEV void correlate_staged(float (&sum)[CHANNELS_EACH][PLACES], const i32 (&at)[PLACES], const float *x, const float *w,
	i32 channels, i32 plane, i32 kh, i32 pitch, i32 kw, i32 weights) {
	i32 weight_at = 0;
	for (i32 k = 0; k < channels; k++) {
		for (i32 j = 0; j < kh; j++) {
			const float *row = x + (k * plane + j * pitch), *p[PLACES];
			#pragma unroll
			for (i32 n = 0; n < PLACES; n++) p[n] = row + at[n];
			#pragma unroll UNROLL
			for (i32 i = 0; i < (KW ? KW : kw); i++, weight_at += weights) {
				float4 low = *(const float4 *)(w + weight_at), high = *(const float4 *)(w + weight_at + 4);
				float weight[CHANNELS_EACH] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
				#pragma unroll
				for (i32 n = 0; n < PLACES; n++) {
					float v = p[n][i];
					#pragma unroll
					for (i32 m = 0; m < CHANNELS_EACH; m++) sum[m][n] = fmaf(v, weight[m], sum[m][n]);
				}
			}
		}
	}
}

// correlate_straight does the same from memory, for outputs from m on.
template <i32 PLACES> DEV void correlate_straight(float (&sum)[CHANNELS_EACH][PLACES], const WindowPlace (&at)[PLACES], const Correlation &a, i32 m) {
	const Lines &l = a.lines;
	for (i32 k = 0; k < a.source.channels; k++) {
		for (i32 j = 0; j < l.kh; j++) {
			for (i32 i = 0; i < l.kw; i++) {
				const float *w = a.w + (i64)k * a.w_channel + j * a.w_row + i * a.w_column;
				float weight[CHANNELS_EACH];
				#pragma unroll
				for (i32 o = 0; o < CHANNELS_EACH; o++) weight[o] = m + o < a.out ? w[(i64)(m + o) * a.w_out] : 0;
				#pragma unroll
				for (i32 n = 0; n < PLACES; n++) {
					i32 y = at[n].y * l.sy + l.oy + j, x = at[n].x * l.sx + l.ox + i;
					float v = 0;
					if (at[n].real && y >= 0 && y < l.h && x >= 0 && x < l.w) {
						v = a.source.x[((row_at(a.source.rows, at[n].sample) * a.source.channels + k) * l.h + y) * l.w + x];
					}
					#pragma unroll
					for (i32 o = 0; o < CHANNELS_EACH; o++) sum[o][n] = fmaf(v, weight[o], sum[o][n]);
				}
			}
		}
	}
}

// correlate_places computes the tile with that many places a thread. finish
// (sum, output, index in y) returns what is written.
template <i32 PLACES, class Finish> DEV void correlate_places(const Context &c, const Correlation &a, const Shape &s, i32 tile, Finish finish) {
	const Lines &l = a.lines;
	const Stage &stage = s.stage;
	i32 taps = l.kh * l.kw, all_lines = a.source.count * l.gh, channels = a.source.channels;
	i32 m0 = tile % s.out_tiles * s.groups * CHANNELS_EACH;
	tile /= s.out_tiles;
	i32 column = tile % stage.segments * stage.width, line = tile / stage.segments * stage.lines;
	i32 warp = (i32)threadIdx.x / 32, lane = (i32)threadIdx.x % 32;
	i32 m = m0 + warp % s.groups * CHANNELS_EACH, first = warp / s.groups * (32 * PLACES) + lane;

	WindowPlace place[PLACES];
	float sum[CHANNELS_EACH][PLACES];
	Divisor by_width = divisor(stage.width), by_height = divisor(l.gh);
	#pragma unroll
	for (i32 n = 0; n < PLACES; n++) {
		place[n] = place_at(l, stage, all_lines, line, column, first + 32 * n, by_width, by_height);
		#pragma unroll
		for (i32 o = 0; o < CHANNELS_EACH; o++) sum[o][n] = 0;
	}
	if (s.straight) {
		if constexpr (PLACES < CORRELATE_PLACES) correlate_straight<PLACES>(sum, place, a, m);
	} else if (taps > 0) {
		i32 at[PLACES], pitch = weight_pitch(s.groups), plane = plane_of(stage);
		#pragma unroll
		for (i32 n = 0; n < PLACES; n++) at[n] = place[n].real ? staged_at(l, stage, line, column, place[n]) : 0;
		float *x = c.shared + s.chunk * taps * pitch; // behind the weights, which are read as float4
		const float *w = c.shared + (m - m0);
		for (i32 k = 0; k < channels; k += s.chunk) {
			i32 count = least(s.chunk, channels - k);
			if (k > 0) __syncthreads();
			stage_weights(c.shared, a, s, m0, k, count);
			stage_image(x, a.source, l, stage, line, column, k, count);
			__syncthreads();
			if (taps == 1) correlate_staged<PLACES, 1>(sum, at, x, w, 1, 0, count, plane, 1, pitch);
			else if (l.kw == 3) correlate_staged<PLACES, 3>(sum, at, x, w, count, plane, l.kh, stage.pitch, 3, pitch);
			else if (l.kw == 5) correlate_staged<PLACES, 5>(sum, at, x, w, count, plane, l.kh, stage.pitch, 5, pitch);
			else correlate_staged<PLACES, 0>(sum, at, x, w, count, plane, l.kh, stage.pitch, l.kw, pitch);
		}
	}
	i64 to[PLACES];
	i32 out_plane = a.yh * a.yw;
	#pragma unroll
	for (i32 n = 0; n < PLACES; n++) {
		i32 y = place[n].y * a.ysy + a.yy, x = place[n].x * a.ysx + a.yx;
		to[n] = -1;
		if (place[n].real && y < a.yh && x < a.yw) to[n] = ((i64)place[n].sample * a.out + m) * out_plane + y * a.yw + x;
	}
	// The sums move up by one output each time: finish is compiled for one row
	// of them, and no array is indexed at run time.
	#pragma unroll 1
	for (i32 o = 0; o < CHANNELS_EACH && m + o < a.out; o++) {
		#pragma unroll
		for (i32 n = 0; n < PLACES; n++) {
			if (to[n] < 0) continue;
			a.y[to[n]] = finish(sum[0][n], m + o, to[n]);
			to[n] += out_plane;
		}
		shift(sum);
	}
}

template <class Finish> DEV void correlate(const Context &c, const Correlation &a, const Shape &s, i32 tile, Finish finish) {
	if (s.each == CORRELATE_PLACES) correlate_places<CORRELATE_PLACES>(c, a, s, tile, finish);
	else correlate_places<CORRELATE_PLACES / 2>(c, a, s, tile, finish);
}

// places_lines returns the places of a window and what they look at.
DEV Lines places_lines(const Window &w) { return {w.h, w.w, w.oh, w.ow, w.kh, w.kw, w.sh, w.sw, -w.ph, -w.pw}; }

DEV int conv2d_tiles(const Conv2D &a, int rows) {
	return shape_tiles(shape_of(places_lines(a.window), a.window.c, a.out, rows, 1));
}

DEV void conv2d_tile(const Context &c, u32 flags, const Conv2D &op, int tile) {
	Conv2D a = op;
	const Window &w = a.window;
	Correlation r;
	r.lines = places_lines(w);
	r.source = {a.x, rows_of(c, flags), c.rows, w.c};
	r.out = a.out;
	r.w = a.w;
	r.w_out = w.c * w.kh * w.kw, r.w_channel = w.kh * w.kw, r.w_row = w.kw, r.w_column = 1;
	r.y = a.y;
	r.yh = w.oh, r.yw = w.ow, r.ysy = 1, r.ysx = 1, r.yy = 0, r.yx = 0;
	correlate(c, r, shape_of(r.lines, w.c, a.out, c.rows, 1), tile, [&](float v, i32 o, i64) {
		return activated(a.b ? v + a.b[o] : v, a.act, a.slope);
	});
}

// Class is the elements of one dimension that lie stride apart, from element
// first on: what of the kernel reaches them, from which place on.
struct Class { i32 taps, first_tap, origin; };

DEV Class class_of(i32 first, i32 kernel, i32 stride, i32 pad) {
	i32 place = (first + pad) / stride, tap = (first + pad) % stride;
	i32 taps = tap < kernel ? (kernel - 1 - tap) / stride + 1 : 0;
	// Rows of the kernel go down as places go up: the first place needs the last tap.
	return {taps, taps ? tap + (taps - 1) * stride : 0, place - (taps - 1)};
}

DEV i32 classes_of(const Window &w) { return least(w.sh, w.h) * least(w.sw, w.w); }

// back_shape returns how each class is cut, after the one that most of the
// kernel reaches.
DEV Shape back_shape(const Window &w, i32 out, i32 rows) {
	Lines widest = {w.oh, w.ow, ceil_div(w.h, w.sh), ceil_div(w.w, w.sw), ceil_div(w.kh, w.sh), ceil_div(w.kw, w.sw), 1, 1, 0, 0};
	return shape_of(widest, out, w.c, rows, classes_of(w));
}

DEV int conv2d_grad_input_tiles(const Conv2DGradInput &a, int rows) {
	return classes_of(a.window) * shape_tiles(back_shape(a.window, a.out, rows));
}

DEV void conv2d_grad_input_tile(const Context &c, u32, const Conv2DGradInput &op, int tile) {
	Conv2DGradInput a = op;
	const Window &w = a.window;
	Shape shape = back_shape(w, a.out, c.rows);
	i32 tiles = shape_tiles(shape), number = tile / tiles, across = least(w.sw, w.w);
	i32 y0 = number / across, x0 = number % across;
	Class y = class_of(y0, w.kh, w.sh, w.ph), x = class_of(x0, w.kw, w.sw, w.pw);
	Correlation r;
	r.lines = {w.oh, w.ow, ceil_div(w.h, w.sh), ceil_div(w.w, w.sw), y.taps, x.taps, 1, 1, y.origin, x.origin};
	r.source = {a.dy, {nullptr, 0}, c.rows, a.out};
	r.out = w.c;
	r.w = a.w + y.first_tap * w.kw + x.first_tap;
	r.w_out = w.kh * w.kw, r.w_channel = w.c * w.kh * w.kw, r.w_row = -w.sh * w.kw, r.w_column = -w.sw;
	r.y = a.dx;
	r.yh = w.h, r.yw = w.w, r.ysy = w.sh, r.ysx = w.sw, r.yy = y0, r.yx = x0;
	correlate(c, r, shape, tile - number * tiles, [&](float v, i32, i64 at) {
		return a.y ? activation_grad(v, a.y[at], a.act, a.slope) : v;
	});
}

// WeightShape is how a weights' gradient is cut into tiles of each split.
struct WeightShape {
	i32 groups;      // of CHANNELS_EACH outputs in a tile
	i32 quads;       // of PATCH_EACH elements of the patch in a tile
	i32 teams;       // that share its places
	i32 out_tiles, patch_tiles;
};

DEV WeightShape weight_shape(const Window &w, i32 out) {
	i32 groups = ceil_div(out, CHANNELS_EACH), quads = ceil_div(w.c * w.kh * w.kw, PATCH_EACH);
	WeightShape s;
	s.out_tiles = ceil_div(groups, 8);
	s.groups = ceil_div(groups, s.out_tiles);
	s.patch_tiles = ceil_div(quads, least((i32)BLOCK / s.groups, PATCH_TILE / PATCH_EACH));
	s.quads = ceil_div(quads, s.patch_tiles);
	s.teams = BLOCK / (s.groups * s.quads);
	return s;
}

// conv2d_splits returns how many splits suit a batch of up to max_rows. The
// program's compiler (gpu/program) computes the same:
//
//	groups = ⌈out/8⌉;      out_tiles   = ⌈groups/8⌉;                      groups = ⌈groups/out_tiles⌉
//	quads  = ⌈c·kh·kw/4⌉;  patch_tiles = ⌈quads/min(⌊256/groups⌋, 128)⌉;  quads  = ⌈quads/patch_tiles⌉
//	teams  = ⌊256/(groups·quads)⌋
//	splits = max(1, min(⌊max_rows·oh·ow/(64·teams)⌋, ⌊264/(out_tiles·patch_tiles)⌋, max_rows·oh))
//
// so that a thread sees 64 places of its share at least, and there are no more
// tiles than keep a large device busy. The scratch is splits·out·(c·kh·kw + 1)
// floats, at most 264 tiles of 8192.
DEV i32 conv2d_splits(const Window &w, i32 out, i32 max_rows) {
	WeightShape s = weight_shape(w, out);
	i64 lines = (i64)max_rows * w.oh, splits = lines * w.ow / (SPLIT_PLACES * s.teams);
	i64 most_tiles = SPLIT_TILES / (s.out_tiles * s.patch_tiles);
	if (splits > most_tiles) splits = most_tiles;
	if (splits > lines) splits = lines;
	return splits < 1 ? 1 : (i32)splits;
}

DEV int conv2d_grad_weight_tiles(const Conv2DGradWeight &a, int) {
	WeightShape s = weight_shape(a.window, a.out);
	return a.splits * s.out_tiles * s.patch_tiles;
}

// stage_gradient copies dy of count outputs from m on at the places of lines
// from line on, columns from column on, into to (places, pitch); zeros for
// outputs and places that are none.
DEV void stage_gradient(float *to, const float *dy, i32 out, const Lines &l, const Stage &s, i32 all_lines, i32 line, i32 column, i32 m, i32 count, i32 pitch) {
	Divisor by_width = divisor(s.width), by_height = divisor(l.gh);
	// A warp takes 4 outputs at 8 places: 32 bytes side by side, 32 banks.
	i32 warp = (i32)threadIdx.x / 32, lane = (i32)threadIdx.x % 32;
	i32 places = s.lines * s.width, quads = count / 4, all = quads * ceil_div(places, 8);
	Divisor by_quads = divisor(quads);
	for (i32 begin = warp; begin < all; begin += STAGE_LOADS * (i32)WARPS) {
		float v[STAGE_LOADS];
		#pragma unroll
		for (i32 j = 0; j < STAGE_LOADS; j++) {
			Division d = divide((u32)(begin + j * (i32)WARPS), by_quads);
			i32 o = m + d.remainder * 4 + lane / 8;
			WindowPlace p = place_at(l, s, all_lines, line, column, d.quotient * 8 + lane % 8, by_width, by_height);
			v[j] = p.real && o < out ? dy[(((i64)p.sample * out + o) * l.gh + p.y) * l.gw + p.x] : 0;
		}
		#pragma unroll
		for (i32 j = 0; j < STAGE_LOADS; j++) {
			Division d = divide((u32)(begin + j * (i32)WARPS), by_quads);
			i32 p = d.quotient * 8 + lane % 8;
			if (p < places) to[p * pitch + d.remainder * 4 + lane / 8] = v[j];
		}
	}
}

// weight_straight sums one share from memory, an output and element of the patch
// at a time, for windows too large to stage.
DEV void weight_straight(const Conv2DGradWeight &a, const Rows &rows, const WeightShape &s, i32 m0, i32 k0, i32 from, i32 to, float *partial) {
	const Window &w = a.window;
	i32 taps = w.kh * w.kw, patch = w.c * taps;
	i32 width = s.quads * PATCH_EACH + (k0 == 0); // the bias, that always sees 1
	for (i32 e = threadIdx.x; e < s.groups * CHANNELS_EACH * width; e += BLOCK) {
		i32 m = m0 + e / width, k = k0 + e % width;
		bool bias = e % width == s.quads * PATCH_EACH;
		if (m >= a.out || (!bias && k >= patch)) continue;
		i32 channel = k / taps, row = k % taps / w.kw, column = k % w.kw;
		float sum = 0;
		for (i32 line = from; line < to; line++) {
			i32 r = line / w.oh, oy = line % w.oh, y = oy * w.sh - w.ph + row;
			i64 dy = (((i64)r * a.out + m) * w.oh + oy) * w.ow, x = ((row_at(rows, r) * w.c + channel) * w.h + y) * w.w;
			for (i32 ox = 0; ox < w.ow; ox++) {
				i32 at = ox * w.sw - w.pw + column;
				float v = bias ? 1 : y >= 0 && y < w.h && at >= 0 && at < w.w ? a.x[x + at] : 0;
				sum = fmaf(a.dy[dy + ox], v, sum);
			}
		}
		partial[(i64)m * (patch + 1) + (bias ? patch : k)] = sum;
	}
}

DEV void conv2d_grad_weight_tile(const Context &c, u32 flags, const Conv2DGradWeight &op, int tile) {
	Conv2DGradWeight a = op;
	const Window &w = a.window;
	const Lines l = places_lines(w);
	WeightShape s = weight_shape(w, a.out);
	Rows rows = rows_of(c, flags);
	i32 taps = w.kh * w.kw, patch = w.c * taps, all_lines = c.rows * w.oh;

	i32 k0 = tile % s.patch_tiles * s.quads * PATCH_EACH;
	tile /= s.patch_tiles;
	i32 m0 = tile % s.out_tiles * s.groups * CHANNELS_EACH, split = tile / s.out_tiles;
	i32 from = (i32)divided((i64)all_lines * split, a.splits), to = (i32)divided((i64)all_lines * (split + 1), a.splits);
	float *partial = a.partial + (i64)split * a.out * (patch + 1);

	// The channels that the tile's part of the patch lies in.
	i32 channel0 = k0 / taps, channels = (least(k0 + s.quads * PATCH_EACH, patch) - 1) / taps - channel0 + 1;
	i32 outputs = s.groups * CHANNELS_EACH, pitch = outputs + 4; // of the staged gradient
	Stage widest = fit(l, SHARED_FLOATS, most(to - from, 1), channels, pitch + 1, SHARED_FLOATS);
	if (widest.lines == 0) {
		weight_straight(a, rows, s, m0, k0, from, to, partial);
		return;
	}

	i32 thread = (i32)threadIdx.x;
	i32 threads = s.groups * s.quads, team = thread / threads, group = thread % threads / s.quads, quad = thread % threads % s.quads;
	// For the bias, a thread an output: those that are left over take every so manieth place.
	i32 output = thread % outputs, turn = thread / outputs, turns = k0 == 0 ? BLOCK / outputs : 0;
	float sum[CHANNELS_EACH][PATCH_EACH], bias = 0;
	#pragma unroll
	for (i32 j = 0; j < PATCH_EACH; j++) {
		#pragma unroll
		for (i32 o = 0; o < CHANNELS_EACH; o++) sum[o][j] = 0;
	}
	for (i32 column = 0; column < l.gw; column += widest.width) {
		for (i32 line = from; line < to; line += widest.lines) {
			Stage stage = to - line < widest.lines ? stage_of(l, to - line, widest.width) : widest;
			i32 places = stage.lines * stage.width, plane = plane_of(stage);
			float *gradient = c.shared, *x = gradient + places * pitch;
			i32 *at = (i32 *)(x + channels * plane); // where each place's first element lies in x
			if (line > from || column > 0) __syncthreads();
			stage_gradient(gradient, a.dy, a.out, l, stage, all_lines, line, column, m0, outputs, pitch);
			stage_image(x, {a.x, rows, c.rows, w.c}, l, stage, line, column, channel0, channels);
			Divisor by_width = divisor(stage.width), by_height = divisor(l.gh);
			for (i32 p = thread; p < places; p += BLOCK) {
				WindowPlace place = place_at(l, stage, all_lines, line, column, p, by_width, by_height);
				at[p] = place.real ? staged_at(l, stage, line, column, place) : 0;
			}
			const float *element[PATCH_EACH]; // of the patch, as the first place sees it
			#pragma unroll
			for (i32 j = 0; j < PATCH_EACH; j++) {
				i32 k = least(k0 + quad + j * s.quads, patch - 1), channel = k / taps, tap = k % taps;
				element[j] = x + ((channel - channel0) * plane + tap / w.kw * stage.pitch + tap % w.kw);
			}
			__syncthreads();
			if (turn < turns) {
				for (i32 p = turn; p < places; p += turns) bias += gradient[p * pitch + output];
			}
			if (team < s.teams) {
				#pragma unroll 2
				for (i32 p = team; p < places; p += s.teams) {
					const float *g = gradient + (p * pitch + group * CHANNELS_EACH);
					float4 low = *(const float4 *)g, high = *(const float4 *)(g + 4);
					float d[CHANNELS_EACH] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
					i32 first = at[p];
					#pragma unroll
					for (i32 j = 0; j < PATCH_EACH; j++) {
						float v = element[j][first];
						#pragma unroll
						for (i32 o = 0; o < CHANNELS_EACH; o++) sum[o][j] = fmaf(d[o], v, sum[o][j]);
					}
				}
			}
		}
	}

	// The teams' sums in order; a pitch of 33 keeps lanes off each other's banks.
	constexpr i32 each = CHANNELS_EACH * PATCH_EACH;
	float *biases = c.shared + BLOCK * (each + 1);
	__syncthreads();
	#pragma unroll
	for (i32 j = 0; j < PATCH_EACH; j++) {
		#pragma unroll
		for (i32 o = 0; o < CHANNELS_EACH; o++) c.shared[thread * (each + 1) + o * PATCH_EACH + j] = sum[o][j];
	}
	biases[thread] = bias;
	__syncthreads();
	Divisor by_threads = divisor(threads), by_quads = divisor(s.quads);
	for (i32 e = thread; e < threads * each; e += BLOCK) {
		Division of = divide((u32)e, by_threads), in_group = divide((u32)of.remainder, by_quads);
		i32 m = m0 + in_group.quotient * CHANNELS_EACH + of.quotient / PATCH_EACH;
		i32 k = k0 + in_group.remainder + of.quotient % PATCH_EACH * s.quads;
		if (m >= a.out || k >= patch) continue;
		float total = 0;
		for (i32 i = 0; i < s.teams; i++) total += c.shared[(i * threads + of.remainder) * (each + 1) + of.quotient];
		partial[(i64)m * (patch + 1) + k] = total;
	}
	if (turns > 0 && thread < outputs && m0 + thread < a.out) {
		float total = 0;
		for (i32 i = 0; i < turns; i++) total += biases[i * outputs + thread];
		partial[(i64)(m0 + thread) * (patch + 1) + patch] = total;
	}
}

DEV int conv2d_grad_weight_sum_tiles(const Conv2DGradWeightSum &a, int) {
	return (int)divided((i64)a.out * (a.patch + 1) + SUM_TILE - 1, SUM_TILE);
}

DEV void conv2d_grad_weight_sum_tile(const Context &, u32, const Conv2DGradWeightSum &op, int tile) {
	Conv2DGradWeightSum a = op;
	i64 n = (i64)a.out * (a.patch + 1), first = (i64)tile * SUM_TILE + threadIdx.x;
	float sum[SUM_EACH] = {};
	for (i32 s = 0; s < a.splits; s++) {
		#pragma unroll
		for (i32 j = 0; j < SUM_EACH; j++) {
			i64 e = first + j * (i32)BLOCK;
			if (e < n) sum[j] += a.partial[s * n + e];
		}
	}
	#pragma unroll
	for (i32 j = 0; j < SUM_EACH; j++) {
		i64 e = first + j * (i32)BLOCK;
		if (e >= n) continue;
		i64 m = divided(e, a.patch + 1);
		i32 k = (i32)(e - m * (a.patch + 1));
		if (k < a.patch) a.dw[m * a.patch + k] = sum[j];
		else if (a.db) a.db[m] = sum[j];
	}
}
