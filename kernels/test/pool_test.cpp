// Pools and their gradients.
#include <algorithm>
#include "tiles.hpp"
#include "../pool.cuh"

using namespace harness;

struct Reference {
	std::vector<double> max, avg, max_dx, avg_dx;
	std::vector<int> from;
};

static Reference reference(const Window &w, int rows, const float *x, const float *dy) {
	Reference r;
	int out = w.c * w.oh * w.ow, in = w.c * w.h * w.w;
	r.max_dx.resize((size_t)rows * in);
	r.avg_dx.resize((size_t)rows * in);
	for (int i = 0; i < rows * out; i++) {
		int s = i / out, c = i / (w.oh * w.ow) % w.c, oy = i / w.ow % w.oh, ox = i % w.ow;
		double best = 0, sum = 0;
		int from = -1;
		for (int ky = 0; ky < w.kh; ky++) for (int kx = 0; kx < w.kw; kx++) {
			int y = oy * w.sh - w.ph + ky, xx = ox * w.sw - w.pw + kx;
			if (y < 0 || y >= w.h || xx < 0 || xx >= w.w) continue;
			int at = (c * w.h + y) * w.w + xx;
			double v = x[(size_t)s * in + at];
			if (from < 0 || v > best || std::isnan(v)) best = v, from = at;
			sum += v;
			r.avg_dx[(size_t)s * in + at] += (double)dy[i] / (w.kh * w.kw);
		}
		r.max.push_back(best);
		r.from.push_back(from);
		r.avg.push_back(sum / (w.kh * w.kw));
		r.max_dx[(size_t)s * in + from] += dy[i];
	}
	return r;
}

static void check(const Window &w, int rows, bool ties = false, bool special = false) {
	std::string name = describe(w, rows);
	size_t in = (size_t)rows * w.c * w.h * w.w, out = (size_t)rows * w.c * w.oh * w.ow;
	Buffer<float> x(in), dy(out), max(out), avg(out), max_dx(in), avg_dx(in);
	Buffer<i32> from(out);
	x.random(), dy.random();
	if (ties) for (size_t i = 0; i < in; i++) x[i] = (float)(rng() % 3);
	if (special) for (size_t i = 0; i < in; i++) if (rng() % 4 == 0) x[i] = rng() % 2 ? NAN : -INFINITY;
	Reference want = reference(w, rows, x, dy);

	MaxPool forward{x, max, from, w};
	run_tiles(batch(rows), max_pool_tiles(forward, rows), [&](const Context &c, int tile) { max_pool_tile(c, 0, forward, tile); });
	for (size_t i = 0; i < out; i++) {
		bool same = max[i] == want.max[i] || (std::isnan(max[i]) && std::isnan(want.max[i]));
		if (same && from[i] == want.from[i]) continue;
		FAIL("max_pool %s: place %zu is %g from %d, want %g from %d", name.c_str(), i, max[i], from[i], want.max[i], want.from[i]);
		break;
	}
	MaxPoolGrad backward{dy, from, max_dx, w};
	run_tiles(batch(rows), max_pool_grad_tiles(backward, rows), [&](const Context &c, int tile) { max_pool_grad_tile(c, 0, backward, tile); });
	if (!(distance(max_dx.p, want.max_dx) <= 1e-6)) FAIL("max_pool_grad %s: off by %g", name.c_str(), distance(max_dx.p, want.max_dx));

	AvgPoolGrad mean_backward{dy, avg_dx, w};
	run_tiles(batch(rows), avg_pool_grad_tiles(mean_backward, rows), [&](const Context &c, int tile) { avg_pool_grad_tile(c, 0, mean_backward, tile); });
	if (!(distance(avg_dx.p, want.avg_dx) <= 1e-6)) FAIL("avg_pool_grad %s: off by %g", name.c_str(), distance(avg_dx.p, want.avg_dx));

	AvgPool mean{x, avg, w};
	run_tiles(batch(rows), avg_pool_tiles(mean, rows), [&](const Context &c, int tile) { avg_pool_tile(c, 0, mean, tile); });
	if (!special && !(distance(avg.p, want.avg) <= 1e-6)) FAIL("avg_pool %s: off by %g", name.c_str(), distance(avg.p, want.avg));
	if (special) for (size_t i = 0; i < out; i++) if (std::isnan(avg[i]) != std::isnan(want.avg[i])) { FAIL("avg_pool %s: place %zu is %g, want %g", name.c_str(), i, avg[i], want.avg[i]); break; }

	for (auto *b : {&x, &dy, &max, &avg, &max_dx, &avg_dx}) if (!b->guarded()) FAIL("pool %s: wrote beside a buffer", name.c_str());
	if (!from.guarded()) FAIL("pool %s: wrote beside from", name.c_str());
}

int main() {
	for (int rows : {1, 2, 33}) {
		check(window(1, 28, 28, 2, 2, 2, 2, 0, 0), rows);
		check(window(3, 9, 8, 2, 2, 2, 2, 0, 0), rows);  // a row that no window covers
		check(window(17, 8, 7, 2, 2, 2, 2, 0, 0), rows); // a column likewise, odd width
		check(window(6, 5, 5, 2, 2, 2, 2, 0, 0), rows);
		check(window(1, 2, 2, 2, 2, 2, 2, 0, 0), rows);
		check(window(3, 11, 13, 3, 3, 2, 2, 1, 1), rows); // overlap and padding
		check(window(3, 7, 7, 3, 3, 1, 1, 1, 1), rows);
		check(window(3, 10, 7, 3, 2, 2, 3, 1, 1), rows);  // not square, and a stride beyond the kernel
		check(window(17, 6, 5, 1, 1, 1, 1, 0, 0), rows);
		check(window(2, 9, 9, 2, 2, 3, 3, 0, 0), rows);   // gaps
		check(window(5, 4, 4, 4, 4, 4, 4, 0, 0), rows);   // one place
		check(window(300, 1, 1, 1, 1, 1, 1, 0, 0), rows);
		check(window(2, 4, 6, 4, 5, 1, 1, 2, 2), rows);
	}
	for (auto w : {window(3, 9, 8, 2, 2, 2, 2, 0, 0), window(3, 9, 7, 2, 2, 2, 2, 0, 0), window(3, 7, 7, 3, 3, 2, 2, 1, 1), window(3, 7, 7, 3, 3, 1, 1, 1, 1)}) {
		check(w, 5, true);
		check(w, 5, false, true);
	}
	// Division, with the divisors and numerators where a rounded reciprocal errs.
	for (u32 d : {1u, 2u, 3u, 5u, 7u, 28u, 64u, 784u, 65535u, 65536u, 65537u, 0x7ffffffeu, 0x7fffffffu}) {
		Divisor by = divisor((i32)d);
		auto test = [&](u32 n) {
			Division got = divide(n, by);
			if ((u32)got.quotient != n / d || (u32)got.remainder != n % d) FAIL("%u / %u is %u rest %u", n, d, (u32)got.quotient, (u32)got.remainder);
		};
		for (u32 k = 0; k < 2000; k++) {
			test(k), test(~k), test((u32)rng());
			test(k * d), test(k * d - 1), test(~0u / d * d - k), test((u32)(rng() % (~0u / d)) * d - k % 2);
		}
	}
	return failures != 0;
}
