// Normalizations and their gradients.
#include <algorithm>
#include "tiles.hpp"
#include "../norm.cuh"

using namespace harness;

typedef std::vector<double> doubles;

static void compare(const char *what, const std::string &name, Buffer<float> &got, const doubles &want, double tolerance = 1e-6) {
	double d = distance(got.p, want);
	if (!(d <= tolerance)) FAIL("%s %s: off by %g", what, name.c_str(), d);
	if (!got.guarded()) FAIL("%s %s: wrote beside a buffer", what, name.c_str());
}

// The sums of one group of values; both norms are made of them.
struct Group { double mean, inverse, dy, dyx; };

static Group measure(const doubles &x, const doubles &dy, double eps) {
	Group g{};
	double n = x.size(), variance = 0;
	for (double v : x) g.mean += v / n;
	for (double v : x) variance += (v - g.mean) * (v - g.mean) / n;
	g.inverse = 1 / std::sqrt(variance + eps);
	for (size_t i = 0; i < x.size(); i++) g.dy += dy[i], g.dyx += dy[i] * (x[i] - g.mean) * g.inverse;
	return g;
}

static void layer_norm(int rows, int n, double offset = 0, bool constant = false) {
	std::string name = "(" + std::to_string(rows) + ", " + std::to_string(n) + ")";
	size_t all = (size_t)rows * n;
	Buffer<float> x(all), dy(all), w(n), b(n), y(all), stats(2 * rows), dx(all), dw(n), db(n);
	x.random(offset - 1, offset + 2), dy.random(-0.5, 1), w.random(), b.random();
	if (constant) for (size_t i = 0; i < all; i++) x[i] = 0.1f;
	float eps = 1e-5f;
	doubles wy(all), wdx(all), wdw(n), wdb(n), wstats;
	for (int r = 0; r < rows; r++) {
		doubles xs(x.p + (size_t)r * n, x.p + (size_t)(r + 1) * n), g(n);
		for (int i = 0; i < n; i++) g[i] = (double)dy[(size_t)r * n + i] * w[i];
		Group m = measure(xs, g, eps);
		wstats.push_back(m.mean), wstats.push_back(m.inverse);
		for (int i = 0; i < n; i++) {
			double hat = (xs[i] - m.mean) * m.inverse;
			wy[(size_t)r * n + i] = hat * w[i] + b[i];
			wdx[(size_t)r * n + i] = m.inverse * (g[i] - m.dy / n - hat * m.dyx / n);
			wdw[i] += dy[(size_t)r * n + i] * hat;
			wdb[i] += dy[(size_t)r * n + i];
		}
	}
	double loose = 2e-6 * (1 + std::fabs(offset)); // with what rounding the mean to float32 costs the way back,
	// which counts for more where sums of dy·x̂ cancel
	LayerNorm f{x, w, b, y, stats, n, eps};
	run_tiles(batch(rows), layer_norm_tiles(f, rows), [&](const Context &c, int tile) { layer_norm_tile(c, 0, f, tile); });
	compare("layer_norm", name, y, wy);
	compare("layer_norm's stats", name, stats, wstats);
	LayerNormGradInput gi{x, dy, w, stats, dx, n};
	run_tiles(batch(rows), layer_norm_grad_input_tiles(gi, rows), [&](const Context &c, int tile) { layer_norm_grad_input_tile(c, 0, gi, tile); });
	LayerNormGradWeight gw{x, dy, stats, dw, db, n};
	run_tiles(batch(rows), layer_norm_grad_weight_tiles(gw, rows), [&](const Context &c, int tile) { layer_norm_grad_weight_tile(c, 0, gw, tile); });
	if (n == 1) { // all is what rounding leaves
		for (int r = 0; r < rows; r++) if (!(std::fabs(dx[r]) < 1e-3)) FAIL("layer_norm_grad_input %s: %g", name.c_str(), dx[r]);
	} else {
		compare("layer_norm_grad_input", name, dx, wdx, loose);
		compare("layer_norm_grad_weight's dw", name, dw, wdw, loose);
	}
	compare("layer_norm_grad_weight's db", name, db, wdb, loose);
}

static void batch_norm(int rows, int channels, int plane, double offset = 0, bool constant = false) {
	std::string name = "(" + std::to_string(rows) + ", " + std::to_string(channels) + ", " + std::to_string(plane) + ")";
	size_t all = (size_t)rows * channels * plane;
	Buffer<float> x(all), dy(all), w(channels), b(channels), y(all), stats(2 * channels), run_mean(channels), run_var(channels), dx(all), dw(channels), db(channels);
	x.random(offset - 1, offset + 2), dy.random(-0.5, 1), w.random(0.5, 1.5), b.random(), run_mean.random(), run_var.random(0.1, 2);
	if (constant) for (size_t i = 0; i < all; i++) x[i] = 0.1f;
	float eps = 1e-5f, momentum = 0.1f;
	doubles wy(all), weval(all), wdx(all), wdw, wdb, wstats, wmean, wvar, was_mean(run_mean.p, run_mean.p + channels), was_var(run_var.p, run_var.p + channels);
	double n = (double)rows * plane;
	for (int c = 0; c < channels; c++) {
		std::vector<size_t> at;
		for (int r = 0; r < rows; r++) for (int p = 0; p < plane; p++) at.push_back(((size_t)r * channels + c) * plane + p);
		doubles xs, g;
		for (size_t i : at) xs.push_back(x[i]), g.push_back(dy[i]);
		Group m = measure(xs, g, eps);
		double variance = 1 / (m.inverse * m.inverse) - eps;
		wstats.push_back(m.mean), wstats.push_back(m.inverse);
		wmean.push_back(was_mean[c] * 0.9 + m.mean * 0.1);
		wvar.push_back(was_var[c] * 0.9 + variance * n / (n - 1) * 0.1);
		wdw.push_back(m.dyx), wdb.push_back(m.dy);
		for (size_t i : at) {
			double hat = (x[i] - m.mean) * m.inverse;
			wy[i] = hat * w[c] + b[c];
			weval[i] = (x[i] - was_mean[c]) / std::sqrt(was_var[c] + (double)eps) * w[c] + b[c];
			wdx[i] = w[c] * m.inverse * (dy[i] - m.dy / n - hat * m.dyx / n);
		}
	}
	double loose = 5e-6 * (1 + std::fabs(offset));
	BatchNorm f{x, w, b, y, stats, run_mean, run_var, channels, plane, eps, momentum};
	auto run = [&](bool train) { run_tiles(batch(rows, train), batch_norm_tiles(f, rows), [&](const Context &c, int tile) { batch_norm_tile(c, 0, f, tile); }); };
	run(false);
	compare("batch_norm in evaluation", name, y, weval, loose);
	for (int c = 0; c < channels; c++) {
		if (run_mean[c] != was_mean[c] || run_var[c] != was_var[c]) FAIL("batch_norm %s: evaluation moved the running statistics", name.c_str());
		if (!std::isnan(stats[2 * c])) FAIL("batch_norm %s: evaluation wrote the batch's statistics", name.c_str());
	}
	memset(y.p, 0xff, all * 4);
	run(true);
	compare("batch_norm", name, y, wy);
	compare("batch_norm's stats", name, stats, wstats);
	compare("batch_norm's running_mean", name, run_mean, wmean);
	if (n == 1) {
		for (int c = 0; c < channels; c++) if (!std::isnan(run_var[c])) FAIL("batch_norm %s: the variance of one value is %g", name.c_str(), run_var[c]);
		for (int c = 0; c < channels; c++) if (y[c] != b[c]) FAIL("batch_norm %s: one value becomes %g, want its bias %g", name.c_str(), y[c], b[c]);
	} else {
		compare("batch_norm's running_var", name, run_var, wvar);
	}
	BatchNormGrad g{x, dy, w, stats, dx, dw, db, channels, plane};
	auto back = [&] { run_tiles(batch(rows), batch_norm_grad_tiles(g, rows), [&](const Context &c, int tile) { batch_norm_grad_tile(c, 0, g, tile); }); };
	back();
	if (n <= 2 || constant) { // all is what rounding leaves, of 1/√eps times as much
		for (size_t i = 0; i < all; i++) if (!(std::fabs(dx[i] - wdx[i]) < 1e-3)) { FAIL("batch_norm_grad %s: dx %g, want %g", name.c_str(), dx[i], wdx[i]); break; }
		for (int c = 0; c < channels; c++) if (!(std::fabs(dw[c] - wdw[c]) < 1e-3)) FAIL("batch_norm_grad %s: dw %g, want %g", name.c_str(), dw[c], wdw[c]);
	} else {
		compare("batch_norm_grad's dx", name, dx, wdx, loose);
		compare("batch_norm_grad's dw", name, dw, wdw, loose);
	}
	compare("batch_norm_grad's db", name, db, wdb, loose);
	g.dx = nullptr;
	memset(db.p, 0xff, channels * 4);
	back();
	compare("batch_norm_grad's db without dx", name, db, wdb, loose);
}

int main() {
	for (int rows : {1, 7, 9, 33}) {
		for (int n : {1, 3, 31, 32, 33, 100, 129, 1024}) layer_norm(rows, n);
	}
	for (int n : {1025, 1152, 3001}) layer_norm(3, n);
	layer_norm(5, 64, 100), layer_norm(2, 2000, 100), layer_norm(5, 64, 0, true);
	for (int rows : {1, 2, 33}) {
		for (int channels : {1, 17, 33}) {
			for (int plane : {1, 2, 4, 9, 49, 64, 100}) {
				batch_norm(rows, channels, plane);
			}
		}
	}
	batch_norm(32, 6, 784), batch_norm(3, 2, 5000), batch_norm(300, 40, 1), batch_norm(3, 2, 5001);
	batch_norm(33, 3, 1, 100), batch_norm(9, 3, 16, 100), batch_norm(33, 3, 1, 0, true), batch_norm(9, 3, 16, 0, true);
	return failures != 0;
}
