// Fully connected layers: the three products of a batch's rows R with weights.
//
//	linear              y (R, out) = act(x (R, in) · w (out, in)ᵀ + b)
//	linear_grad_input   dx (R, in) = (dy (R, out) · w) ∘ act'(y (R, in))
//	linear_grad_weight  dw (out, in) = dy (R, out)ᵀ · x (R, in), db (out) = column sums of dy
//
// Reference: gpu/host/linear.go, of whose portable products these are the bits:
// every element is one chain of fmaf over k = 0, 1, … from 0, whatever the tile,
// and db adds rows in increasing order.
//
// Floor: R·in·out multiply-adds each, 128 a cycle on a multiprocessor, against
// 4·(R·in + in·out + R·out) bytes, which for these sizes come from cache.
//
// A tile is 16·TM by 16·TN elements of the result, TM by TN for each of 256
// threads. It goes along k in stages: both operands' next stage is loaded into
// registers while the threads multiply the last one from shared memory, which
// is double-buffered, so there is one barrier a stage. Nothing is transposed:
// an operand whose rows run along k (Along) is staged with rows padded by 16
// bytes, and read four k at a time; one whose rows are k (Across) is staged and
// read as it is. In a warp, 4 by 8 threads, lanes are so numbered that of each
// half's 16-byte reads every second is a copy of its neighbour's: no read from
// shared memory has a conflict.
//
// For four k a thread reads TM + TN fours and multiplies 4·TM·TN times, so a
// multiprocessor spends 16·(TM+TN) cycles on reading and 8·TM·TN on
// multiplying (estimates): 4 by 4 keeps both busy, smaller tiles are bound by
// reading but are needed for small layers and for a spread over more blocks. As
// compiled (clang 19, ptxas 12.9 for sm_90) eight k of 4 by 4 are 151
// instructions, 128 of them FFMA and 16 LDS.128; a kernel of one product alone
// takes 127, 123 and 120 registers and spills none.
#pragma once
#include "activation.cuh"

// Matrix is rows of a matrix in memory: the batch's, or all of one.
struct Matrix {
	const float *p;
	i32 rows, width;
	u32 flags; // of batch_row
};

DEV const float *row_of(const Context &c, const Matrix &m, i32 r) { return m.p + batch_row(c, m.flags, r) * m.width; }
DEV bool wide(const Matrix &m) { return m.width % 4 == 0 && aligned(m.p); }

// Along stages SPAN rows of a matrix, DEPTH columns at a time.
template <int SPAN, int DEPTH> struct Along {
	static constexpr i32 PITCH = DEPTH + 4, SIZE = SPAN * PITCH; // of a row, of a stage
	static constexpr i32 FOURS = SPAN * DEPTH / 4, THREADS = BLOCK, EACH = (FOURS + THREADS - 1) / THREADS;
	const float *row[EACH]; // from this thread's first column on; null beyond the matrix
	i32 columns;            // from there
	bool wide;
	Four held[EACH];
};

template <int S, int D> DEV void begin(Along<S, D> &o, const Context &c, const Matrix &m, i32 first) {
	const i32 column = threadIdx.x % (D / 4) * 4;
	o.columns = m.width - column;
	o.wide = wide(m);
#pragma unroll
	for (i32 j = 0; j < o.EACH; j++) {
		i32 r = first + (threadIdx.x + j * BLOCK) / (D / 4);
		o.row[j] = r < m.rows ? row_of(c, m, r) + column : nullptr;
	}
}

// fetch loads the stage that begins at k into registers.
template <int S, int D> DEV void fetch(Along<S, D> &o, const Context &, i32 k) {
#pragma unroll
	for (i32 j = 0; j < o.EACH; j++) o.held[j] = load_four(o.row[j] + k, o.row[j] ? o.columns - k : 0, o.wide);
}

// put stores what was fetched.
template <int S, int D> DEV void put(const Along<S, D> &o, float *stage) {
#pragma unroll
	for (i32 j = 0; j < o.EACH; j++) {
		i32 i = threadIdx.x + j * BLOCK;
		if (o.FOURS % o.THREADS == 0 || i < o.FOURS) store_whole(stage + i / (D / 4) * o.PITCH + i % (D / 4) * 4, o.held[j]);
	}
}

// place returns where thread t of 16 finds its element i of a tile.
template <int S, int D> DEV i32 place(const Along<S, D> &, i32 t, i32 i) { return t + 16 * i; }

// read sets v to thread t's elements for the four k from k on.
template <int S, int D> DEV void read(const Along<S, D> &o, const float *stage, i32 t, i32 k, float (&v)[4][S / 16]) {
#pragma unroll
	for (i32 i = 0; i < S / 16; i++) {
		Four q = load_whole(stage + (t + 16 * i) * o.PITCH + k);
#pragma unroll
		for (i32 kk = 0; kk < 4; kk++) v[kk][i] = q.f[kk];
	}
}

// Across stages SPAN columns of a matrix, DEPTH rows at a time.
template <int SPAN, int DEPTH> struct Across {
	static constexpr i32 SIZE = SPAN * DEPTH, FOURS = SIZE / 4, THREADS = BLOCK, EACH = (FOURS + THREADS - 1) / THREADS;
	Matrix m;
	i32 column; // this thread's
	bool wide;
	Four held[EACH];
};

template <int S, int D> DEV void begin(Across<S, D> &o, const Context &, const Matrix &m, i32 first) {
	o.m = m;
	o.column = first + threadIdx.x % (S / 4) * 4;
	o.wide = wide(m);
}

template <int S, int D> DEV void fetch(Across<S, D> &o, const Context &c, i32 k) {
#pragma unroll
	for (i32 j = 0; j < o.EACH; j++) {
		i32 r = k + (threadIdx.x + j * BLOCK) / (S / 4);
		o.held[j] = Four{};
		if (r < o.m.rows) o.held[j] = load_four(row_of(c, o.m, r) + o.column, o.m.width - o.column, o.wide);
	}
}

template <int S, int D> DEV void put(const Across<S, D> &o, float *stage) {
#pragma unroll
	for (i32 j = 0; j < o.EACH; j++) {
		i32 i = threadIdx.x + j * BLOCK;
		if (o.FOURS % o.THREADS == 0 || i < o.FOURS) store_whole(stage + 4 * i, o.held[j]);
	}
}

template <int S, int D> DEV i32 place(const Across<S, D> &, i32 t, i32 i) { return t * (S / 16) + i; }

// In one access of 4, 8 or 16 bytes for each k.
template <int S, int D> DEV void read(const Across<S, D> &, const float *stage, i32 t, i32 k, float (&v)[4][S / 16]) {
	struct alignas(S / 4) Elements { float f[S / 16]; };
#pragma unroll
	for (i32 kk = 0; kk < 4; kk++) {
		Elements e = *(const Elements *)(stage + (k + kk) * S + t * (S / 16));
#pragma unroll
		for (i32 i = 0; i < S / 16; i++) v[kk][i] = e.f[i];
	}
}

// Place is a thread's among the 16 by 16 of a block.
struct Place { i32 y, x; };

DEV Place thread_place() {
	const i32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
	return {warp / 2 * 4 + lane / 16 * 2 + lane % 2, warp % 2 * 8 + lane / 2 % 8};
}

// multiply adds to acc the products over four k, or over count of them.
template <int TM, int TN> DEV void multiply(float (&acc)[TM][TN], const float (&a)[4][TM], const float (&b)[4][TN], i32 count) {
#pragma unroll
	for (i32 kk = 0; kk < 4; kk++) {
		if (kk >= count) continue;
#pragma unroll
		for (i32 i = 0; i < TM; i++)
#pragma unroll
			for (i32 j = 0; j < TN; j++) acc[i][j] = fmaf(a[kk][i], b[kk][j], acc[i][j]);
	}
}

// product sets acc to the thread's elements of a tile of a·b over depth terms,
// unless they all lie outside the result. sum, unless null, becomes the sum of
// a's row number threadIdx.x.
template <int TM, int TN, int DEPTH, class A, class B>
DEV void product(const Context &c, float (&acc)[TM][TN], A &a, B &b, i32 depth, Place t, bool inside, float *sum) {
	static_assert(2 * (A::SIZE + B::SIZE) * 4 <= SHARED_BYTES, "two stages must fit");
#pragma unroll
	for (i32 i = 0; i < TM; i++)
#pragma unroll
		for (i32 j = 0; j < TN; j++) acc[i][j] = 0;
	float *stage = c.shared, *next = c.shared + A::SIZE + B::SIZE;
	fetch(a, c, 0);
	fetch(b, c, 0);
	for (i32 k = 0; k < depth; k += DEPTH) {
		put(a, stage);
		put(b, stage + A::SIZE);
		__syncthreads();
		if (k + DEPTH < depth) {
			fetch(a, c, k + DEPTH);
			fetch(b, c, k + DEPTH);
		}
		const i32 count = depth - k < DEPTH ? depth - k : DEPTH;
		if (inside) {
			float va[4][TM], vb[4][TN];
			i32 at = 0;
#pragma unroll 2
			for (; at + 4 <= count; at += 4) {
				read(a, stage, t.y, at, va);
				read(b, stage + A::SIZE, t.x, at, vb);
				multiply(acc, va, vb, 4);
			}
			if (at < count) {
				read(a, stage, t.y, at, va);
				read(b, stage + A::SIZE, t.x, at, vb);
				multiply(acc, va, vb, count - at);
			}
		}
		if (sum) sum_rows(a, stage, count, *sum);
		float *used = stage;
		stage = next;
		next = used;
	}
}

// sum_rows adds row number threadIdx.x of what is staged to sum.
template <int S, int D> DEV void sum_rows(const Across<S, D> &, const float *stage, i32 count, float &sum) {
	if (threadIdx.x < S)
#pragma unroll 8
		for (i32 k = 0; k < count; k++) sum += stage[k * S + threadIdx.x];
}
template <int S, int D> DEV void sum_rows(const Along<S, D> &, const float *, i32, float &) {}

// Tiling is how a result is cut: into tiles of 16·tm by 16·tn, across of them
// side by side and count in all.
struct Tiling {
	i32 tm, tn, across, count;
	bool enough;
	float cycles;
};

// offer takes tiles of TM by TN if those are better than what t has: the
// shape with the least work for one block among those with tiles for as many
// blocks as the product could keep busy, one a million multiply-adds.
template <int TM, int TN> DEV void offer(Tiling &t, i32 m, i32 n, i32 k) {
	const i32 across = (n + 16 * TN - 1) / (16 * TN), count = (m + 16 * TM - 1) / (16 * TM) * across;
	const i32 busy = TM * TN > 2 * (TM + TN) ? TM * TN : 2 * (TM + TN); // cycles for four k, in eights
	const float cycles = (float)count * (600.0f + (float)(k + 3) / 4 * 8 * (float)busy); // 600: until the first stage is there
	const bool enough = count >= (i32)((i64)m * n * k >> 20);
	if (t.count == 0 || (enough && !t.enough) || (enough == t.enough && (enough ? cycles < t.cycles : count > t.count)))
		t = {TM, TN, across, count, enough, cycles};
}

DEV Tiling linear_tiling(i32 m, i32 n, i32 k) {
	Tiling t = {};
	offer<4, 4>(t, m, n, k);
	offer<2, 4>(t, m, n, k);
	offer<2, 2>(t, m, n, k);
	offer<2, 1>(t, m, n, k);
	return t;
}

DEV int linear_tiles(const Linear &a, int rows) { return linear_tiling(rows, a.out, a.in).count; }

template <int TM, int TN, int DEPTH> DEV void linear_shape(const Context &c, u32 flags, const Linear &a, i32 row, i32 column) {
	Along<16 * TM, DEPTH> x;
	Along<16 * TN, DEPTH> w;
	begin(x, c, Matrix{a.x, c.rows, a.in, flags}, row);
	begin(w, c, Matrix{a.w, a.out, a.in, 0}, column);
	const Place t = thread_place();
	float acc[TM][TN], bias[TN];
#pragma unroll
	for (i32 j = 0; j < TN; j++) {
		i32 n = column + place(w, t.x, j);
		bias[j] = a.b && n < a.out ? a.b[n] : 0;
	}
	product<TM, TN, DEPTH>(c, acc, x, w, a.in, t, row + t.y < c.rows && column + t.x < a.out, nullptr);
#pragma unroll 1
	for (i32 i = 0; i < TM; i++, shift(acc)) {
		i32 m = row + place(x, t.y, i);
		if (m >= c.rows) continue;
		float *y = a.y + (i64)m * a.out;
#pragma unroll
		for (i32 j = 0; j < TN; j++) {
			i32 n = column + place(w, t.x, j);
			float v = activated(a.b ? acc[0][j] + bias[j] : acc[0][j], a.act, a.slope);
			if (n < a.out) y[n] = v;
		}
	}
}

DEV void linear_tile(const Context &c, u32 flags, const Linear &args, int tile) {
	const Linear a = args;
	const Tiling t = linear_tiling(c.rows, a.out, a.in);
	const i32 row = tile / t.across * 16 * t.tm, column = tile % t.across * 16 * t.tn;
	if (t.tm == 4) linear_shape<4, 4, 32>(c, flags, a, row, column);
	else if (t.tn == 4) linear_shape<2, 4, 32>(c, flags, a, row, column);
	else if (t.tn == 2) linear_shape<2, 2, 64>(c, flags, a, row, column);
	else linear_shape<2, 1, 64>(c, flags, a, row, column);
}

DEV Tiling linear_grad_input_tiling(i32 m, i32 n, i32 k) {
	Tiling t = {};
	offer<4, 4>(t, m, n, k);
	offer<2, 4>(t, m, n, k);
	offer<2, 2>(t, m, n, k);
	return t;
}

DEV int linear_grad_input_tiles(const LinearGradInput &a, int rows) { return linear_grad_input_tiling(rows, a.in, a.out).count; }

// store_row writes a thread's TN neighbours of a row.
template <int TN> DEV void store_row(float *p, const float (&v)[TN], i32 left, bool wide) {
	if (TN == 4) {
		Four q;
#pragma unroll
		for (i32 j = 0; j < TN; j++) q.f[j] = v[j];
		store_four(p, q, left, wide);
		return;
	}
#pragma unroll
	for (i32 j = 0; j < TN; j++)
		if (j < left) p[j] = v[j];
}

template <int TM, int TN, int DEPTH> DEV void linear_grad_input_shape(const Context &c, const LinearGradInput &a, i32 row, i32 column) {
	Along<16 * TM, DEPTH> dy;
	Across<16 * TN, DEPTH> w;
	begin(dy, c, Matrix{a.dy, c.rows, a.out, 0}, row);
	begin(w, c, Matrix{a.w, a.out, a.in, 0}, column);
	const Place t = thread_place();
	const i32 n = column + place(w, t.x, 0);
	float acc[TM][TN];
	product<TM, TN, DEPTH>(c, acc, dy, w, a.out, t, row + t.y < c.rows && n < a.in, nullptr);
	const bool whole = wide(Matrix{a.dx, c.rows, a.in, 0});
#pragma unroll 1
	for (i32 i = 0; i < TM; i++, shift(acc)) {
		i32 m = row + place(dy, t.y, i);
		if (m >= c.rows) continue;
		const i64 at = (i64)m * a.in + n;
		if (a.y) {
#pragma unroll
			for (i32 j = 0; j < TN; j++)
				if (n + j < a.in) acc[0][j] = activation_grad(acc[0][j], a.y[at + j], a.act, a.slope);
		}
		store_row(a.dx + at, acc[0], a.in - n, whole);
	}
}

DEV void linear_grad_input_tile(const Context &c, u32, const LinearGradInput &args, int tile) {
	const LinearGradInput a = args;
	const Tiling t = linear_grad_input_tiling(c.rows, a.in, a.out);
	const i32 row = tile / t.across * 16 * t.tm, column = tile % t.across * 16 * t.tn;
	if (t.tm == 4) linear_grad_input_shape<4, 4, 32>(c, a, row, column);
	else if (t.tn == 4) linear_grad_input_shape<2, 4, 32>(c, a, row, column);
	else linear_grad_input_shape<2, 2, 64>(c, a, row, column);
}

DEV Tiling linear_grad_weight_tiling(i32 m, i32 n, i32 k) {
	Tiling t = {};
	offer<4, 4>(t, m, n, k);
	offer<2, 2>(t, m, n, k);
	offer<1, 4>(t, m, n, k);
	return t;
}

DEV int linear_grad_weight_tiles(const LinearGradWeight &a, int rows) { return linear_grad_weight_tiling(a.out, a.in, rows).count; }

template <int TM, int TN, int DEPTH> DEV void linear_grad_weight_shape(const Context &c, u32 flags, const LinearGradWeight &a, i32 row, i32 column) {
	Across<16 * TM, DEPTH> dy;
	Across<16 * TN, DEPTH> x;
	begin(dy, c, Matrix{a.dy, c.rows, a.out, 0}, row);
	begin(x, c, Matrix{a.x, c.rows, a.in, flags}, column);
	const Place t = thread_place();
	const i32 n = column + place(x, t.x, 0);
	float acc[TM][TN], sum = 0;
	// The tiles of the first column add up the bias's gradient beside.
	const bool sums = a.db && column == 0;
	product<TM, TN, DEPTH>(c, acc, dy, x, c.rows, t, row + place(dy, t.y, 0) < a.out && n < a.in, sums ? &sum : nullptr);
	if (sums && threadIdx.x < 16 * TM && row + (i32)threadIdx.x < a.out) a.db[row + threadIdx.x] = sum;
	const bool whole = wide(Matrix{a.dw, a.out, a.in, 0});
#pragma unroll 1
	for (i32 i = 0; i < TM; i++, shift(acc)) {
		i32 m = row + place(dy, t.y, i);
		if (m < a.out) store_row(a.dw + (i64)m * a.in + n, acc[0], a.in - n, whole);
	}
}

DEV void linear_grad_weight_tile(const Context &c, u32 flags, const LinearGradWeight &args, int tile) {
	const LinearGradWeight a = args;
	const Tiling t = linear_grad_weight_tiling(a.out, a.in, c.rows);
	const i32 row = tile / t.across * 16 * t.tm, column = tile % t.across * 16 * t.tn;
	if (t.tm == 4) linear_grad_weight_shape<4, 4, 32>(c, flags, a, row, column);
	else if (t.tm == 2) linear_grad_weight_shape<2, 2, 64>(c, flags, a, row, column);
	else linear_grad_weight_shape<1, 4, 64>(c, flags, a, row, column);
}
