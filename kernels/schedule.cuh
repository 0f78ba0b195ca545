// The learning rate of a step and the optimizer's numbers made of it, in
// float64, by one thread. The references are gpu/train/schedule.go and the
// constructors in gpu/host/simd/optimizer.go.
//
// Floor: a cosine or a power and two divisions a rate, two powers, two
// divisions and a square root for Adam's corrections: some 150 float64
// operations one after the other, of which squaring makes up two for each
// binary digit of the step's number.
#pragma once
#include "job.cuh"
#include "math.cuh"

// Follows half a cosine from one rate to another as part goes 0 to 1.
DEV double anneal(double from, double to, double part) { return to + (from - to) / 2 * (cospi_(part) + 1); }

// OneCycleLR in two phases: from base/div_factor up to base over pct_start of
// the steps, then down to base/div_factor/final_div at the last one.
DEV double one_cycle(const ScheduleSpec &s, double base, double step, double steps) {
	const double first = base / s.div_factor, last = first / s.final_div;
	const double peak = s.pct_start * steps - 1, end = steps - 1;
	if (step <= peak) return peak == 0 ? base : anneal(first, base, step / peak);
	const double part = (step - peak) / (end - peak);
	return anneal(base, last, part < 1 ? part : 1);
}

// The rate of optimizer step number step, from 0, of a job of so many steps:
// gpu/train's Schedule.LR, from which it differs by what cospi_ and Go's cosine
// differ by, some 1e-16 of base.
DEV double learning_rate(const ScheduleSpec &s, double base, i64 step, i64 steps, i64 steps_per_epoch) {
	if (s.kind == ONE_CYCLE) return one_cycle(s, base, (double)step, (double)steps);
	if (step < s.warmup_steps) return base * ((double)step / (double)s.warmup_steps);
	const i64 total = steps - s.warmup_steps;
	const i64 done = step - s.warmup_steps < total ? step - s.warmup_steps : total;
	switch (s.kind) {
	case COSINE: return total <= 0 ? base : anneal(base, s.min_lr, (double)done / (double)total);
	case LINEAR_LR: return total <= 0 ? base : base * (1 + (s.min_lr / base - 1) * (double)done / (double)total);
	case STEP_LR: {
		const i64 epoch = step / (steps_per_epoch > 1 ? steps_per_epoch : 1);
		return base * powi_(s.gamma, epoch / (s.step_epochs > 1 ? s.step_epochs : 1));
	}
	}
	return base;
}

// The optimizer's numbers for the step after done ones, as NewSGD, NewAdam,
// NewAdamW and NewRMSprop give them; what the algorithm has no use for is 0.
// CLIP_SCALE changes grad_scale later.
DEV void make_hyper(Hyper &h, const OptimizerSpec &s, double lr, i64 done) {
	h = {};
	h.grad_scale = 1;
	h.decay = 1;
	h.lr = (float)lr;
	h.weight_decay = (float)s.weight_decay;
	h.eps = (float)s.eps;
	h.first = done == 0;
	switch (s.kind) {
	case SGD:
		h.momentum = (float)s.momentum;
		h.gain = (float)(1 - s.dampening);
		h.nesterov = s.nesterov;
		return;
	case ADAMW:
		h.weight_decay = 0;
		h.decay = (float)(1 - lr * s.weight_decay);
		[[fallthrough]];
	case ADAM:
		h.one_minus_beta1 = (float)(1 - s.beta1);
		h.beta2 = (float)s.beta2;
		h.one_minus_beta2 = (float)(1 - s.beta2);
		h.sqrt_bc2 = (float)sqrt(1 - powi_(s.beta2, done + 1));
		h.step_size = (float)(lr / (1 - powi_(s.beta1, done + 1)));
		return;
	case RMSPROP:
		h.momentum = (float)s.momentum;
		h.alpha = (float)s.alpha;
		h.one_minus_alpha = (float)(1 - s.alpha);
		h.centered = s.centered;
	}
}
