// Convolutions and their gradients.
#include <algorithm>
#include "tiles.hpp"
#include "../conv.cuh"

using namespace harness;

typedef std::vector<double> doubles;

static double act(double v, i32 kind, double slope) {
	switch (kind) {
	case RELU: return std::max(v, 0.0);
	case LEAKY_RELU: return v > 0 ? v : slope * v;
	case TANH: return std::tanh(v);
	case SIGMOID: return 1 / (1 + std::exp(-v));
	}
	return v;
}

// act'(v), from y = act(v).
static double act_slope(double y, i32 kind, double slope) {
	switch (kind) {
	case RELU: return y > 0;
	case LEAKY_RELU: return y > 0 ? 1 : slope;
	case TANH: return 1 - y * y;
	case SIGMOID: return y * (1 - y);
	}
	return 1;
}

// Calls visit(index in x, index in w, index in y) for each product of a
// convolution; where(r) is the row of x that row r of the batch is.
template <class Where, class Visit> static void products(const Window &w, int out, int rows, Where where, Visit visit) {
	for (int r = 0; r < rows; r++) for (int o = 0; o < out; o++) for (int oy = 0; oy < w.oh; oy++) for (int ox = 0; ox < w.ow; ox++) {
		size_t to = (((size_t)r * out + o) * w.oh + oy) * w.ow + ox;
		for (int c = 0; c < w.c; c++) for (int ky = 0; ky < w.kh; ky++) for (int kx = 0; kx < w.kw; kx++) {
			int y = oy * w.sh - w.ph + ky, x = ox * w.sw - w.pw + kx;
			if (y < 0 || y >= w.h || x < 0 || x >= w.w) continue;
			visit(((size_t)(where(r) * w.c + c) * w.h + y) * w.w + x, (((size_t)o * w.c + c) * w.kh + ky) * w.kw + kx, to);
		}
	}
}

static void compare(const char *what, const std::string &name, Buffer<float> &got, const doubles &want, double tolerance = 1e-6) {
	double d = distance(got.p, want);
	if (!(d <= tolerance)) FAIL("%s %s: off by %g", what, name.c_str(), d);
	if (!got.guarded()) FAIL("%s %s: wrote beside a buffer", what, name.c_str());
}

static void check(const Window &w, int out, int rows, i32 kind = IDENTITY, int splits = 0) {
	std::string name = describe(w, rows) + ", " + std::to_string(out) + " outputs, activation " + std::to_string(kind);
	size_t image = (size_t)w.c * w.h * w.w, result = (size_t)out * w.oh * w.ow, patch = (size_t)w.c * w.kh * w.kw;
	if (!splits) splits = conv2d_splits(w, out, rows);
	float slope = 0.1f;
	Buffer<float> x(rows * image), weight(out * patch), b(out), y(rows * result);
	Buffer<float> dy(rows * result), dx(rows * image), before(rows * image), partial(splits * out * (patch + 1)), dw(out * patch), db(out);
	x.random(), weight.random(), b.random(), dy.random(-0.5, 1), before.random(kind == SIGMOID ? 0 : -1);

	doubles wy(rows * result), wdx(rows * image), wdw(out * patch), wdb(out);
	products(w, out, rows, [](int r) { return (i64)r; }, [&](size_t xi, size_t wi, size_t yi) {
		wy[yi] += (double)x[xi] * weight[wi];
		wdx[xi] += (double)dy[yi] * weight[wi];
		wdw[wi] += (double)dy[yi] * x[xi];
	});
	doubles plain = wy;
	for (size_t i = 0; i < wy.size(); i++) {
		size_t o = i / (w.oh * w.ow) % out;
		wy[i] = act(wy[i] + b[o], kind, slope);
		wdb[o] += dy[i];
	}
	for (size_t i = 0; i < wdx.size(); i++) wdx[i] *= act_slope(before[i], kind, slope);

	Conv2D f{x, weight, b, y, w, out, kind, slope};
	run_tiles(batch(rows), conv2d_tiles(f, rows), [&](const Context &c, int tile) { conv2d_tile(c, 0, f, tile); });
	double chain = 1e-6 * std::max(1.0, patch / 500.0); // sums of so many terms, one after the other
	compare("conv2d", name, y, wy, chain);
	if (kind == IDENTITY) {
		f.b = nullptr;
		run_tiles(batch(rows), conv2d_tiles(f, rows), [&](const Context &c, int tile) { conv2d_tile(c, 0, f, tile); });
		compare("conv2d without bias", name, y, plain, chain);
	}

	if (patch < 10000) { // the test would take long
		Conv2DGradInput gi{dy, weight, kind == IDENTITY ? nullptr : before.p, dx, w, out, kind, slope};
		run_tiles(batch(rows), conv2d_grad_input_tiles(gi, rows), [&](const Context &c, int tile) { conv2d_grad_input_tile(c, 0, gi, tile); });
		compare("conv2d_grad_input", name, dx, wdx, 1e-6 * std::max(1.0, out * w.kh * w.kw / 500.0));
	}

	Conv2DGradWeight gw{x, dy, partial, w, out, splits};
	run_tiles(batch(rows), conv2d_grad_weight_tiles(gw, rows), [&](const Context &c, int tile) { conv2d_grad_weight_tile(c, 0, gw, tile); });
	Conv2DGradWeightSum sum{partial, dw, db, out, (i32)patch, splits};
	auto add = [&] { run_tiles(batch(rows), conv2d_grad_weight_sum_tiles(sum, rows), [&](const Context &c, int tile) { conv2d_grad_weight_sum_tile(c, 0, sum, tile); }); };
	add();
	compare("conv2d_grad_weight", name, dw, wdw);
	compare("conv2d_grad_weight's bias", name, db, wdb);
	sum.db = nullptr;
	memset(dw.p, 0xff, dw.n * 4);
	add();
	compare("conv2d_grad_weight without bias", name, dw, wdw);
	if (!partial.guarded()) FAIL("conv2d_grad_weight %s: wrote beside the partial sums", name.c_str());
}

// The batch's rows lie in the data set wherever order says.
static void input(bool train, bool shuffled) {
	Window w = window(3, 9, 8, 3, 3, 1, 1, 1, 1);
	int all = 20, rows = 7, out = 5, first = 9;
	size_t image = (size_t)w.c * w.h * w.w, result = (size_t)out * w.oh * w.ow, patch = (size_t)w.c * w.kh * w.kw;
	Buffer<float> x(all * image), weight(out * patch), y(rows * result), dy(rows * result), partial(2 * out * (patch + 1));
	x.random(), weight.random(), dy.random();
	Buffer<i32> order(all);
	for (int i = 0; i < all; i++) order[i] = i;
	std::shuffle(order.p, order.p + all, rng);
	Job job{};
	job.order = shuffled ? order.p : nullptr;
	Context c = batch(rows, train);
	c.job = &job;
	c.first = first;
	doubles wy(y.n), wdw(out * patch);
	products(w, out, rows, [&](int r) { return (i64)(train && shuffled ? order[first + r] : first + r); }, [&](size_t xi, size_t wi, size_t yi) {
		wy[yi] += (double)x[xi] * weight[wi];
		wdw[wi] += (double)dy[yi] * x[xi];
	});
	std::string name = std::string("of the data set") + (train ? ", training" : "") + (shuffled ? ", shuffled" : "");
	Conv2D f{x, weight, nullptr, y, w, out, IDENTITY, 0};
	run_tiles(c, conv2d_tiles(f, rows), [&](const Context &c, int tile) { conv2d_tile(c, INPUT, f, tile); });
	compare("conv2d", name, y, wy);
	Conv2DGradWeight g{x, dy, partial, w, out, 2};
	run_tiles(c, conv2d_grad_weight_tiles(g, rows), [&](const Context &c, int tile) { conv2d_grad_weight_tile(c, INPUT, g, tile); });
	Buffer<float> dw(out * patch), db(out);
	Conv2DGradWeightSum sum{partial, dw, db, out, (i32)patch, 2};
	run_tiles(c, conv2d_grad_weight_sum_tiles(sum, rows), [&](const Context &c, int tile) { conv2d_grad_weight_sum_tile(c, 0, sum, tile); });
	compare("conv2d_grad_weight", name, dw, wdw);
}

// The bits of the first rows do not depend on the rows behind them, nor on how
// the batch falls into tiles.
static void company() {
	Window w = window(3, 9, 8, 3, 3, 2, 1, 1, 1);
	int out = 5, rows = 33;
	size_t image = (size_t)w.c * w.h * w.w, result = (size_t)out * w.oh * w.ow, patch = (size_t)w.c * w.kh * w.kw;
	Buffer<float> x(rows * image), weight(out * patch), dy(rows * result);
	x.random(), weight.random(), dy.random();
	std::vector<std::vector<float>> ys, dxs;
	for (int r : {2, 33}) {
		Buffer<float> y(r * result), dx(r * image);
		Conv2D f{x, weight, nullptr, y, w, out, IDENTITY, 0};
		run_tiles(batch(r), conv2d_tiles(f, r), [&](const Context &c, int tile) { conv2d_tile(c, 0, f, tile); });
		Conv2DGradInput g{dy, weight, nullptr, dx, w, out, IDENTITY, 0};
		run_tiles(batch(r), conv2d_grad_input_tiles(g, r), [&](const Context &c, int tile) { conv2d_grad_input_tile(c, 0, g, tile); });
		ys.emplace_back(y.p, y.p + 2 * result);
		dxs.emplace_back(dx.p, dx.p + 2 * image);
	}
	if (ys[0] != ys[1]) FAIL("conv2d: a row's bits depend on the batch");
	if (dxs[0] != dxs[1]) FAIL("conv2d_grad_input: a row's bits depend on the batch");
}

int main() {
	// The forms that models have.
	check(window(1, 28, 28, 5, 5, 1, 1, 2, 2), 6, 5, RELU);   // LeNet
	check(window(6, 14, 14, 5, 5, 1, 1, 0, 0), 16, 5, TANH);
	check(window(16, 5, 5, 5, 5, 1, 1, 0, 0), 120, 3, SIGMOID);
	check(window(1, 8, 8, 3, 3, 1, 1, 1, 1), 8, 33, LEAKY_RELU);
	struct { int rows, out; } batches[] = {{1, 17}, {2, 3}, {33, 1}};
	for (auto [rows, out] : batches) {
		check(window(1, 5, 7, 3, 3, 1, 1, 1, 1), out, rows);
		check(window(3, 7, 5, 3, 2, 2, 1, 1, 0), out, rows);  // not square
		check(window(17, 4, 5, 1, 1, 1, 1, 0, 0), out, rows); // kernel 1
		check(window(3, 6, 6, 1, 1, 2, 2, 0, 0), out, rows);  // elements that no kernel reaches
		check(window(2, 8, 9, 2, 3, 3, 4, 1, 2), out, rows);  // a stride beyond the kernel
		check(window(4, 3, 3, 3, 3, 1, 1, 0, 0), out, rows);  // one place
		check(window(1, 1, 1, 1, 1, 1, 1, 0, 0), out, rows);
		check(window(1, 2, 2, 3, 3, 1, 1, 2, 2), out, rows);  // more padding than image
		check(window(2, 7, 7, 4, 4, 2, 2, 2, 2), out, rows, RELU);
	}
	for (i32 kind : {RELU, LEAKY_RELU, TANH, SIGMOID}) check(window(3, 6, 7, 3, 3, 2, 2, 1, 1), 9, 3, kind);
	check(window(5, 6, 6, 3, 3, 1, 1, 1, 1), 65, 2);       // more than one tile of outputs
	check(window(40, 6, 6, 3, 3, 1, 1, 1, 1), 40, 2);      // channels in several loads
	check(window(65, 4, 4, 3, 3, 1, 1, 1, 1), 64, 2);      // several tiles of the patch
	check(window(3, 40, 33, 7, 7, 2, 2, 3, 3), 12, 1);
	// Enough tiles for all places that a thread can have.
	for (auto w : {window(2, 9, 9, 1, 1, 1, 1, 0, 0), window(1, 9, 9, 1, 3, 1, 1, 0, 1), window(1, 9, 9, 1, 5, 1, 1, 0, 2), window(1, 9, 9, 1, 2, 1, 1, 0, 1)}) {
		if (shape_of(places_lines(w), w.c, 512, 14, 1).each != CORRELATE_PLACES) FAIL("conv2d %s has few tiles", describe(w, 14).c_str());
		check(w, 512, 14, TANH);
	}
	for (auto w : {window(512, 9, 9, 1, 1, 1, 1, 0, 0), window(512, 9, 9, 1, 3, 1, 1, 0, 1), window(512, 9, 9, 1, 5, 1, 1, 0, 2), window(20, 16, 17, 9, 9, 8, 8, 4, 4)}) {
		if (back_shape(w, 1, 14).each != CORRELATE_PLACES) FAIL("conv2d_grad_input %s has few tiles", describe(w, 14).c_str());
		check(w, 1, 14, RELU);
	}
	check(window(1, 3, 1100, 3, 3, 1, 1, 1, 1), 2, 1);     // a line of more than one tile
	check(window(2, 2, 700, 1, 5, 1, 2, 0, 2), 20, 2);
	check(window(1, 40, 40, 11, 11, 4, 4, 2, 2), 33, 2);
	check(window(2, 33, 32, 32, 31, 1, 1, 0, 0), 2, 2);    // too many weights to stage with a plane
	check(window(1, 113, 115, 112, 112, 2, 3, 1, 0), 1, 2);  // nothing of it fits
	for (int splits : {1, 2, 7, 50}) check(window(3, 5, 7, 3, 3, 1, 1, 1, 1), 4, 3, IDENTITY, splits); // 15 lines
	for (bool train : {false, true}) for (bool shuffled : {false, true}) input(train, shuffled);
	company();

	struct { Window w; int out, rows, want; } splits[] = {
		{window(1, 28, 28, 5, 5, 1, 1, 2, 2), 6, 32, 10}, {window(6, 14, 14, 5, 5, 1, 1, 0, 0), 16, 32, 16},
		{window(1, 8, 8, 3, 3, 1, 1, 1, 1), 8, 32, 1}, {window(64, 56, 56, 3, 3, 1, 1, 1, 1), 64, 64, 52},
		{window(512, 7, 7, 3, 3, 1, 1, 1, 1), 512, 64, 1}, {window(16, 5, 5, 5, 5, 1, 1, 0, 0), 120, 1, 1},
	};
	for (auto &s : splits) {
		int got = conv2d_splits(s.w, s.out, s.rows);
		if (got != s.want) FAIL("conv2d_splits %s, %d outputs: %d, want %d", describe(s.w, s.rows).c_str(), s.out, got, s.want);
	}
	return failures != 0;
}
