// Normalizations.
//
//   layer_norm              x (R, n) -> y (R, n), stats (R, 2)
//   layer_norm_grad_input   x, dy (R, n) -> dx (R, n)
//   layer_norm_grad_weight  x, dy (R, n) -> dw, db (n)
//   batch_norm              x (R, channels, plane) -> y, stats (channels, 2), running_mean, running_var
//   batch_norm_grad         x, dy (R, channels, plane) -> dx, dw, db
//
// Reference: gpu/host/norm.go. As there a batch of one value a channel has
// variance 0, y = b, and turns running_var into NaN (0/0).
//
// A mean is summed in float64, other sums in float64 over float32 sums of four; a
// variance is the mean of (x-mean)² in a second pass. Which thread adds what, and the tree above the
// threads, follow from n, or from R and plane.
//
// Floor: x is read and y written once from memory, 8 bytes an element (back: 12);
// the passes after the first find x in L1 or L2. The work, some 10 operations an
// element, is less.
//
// Tiles: layer_norm takes a warp a row while a row is short (NORM_WARP_ROW), so
// that a block has eight rows on the way, and the block a row beyond. Columns
// (layer_norm_grad_weight, batch_norm of plane 1) go 32 to a tile, one a lane,
// the warps taking rows in turn: 128 bytes side by side a load. A larger plane
// makes a channel a tile, in float4 where plane allows. In evaluation batch_norm
// splits each of those tiles by rows; in training the tiles past the first share
// of each channel are empty, since tiles() cannot know which it is.
#pragma once
#include "context.cuh"
#include "reduce.cuh"
#include "window.cuh"

// Each tile copies its operation first: that lies in memory, where the compiler
// would have to look again after each store.

enum : i32 {
	NORM_WARP_ROW = 1024,    // elements of the longest row that a warp takes
	NORM_EVALUATE = 4096,    // elements, about, of a tile in evaluation
};

// sum_of adds up value(i), float or double, for i = from, from+step, … below n.
template <class F> DEV double sum_of(i32 from, i32 n, i32 step, F value) {
	double sum = 0;
	i32 i = from;
	for (; i < n - 3 * step; i += 4 * step) {
		auto a = value(i), b = value(i + step), c = value(i + 2 * step), d = value(i + 3 * step);
		sum += (double)((a + b) + (c + d));
	}
	for (; i < n; i += step) sum += (double)value(i);
	return sum;
}

struct Sums { double a, b; };

// sums_of is sum_of for two values at once: value(i, a, b) sets both.
template <class F> DEV Sums sums_of(i32 from, i32 n, i32 step, F value) {
	Sums sum = {0, 0};
	i32 i = from;
	for (; i < n - 3 * step; i += 4 * step) {
		float a[4], b[4];
		#pragma unroll
		for (i32 j = 0; j < 4; j++) value(i + j * step, a[j], b[j]);
		sum.a += (double)((a[0] + a[1]) + (a[2] + a[3]));
		sum.b += (double)((b[0] + b[1]) + (b[2] + b[3]));
	}
	for (; i < n; i += step) {
		float a, b;
		value(i, a, b);
		sum.a += (double)a;
		sum.b += (double)b;
	}
	return sum;
}

// each stores load(i) for i = from, from+step, … below n, four loads ahead of
// the stores, which the compiler may not swap.
template <class Load, class Store> DEV void each(i32 from, i32 n, i32 step, Load load, Store store) {
	i32 i = from;
	for (; i < n - 3 * step; i += 4 * step) {
		auto a = load(i), b = load(i + step), c = load(i + 2 * step), d = load(i + 3 * step);
		store(i, a), store(i + step, b), store(i + 2 * step, c), store(i + 3 * step, d);
	}
	for (; i < n; i += step) store(i, load(i));
}

// Center is a mean to more than float's precision: what rounding it took away
// would shift every difference from it.
struct Center { float high, low; };

DEV Center center(double mean) {
	float high = (float)mean;
	return {high, (float)(mean - (double)high)};
}

DEV float centered(float x, Center m) { return (x - m.high) - m.low; }

DEV float inverse_root(double variance, float eps) { return 1.0f / sqrtf((float)(variance + (double)eps)); }

// RowTeam is the threads that work on one row, a warp or the block.
struct RowTeam {
	i32 row, member, size;
	double *scratch; // the block's
};

DEV RowTeam row_team(const Context &c, i32 n, int tile) {
	i32 t = (i32)threadIdx.x;
	if (n <= NORM_WARP_ROW) return {tile * (i32)WARPS + t / 32, t % 32, 32, nullptr};
	return {tile, t, BLOCK, (double *)c.shared};
}

DEV double team_sum(const RowTeam &team, double v) {
	return team.size == 32 ? warp_sum(v) : block_sum(v, team.scratch);
}

DEV int row_tiles(i32 n, int rows) { return n <= NORM_WARP_ROW ? ceil_div(rows, WARPS) : rows; }

DEV int layer_norm_tiles(const LayerNorm &a, int rows) { return row_tiles(a.n, rows); }

DEV void layer_norm_tile(const Context &c, u32, const LayerNorm &op, int tile) {
	LayerNorm a = op;
	RowTeam team = row_team(c, a.n, tile);
	if (team.row >= c.rows) return; // a whole warp, and then none has barriers
	i32 n = a.n, from = team.member, step = team.size;
	const float *x = a.x + (i64)team.row * n;
	float *y = a.y + (i64)team.row * n;
	double mean = team_sum(team, sum_of(from, n, step, [&](i32 i) { return (double)x[i]; })) / n;
	Center m = center(mean);
	double squares = team_sum(team, sum_of(from, n, step, [&](i32 i) { float d = centered(x[i], m); return d * d; }));
	float inverse = inverse_root(squares / n, a.eps);
	each(from, n, step, [&](i32 i) { return centered(x[i], m) * inverse * a.w[i] + a.b[i]; }, [&](i32 i, float v) { y[i] = v; });
	if (from == 0) {
		a.stats[2 * team.row] = m.high;
		a.stats[2 * team.row + 1] = inverse;
	}
}

DEV int layer_norm_grad_input_tiles(const LayerNormGradInput &a, int rows) { return row_tiles(a.n, rows); }

// With x̂ the normalized input, g = dy·w and means over the row:
// dx = (g - mean(g) - x̂·mean(g·x̂)) / √(var+eps).
DEV void layer_norm_grad_input_tile(const Context &c, u32, const LayerNormGradInput &op, int tile) {
	LayerNormGradInput a = op;
	RowTeam team = row_team(c, a.n, tile);
	if (team.row >= c.rows) return; // a whole warp, and then none has barriers
	i32 n = a.n, from = team.member, step = team.size;
	const float *x = a.x + (i64)team.row * n, *dy = a.dy + (i64)team.row * n;
	float *dx = a.dx + (i64)team.row * n;
	float mean = a.stats[2 * team.row], inverse = a.stats[2 * team.row + 1];
	Sums sums = sums_of(from, n, step, [&](i32 i, float &g, float &gx) {
		g = dy[i] * a.w[i];
		gx = g * ((x[i] - mean) * inverse);
	});
	float g_mean = (float)(team_sum(team, sums.a) / n), gx_mean = (float)(team_sum(team, sums.b) / n);
	each(from, n, step, [&](i32 i) {
		return inverse * (dy[i] * a.w[i] - g_mean - (x[i] - mean) * inverse * gx_mean);
	}, [&](i32 i, float v) { dx[i] = v; });
}

DEV int layer_norm_grad_weight_tiles(const LayerNormGradWeight &a, int) { return ceil_div(a.n, 32); }

DEV void layer_norm_grad_weight_tile(const Context &c, u32, const LayerNormGradWeight &op, int tile) {
	LayerNormGradWeight a = op;
	i32 warp = (i32)threadIdx.x / 32, column = tile * 32 + (i32)threadIdx.x % 32;
	Sums sums = {0, 0};
	if (column < a.n) {
		sums = sums_of(warp, c.rows, WARPS, [&](i32 row, float &g, float &gx) {
			i64 at = (i64)row * a.n + column;
			g = a.dy[at];
			gx = g * ((a.x[at] - a.stats[2 * row]) * a.stats[2 * row + 1]);
		});
	}
	double *scratch = (double *)c.shared;
	sums.a = sum_across_warps(sums.a, scratch);
	sums.b = sum_across_warps(sums.b, scratch);
	if (warp == 0 && column < a.n) {
		a.db[column] = (float)sums.a;
		a.dw[column] = (float)sums.b;
	}
}

// ChannelTeam is the threads that work on one channel: the block, or for plane
// 1, with a channel a lane, those of equal lane.
struct ChannelTeam {
	i32 channel;       // may lie past the last with plane 1
	i32 member, size;
	i32 plane;
	i64 row;           // elements of a sample
	i64 base;          // of the channel in a sample
	Divisor by;        // plane, or with float4 its quarter
	double *scratch;
};

DEV bool in_quads(i32 plane) { return plane % 4 == 0; }

DEV i32 channel_tiles(i32 channels, i32 plane) { return plane == 1 ? ceil_div(channels, 32) : channels; }

DEV ChannelTeam channel_team(const Context &c, i32 channels, i32 plane, int tile) {
	i32 t = (i32)threadIdx.x;
	ChannelTeam team;
	team.plane = plane;
	team.row = (i64)channels * plane;
	team.scratch = (double *)c.shared;
	if (plane == 1) {
		team.channel = tile * 32 + t % 32, team.member = t / 32, team.size = WARPS;
		team.by = divisor(1);
	} else {
		team.channel = tile, team.member = t, team.size = BLOCK;
		team.by = divisor(in_quads(plane) ? plane / 4 : plane);
	}
	team.base = (i64)team.channel * plane;
	return team;
}

DEV double team_sum(const ChannelTeam &team, double v) {
	return team.plane == 1 ? sum_across_warps(v, team.scratch) : block_sum(v, team.scratch);
}

// element returns where the channel's element, or with float4 its quad, number i is.
DEV i64 element(const ChannelTeam &team, i32 i) {
	Division d = divide((u32)i, team.by);
	i32 in_plane = in_quads(team.plane) ? 4 * d.remainder : d.remainder;
	return d.quotient * team.row + team.base + in_plane;
}

DEV float4 quad(const float *p) { return *(const float4 *)p; }

// The channel's numbers of elements, or quads, in that many rows.
DEV i32 items(const ChannelTeam &team, i32 rows) { return rows * (in_quads(team.plane) ? team.plane / 4 : team.plane); }

// channel_sum adds up value(x) over the channel's elements in all rows.
template <class F> DEV double channel_sum(const ChannelTeam &team, i32 rows, const float *x, F value) {
	if (!in_quads(team.plane)) {
		return sum_of(team.member, items(team, rows), team.size, [&](i32 i) { return value(x[element(team, i)]); });
	}
	return sum_of(team.member, items(team, rows), team.size, [&](i32 i) {
		float4 v = quad(x + element(team, i));
		return (value(v.x) + value(v.y)) + (value(v.z) + value(v.w));
	});
}

// channel_map sets y to value(x) for the channel's elements of rows [from, to).
template <class F> DEV void channel_map(const ChannelTeam &team, i32 from, i32 to, const float *x, float *y, F value) {
	x += from * team.row, y += from * team.row;
	i32 n = items(team, to - from);
	if (in_quads(team.plane)) {
		each(team.member, n, team.size, [&](i32 i) {
			float4 v = quad(x + element(team, i));
			return float4{value(v.x), value(v.y), value(v.z), value(v.w)};
		}, [&](i32 i, float4 v) { *(float4 *)(y + element(team, i)) = v; });
	} else {
		each(team.member, n, team.size, [&](i32 i) { return value(x[element(team, i)]); },
			[&](i32 i, float v) { y[element(team, i)] = v; });
	}
}

// The rows of a tile in evaluation.
DEV i32 evaluation_rows(i32 plane) { return ceil_div(NORM_EVALUATE, plane == 1 ? 32 : plane); }

DEV int batch_norm_tiles(const BatchNorm &a, int rows) {
	return channel_tiles(a.channels, a.plane) * ceil_div(rows, evaluation_rows(a.plane));
}

DEV void batch_norm_tile(const Context &c, u32, const BatchNorm &op, int tile) {
	BatchNorm a = op;
	i32 tiles = channel_tiles(a.channels, a.plane);
	if (c.train && tile >= tiles) return;
	ChannelTeam team = channel_team(c, a.channels, a.plane, tile % tiles);
	bool real = team.channel < a.channels;
	i32 rows = real ? c.rows : 0; // lanes without a channel keep to the barriers
	i32 from = 0, to = rows;
	Center m = {0, 0};
	float inverse = 0;
	if (c.train) {
		double n = (double)c.rows * a.plane;
		double mean = team_sum(team, channel_sum(team, rows, a.x, [&](float v) { return (double)v; })) / n;
		m = center(mean);
		double squares = team_sum(team, channel_sum(team, rows, a.x, [&](float v) { float d = centered(v, m); return d * d; }));
		inverse = inverse_root(squares / n, a.eps);
		if (team.member == 0 && real) {
			double momentum = (double)a.momentum;
			float *run_mean = a.running_mean + team.channel, *run_var = a.running_var + team.channel;
			*run_mean = (float)((1 - momentum) * (double)*run_mean + momentum * mean);
			*run_var = (float)((1 - momentum) * (double)*run_var + momentum * squares / (n - 1));
			a.stats[2 * team.channel] = m.high;
			a.stats[2 * team.channel + 1] = inverse;
		}
	} else if (real) {
		m.high = a.running_mean[team.channel];
		inverse = inverse_root((double)a.running_var[team.channel], a.eps);
		from = tile / tiles * evaluation_rows(a.plane);
		to = least(from + evaluation_rows(a.plane), rows);
	}
	if (!real) return;
	float scale = inverse * a.w[team.channel], shift = a.b[team.channel];
	channel_map(team, from, to, a.x, a.y, [&](float v) { return centered(v, m) * scale + shift; });
}

DEV int batch_norm_grad_tiles(const BatchNormGrad &a, int) { return channel_tiles(a.channels, a.plane); }

// With x̂ the normalized input and means over batch and plane:
// dx = w/√(var+eps) · (dy - mean(dy) - x̂·mean(dy·x̂)).
DEV void batch_norm_grad_tile(const Context &c, u32, const BatchNormGrad &op, int tile) {
	BatchNormGrad a = op;
	ChannelTeam team = channel_team(c, a.channels, a.plane, tile);
	bool real = team.channel < a.channels, quads = in_quads(a.plane);
	i32 n = real ? items(team, c.rows) : 0;
	float mean = 0, inverse = 0;
	if (real) mean = a.stats[2 * team.channel], inverse = a.stats[2 * team.channel + 1];
	Sums sums;
	if (quads) {
		sums = sums_of(team.member, n, team.size, [&](i32 i, float &g, float &gx) {
			i64 at = element(team, i);
			float4 d = quad(a.dy + at), x = quad(a.x + at);
			g = (d.x + d.y) + (d.z + d.w);
			gx = (d.x * ((x.x - mean) * inverse) + d.y * ((x.y - mean) * inverse))
				+ (d.z * ((x.z - mean) * inverse) + d.w * ((x.w - mean) * inverse));
		});
	} else {
		sums = sums_of(team.member, n, team.size, [&](i32 i, float &g, float &gx) {
			i64 at = element(team, i);
			g = a.dy[at];
			gx = g * ((a.x[at] - mean) * inverse);
		});
	}
	sums.a = team_sum(team, sums.a);
	sums.b = team_sum(team, sums.b);
	if (!real) return;
	if (team.member == 0) {
		a.db[team.channel] = (float)sums.a;
		a.dw[team.channel] = (float)sums.b;
	}
	if (!a.dx) return;
	double count = (double)c.rows * a.plane;
	float g_mean = (float)(sums.a / count), gx_mean = (float)(sums.b / count), scale = a.w[team.channel] * inverse;
	auto back = [&](float g, float x) { return scale * (g - g_mean - (x - mean) * inverse * gx_mean); };
	if (quads) {
		each(team.member, n, team.size, [&](i32 i) {
			i64 at = element(team, i);
			float4 d = quad(a.dy + at), x = quad(a.x + at);
			return float4{back(d.x, x.x), back(d.y, x.y), back(d.z, x.z), back(d.w, x.w)};
		}, [&](i32 i, float4 v) { *(float4 *)(a.dx + element(team, i)) = v; });
	} else {
		each(team.member, n, team.size, [&](i32 i) {
			i64 at = element(team, i);
			return back(a.dy[at], a.x[at]);
		}, [&](i32 i, float v) { a.dx[element(team, i)] = v; });
	}
}
