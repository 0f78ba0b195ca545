// The optimizers, bit for bit, and the gradients' norm.
#include <algorithm>
#include <cfloat>
#include "tiles.hpp"
#include "../optimize.cuh"

using namespace harness;

typedef std::vector<float> floats;

// gpu/host/simd/optimizer_portable.go, operation by operation. Its fma32 is
// std::fma; Go's float32(…) keeps a product from being fused, and here none is.

static float lerp_coefficient(float w) { return w < 0.5f ? w : w - 1; }

static float reference_lerp(float start, float end, float w) {
	float base = end;
	if (w < 0.5f) base = start;
	return std::fma(lerp_coefficient(w), end - start, base);
}

static void sgd(const Hyper &s, floats &param, const floats &grad) {
	for (size_t i = 0; i < param.size(); i++) {
		float p = param[i];
		float g = std::fma(s.weight_decay, p, grad[i] * s.grad_scale);
		param[i] = std::fma(-s.lr, g, p);
	}
}

static void sgd_momentum(Hyper s, floats &param, const floats &grad, floats &buf) {
	if (s.first) {
		std::fill(buf.begin(), buf.end(), 0.0f);
		s.gain = 1;
	}
	for (size_t i = 0; i < param.size(); i++) {
		float p = param[i];
		float g = std::fma(s.weight_decay, p, grad[i] * s.grad_scale);
		float b = std::fma(s.gain, g, buf[i] * s.momentum);
		buf[i] = b;
		if (s.nesterov) b = std::fma(s.momentum, b, g);
		param[i] = std::fma(-s.lr, b, p);
	}
}

static void adam(const Hyper &s, floats &param, const floats &grad, floats &m, floats &v) {
	for (size_t i = 0; i < param.size(); i++) {
		float p = param[i];
		p *= s.decay;
		float g = std::fma(s.weight_decay, p, grad[i] * s.grad_scale);
		m[i] = reference_lerp(m[i], g, s.one_minus_beta1);
		v[i] = std::fma(s.one_minus_beta2 * g, g, v[i] * s.beta2);
		float d = std::sqrt(v[i]) / s.sqrt_bc2 + s.eps;
		param[i] = p + (float)(-s.step_size * m[i]) / d;
	}
}

static void rmsprop(const Hyper &s, floats &param, const floats &grad, floats &v, floats &buf, floats &avg) {
	for (size_t i = 0; i < param.size(); i++) {
		float p = param[i];
		float g = std::fma(s.weight_decay, p, grad[i] * s.grad_scale);
		v[i] = std::fma(s.one_minus_alpha * g, g, v[i] * s.alpha);
		float d = v[i];
		if (s.centered) {
			avg[i] = reference_lerp(avg[i], g, s.one_minus_alpha);
			d = std::fma(-avg[i], avg[i], d);
		}
		d = std::sqrt(d) + s.eps;
		if (s.momentum != 0) {
			buf[i] = (float)(buf[i] * s.momentum) + g / d;
			param[i] = std::fma(-s.lr, buf[i], p);
		} else {
			param[i] = p + (float)(-s.lr * g) / d;
		}
	}
}

// An optimizer's settings; the names are for messages.
struct Variant {
	const char *name;
	i32 kind;
	float momentum, weight_decay, dampening;
	bool nesterov, centered;
};

static const Variant variants[] = {
	{"sgd", SGD, 0, 0, 0, false, false},
	{"sgd with weight decay", SGD, 0, 0.03f, 0, false, false},
	{"sgd with momentum", SGD, 0.9f, 0, 0, false, false},
	{"sgd with momentum, dampening and weight decay", SGD, 0.9f, 0.03f, 0.3f, false, false},
	{"sgd with nesterov", SGD, 0.9f, 0.03f, 0, true, false},
	{"adam", ADAM, 0, 0, 0, false, false},
	{"adam with weight decay", ADAM, 0, 0.03f, 0, false, false},
	{"adamw", ADAMW, 0, 0.03f, 0, false, false},
	{"rmsprop", RMSPROP, 0, 0.03f, 0, false, false},
	{"rmsprop with momentum", RMSPROP, 0.9f, 0, 0, false, false},
	{"rmsprop centered", RMSPROP, 0, 0.03f, 0, false, true},
	{"rmsprop centered with momentum", RMSPROP, 0.9f, 0.03f, 0, false, true},
};

// beta1 below ½ takes lerp's other end.
static Hyper hyper(const Variant &v, int step, float grad_scale, double beta1) {
	double lr = 0.01 / (step + 1), beta2 = 0.98, alpha = beta1;
	Hyper h{};
	h.grad_scale = grad_scale;
	h.lr = (float)lr;
	h.weight_decay = v.kind == ADAMW ? 0 : v.weight_decay;
	h.decay = v.kind == ADAMW ? (float)(1 - lr * v.weight_decay) : 1;
	h.momentum = v.momentum;
	h.gain = 1 - v.dampening;
	h.one_minus_beta1 = (float)(1 - beta1);
	h.beta2 = (float)beta2;
	h.one_minus_beta2 = (float)(1 - beta2);
	h.sqrt_bc2 = (float)std::sqrt(1 - std::pow(beta2, step + 1));
	h.step_size = (float)(lr / (1 - std::pow(beta1, step + 1)));
	h.eps = 1e-8f;
	h.alpha = (float)alpha;
	h.one_minus_alpha = (float)(1 - alpha);
	h.nesterov = v.nesterov;
	h.first = step == 0;
	h.centered = v.centered;
	return h;
}

// A gradient: mostly ordinary, now and then awkward.
static float gradient(bool special) {
	const float odd[] = {0, -0.0f, 1e-40f, -1e-42f, 1e-30f, 3e19f, -2e19f, FLT_MAX, INFINITY, -INFINITY, NAN};
	if (special && rng() % 4 == 0) return odd[rng() % (sizeof odd / sizeof *odd)];
	return (float)((double)(rng() % 2000001) / 1e6 - 1) * (rng() % 5 ? 1 : 1e-6f);
}

static void compare(const std::string &name, const char *what, const float *got, const floats &want, int step) {
	int shown = 0;
	for (size_t i = 0; i < want.size() && shown < 3; i++) {
		if (std::isnan(got[i]) ? std::isnan(want[i]) : !memcmp(&got[i], &want[i], sizeof(float))) continue;
		FAIL("%s, step %d: %s[%zu] is %.9g, want %.9g", name.c_str(), step, what, i, got[i], want[i]);
		shown++;
	}
}

static void run(const Variant &v, int n, float grad_scale, double beta1, bool special) {
	std::string name = std::string(v.name) + " of " + std::to_string(n);
	// What is behind the end belongs to somebody else, and is no NaN to begin with.
	Buffer<float> params(n + 8), grads(n + 8), s0(n + 8), s1(n + 8), s2(n + 8);
	Buffer<float> *const all[] = {&params, &grads, &s0, &s1, &s2};
	for (Buffer<float> *b : all)
		for (int i = n; i < n + 8; i++) (*b)[i] = 0.25f;
	for (int i = 0; i < n; i++) params[i] = gradient(false);
	floats p(params.p, params.p + n), g(n), w0(n), w1(n), w2(n);
	// SGD's buffer holds anything before the first step; the others start from 0.
	if (v.kind != SGD)
		for (int i = 0; i < n; i++) s0[i] = s1[i] = s2[i] = 0;
	bool momentum = v.momentum != 0;
	Optimize a{params, grads, s0, s1, s2, n, v.kind};
	if (v.kind == SGD && !momentum) a.slot0 = nullptr;
	if (v.kind == SGD || (v.kind == RMSPROP && !momentum)) a.slot1 = nullptr;
	if (!v.centered) a.slot2 = nullptr;
	for (int step = 0; step < 5; step++) {
		for (int i = 0; i < n; i++) grads[i] = g[i] = gradient(special);
		Job job{};
		job.hyper = hyper(v, step, grad_scale, beta1);
		Context c = batch(1);
		c.job = &job;
		run_tiles(c, optimize_tiles(a, 1), [&](const Context &c, int tile) { optimize_tile(c, 0, a, tile); });
		switch (v.kind) {
		case SGD:
			if (momentum) sgd_momentum(job.hyper, p, g, w0);
			else sgd(job.hyper, p, g);
			break;
		case RMSPROP: rmsprop(job.hyper, p, g, w0, w1, w2); break;
		default: adam(job.hyper, p, g, w0, w1);
		}
		compare(name, "params", params, p, step);
		compare(name, "grads", grads, g, step);
		if (a.slot0) compare(name, "slot0", s0, w0, step);
		if (a.slot1) compare(name, "slot1", s1, w1, step);
		if (a.slot2) compare(name, "slot2", s2, w2, step);
	}
	for (Buffer<float> *b : all) {
		if (!b->guarded()) FAIL("%s: wrote beside a buffer", name.c_str());
		for (int i = n; i < n + 8; i++)
			if ((*b)[i] != 0.25f) FAIL("%s: wrote behind the end", name.c_str());
	}
}

// Partial sums, then what gradients are multiplied by.
static void norm(int n, float size, float clip) {
	Buffer<float> g(n);
	g.random(-size, size);
	SumSquares a{g, nullptr, n};
	int tiles = sum_squares_tiles(a, 1);
	if (tiles != (n + SUM_CHUNK - 1) / SUM_CHUNK) FAIL("sum_squares of %d: %d tiles", n, tiles);
	Buffer<double> partial(tiles);
	a.partial = partial;
	Job job{};
	job.hyper.grad_scale = -1;
	Context c = batch(1);
	c.job = &job;
	run_tiles(c, tiles, [&](const Context &c, int tile) { sum_squares_tile(c, 0, a, tile); });
	long double total = 0;
	for (int t = 0; t < tiles; t++) {
		long double want = 0;
		for (int i = t * SUM_CHUNK; i < n && i < (t + 1) * SUM_CHUNK; i++) want += (long double)g[i] * g[i];
		if (!(std::fabs(partial[t] - want) <= 1e-14L * want)) FAIL("sum_squares of %d: partial %d is %.17g, want %.17Lg", n, t, partial[t], want);
		total += want;
	}
	ClipScale s{partial, clip, tiles};
	if (clip_scale_tiles(s, 1) != 1) FAIL("clip_scale has %d tiles", clip_scale_tiles(s, 1));
	run_tiles(c, 1, [&](const Context &c, int tile) { clip_scale_tile(c, 0, s, tile); });
	float want = (float)(clip / (std::sqrt(total) + 1e-6L));
	if (want > 1) want = 1;
	if (!(std::fabs(job.hyper.grad_scale - want) <= 1e-7f * want)) FAIL("clip_scale of %d: %.9g, want %.9g", n, job.hyper.grad_scale, want);
	if (!g.guarded() || !partial.guarded()) FAIL("sum_squares of %d: wrote beside a buffer", n);
}

static void clip_specials() {
	for (double sum : {0.0, (double)INFINITY, (double)NAN}) {
		Buffer<double> partial(300);
		for (int i = 0; i < 300; i++) partial[i] = i == 299 ? sum : 0;
		ClipScale s{partial, 2, 300};
		Job job{};
		Context c = batch(1);
		c.job = &job;
		run_tiles(c, 1, [&](const Context &c, int tile) { clip_scale_tile(c, 0, s, tile); });
		float got = job.hyper.grad_scale;
		if (sum == 0 ? got != 1 : std::isinf(sum) ? got != 0 : !std::isnan(got)) FAIL("clip_scale of a sum of %g: %g", sum, got);
	}
}

int main() {
	for (const Variant &v : variants)
		for (int n : {1, 2, 3, 4, 5, 7, 31, 33, 1000, 1023, 1024, 1025, 2047, 2048, 2049, 2050, 4096, 5003}) {
			run(v, n, 1, 0.9, false);
			run(v, n, 0.37f, n % 2 ? 0.9 : 0.4, true);
		}
	for (int n : {1, 2, 3, 5, 1000, 4095, 4096, 4097, 4099, 8192, 10007, 200003}) {
		norm(n, 1, 0.5f);
		norm(n, 1e-3f, 5);
		norm(n, 1e30f, 1);
	}
	clip_specials();
	if (optimize_tiles(Optimize{.n = 0}, 1) != 0 || sum_squares_tiles(SumSquares{.n = 0}, 1) != 0) FAIL("tiles of nothing");
	if (optimize_tiles(Optimize{.n = 0x7fffffff}, 1) != 1 << 20) FAIL("tiles of 2³¹-1 parameters");
	return failures != 0;
}
