// optimize: torch.optim's SGD, Adam, AdamW and RMSprop over a model's whole
// vector. sum_squares and clip_scale: what the gradients are multiplied by so
// that their 2-norm stays within a bound.
//
// params, grads, slots (n). The reference is gpu/host/simd/optimizer_portable.go,
// whose operations are repeated one by one: the results are equal bit for bit.
//
// Floor of optimize over n elements with s slots: 4·n·(3 + 2·s) bytes, gradients
// and parameters read, parameters and slots read and written; of sum_squares 4·n
// bytes and n float64 additions.
#pragma once
#include "context.cuh"
#include "four.cuh"
#include "reduce.cuh"

enum : i32 {
	SUM_CHUNK = 4096,    // elements of a tile of sum_squares
	UPDATE_CHUNK = 2048, // elements of a tile of optimize
};

DEV int sum_squares_tiles(const SumSquares &a, int) { return (int)(((i64)a.n + SUM_CHUNK - 1) / SUM_CHUNK); }

DEV void sum_squares_tile(const Context &c, u32, const SumSquares &a, int tile) {
	constexpr i32 times = SUM_CHUNK / (4 * BLOCK);
	const i64 first = (i64)tile * SUM_CHUNK + 4 * threadIdx.x;
	Four g[times];
#pragma unroll
	for (i32 k = 0; k < times; k++) {
		const i64 at = first + 4 * BLOCK * k;
		g[k] = load_four(a.g + at, a.n - at, true); // zeros behind the end
	}
	double sum = 0;
#pragma unroll
	for (i32 k = 0; k < times; k++)
#pragma unroll
		for (i32 i = 0; i < 4; i++) sum += (double)g[k].f[i] * (double)g[k].f[i];
	sum = block_sum(sum, (double *)c.shared);
	if (threadIdx.x == 0) a.partial[tile] = sum;
}

DEV int clip_scale_tiles(const ClipScale &, int) { return 1; }

DEV void clip_scale_tile(const Context &c, u32, const ClipScale &a, int) {
	double sum = 0;
	for (i32 i = threadIdx.x; i < a.count; i += BLOCK) sum += a.partial[i];
	sum = block_sum(sum, (double *)c.shared);
	if (threadIdx.x != 0) return;
	const float factor = (float)(a.clip / (sqrt(sum) + 1e-6));
	c.job->hyper.grad_scale = factor > 1 ? 1 : factor; // NaN too, so that a broken gradient shows
}

// torch's lerp: exact at both ends.
DEV float lerp_(float start, float end, float w) {
	return w < 0.5f ? fmaf(w, end - start, start) : fmaf(w - 1, end - start, end);
}

// The gradient as the algorithms see it.
DEV float decayed(const Hyper &h, float p, float grad) { return fmaf(h.weight_decay, p, grad * h.grad_scale); }

// An algorithm's update of one parameter: p and the slots s from the gradient.

struct SGDRule {
	enum { SLOTS = 0 };
	DEV void step(const Hyper &h, float &p, float grad, float *) { p = fmaf(-h.lr, decayed(h, p, grad), p); }
};

// s: momentum buffer.
struct MomentumRule {
	enum { SLOTS = 1 };
	DEV void step(const Hyper &h, float &p, float grad, float *s) {
		const float g = decayed(h, p, grad);
		// The first time the buffer takes the gradient as it is.
		float b = h.first ? fmaf(1.0f, g, 0.0f * h.momentum) : fmaf(h.gain, g, s[0] * h.momentum);
		s[0] = b;
		if (h.nesterov) b = fmaf(h.momentum, b, g);
		p = fmaf(-h.lr, b, p);
	}
};

// s: m, v.
struct AdamRule {
	enum { SLOTS = 2 };
	DEV void step(const Hyper &h, float &p, float grad, float *s) {
		const float shrunk = p * h.decay, g = decayed(h, shrunk, grad);
		const float m = lerp_(s[0], g, h.one_minus_beta1);
		const float v = fmaf(h.one_minus_beta2 * g, g, s[1] * h.beta2);
		p = shrunk + (-h.step_size * m) / (sqrtf(v) / h.sqrt_bc2 + h.eps);
		s[0] = m;
		s[1] = v;
	}
};

// s: square average, then the momentum buffer and the gradient's average, those
// that there are.
template <bool MOMENTUM, bool CENTERED> struct RMSpropRule {
	enum { SLOTS = 1 + MOMENTUM + CENTERED };
	DEV void step(const Hyper &h, float &p, float grad, float *s) {
		const float g = decayed(h, p, grad);
		const float v = fmaf(h.one_minus_alpha * g, g, s[0] * h.alpha);
		float variance = v;
		if (CENTERED) {
			const float a = lerp_(s[SLOTS - 1], g, h.one_minus_alpha);
			variance = fmaf(-a, a, v);
			s[SLOTS - 1] = a;
		}
		const float d = sqrtf(variance) + h.eps;
		s[0] = v;
		if (MOMENTUM) {
			const float b = s[SLOTS - 1 - CENTERED] * h.momentum + g / d;
			p = fmaf(-h.lr, b, p);
			s[SLOTS - 1 - CENTERED] = b;
		} else {
			p = p + (-h.lr * g) / d;
		}
	}
};

// Applies Rule to the elements of a tile. Those behind the end are zeros that
// are not stored.
template <class Rule> DEV void update(const Context &c, const Optimize &op, int tile, float *s0, float *s1, float *s2) {
	// Copies: for all the compiler knows the stores below may be anywhere.
	const Hyper h = c.job->hyper;
	const Optimize a = op;
	constexpr i32 times = UPDATE_CHUNK / (4 * BLOCK), slots = Rule::SLOTS;
	float *const slot[3] = {s0, s1, s2};
	const i64 first = (i64)tile * UPDATE_CHUNK + 4 * threadIdx.x;
	Four p[times], g[times], s[times][slots + 1]; // one more, since there are no arrays of none
#pragma unroll
	for (i32 k = 0; k < times; k++) {
		const i64 at = first + 4 * BLOCK * k, left = a.n - at;
		p[k] = load_four(a.params + at, left, true);
		g[k] = load_four(a.grads + at, left, true);
#pragma unroll
		for (i32 l = 0; l < slots; l++) s[k][l] = load_four(slot[l] + at, left, true);
	}
#pragma unroll
	for (i32 k = 0; k < times; k++) {
		const i64 at = first + 4 * BLOCK * k, left = a.n - at;
#pragma unroll
		for (i32 i = 0; i < 4; i++) {
			float of[slots + 1];
#pragma unroll
			for (i32 l = 0; l < slots; l++) of[l] = s[k][l].f[i];
			Rule::step(h, p[k].f[i], g[k].f[i], of);
#pragma unroll
			for (i32 l = 0; l < slots; l++) s[k][l].f[i] = of[l];
		}
		store_four(a.params + at, p[k], left, true);
#pragma unroll
		for (i32 l = 0; l < slots; l++) store_four(slot[l] + at, s[k][l], left, true);
	}
}

DEV int optimize_tiles(const Optimize &a, int) { return (int)(((i64)a.n + UPDATE_CHUNK - 1) / UPDATE_CHUNK); }

DEV void optimize_tile(const Context &c, u32, const Optimize &a, int tile) {
	const Hyper &h = c.job->hyper;
	const bool momentum = h.momentum != 0;
	switch (a.kind) {
	case SGD:
		if (momentum) update<MomentumRule>(c, a, tile, a.slot0, nullptr, nullptr);
		else update<SGDRule>(c, a, tile, nullptr, nullptr, nullptr);
		break;
	case ADAM:
	case ADAMW: update<AdamRule>(c, a, tile, a.slot0, a.slot1, nullptr); break;
	default:
		if (momentum && h.centered) update<RMSpropRule<true, true>>(c, a, tile, a.slot0, a.slot1, a.slot2);
		else if (momentum) update<RMSpropRule<true, false>>(c, a, tile, a.slot0, a.slot1, nullptr);
		else if (h.centered) update<RMSpropRule<false, true>>(c, a, tile, a.slot0, a.slot2, nullptr);
		else update<RMSpropRule<false, false>>(c, a, tile, a.slot0, nullptr, nullptr);
	}
}
