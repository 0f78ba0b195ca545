// The three products of linear.cuh: bit for bit a plain loop's, and near what
// float64 gives.
#include <algorithm>
#include <set>
#include <utility>
#include "tiles.hpp"
#include "../linear.cuh"

using namespace harness;

static std::set<std::pair<int, int>> seen[3]; // tile shapes met

struct Shape { int rows, in, out; };

static const Shape shapes[] = {
	{1, 1, 1}, {3, 1, 5}, {31, 33, 1}, {32, 64, 64}, {33, 65, 31}, {64, 100, 10}, {29, 64, 10}, {32, 64, 1}, {100, 3, 97},
	{65, 37, 129}, {64, 128, 10}, {128, 64, 64}, {1, 784, 128}, {64, 784, 128}, {31, 127, 65}, {130, 132, 132}, {64, 512, 512},
};

// What batch rows are: of an activation, of the data set in order, or shuffled.
enum Rows { ACTIVATION, STRAIGHT, SHUFFLED, EVALUATED };

// Batch is a batch's rows and the job they are found through.
struct Batch_ {
	Job job{};
	Buffer<i32> order;
	Context c;
	u32 flags;
	int data_rows; // of x
	Batch_(int rows, Rows kind) : order(rows + 20), c(batch(rows, kind != EVALUATED)), flags(kind == ACTIVATION ? 0 : INPUT), data_rows(rows + 20) {
		for (size_t i = 0; i < order.n; i++) order[i] = (i32)i;
		std::shuffle(order.p, order.p + order.n, rng);
		c.job = &job;
		c.first = kind == ACTIVATION ? 0 : 7;
		if (kind == SHUFFLED || kind == EVALUATED) job.order = order;
	}
	// Where row r of the batch lies, said without batch_row.
	int row(int r) const {
		if (flags == 0) return r;
		return c.train && job.order ? job.order[7 + r] : 7 + r;
	}
};

static u32 bits(float v) { return __float_as_uint(v); }

// Compares got with the chain's bits and float64's values.
static void compare(const char *op, Shape s, const char *what, Buffer<float> &got, const std::vector<float> &chain, const std::vector<double> &want) {
	for (size_t i = 0; i < chain.size(); i++)
		if (bits(got[i]) != bits(chain[i])) {
			FAIL("%s %d x %d -> %d, %s: element %zu is %.9g, want %.9g", op, s.rows, s.in, s.out, what, i, got[i], chain[i]);
			break;
		}
	if (double d = distance(got.p, want); !(d < 2e-6)) FAIL("%s %d x %d -> %d, %s: %g from float64", op, s.rows, s.in, s.out, what, d);
	if (!got.guarded()) FAIL("%s %d x %d -> %d, %s: wrote beside the result", op, s.rows, s.in, s.out, what);
}

static double act64(double v, int act, double slope) {
	switch (act) {
	case RELU: return v > 0 ? v : 0;
	case LEAKY_RELU: return v > 0 ? v : v * slope;
	case TANH: return std::tanh(v);
	case SIGMOID: return 1 / (1 + std::exp(-v));
	}
	return v;
}

static double slope64(double y, int act, double slope) {
	switch (act) {
	case RELU: return y > 0;
	case LEAKY_RELU: return y > 0 ? 1 : slope;
	case TANH: return 1 - y * y;
	case SIGMOID: return y * (1 - y);
	}
	return 1;
}

// offset: floats by which operands lie off their alignment.
static void forward(Shape s, Rows kind, int act, bool bias, int offset) {
	Batch_ b(s.rows, kind);
	Buffer<float> x((size_t)b.data_rows * s.in + offset), w((size_t)s.out * s.in + offset), bs(s.out), y((size_t)s.rows * s.out);
	x.random(), w.random(), bs.random();
	Linear a{x + offset, w + offset, bias ? bs.p : nullptr, y, s.in, s.out, act, 0.1f};
	Tiling t = linear_tiling(s.rows, s.out, s.in);
	seen[0].insert({t.tm, t.tn});
	run_tiles(b.c, linear_tiles(a, s.rows), [&](const Context &c, int tile) { linear_tile(c, b.flags, a, tile); });
	std::vector<float> chain;
	std::vector<double> want;
	for (int r = 0; r < s.rows; r++)
		for (int o = 0; o < s.out; o++) {
			const float *xr = a.x + (size_t)b.row(r) * s.in, *wr = a.w + (size_t)o * s.in;
			float v = 0;
			double v64 = 0;
			for (int k = 0; k < s.in; k++) v = fmaf(xr[k], wr[k], v), v64 += (double)xr[k] * wr[k];
			if (bias) v += bs[o], v64 += bs[o];
			chain.push_back(activated(v, act, 0.1f));
			want.push_back(act64(v64, act, 0.1f));
		}
	char what[99];
	snprintf(what, sizeof what, "rows %d, activation %d, bias %d, offset %d", kind, act, bias, offset);
	compare("linear", s, what, y, chain, want);
}

static void back_to_input(Shape s, int act, int offset) {
	Batch_ b(s.rows, ACTIVATION);
	Buffer<float> dy((size_t)s.rows * s.out + offset), w((size_t)s.out * s.in + offset), y((size_t)s.rows * s.in), dx((size_t)s.rows * s.in);
	dy.random(), w.random(), y.random();
	for (size_t i = 0; i < y.n; i += 3) y[i] = act == RELU ? 0 : y[i];
	LinearGradInput a{dy + offset, w + offset, act == IDENTITY ? nullptr : y.p, dx, s.in, s.out, act, 0.1f};
	Tiling t = linear_grad_input_tiling(s.rows, s.in, s.out);
	seen[1].insert({t.tm, t.tn});
	run_tiles(b.c, linear_grad_input_tiles(a, s.rows), [&](const Context &c, int tile) { linear_grad_input_tile(c, 0, a, tile); });
	std::vector<float> chain;
	std::vector<double> want;
	for (int r = 0; r < s.rows; r++)
		for (int i = 0; i < s.in; i++) {
			float v = 0, value = y[(size_t)r * s.in + i];
			double v64 = 0;
			for (int k = 0; k < s.out; k++) {
				float g = a.dy[(size_t)r * s.out + k], weight = a.w[(size_t)k * s.in + i];
				v = fmaf(g, weight, v), v64 += (double)g * weight;
			}
			chain.push_back(activation_grad(v, value, act, 0.1f));
			want.push_back(v64 * slope64(value, act, 0.1f));
		}
	char what[99];
	snprintf(what, sizeof what, "activation %d, offset %d", act, offset);
	compare("linear_grad_input", s, what, dx, chain, want);
}

static void back_to_weight(Shape s, Rows kind, bool bias, int offset) {
	Batch_ b(s.rows, kind);
	Buffer<float> x((size_t)b.data_rows * s.in + offset), dy((size_t)s.rows * s.out + offset), dw((size_t)s.out * s.in), db(s.out);
	x.random(), dy.random();
	LinearGradWeight a{x + offset, dy + offset, dw, bias ? db.p : nullptr, s.in, s.out};
	Tiling t = linear_grad_weight_tiling(s.out, s.in, s.rows);
	seen[2].insert({t.tm, t.tn});
	run_tiles(b.c, linear_grad_weight_tiles(a, s.rows), [&](const Context &c, int tile) { linear_grad_weight_tile(c, b.flags, a, tile); });
	std::vector<float> chain, sums;
	std::vector<double> want, sums64;
	for (int o = 0; o < s.out; o++) {
		float sum = 0;
		double sum64 = 0;
		for (int r = 0; r < s.rows; r++) {
			float g = a.dy[(size_t)r * s.out + o];
			sum += g, sum64 += g;
		}
		sums.push_back(sum), sums64.push_back(sum64);
		for (int i = 0; i < s.in; i++) {
			float v = 0;
			double v64 = 0;
			for (int r = 0; r < s.rows; r++) {
				float g = a.dy[(size_t)r * s.out + o], at = a.x[(size_t)b.row(r) * s.in + i];
				v = fmaf(g, at, v), v64 += (double)g * at;
			}
			chain.push_back(v), want.push_back(v64);
		}
	}
	char what[99];
	snprintf(what, sizeof what, "rows %d, bias %d, offset %d", kind, bias, offset);
	compare("linear_grad_weight", s, what, dw, chain, want);
	if (bias) compare("linear_grad_weight's bias", s, what, db, sums, sums64);
}

// A row's result does not depend on how many there are.
static void rows_alone() {
	const int in = 65, out = 70;
	Buffer<float> x(200 * in), w(out * in), b(out), all(200 * out);
	x.random(), w.random(), b.random();
	Job job{};
	auto run = [&](int rows, float *y) {
		Linear a{x, w, b, y, in, out, TANH, 0};
		Context c = batch(rows);
		c.job = &job;
		run_tiles(c, linear_tiles(a, rows), [&](const Context &c, int tile) { linear_tile(c, 0, a, tile); });
	};
	run(200, all);
	for (int rows : {1, 5, 32, 63}) {
		Buffer<float> some(rows * out);
		run(rows, some);
		for (int i = 0; i < rows * out; i++)
			if (bits(some[i]) != bits(all[i])) {
				FAIL("of %d rows, element %d is %.9g, of 200 rows %.9g", rows, i, some[i], all[i]);
				break;
			}
		if (!some.guarded()) FAIL("%d rows: wrote beside the result", rows);
	}
}

// The sign of a zero and what is no number are kept too.
static void extremes() {
	const int rows = 2, in = 5, out = 3;
	Buffer<float> x(rows * in), w(out * in), y(rows * out);
	Job job{};
	Context c = batch(rows);
	c.job = &job;
	Linear a{x, w, nullptr, y, in, out, IDENTITY, 0};
	for (int i = 0; i < rows * in; i++) x[i] = i % in == in - 1 ? -1e-30f : 0;
	for (int i = 0; i < out * in; i++) w[i] = 1e-30f;
	run_tiles(c, linear_tiles(a, rows), [&](const Context &c, int tile) { linear_tile(c, 0, a, tile); });
	for (int i = 0; i < rows * out; i++)
		if (bits(y[i]) != 0x80000000u) FAIL("an underflow below zero gives %g in element %d, want -0", y[i], i);
	x[0] = INFINITY; // of row 0 alone
	run_tiles(c, linear_tiles(a, rows), [&](const Context &c, int tile) { linear_tile(c, 0, a, tile); });
	for (int i = 0; i < rows * out; i++)
		if (std::isinf(y[i]) != (i < out)) FAIL("with an infinity in row 0, element %d is %g", i, y[i]);
}

int main() {
	int at = 0;
	for (Shape s : shapes) {
		at++;
		forward(s, SHUFFLED, at % 5, at % 3 != 0, 0);
		forward(s, Rows(at % 4), RELU, true, at % 4);
		back_to_input(s, at % 5, 0);
		back_to_input(s, (at + 1) % 5, at % 4);
		back_to_weight(s, SHUFFLED, true, 0);
		back_to_weight(s, Rows(at % 4), at % 3 != 0, at % 4);
	}
	for (int act : {IDENTITY, RELU, LEAKY_RELU, TANH, SIGMOID}) {
		for (Rows kind : {ACTIVATION, STRAIGHT, SHUFFLED, EVALUATED}) forward({33, 20, 35}, kind, act, true, 0);
		back_to_input({33, 20, 35}, act, 0);
	}
	for (Rows kind : {ACTIVATION, STRAIGHT, SHUFFLED, EVALUATED}) back_to_weight({33, 20, 35}, kind, true, 0);
	rows_alone();
	extremes();
	const size_t kinds[] = {4, 3, 3};
	for (int op = 0; op < 3; op++)
		if (seen[op].size() != kinds[op]) FAIL("product %d met %zu shapes of tiles, has %zu", op, seen[op].size(), kinds[op]);
	return failures != 0;
}
