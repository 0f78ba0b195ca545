// Functions that CUDA's toolkit would bring: the float ones give the bits of
// gpu/host/simd/math_portable.go, whose formulas and coefficients they repeat
// (log1pf_ alone has no counterpart there); the double ones serve schedules and
// bias corrections. test/math_test.cpp holds all of them against libm.
//
// Errors in units of the last place, as that test measures them: expf_ 1.0,
// tanhf_ 1.2, sigmoidf_ 2.1, log1pf_ 0.9, normalf_ 3.8, cospi_ 1.1, powi_ at
// most n/2.
//
// Cost in instructions: expf_ 16, sigmoidf_ 27 and tanhf_ 29 with their
// divisions' 8, log1pf_ 20, normalf_ 45.
#pragma once
#include "job.cuh"

enum : i32 { ROUND_MAGIC_BITS = 0x4b400000, SIGN_BIT = (i32)0x80000000 };

#define ROUND_MAGIC 12582912.0f /* 3·2²²: x + this - this rounds to an integer */

// polynomial returns c[0] + c[1]·x + …, by Horner's rule.
template <int N> DEV float polynomial(float x, const float (&c)[N]) {
	float y = c[N - 1];
#pragma unroll
	for (int i = N - 2; i >= 0; i--) y = fmaf(x, y, c[i]);
	return y;
}

// lesser returns the lesser of x and v, which is not NaN; NaN stays.
DEV float lesser(float x, float v) { return v < x ? v : x; }

// exp_parts returns e^(x + correction), for a correction that is tiny against
// x, as y·2ⁿ with y near 1 and n in the low bits of t; magic is ROUND_MAGIC
// plus an integer that is to be added to n.
DEV float exp_parts(float x, float correction, float magic, u32 &t) {
	const float c[] = {0.49999993f, 0.1666652f, 0.041668394f, 0.008368781f, 0.0013814465f};
	float sum = fmaf(x, 1.4426950216293335f, magic);
	float n = sum - magic;
	float r = fmaf(n, -0.6931471824645996f, x);
	r = fmaf(n, 1.904654323148236e-09f, r) + correction;
	t = __float_as_uint(sum);
	return fmaf(polynomial(r, c), r * r, r) + 1.0f;
}

// exp_corrected returns e^(x + correction). The power of two is applied as two
// factors: 2ⁿ alone may be beyond float's range where the result is not. Their
// biased exponents add up to n + 254.
DEV float exp_corrected(float x, float correction) {
	x = lesser(x, 89.0f);
	if (-104.0f > x) x = -104.0f;
	u32 t;
	float y = exp_parts(x, correction, ROUND_MAGIC + 254.0f, t);
	i32 power = (i32)(t - (u32)ROUND_MAGIC_BITS), half = power >> 1;
	return y * __uint_as_float((u32)half << 23) * __uint_as_float((u32)(power - half) << 23);
}

DEV float expf_(float x) { return exp_corrected(x, 0.0f); }

// tanhf_: an odd polynomial near zero, else 1 - 2/(e^2|x| + 1).
DEV float tanhf_(float x) {
	const float c[] = {-0.33333331f, 0.13333206f, -0.053946767f, 0.0217007f, -0.008177395f, 0.002142959f};
	float size = fabsf(x), y;
	if (!(size >= 0.625f)) { // NaN is a case for the polynomial
		float z = x * x;
		y = fmaf(polynomial(z, c), z * size, size);
	} else {
		float large = lesser(size, 10.0f);
		u32 t;
		float e = exp_parts(large + large, 0.0f, ROUND_MAGIC, t);
		y = 1.0f - 2.0f / (__uint_as_float(__float_as_uint(e) + (t << 23)) + 1.0f);
	}
	return __uint_as_float(__float_as_uint(y) | (__float_as_uint(x) & (u32)SIGN_BIT));
}

// sigmoidf_ is 1/(1 + e⁻ˣ), for negative x as eˣ/(1 + eˣ).
DEV float sigmoidf_(float x) {
	float power = expf_(-fabsf(x));
	return (x < 0 ? power : 1.0f) / (power + 1.0f);
}

// normalf_ returns the normal distribution function Φ(x), and e^(-x²/2) in bell.
DEV float normalf_(float x, float &bell) {
	const float c[] = {
		0.18882128f, 0.15197416f, 0.09678433f, 0.04663039f, 0.015099537f, 0.0018857265f,
		-0.00087282417f, -0.00040927203f, 4.2735079e-05f, 5.5514525e-05f, -1.1579752e-05f,
	};
	float s = lesser(fabsf(x), 15.0f);
	float square = s * s, rest = fmaf(s, s, -square);
	bell = exp_corrected(-0.5f * square, -0.5f * rest);
	float t = 4.0f / (s + 4.0f);
	float u = fmaf(s * -0.5f, t, 1.0f); // 2t - 1, but exact near s = 0
	float cdf = t * polynomial(u, c) * bell;
	return x < 0 ? cdf : 1.0f - cdf;
}

#define INV_SQRT_2PI 0.3989422804014327f

// log1pf_ returns log(1+x). With 2ᵉ the power for which (1+x)/2ᵉ lies in
// [0.75, 1.5), m = (x - 2ᵉ + 1)/2ᵉ loses nothing of a small x.
DEV float log1pf_(float x) {
	// (log(1+m) - m)/m² for -0.25 ≤ m ≤ 0.5, error 2⁻²⁹·⁹ of log(1+m).
	const float c[] = {
		-0.49999997f, 0.3333333f, -0.2500044f, 0.2000073f, -0.16649309f, 0.14240429f,
		-0.12727033f, 0.12000366f, -0.09748462f, 0.04172322f,
	};
	float sum = x + 1.0f;
	if (!(sum > 0)) return sum < 0 ? __uint_as_float(0x7fc00000u) : sum == 0 ? __uint_as_float(0xff800000u) : sum;
	if (__float_as_uint(sum) == 0x7f800000u) return sum;
	u32 e = (__float_as_uint(sum) - 0x3f400000u) & 0xff800000u;
	float m = __uint_as_float(__float_as_uint(x) - e); // e is 0 for small x
	float quarter = __uint_as_float(0x40800000u - e); // 4·2⁻ᵉ, whose quarter may be subnormal
	m += fmaf(0.25f, quarter, -1.0f);
	float log = fmaf(polynomial(m, c), m * m, m);
	return fmaf((float)((i32)e >> 23), 0.6931471824645996f, log);
}

// cospi_ returns cos(πx) for x in [0, 1]: a sine or cosine of at most π/4 by
// its series.
DEV double cospi_(double x) {
	const double pi = 3.14159265358979323846;
	const bool mirrored = x > 0.5;
	if (mirrored) x = 1 - x;
	double y;
	if (x > 0.25) {
		double z = pi * (0.5 - x), s = z * z;
		y = -1.0 / 1307674368000;
		y = fma(y, s, 1.0 / 6227020800);
		y = fma(y, s, -1.0 / 39916800);
		y = fma(y, s, 1.0 / 362880);
		y = fma(y, s, -1.0 / 5040);
		y = fma(y, s, 1.0 / 120);
		y = fma(y, s, -1.0 / 6);
		y = fma(y * s, z, z);
	} else {
		double z = pi * x, s = z * z;
		y = 1.0 / 20922789888000;
		y = fma(y, s, -1.0 / 87178291200);
		y = fma(y, s, 1.0 / 479001600);
		y = fma(y, s, -1.0 / 3628800);
		y = fma(y, s, 1.0 / 40320);
		y = fma(y, s, -1.0 / 720);
		y = fma(y, s, 1.0 / 24);
		y = fma(y, s, -0.5);
		y = fma(y, s, 1.0);
	}
	return mirrored ? -y : y;
}

// powi_ returns xⁿ for n >= 0 by squaring.
DEV double powi_(double x, i64 n) {
	double y = 1;
	for (;; x *= x) {
		if (n & 1) y *= x;
		n >>= 1;
		if (n == 0) return y;
	}
}
