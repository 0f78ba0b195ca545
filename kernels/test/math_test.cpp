// The functions of math.cuh against libm in a wider format. Their bits are held
// against the host's by math_test.go.
#include "harness.hpp"
#include "../activation.cuh"

using namespace harness;

typedef long double wide;

static float ulp(float v) {
	v = std::fabs(v);
	return v < 0x1p-126f ? 0x1p-149f : std::ldexp(1.0f, std::ilogb(v) - 23);
}

// Checks f over all magnitudes of x in [lo, hi]; results below least are judged
// as if they were that large.
template <class F, class G> static void sweep(const char *name, float lo, float hi, double most, F f, G exact, float least = 0) {
	double worst = 0;
	float at = 0;
	auto check = [&](float x) {
		if (!(x >= lo && x <= hi)) return;
		wide want = exact((wide)x);
		float got = f(x), rounded = (float)want;
		double e = got == rounded ? std::fabs((double)((wide)got - want)) / ulp(rounded) : std::fabs((double)((wide)got - want)) / ulp(std::max(std::fabs(rounded), least));
		if (std::isinf(rounded) && got == rounded) e = 0;
		if (!(e <= worst)) worst = e, at = x;
	};
	for (u32 bits = 0; bits < 0x7f800000u; bits += 7919) {
		float x = __uint_as_float(bits);
		check(x), check(-x);
	}
	for (u32 bits = __float_as_uint(0.01f); bits < __float_as_uint(110.0f); bits += 499) {
		float x = __uint_as_float(bits);
		check(x), check(-x);
	}
	if (!(worst <= most)) FAIL("%s is %.2f ulp off at %.9g (%.9g), %.2f are allowed", name, worst, at, f(at), most);
	else printf("%-10s %.2f ulp at %.9g\n", name, worst, at);
}

static wide normal(wide x) { return std::erfc(-x / std::sqrt((wide)2)) / 2; }

static void is(const char *what, float got, float want) {
	if (!(got == want && std::signbit(got) == std::signbit(want)) && !(got != got && want != want)) FAIL("%s is %g, want %g", what, got, want);
}

static void edges() {
	is("expf_(inf)", expf_(INFINITY), INFINITY);
	is("expf_(-inf)", expf_(-INFINITY), 0);
	is("expf_(nan)", expf_(NAN), NAN);
	is("expf_(-0)", expf_(-0.0f), 1);
	is("tanhf_(-0)", tanhf_(-0.0f), -0.0f);
	is("tanhf_(-inf)", tanhf_(-INFINITY), -1);
	is("tanhf_(nan)", tanhf_(NAN), NAN);
	is("sigmoidf_(-inf)", sigmoidf_(-INFINITY), 0);
	is("sigmoidf_(nan)", sigmoidf_(NAN), NAN);
	is("log1pf_(0)", log1pf_(0), 0);
	is("log1pf_(-1)", log1pf_(-1), -INFINITY);
	is("log1pf_(-2)", log1pf_(-2), NAN);
	is("log1pf_(-inf)", log1pf_(-INFINITY), NAN);
	is("log1pf_(inf)", log1pf_(INFINITY), INFINITY);
	is("log1pf_(nan)", log1pf_(NAN), NAN);
	is("log1pf_(least)", log1pf_(0x1p-149f), 0x1p-149f);
	is("gelu(nan)", gelu(NAN), NAN);
	is("gelu(20)", gelu(20), 20);
}

static void doubles() {
	const wide pi = 3.141592653589793238462643383279502884L;
	double worst = 0, at = 0;
	for (int i = 0; i <= 1'000'000; i++) {
		double x = i / 1e6;
		wide want = std::fabs(x - 0.5) < 0.25 ? std::sin(pi * (0.5L - (wide)x)) : std::cos(pi * (wide)x);
		double e = std::fabs((double)(cospi_(x) - want)) / (std::fabs((double)want) * 0x1p-52 + 1e-300);
		if (e > worst) worst = e, at = x;
	}
	printf("cospi_     %.2f units of 2^-52 at %g\n", worst, at);
	if (!(worst <= 1.5)) FAIL("cospi_(%g) is %.17g, off by %.2f units of 2^-52", at, cospi_(at), worst);
	if (cospi_(0) != 1 || cospi_(0.5) != 0 || cospi_(1) != -1) FAIL("cospi_ is not exact at 0, 1/2 and 1");

	for (double x : {0.9, 0.999, 0.1, 1.0, 0.5, 1.5, -0.7})
		for (i64 n : {0, 1, 2, 3, 7, 10, 100, 1000, 4095, 4096, 100000}) {
			wide want = std::pow((wide)x, (wide)n);
			double got = powi_(x, n);
			if (std::isinf((double)want) || std::fabs((double)want) < 1e-300) continue;
			if (!(std::fabs((double)((got - want) / want)) <= (n / 2 + 1) * 0x1p-52)) FAIL("powi_(%g, %lld) is %.17g, want %.17Lg", x, n, got, want);
		}
	if (powi_(0, 0) != 1 || powi_(0, 5) != 0 || powi_(0.9, (i64)1 << 40) != 0) FAIL("powi_ is wrong at an edge");
}

int main() {
	sweep("expf_", -103, 88.722835f, 1.0, [](float x) { return expf_(x); }, [](wide x) { return std::exp(x); });
	sweep("tanhf_", -INFINITY, INFINITY, 1.5, [](float x) { return tanhf_(x); }, [](wide x) { return std::tanh(x); });
	sweep("sigmoidf_", -103, INFINITY, 2.5, [](float x) { return sigmoidf_(x); }, [](wide x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); });
	sweep("log1pf_", -0.99999994f, 3e38f, 1.5, [](float x) { return log1pf_(x); }, [](wide x) { return std::log1p(x); });
	sweep("normalf_", -INFINITY, INFINITY, 5, [](float x) { float bell; return normalf_(x, bell); }, normal, 0x1p-126f);
	sweep("gelu", -INFINITY, INFINITY, 5, gelu, [](wide x) { return x * normal(x); }, 1e-37f);
	sweep("gelu_grad", -INFINITY, INFINITY, 3, [](float x) { return gelu_grad(1, x); },
		[](wide x) { return normal(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * 3.141592653589793238462643383279502884L); }, 0.5f);
	edges();
	doubles();
	return failures != 0;
}
