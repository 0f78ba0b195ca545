// The kernel: every job of a gang, moved on by a quantum or by a phase.
//
// left == WHOLE_QUANTUM: each job has one block, which goes on from section to
// section until the quantum's time is used up. No launch stands between steps:
// for models whose phases have little work for more than one block, and for
// many models.
//
// Else each job has Slot.width blocks, and a launch does one phase of each job;
// what stands between two phases is the end of a launch. The block that arrives
// last moves the job on. left is the number of launches of this quantum that
// follow: a section starts only if they are enough to end it, and KEEP and TAKE
// behind it.
//
// Both run the same tiles in the same order of additions, so a job gives the
// same bits in either, and may change between quanta. They are one kernel
// because the driver compiles a kernel with all it calls at the worker's first
// start, which takes seconds.
//
// Launch: grid = slots, block = BLOCK, dynamic shared memory = SHARED_BYTES.
#include "job.cuh"
#include "context.cuh"
#include "control.cuh"
#include "activation.cuh"
#include "conv.cuh"
#include "dropout.cuh"
#include "linear.cuh"
#include "loss.cuh"
#include "norm.cuh"
#include "optimize.cuh"
#include "pool.cuh"
#include "rows.cuh"
#include "shuffle.cuh"

#define OPERATIONS(X) \
	X(LINEAR, Linear, linear) \
	X(LINEAR_GRAD_INPUT, LinearGradInput, linear_grad_input) \
	X(LINEAR_GRAD_WEIGHT, LinearGradWeight, linear_grad_weight) \
	X(CONV2D, Conv2D, conv2d) \
	X(CONV2D_GRAD_INPUT, Conv2DGradInput, conv2d_grad_input) \
	X(CONV2D_GRAD_WEIGHT, Conv2DGradWeight, conv2d_grad_weight) \
	X(CONV2D_GRAD_WEIGHT_SUM, Conv2DGradWeightSum, conv2d_grad_weight_sum) \
	X(MAX_POOL, MaxPool, max_pool) \
	X(MAX_POOL_GRAD, MaxPoolGrad, max_pool_grad) \
	X(AVG_POOL, AvgPool, avg_pool) \
	X(AVG_POOL_GRAD, AvgPoolGrad, avg_pool_grad) \
	X(ACTIVATE, Activate, activate) \
	X(ACTIVATE_GRAD, ActivateGrad, activate_grad) \
	X(DROPOUT, Dropout, dropout) \
	X(LAYER_NORM, LayerNorm, layer_norm) \
	X(LAYER_NORM_GRAD_INPUT, LayerNormGradInput, layer_norm_grad_input) \
	X(LAYER_NORM_GRAD_WEIGHT, LayerNormGradWeight, layer_norm_grad_weight) \
	X(BATCH_NORM, BatchNorm, batch_norm) \
	X(BATCH_NORM_GRAD, BatchNormGrad, batch_norm_grad) \
	X(LOSS, Loss, loss) \
	X(LOSS_SUM, LossSum, loss_sum) \
	X(SUM_SQUARES, SumSquares, sum_squares) \
	X(CLIP_SCALE, ClipScale, clip_scale) \
	X(OPTIMIZE, Optimize, optimize) \
	X(SHUFFLE_ROWS, ShuffleRows, shuffle_rows) \
	X(GATHER_ROWS, GatherRows, gather_rows) \
	X(COPY, Copy, copy)

// One copy of each operation: inlined, they would take each other's registers.
// Each says itself what the shared memory is, for a compiler that only sees a
// pointer to it loads through that several times slower.
#define X(kind, type, name) \
	static __device__ __noinline__ void run_##name(Context c, u32 flags, const type &a, i32 tile) { \
		DYN_SHARED(float, shared); \
		c.shared = shared; \
		name##_tile(c, flags, a, tile); \
	}
OPERATIONS(X)
#undef X

static __device__ __noinline__ i32 tiles_of(const Op &op, i32 rows) {
	switch (op.kind) {
#define X(kind, type, name) \
	case kind: return name##_tiles(*(const type *)op.args, rows);
		OPERATIONS(X)
#undef X
	}
	return 0;
}

DEV void run_tile(const Context &c, const Op &op, i32 tile) {
	switch (op.kind) {
#define X(kind, type, name) \
	case kind: run_##name(c, op.flags, *(const type *)op.args, tile); break;
		OPERATIONS(X)
#undef X
	}
}

// Runs the tiles of the job's phase that fall to the block of that rank among width.
DEV void run_phase(const Context &c, u32 rank, u32 width) {
	const Job &j = *c.job;
	const Phase p = j.phases[j.sections[j.cursor.doing].first + j.cursor.phase];
	u32 tile = rank, before = 0;
	for (u32 i = 0; i < p.count; i++) {
		const Op &op = j.ops[p.first + i];
		u32 end = before + (u32)tiles_of(op, c.rows);
		for (; tile < end; tile += width) {
			run_tile(c, op, (i32)(tile - before));
			__syncthreads(); // the next tile has the shared memory
		}
		before = end;
	}
}

DEV Context context_of(Job *j) {
	return Context{j, j->cursor.rows, j->cursor.first, j->state.step, j->cursor.doing == TRAIN, nullptr};
}

// One block a job, until the time is used up.
DEV void run_quantum(const Gang &gang, Job *j) {
	const i64 quantum = gang.quantum, budget = gang.budget_ns;
	const i64 began = globaltimer_ns();
	bool goes_on = has_work(*j, quantum);
	while (goes_on) {
		run_phase(context_of(j), 0, 1);
		__syncthreads(); // all have read where the job stands, also in a phase without tiles
		if (threadIdx.x == 0) {
			advance(*j, quantum);
			// Through the job, since the shared memory is the tiles'.
			j->arrived = has_work(*j, quantum) && (!may_rest(*j) || globaltimer_ns() - began < budget);
		}
		__syncthreads();
		goes_on = j->arrived != 0;
	}
	__syncthreads();
	if (threadIdx.x == 0) {
		j->arrived = 0;
		tell(*j, quantum);
		j->status->busy_ns = globaltimer_ns() - began;
	}
}

// One phase, by the block of that slot.
DEV void run_launch(const Gang &gang, const Slot &slot, u32 left) {
	Job *j = slot.job;
	if (!has_work(*j, gang.quantum)) return;
	if (may_rest(*j) && left < j->sections[j->cursor.doing].count + 1) return;
	run_phase(context_of(j), slot.rank, slot.width);
	__threadfence(); // what this thread wrote, before it is said to be done
	__syncthreads();
	if (threadIdx.x == 0 && atomicAdd(&j->arrived, 1u) == slot.width - 1) {
		__threadfence(); // what the others wrote
		j->arrived = 0;
		advance(*j, gang.quantum);
		// Once a graph, when nothing more fits into it: the host's memory is far.
		if (!has_work(*j, gang.quantum) || (may_rest(*j) && left < j->sections[j->cursor.doing].count + 2)) tell(*j, gang.quantum);
	}
}

KERNEL(train, const Gang *gang, u32 left) {
	const Slot slot = gang->slots[blockIdx.x];
	if (left == WHOLE_QUANTUM) run_quantum(*gang, slot.job);
	else run_launch(*gang, slot, left);
}
