// Activations and their gradients, alone or as the end of a product.
//
//	activate       x -> y, R·n elements
//	activate_grad  dy, v -> dx, R·n elements
//
// Reference: gpu/host/activation.go; same bits as gpu/host/simd's portable code.
//
// Floor: 8 bytes an element, activate_grad 12; tanh, sigmoid and GELU take 30
// to 50 instructions, so a block is bound by those.
//
// A tile is ELEMENTS in a row; a thread loads all its fours before the first
// use, and one copy of each function serves them all.
#pragma once
#include "context.cuh"
#include "math.cuh"
#include "four.cuh"

enum : i32 { FOURS_EACH = 4, ELEMENTS = FOURS_EACH * 4 * BLOCK };

DEV int element_tiles(i64 n) { return (int)((n + ELEMENTS - 1) / ELEMENTS); }

// activated returns act(v), for those that end a product: all but GELU.
DEV float activated(float v, i32 act, float slope) {
	switch (act) {
	case RELU: return 0 > v ? 0 : v; // NaN stays
	case LEAKY_RELU: return v > 0 ? v : v * slope;
	case TANH: return tanhf_(v);
	case SIGMOID: return sigmoidf_(v);
	}
	return v;
}

DEV float gelu(float v) {
	float bell;
	return v * normalf_(v, bell);
}

// activation_grad returns dy·act', where v is the function's value, or for
// LEAKY_RELU either that, with a positive slope, or the argument.
DEV float activation_grad(float dy, float v, i32 act, float slope) {
	switch (act) {
	case RELU: return v <= 0 ? 0 : dy;
	case LEAKY_RELU: return v > 0 ? dy : dy * slope;
	case TANH: return dy * (1 - v * v);
	case SIGMOID: return (1 - v) * dy * v;
	}
	return dy;
}

DEV float gelu_grad(float dy, float v) {
	float bell, cdf = normalf_(v, bell);
	return dy * fmaf(v, bell * INV_SQRT_2PI, cdf);
}

DEV int activate_tiles(const Activate &a, int rows) { return element_tiles((i64)rows * a.n); }

DEV void activate_tile(const Context &c, u32, const Activate &args, int tile) {
	const Activate a = args;
	const i64 first = (i64)tile * ELEMENTS, count = (i64)c.rows * a.n - first;
	const bool wide = aligned(a.x) && aligned(a.y);
	Four v[FOURS_EACH];
#pragma unroll
	for (i32 k = 0; k < FOURS_EACH; k++) {
		i32 at = (k * BLOCK + threadIdx.x) * 4;
		v[k] = load_four(a.x + first + at, count - at, wide);
	}
#pragma unroll 1
	for (i32 k = 0; k < FOURS_EACH; k++) {
		i32 at = (k * BLOCK + threadIdx.x) * 4;
#pragma unroll
		for (i32 i = 0; i < 4; i++) v[0].f[i] = a.act == GELU ? gelu(v[0].f[i]) : activated(v[0].f[i], a.act, a.slope);
		store_four(a.y + first + at, v[0], count - at, wide);
		shift(v);
	}
}

DEV int activate_grad_tiles(const ActivateGrad &a, int rows) { return element_tiles((i64)rows * a.n); }

DEV void activate_grad_tile(const Context &c, u32, const ActivateGrad &args, int tile) {
	const ActivateGrad a = args;
	const i64 first = (i64)tile * ELEMENTS, count = (i64)c.rows * a.n - first;
	const bool wide = aligned(a.dy) && aligned(a.v) && aligned(a.dx);
	Four dy[FOURS_EACH], v[FOURS_EACH];
#pragma unroll
	for (i32 k = 0; k < FOURS_EACH; k++) {
		i32 at = (k * BLOCK + threadIdx.x) * 4;
		dy[k] = load_four(a.dy + first + at, count - at, wide);
		v[k] = load_four(a.v + first + at, count - at, wide);
	}
#pragma unroll 1
	for (i32 k = 0; k < FOURS_EACH; k++) {
		i32 at = (k * BLOCK + threadIdx.x) * 4;
#pragma unroll
		for (i32 i = 0; i < 4; i++) {
			float g = dy[0].f[i], x = v[0].f[i];
			dy[0].f[i] = a.act == GELU ? gelu_grad(g, x) : activation_grad(g, x, a.act, a.slope);
		}
		store_four(a.dx + first + at, dy[0], count - at, wide);
		shift(dy);
		shift(v);
	}
}
