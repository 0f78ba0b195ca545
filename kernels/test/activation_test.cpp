// activate and activate_grad over whole batches; the functions themselves are
// tested in math_test.cpp and math_test.go.
#include <algorithm>
#include "tiles.hpp"
#include "../activation.cuh"

using namespace harness;

static const char *const names[] = {"identity", "relu", "leaky_relu", "tanh", "sigmoid", "gelu"};

static double value(double x, int act, double slope) {
	switch (act) {
	case RELU: return x > 0 ? x : 0;
	case LEAKY_RELU: return x > 0 ? x : x * slope;
	case TANH: return std::tanh(x);
	case SIGMOID: return 1 / (1 + std::exp(-x));
	case GELU: return x * std::erfc(-x / std::sqrt(2.0)) / 2;
	}
	return x;
}

static double derivative(double x, int act, double slope) {
	double y = value(x, act, slope);
	switch (act) {
	case RELU: return x > 0;
	case LEAKY_RELU: return x > 0 ? 1 : slope;
	case TANH: return 1 - y * y;
	case SIGMOID: return y * (1 - y);
	case GELU: return std::erfc(-x / std::sqrt(2.0)) / 2 + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI);
	}
	return 1;
}

// offset: floats by which the vectors lie off their alignment.
static void check(int rows, int n, int act, float slope, int offset, bool in_place) {
	const size_t count = (size_t)rows * n;
	Buffer<float> x(count + offset), y(count + offset), dy(count + offset), dx(count + offset);
	x.random(-6, 6), dy.random();
	x[offset] = 0;
	std::vector<double> want, want_grad;
	for (size_t i = offset; i < count + offset; i++) {
		want.push_back(value(x[i], act, slope));
		want_grad.push_back(dy[i] * derivative(x[i], act, slope));
	}
	const bool by_argument = act == GELU || (act == LEAKY_RELU && slope <= 0);
	Buffer<float> argument(count + offset);
	std::copy(x.p, x.p + x.n, argument.p);
	Activate a{x + offset, (in_place ? x : y) + offset, n, act, slope};
	run_tiles(batch(rows), activate_tiles(a, rows), [&](const Context &c, int tile) { activate_tile(c, 0, a, tile); });
	if (double d = distance(a.y, want); !(d < 1e-6)) FAIL("%s %d x %d, offset %d: %g from float64", names[act], rows, n, offset, d);
	ActivateGrad g{dy + offset, by_argument ? argument + offset : a.y, (in_place ? dy : dx) + offset, n, act, slope};
	run_tiles(batch(rows), activate_grad_tiles(g, rows), [&](const Context &c, int tile) { activate_grad_tile(c, 0, g, tile); });
	if (double d = distance(g.dx, want_grad); !(d < 1e-6)) FAIL("%s_grad %d x %d, offset %d: %g from float64", names[act], rows, n, offset, d);
	for (auto b : {&x, &y, &dy, &dx})
		if (!b->guarded()) FAIL("%s %d x %d, offset %d: wrote beside a buffer", names[act], rows, n, offset);
}

int main() {
	for (int act : {IDENTITY, RELU, LEAKY_RELU, TANH, SIGMOID, GELU}) {
		for (int rows : {1, 3, 31, 65})
			for (int n : {1, 31, 64, 127}) check(rows, n, act, 0.1f, 0, false);
		check(33, 67, act, 0.1f, 1, false);
		check(64, 64, act, 0.1f, 3, true);
	}
	check(31, 33, LEAKY_RELU, -0.5f, 0, false);
	check(31, 33, LEAKY_RELU, 0, 0, true);
	return failures != 0;
}
