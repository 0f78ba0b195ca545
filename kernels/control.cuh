// What happens between a job's sections: the state machine of gpu/host's
// Trainer (trainer.go, step.go, evaluate.go), on the device, so that a job goes
// on for thousands of steps without the host.
//
//	BEGIN ─▶ SHUFFLE ─▶ TRAIN ⟲ ─▶ VALIDATE ⟲ ─▶ KEEP ─▶ SHUFFLE …
//	                                                └▶ TAKE ─▶ TEST ⟲ ─▶ DONE
//
// One thread of a job runs advance() when all blocks have done a phase. It
// costs some hundred operations a step, most of them the learning rate's and
// the bias corrections' in float64.
#pragma once
#include "job.cuh"
#include "schedule.cuh"

DEV bool is_finite(double v) { return v - v == 0; }

DEV double not_measured() { return __longlong_as_double(0x7ff8000000000000ll); }

// The host's view, renewed where it may look next.
DEV void tell(const Job &j, i64 quantum) {
	const State &s = j.state;
	Status &out = *j.status;
	out.doing = j.cursor.doing;
	out.reports = j.quantum == quantum ? j.reports : 0;
	out.step = s.step;
	out.epoch = s.epoch;
	if (s.loss_rows > 0) out.loss = s.loss_sum / s.loss_rows;
	out.quantum = quantum;
}

DEV void fail(Job &j, double loss) {
	j.status->fault = loss;
	j.status->found = j.cursor.doing;
	j.cursor.doing = FAULT;
}

DEV void begin_batch(Job &j) {
	State &s = j.state;
	Cursor &c = j.cursor;
	c.doing = TRAIN;
	c.first = s.epoch_step * j.batch_size;
	i64 left = j.train_rows - c.first;
	c.rows = left < j.batch_size ? (i32)left : j.batch_size;
	s.lr = learning_rate(j.schedule, j.optimizer.lr, s.step, j.steps, j.steps_per_epoch);
	make_hyper(j.hyper, j.optimizer, s.lr, s.step);
}

DEV void begin_epoch(Job &j) {
	if (j.order) j.cursor.doing = SHUFFLE;
	else begin_batch(j);
}

DEV const Part &part_of(const Job &j) { return j.cursor.doing == TEST ? j.test : j.validation; }

// The next rows of the part under evaluation.
DEV void begin_evaluation_batch(Job &j) {
	Cursor &c = j.cursor;
	const Part &p = part_of(j);
	i64 left = p.rows - c.next;
	c.first = p.first + c.next;
	c.rows = left < j.eval_rows ? (i32)left : j.eval_rows;
}

DEV void begin_evaluation(Job &j, i32 doing) {
	j.cursor.doing = doing;
	j.cursor.next = 0;
	j.evaluation.loss = 0;
	j.evaluation.right = 0;
	if (j.squares)
		for (i32 i = 0; i < j.width; i++) j.squares[i] = 0;
	begin_evaluation_batch(j);
}

// Adds a part's metrics to m.
DEV void measure(const Job &j, const Part &p, double *m) {
	double rows = (double)p.rows;
	m[PART_LOSS] = j.evaluation.loss / rows;
	switch (j.task) {
	case CROSS_ENTROPY: m[ACCURACY] = j.evaluation.right / rows; return;
	case BCE_WITH_LOGITS: m[ACCURACY] = j.evaluation.right / (rows * j.width); return;
	}
	// R² as scikit-learn's, averaged over columns; a constant column counts 1
	// where it is met exactly, else 0.
	double sum = 0, r2 = 0;
	for (i32 i = 0; i < j.width; i++) {
		double s = j.squares[i];
		sum += s;
		if (p.spread[i] != 0) r2 += 1 - s / p.spread[i];
		else if (s == 0) r2 += 1;
	}
	m[RMSE] = sqrt(sum / (rows * j.width));
	m[R2] = r2 / j.width;
}

DEV void begin_test(Job &j) {
	j.state.finished = 1;
	if (j.test.rows > 0) begin_evaluation(j, TEST);
	else j.cursor.doing = DONE;
}

DEV void finish(Job &j) {
	if (j.state.has_best) j.cursor.doing = TAKE;
	else begin_test(j);
}

DEV void report(Job &j, const double *m, i64 quantum) {
	if (j.quantum != quantum) {
		j.quantum = quantum;
		j.reports = 0;
	}
	Report &r = j.status->report[j.reports++];
	r.epoch = j.state.epoch;
	r.step = j.state.step;
	for (i32 i = 0; i < METRICS; i++) r.metrics[i] = m[i];
	j.status->loss = m[TRAIN_LOSS];
}

DEV void end_epoch(Job &j, i64 quantum) {
	State &s = j.state;
	double m[METRICS];
	for (i32 i = 0; i < METRICS; i++) m[i] = not_measured();
	m[TRAIN_LOSS] = s.loss_sum / s.loss_rows;
	m[LR] = s.lr;
	if (j.validation.rows > 0) {
		measure(j, j.validation, m);
		if (!is_finite(m[PART_LOSS])) {
			fail(j, m[PART_LOSS]);
			return;
		}
	}
	s.epoch++;
	s.epoch_step = 0;
	s.loss_sum = 0;
	s.loss_rows = 0;
	s.epoch_ending = 0;
	report(j, m, quantum);

	bool last = s.step == j.steps;
	if (j.early_metric != NO_METRIC) {
		double value = m[j.early_metric];
		bool better = j.early_rises ? value > s.best_metric + j.min_delta : value < s.best_metric - j.min_delta;
		if (s.has_best && !better) {
			s.bad_epochs++;
			if (last || s.bad_epochs >= j.patience) finish(j);
			else begin_epoch(j);
			return;
		}
		s.has_best = 1;
		s.best_epoch = s.epoch;
		s.best_metric = value;
		s.bad_epochs = 0;
	}
	for (i32 i = 0; i < METRICS; i++) s.metrics[i] = m[i];
	if (s.has_best) {
		j.stops = last;
		j.cursor.doing = KEEP;
	} else if (last) {
		finish(j);
	} else {
		begin_epoch(j);
	}
}

DEV void end_steps(Job &j, i64 quantum) {
	if (j.validation.rows > 0) begin_evaluation(j, VALIDATE);
	else end_epoch(j, quantum);
}

DEV void end_batch(Job &j, i64 quantum) {
	State &s = j.state;
	double loss = j.batch.loss;
	if (!is_finite(loss)) {
		fail(j, loss);
		return;
	}
	s.loss_sum += loss * j.cursor.rows;
	s.loss_rows += j.cursor.rows;
	s.step++;
	s.epoch_step++;
	s.epoch_ending = s.epoch_step == j.steps_per_epoch || s.step == j.steps;
	if (s.epoch_ending) end_steps(j, quantum);
	else begin_batch(j);
}

DEV void end_evaluation_batch(Job &j, i64 quantum) {
	Cursor &c = j.cursor;
	const Part &p = part_of(j);
	j.evaluation.loss += j.batch.loss * c.rows;
	j.evaluation.right += j.batch.right;
	c.next += c.rows;
	if (c.next < p.rows) {
		begin_evaluation_batch(j);
	} else if (c.doing == VALIDATE) {
		end_epoch(j, quantum);
	} else {
		for (i32 i = 0; i < METRICS; i++) j.state.test[i] = not_measured();
		measure(j, p, j.state.test);
		c.doing = DONE;
	}
}

// Goes on from the state that the host laid down.
DEV void resume(Job &j, i64 quantum) {
	const State &s = j.state;
	if (s.finished) begin_test(j);
	else if (s.epoch_ending) end_steps(j, quantum);
	else begin_epoch(j);
}

// Moves a job on, all of whose blocks have done its phase.
static __device__ __noinline__ void advance(Job &j, i64 quantum) {
	Cursor &c = j.cursor;
	if (++c.phase < j.sections[c.doing].count) return;
	c.phase = 0;
	switch (c.doing) {
	case BEGIN: resume(j, quantum); break;
	case SHUFFLE: begin_batch(j); break;
	case TRAIN: end_batch(j, quantum); break;
	case VALIDATE:
	case TEST: end_evaluation_batch(j, quantum); break;
	case KEEP:
		if (j.stops) finish(j);
		else begin_epoch(j);
		break;
	case TAKE: begin_test(j); break;
	}
}

// Whether a job that is between two sections may be left there for the host:
// its state says all. After KEEP's and before TAKE's decision it does not.
DEV bool may_rest(const Job &j) { return j.cursor.phase == 0 && j.cursor.doing != KEEP && j.cursor.doing != TAKE; }

// Whether there is anything to do in this quantum.
DEV bool has_work(const Job &j, i64 quantum) {
	if (j.cursor.doing >= DONE) return false;
	return !may_rest(j) || j.quantum != quantum || j.reports < MAX_REPORTS;
}
