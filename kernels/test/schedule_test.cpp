// Learning rates and the optimizers' numbers.
#include <algorithm>
#include "harness.hpp"
#include "../schedule.cuh"

typedef long double wide;

static const wide pi = 3.14159265358979323846264338327950288L;

// gpu/train's Schedule.LR in long double.
static wide rate(const ScheduleSpec &s, wide base, i64 step, i64 steps, i64 per_epoch) {
	auto anneal = [](wide from, wide to, wide part) { return to + (from - to) / 2 * (std::cos(pi * part) + 1); };
	if (s.kind == ONE_CYCLE) {
		wide first = base / s.div_factor, last = first / s.final_div;
		// In double, since which phase a step falls into hangs on it.
		double peak = s.pct_start * (double)steps - 1, end = (double)steps - 1;
		if ((double)step <= peak) return peak == 0 ? base : anneal(first, base, step / (wide)peak);
		return anneal(base, last, std::min((step - (wide)peak) / ((wide)end - peak), (wide)1));
	}
	if (step < s.warmup_steps) return base * step / s.warmup_steps;
	wide t = (wide)(step - s.warmup_steps), total = (wide)(steps - s.warmup_steps);
	switch (s.kind) {
	case COSINE: return total <= 0 ? base : anneal(base, s.min_lr, std::min(t, total) / total);
	case LINEAR_LR: return total <= 0 ? base : base + (s.min_lr - base) * std::min(t, total) / total;
	case STEP_LR: return base * std::pow((wide)s.gamma, (wide)(step / std::max(per_epoch, (i64)1) / std::max(s.step_epochs, (i64)1)));
	}
	return base;
}

static const char *const names[] = {"constant", "cosine", "step", "linear", "one_cycle"};

static void sweep(const ScheduleSpec &s, double base, i64 steps, i64 per_epoch) {
	for (i64 step = 0; step <= steps + 2; step += step < 100 || step > steps - 20 ? 1 : 1 + steps / 501) {
		double got = learning_rate(s, base, step, steps, per_epoch);
		wide want = rate(s, base, step, steps, per_epoch);
		// Falling to near zero cancels, on the host as well: the error is one
		// of base. A power's grows with the exponent, below step.
		wide tolerance = 1e-14L * base;
		if (s.kind == STEP_LR) tolerance = (1e-14L + step * 2e-16L) * want + 1e-300L;
		if (step < s.warmup_steps) tolerance = 1e-15L * want;
		if (!(std::fabs(got - want) <= tolerance)) FAIL("%s of %lld steps, step %lld: %.17g, want %.17Lg", names[s.kind], steps, step, got, want);
	}
}

// What torch.optim.lr_scheduler set; gpu/train/schedule_test.go has the same.
static void torch() {
	auto check = [](const char *name, const ScheduleSpec &s, double base, i64 per_epoch, std::vector<double> want) {
		for (size_t i = 0; i < want.size(); i++) {
			double got = learning_rate(s, base, (i64)i, (i64)want.size(), per_epoch);
			if (!(std::fabs(got - want[i]) <= 1e-15)) FAIL("%s, step %zu: %.17g, want %.17g", name, i, got, want[i]);
		}
	};
	check("CosineAnnealingLR(T_max=7, eta_min=0.001)", {.min_lr = 0.001, .kind = COSINE}, 0.1, 7,
		{0.1, 0.09509795896116975, 0.08136274519200731, 0.061514786230837566, 0.03948521376916245, 0.019637254807992697, 0.005902041038830259});
	check("LinearLR(1, 0.1, total_iters=8)", {.min_lr = 0.01, .kind = LINEAR_LR}, 0.1, 8,
		{0.1, 0.08875, 0.0775, 0.06625, 0.055, 0.04375, 0.0325, 0.02125});
	check("StepLR(2, gamma=0.3)", {.gamma = 0.3, .step_epochs = 2, .kind = STEP_LR}, 0.5, 3,
		{0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.045, 0.045, 0.045});
	check("OneCycleLR(0.1, total_steps=10)", {.pct_start = 0.3, .div_factor = 25, .final_div = 1e4, .kind = ONE_CYCLE}, 0.1, 10,
		{0.004, 0.052, 0.1, 0.09504846320134738, 0.0811745653949763, 0.06112620219362893, 0.03887419780637107, 0.0188258346050237, 0.004951936798652629, 4e-07});
	check("OneCycleLR(0.2, 7, pct_start=0.5, div_factor=10, final_div_factor=100)", {.pct_start = 0.5, .div_factor = 10, .final_div = 100, .kind = ONE_CYCLE}, 0.2, 7,
		{0.02, 0.08218847050625473, 0.18281152949374527, 0.19010678990345167, 0.12232984130223581, 0.037813368794312525, 0.0002});
	check("OneCycleLR(0.1, total_steps=3)", {.pct_start = 0.3, .div_factor = 25, .final_div = 1e4, .kind = ONE_CYCLE}, 0.1, 3,
		{0.09944154354509119, 0.046263710266697504, 4e-07});
	check("OneCycleLR(0.1, total_steps=4, pct_start=1)", {.pct_start = 1, .div_factor = 25, .final_div = 1e4, .kind = ONE_CYCLE}, 0.1, 4,
		{0.004, 0.028, 0.076, 0.1});
	check("LambdaLR(i/4), then CosineAnnealingLR(T_max=6, eta_min=0.001)", {.min_lr = 0.001, .warmup_steps = 4, .kind = COSINE}, 0.1, 10,
		{0, 0.025, 0.05, 0.075, 0.1, 0.09336825748732973, 0.07525, 0.0505, 0.02575, 0.007631742512670284});
	check("constant", {.kind = CONSTANT}, 0.1, 2, {0.1, 0.1});
	// A single step is the peak: PyTorch divides by zero there.
	check("OneCycleLR of one step", {.pct_start = 1, .div_factor = 25, .final_div = 1e4, .kind = ONE_CYCLE}, 0.1, 1, {0.1});
}

// Go's math.Pow for whole exponents: squares mantissas and keeps the binary
// exponent apart.
static double go_pow(double x, i64 n) {
	int exponent, total = 0;
	double fraction = std::frexp(x, &exponent), a = 1;
	for (; n != 0; n >>= 1) {
		if (exponent < -(1 << 12) || exponent > 1 << 12) return x < 1 ? 0 : INFINITY;
		if (n & 1) a *= fraction, total += exponent;
		fraction *= fraction;
		exponent *= 2;
		if (fraction < 0.5) fraction += fraction, exponent--;
	}
	return std::ldexp(a, total);
}

static void same(const char *name, const char *field, i64 done, double got, double want) {
	if (got != want) FAIL("%s after %lld steps: %s is %.9g, want %.9g", name, done, field, got, want);
}
#define SAME(name, field) same(name, #field, done, got.field, want.field)

// gpu/host/simd's constructors.
static void hyper(const char *name, const OptimizerSpec &s, double lr, i64 done) {
	Hyper got;
	memset(&got, 0xff, sizeof got);
	make_hyper(got, s, lr, done);
	Hyper want{};
	want.grad_scale = 1, want.decay = 1;
	want.weight_decay = (float)s.weight_decay;
	switch (s.kind) {
	case SGD:
		want.lr = (float)lr, want.momentum = (float)s.momentum, want.gain = (float)(1 - s.dampening);
		want.nesterov = s.nesterov, want.first = done == 0;
		SAME(name, lr), SAME(name, momentum), SAME(name, gain), SAME(name, nesterov), SAME(name, first);
		break;
	case RMSPROP:
		want.lr = (float)lr, want.alpha = (float)s.alpha, want.one_minus_alpha = (float)(1 - s.alpha), want.eps = (float)s.eps;
		want.momentum = (float)s.momentum, want.centered = s.centered;
		SAME(name, lr), SAME(name, alpha), SAME(name, one_minus_alpha), SAME(name, eps), SAME(name, momentum), SAME(name, centered);
		break;
	default:
		if (s.kind == ADAMW) want.weight_decay = 0, want.decay = (float)(1 - lr * s.weight_decay);
		want.one_minus_beta1 = (float)(1 - s.beta1), want.beta2 = (float)s.beta2, want.one_minus_beta2 = (float)(1 - s.beta2);
		want.sqrt_bc2 = (float)std::sqrt(1 - go_pow(s.beta2, done + 1)), want.eps = (float)s.eps;
		want.step_size = (float)(lr / (1 - go_pow(s.beta1, done + 1)));
		SAME(name, one_minus_beta1), SAME(name, beta2), SAME(name, one_minus_beta2), SAME(name, sqrt_bc2), SAME(name, eps), SAME(name, step_size);
		// And go_pow is a power.
		wide power = std::pow((wide)s.beta2, (wide)(done + 1));
		if (!(std::fabs(std::sqrt(1 - power) - (wide)got.sqrt_bc2) <= 1e-7L)) FAIL("%s after %lld steps: √(1-β₂ᵗ) is %.9g", name, done, got.sqrt_bc2);
	}
	SAME(name, grad_scale), SAME(name, weight_decay), SAME(name, decay);
	if (got.reserved != 0) FAIL("%s: reserved is %g", name, got.reserved);
}

int main() {
	torch();
	for (i64 steps : {1, 2, 3, 7, 10, 99, 1000, 1000000})
		for (double base : {1e-5, 0.1, 3.0})
			for (i64 warmup : {(i64)0, (i64)1, (i64)5, steps, 2 * steps}) {
				for (double least : {0.0, base / 100, base}) {
					sweep({.min_lr = least, .warmup_steps = warmup, .kind = COSINE}, base, steps, 3);
					sweep({.min_lr = least, .warmup_steps = warmup, .kind = LINEAR_LR}, base, steps, 3);
				}
				sweep({.warmup_steps = warmup, .kind = CONSTANT}, base, steps, 3);
				for (double gamma : {0.1, 0.5, 0.97, 1.0})
					for (i64 per_epoch : {0, 1, 45})
						for (i64 each : {0, 1, 3})
							sweep({.gamma = gamma, .warmup_steps = warmup, .step_epochs = each, .kind = STEP_LR}, base, std::min(steps, (i64)3000), per_epoch);
			}
	for (i64 steps : {1, 2, 3, 10, 33, 1000, 1000000})
		for (double start : {0.1, 0.25, 0.3, 0.5, 1.0})
			sweep({.pct_start = start, .div_factor = 25, .final_div = 1e4, .kind = ONE_CYCLE}, 0.1, steps, 3);

	for (i64 done : {0, 1, 2, 3, 9, 62, 63, 64, 999, 12345, 1000000, 123456789})
		for (double lr : {1e-3, 0.1, 0.0})
			for (double beta : {0.0, 0.5, 0.9, 0.999, 0.99999}) {
				// The rate is the schedule's, whatever the optimizer was given.
				OptimizerSpec s{.lr = 1, .beta1 = beta, .beta2 = 1 - (1 - beta) / 3, .eps = 1e-8, .weight_decay = 0.01, .momentum = 0.9, .dampening = 0.1, .alpha = 0.99, .nesterov = 1, .centered = 1};
				const char *const optimizers[] = {"sgd", "adam", "adamw", "rmsprop"};
				for (i32 kind : {SGD, ADAM, ADAMW, RMSPROP}) {
					s.kind = kind;
					hyper(optimizers[kind], s, lr, done);
				}
				s.momentum = 0, s.nesterov = s.centered = 0, s.weight_decay = 0;
				s.kind = SGD, hyper("plain sgd", s, lr, done);
				s.kind = RMSPROP, hyper("plain rmsprop", s, lr, done);
			}
	return harness::failures != 0;
}
