// loss: what a row of outputs costs, the gradient of the batch's mean, and how
// many of the row's outputs are right. loss_sum: the batch's mean and count,
// and the columns' squared errors that RMSE and R² are made of.
//
// z, dz (R, width); targets are the data set's, by batch_row: labels (rows)
// for CROSS_ENTROPY, values (rows, width) for the others; loss, right (R);
// squares (width). The reference is gpu/host/loss.go and, for right and
// squares, gpu/host/evaluate.go.
//
// One to 32 lanes of a warp share a row, so that each has four elements at
// least. Transcendental functions are float32's, arranged so that nothing
// cancels: losses near zero and gradients of outputs that are nearly right keep
// their relative accuracy. Rows are added up in float64.
//
// Floor of loss: 4·R·width bytes of outputs, as many of targets (4·R for
// labels) and of gradients; 2 exponentials (cross entropy; one of them in the
// gradient alone) or an exponential and a logarithm (BCE) an element. Ten
// outputs of 64 rows are one tile. Of loss_sum: 12·R bytes; a regression's
// evaluation 8·R·width more.
#pragma once
#include "context.cuh"
#include "math.cuh"
#include "reduce.cuh"

enum : i32 { LOSS_BATCH = 4 }; // elements that a lane loads at once

// Lanes that share a row.
DEV i32 loss_lanes(i32 width) {
	i32 lanes = 1;
	while (lanes < 32 && lanes * LOSS_BATCH < width) lanes *= 2;
	return lanes;
}

DEV float loss_infinity() { return __builtin_huge_valf(); }

// Sets v to the elements i, i+lanes, … of a row, and to none behind its end.
DEV void loss_load(float (&v)[LOSS_BATCH], const float *row, i32 width, i32 i, i32 lanes, float none) {
#pragma unroll
	for (i32 k = 0; k < LOSS_BATCH; k++) v[k] = i + k * lanes < width ? row[i + k * lanes] : none;
}

template <class T> DEV T loss_lanes_sum(T v, i32 lanes) {
	for (i32 mask = lanes / 2; mask; mask /= 2) v += __shfl_xor_sync(~0u, v, mask);
	return v;
}

// What a lane knows of its row.
struct LossRow {
	const float *z;
	float *dz; // null: not wanted
	i32 width, lane, lanes;
	i32 rows;
};

// What the row comes to; the same in all its lanes.
struct LossValue {
	double loss;
	i32 right;
};

// log Σ exp z - z[label]. With the greatest output split off, that is the sum
// of (top - z[label]) and log1p(Σ of the others' exp(z - top)), neither of
// which is negative. The gradient is (softmax(z) - onehot(label))/R; where the
// label has the greatest output, softmax - 1 is minus the others' share.
DEV LossValue cross_entropy_row(const LossRow &a, i32 label) {
	const i32 batch = LOSS_BATCH * a.lanes;
	float v[LOSS_BATCH];

	// The first of the greatest; NaN is never greater.
	float top = -loss_infinity();
	i32 at = 0x7fffffff;
	for (i32 i = a.lane; i < a.width; i += batch) {
		loss_load(v, a.z, a.width, i, a.lanes, -loss_infinity());
#pragma unroll
		for (i32 k = 0; k < LOSS_BATCH; k++) {
			const i32 place = i + k * a.lanes;
			if (v[k] > top || (v[k] == top && place < at)) {
				top = v[k];
				at = place;
			}
		}
	}
	for (i32 mask = a.lanes / 2; mask; mask /= 2) {
		const float other = __shfl_xor_sync(~0u, top, mask);
		const i32 place = __shfl_xor_sync(~0u, at, mask);
		if (other > top || (other == top && place < at)) {
			top = other;
			at = place;
		}
	}

	// Kahan's sum: a wide row must not lose what a narrow one keeps.
	float rest = 0, lost = 0;
	for (i32 i = a.lane; i < a.width; i += batch) {
		loss_load(v, a.z, a.width, i, a.lanes, -loss_infinity());
#pragma unroll
		for (i32 k = 0; k < LOSS_BATCH; k++) {
			const float e = i + k * a.lanes == at ? 0.0f : expf_(v[k] - top);
			const float term = e - lost, sum = rest + term;
			lost = (sum - rest) - term;
			rest = sum;
		}
	}
	rest = loss_lanes_sum(rest, a.lanes);
	rest += top - top; // NaN where the greatest is infinite: so is its distance from itself

	if (a.dz) {
		const float scale = 1.0f / (float)a.rows;
		const float factor = scale / (1.0f + rest);
		for (i32 i = a.lane; i < a.width; i += batch) {
			loss_load(v, a.z, a.width, i, a.lanes, 0);
#pragma unroll
			for (i32 k = 0; k < LOSS_BATCH; k++) {
				const i32 place = i + k * a.lanes;
				if (place >= a.width) break;
				float d = factor * (place == at ? 1.0f : expf_(v[k] - top));
				if (place == label) d = place == at ? -(factor * rest) : d - scale;
				a.dz[place] = d;
			}
		}
	}
	// The host looks for something greater than z[0], and nothing is greater than NaN.
	const i32 said = a.z[0] == a.z[0] ? at : 0;
	return {(double)(top - a.z[label]) + (double)log1pf_(rest), said == label};
}

// What one output costs, that cost's derivative over n, and whether it is right.
struct LossElement {
	double loss;
	float grad;
	i32 right;
};

// (z-t)².
DEV LossElement square_error(float z, float t, float n) {
	const float d = z - t;
	return {(double)d * (double)d, 2 * d / n, 0};
}

// ½(z-t)² where |z-t| < 1, |z-t| - ½ elsewhere; NaN is a case for the square.
DEV LossElement huber_error(float z, float t, float n) {
	const float d = z - t;
	if (d > 1) return {(double)d - 0.5, 1.0f / n, 0};
	if (d < -1) return {-(double)d - 0.5, -1.0f / n, 0};
	return {0.5 * (double)d * (double)d, d / n, 0};
}

// max(z, 0) - z·t + log(1+e) with e = exp(-|z|), and σ(z) - t. Both are written
// with 1-t for positive z, so that nothing cancels where z is right. As on the
// host, +∞ costs NaN.
DEV LossElement binary_cross_entropy(float z, float t, float n) {
	const bool positive = z > 0;
	const float e = expf_(positive ? -z : z), miss = 1.0f - t;
	const float linear = positive ? fmaf(z, miss, z - z) : -(z * t);
	const float slope = positive ? fmaf(-t, e, miss) : fmaf(e, miss, -t);
	return {(double)linear + (double)log1pf_(e), slope / (1.0f + e) / n, positive == (t >= 0.5f)};
}

template <LossElement (*ERROR)(float, float, float)> DEV LossValue element_row(const LossRow &a, const float *target) {
	const float n = (float)((i64)a.rows * a.width);
	double loss = 0;
	i32 right = 0;
	float z[LOSS_BATCH], t[LOSS_BATCH];
	for (i32 i = a.lane; i < a.width; i += LOSS_BATCH * a.lanes) {
		loss_load(z, a.z, a.width, i, a.lanes, 0);
		loss_load(t, target, a.width, i, a.lanes, 0);
#pragma unroll
		for (i32 k = 0; k < LOSS_BATCH; k++) {
			if (i + k * a.lanes >= a.width) break;
			const LossElement e = ERROR(z[k], t[k], n);
			loss += e.loss;
			right += e.right;
			if (a.dz) a.dz[i + k * a.lanes] = e.grad;
		}
	}
	return {loss_lanes_sum(loss, a.lanes) / a.width, loss_lanes_sum(right, a.lanes)};
}

DEV int loss_tiles(const Loss &a, int rows) {
	const i32 each = BLOCK / loss_lanes(a.width);
	return (rows + each - 1) / each;
}

DEV void loss_tile(const Context &c, u32, const Loss &op, int tile) {
	const Loss a = op; // not to be read again after each store
	const i32 lanes = loss_lanes(a.width), each = BLOCK / lanes;
	const i32 place = tile * each + (i32)threadIdx.x / lanes;
	// Lanes behind the last row do it once more, for the shuffles' sake, and
	// write nothing.
	const bool idle = place >= c.rows;
	const i32 r = idle ? c.rows - 1 : place;
	const i64 from = (i64)r * a.width, target = batch_row(c, INPUT, r);
	const LossRow row = {a.z + from, a.dz && !idle ? a.dz + from : nullptr, a.width, (i32)threadIdx.x % lanes, lanes, c.rows};
	const float *values = (const float *)a.target + target * a.width;
	LossValue v;
	switch (a.kind) {
	case CROSS_ENTROPY: v = cross_entropy_row(row, ((const i32 *)a.target)[target]); break;
	case MSE: v = element_row<square_error>(row, values); break;
	case BCE_WITH_LOGITS: v = element_row<binary_cross_entropy>(row, values); break;
	default: v = element_row<huber_error>(row, values);
	}
	if (idle || row.lane != 0) return;
	a.loss[r] = v.loss;
	a.right[r] = v.right;
}

// Adds Σ(z-t)² over the batch's rows to squares. A column's rows are dealt to
// as many threads as there are for it, whose sums are added as a tree.
// scratch: BLOCK elements.
DEV void add_squares(const Context &c, const LossSum &op, double *scratch) {
	const LossSum a = op; // not to be read again after each store
	const i32 me = threadIdx.x;
	i32 columns = 1;
	while (columns < (i32)BLOCK && columns < a.width) columns *= 2;
	const i32 shares = BLOCK / columns, share = me / columns;
	for (i32 first = 0; first < a.width; first += columns) {
		const i32 column = first + me % columns;
		double sum = 0;
		if (column < a.width)
			for (i32 r = share; r < c.rows; r += shares) {
				const double z = a.z[(i64)r * a.width + column], t = a.target[batch_row(c, INPUT, r) * a.width + column];
				sum += (z - t) * (z - t);
			}
		scratch[me] = sum;
		for (i32 half = shares / 2; half; half /= 2) {
			__syncthreads();
			if (share < half) scratch[me] += scratch[me + half * columns];
		}
		if (share == 0 && column < a.width) a.squares[column] += scratch[me];
		// No barrier: where there are further columns, each thread had its own.
	}
}

DEV int loss_sum_tiles(const LossSum &, int) { return 1; }

DEV void loss_sum_tile(const Context &c, u32, const LossSum &a, int) {
	double *losses = (double *)c.shared;
	i32 *rights = (i32 *)(losses + WARPS);
	double loss = 0;
	i32 right = 0;
	for (i32 r = threadIdx.x; r < c.rows; r += BLOCK) {
		loss += a.loss[r];
		right += a.right[r];
	}
	loss = warp_sum(loss);
	right = warp_sum(right);
	if (threadIdx.x % 32 == 0) {
		losses[threadIdx.x / 32] = loss;
		rights[threadIdx.x / 32] = right;
	}
	__syncthreads();
	if (threadIdx.x == 0) {
		i64 count = rights[0];
		for (u32 warp = 1; warp < WARPS; warp++) {
			loss += losses[warp];
			count += rights[warp];
		}
		c.job->batch.loss = loss / c.rows;
		c.job->batch.right = count;
	}
	if (a.squares) add_squares(c, a, losses + 2 * WARPS);
}
