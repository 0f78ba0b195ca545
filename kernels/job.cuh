// What the host tells the kernels: a training job as a program of operations.
// kernels/job.go mirrors every struct here, field by field; a test holds the
// two together. All memory is the device's but for Status, which is the
// host's and mapped.
//
// A job is compiled once, at admission, into operations (Op) in phases
// (Phase) in sections (Section). The tiles of a phase's operations depend on
// nothing in that phase, so any number of blocks may work on them in any order;
// what a tile computes, and in which order it adds, follows from the job's own
// shapes alone. Between phases stands a barrier. So a job gives the same bits
// whether one block runs all of it or many blocks run a phase a launch
// (train.cu), and whatever runs beside it.
#pragma once

typedef int i32;
typedef unsigned u32;
typedef long long i64;
typedef unsigned long long u64;

enum : u32 {
	BLOCK = 256,                // threads of every block
	SHARED_BYTES = 48 << 10,    // dynamic shared memory of every block
	MAX_REPORTS = 16,           // epochs a job may end in one quantum
	METRICS = 6,                // values of a report
	WHOLE_QUANTUM = 0xffffffff, // the kernel's left, for one launch that runs a quantum
};

// Kind says which of the structs below an Op's args are.
enum Kind : u32 {
	LINEAR, LINEAR_GRAD_INPUT, LINEAR_GRAD_WEIGHT,
	CONV2D, CONV2D_GRAD_INPUT, CONV2D_GRAD_WEIGHT, CONV2D_GRAD_WEIGHT_SUM,
	MAX_POOL, MAX_POOL_GRAD, AVG_POOL, AVG_POOL_GRAD,
	ACTIVATE, ACTIVATE_GRAD,
	DROPOUT, // its gradient is itself, with y for x
	LAYER_NORM, LAYER_NORM_GRAD_INPUT, LAYER_NORM_GRAD_WEIGHT,
	BATCH_NORM, BATCH_NORM_GRAD,
	LOSS, LOSS_SUM,
	SUM_SQUARES, CLIP_SCALE, OPTIMIZE,
	SHUFFLE_ROWS, GATHER_ROWS, COPY,
	KINDS
};

// Bits of Op.flags.
enum : u32 {
	INPUT = 1, // x is the data set: row r of the batch is found by batch_row()
};

enum Activation : i32 { IDENTITY, RELU, LEAKY_RELU, TANH, SIGMOID, GELU };
enum LossKind : i32 { CROSS_ENTROPY, MSE, BCE_WITH_LOGITS, HUBER };
enum OptimizerKind : i32 { SGD, ADAM, ADAMW, RMSPROP };
enum ScheduleKind : i32 { CONSTANT, COSINE, STEP_LR, LINEAR_LR, ONE_CYCLE };

// One operation. args holds the struct that kind names.
struct Op {
	u32 kind;
	u32 flags;
	u64 args[15];
};

// The operations [first, first+count) of Job.ops.
struct Phase { u32 first; u32 count; };

// The phases [first, first+count) of Job.phases.
struct Section { u32 first; u32 count; };

// Matrices are row-major without gaps; R is the rows of the batch at hand.
// Images are (channels, height, width).

// y (R, out) = act(x (R, in) · w (out, in)ᵀ + b (out)); b may be null.
struct Linear {
	const float *x, *w, *b;
	float *y;
	i32 in, out;
	i32 act; // IDENTITY, RELU, LEAKY_RELU, TANH or SIGMOID
	float slope;
};

// dx (R, in) = (dy (R, out) · w (out, in)) ∘ act'(y (R, in)), where y is the
// value of the activation that made x; y is null with act IDENTITY.
struct LinearGradInput {
	const float *dy, *w, *y;
	float *dx;
	i32 in, out;
	i32 act;
	float slope;
};

// dw (out, in) = dy (R, out)ᵀ · x (R, in), db (out) = column sums of dy; db may be null.
struct LinearGradWeight {
	const float *x, *dy;
	float *dw, *db;
	i32 in, out;
};

// A window that slides over an image of c channels, h by w, and stops at oh by
// ow places.
struct Window {
	i32 c, h, w, oh, ow;
	i32 kh, kw, sh, sw, ph, pw; // kernel, stride, padding
};

// y (R, out, oh, ow) = act(torch's conv2d of x (R, c, h, w) with w (out, c, kh, kw) + b (out)).
struct Conv2D {
	const float *x, *w, *b;
	float *y;
	Window window;
	i32 out;
	i32 act;
	float slope;
};

// dx (R, c, h, w) from dy (R, out, oh, ow), times act'(y (R, c, h, w)) as in LinearGradInput.
struct Conv2DGradInput {
	const float *dy, *w, *y;
	float *dx;
	Window window;
	i32 out;
	i32 act;
	float slope;
};

// partial (splits, out, c·kh·kw + 1): split s sums over its share of the
// batch's places; the last column is the bias's gradient. The share is a
// function of the window and of R alone.
struct Conv2DGradWeight {
	const float *x, *dy;
	float *partial;
	Window window;
	i32 out;
	i32 splits;
};

// dw (out, c·kh·kw) and db (out) = partials added in order of s; db may be null.
struct Conv2DGradWeightSum {
	const float *partial;
	float *dw, *db;
	i32 out, patch, splits;
};

// y (R, c, oh, ow), from: index of the winner in its sample's (c, h, w).
// Padding is -inf; of equals the first wins and NaN beats all.
struct MaxPool { const float *x; float *y; i32 *from; Window window; };

// dx (R, c, h, w): each element adds up what the places it won send back, in
// order of place.
struct MaxPoolGrad { const float *dy; const i32 *from; float *dx; Window window; };

// Padding counts as zeros of the mean.
struct AvgPool { const float *x; float *y; Window window; };
struct AvgPoolGrad { const float *dy; float *dx; Window window; };

// y = act(x), n elements a row. y may be x.
struct Activate { const float *x; float *y; i32 n; i32 act; float slope; };

// dx = dy ∘ act'(v), where v is the function's value, but for GELU, and for
// LEAKY_RELU of slope <= 0, its argument. dx may be dy.
struct ActivateGrad { const float *dy, *v; float *dx; i32 n; i32 act; float slope; };

// y = x·keep where number row·n+column of Philox's stream (Job.seed, purpose
// dropout, stage<<48 | step) is p at least, else 0: its 24 high bits against
// limit = ceil(p·2²⁴), keep = 1/(1-p) or 0. y may be x.
struct Dropout { const float *x; float *y; i32 n; i32 stage; u32 limit; float keep; };

// Each row of x (R, n) normalized, times w (n) plus b (n). stats (R, 2): mean, 1/√(var+eps).
struct LayerNorm { const float *x, *w, *b; float *y, *stats; i32 n; float eps; };
struct LayerNormGradInput { const float *x, *dy, *w, *stats; float *dx; i32 n; };
struct LayerNormGradWeight { const float *x, *dy, *stats; float *dw, *db; i32 n; };

// x (R, channels, plane). In training by the batch's mean and biased variance,
// which also move running_mean and running_var (the unbiased one) by momentum;
// in evaluation by the running ones. stats (channels, 2): mean, 1/√(var+eps).
struct BatchNorm {
	const float *x, *w, *b;
	float *y, *stats, *running_mean, *running_var;
	i32 channels, plane;
	float eps, momentum;
};
struct BatchNormGrad {
	const float *x, *dy, *w, *stats;
	float *dx, *dw, *db; // dx may be null
	i32 channels, plane;
};

// One number a row: loss (R) is the row's share of the batch's mean loss times
// R, right (R) how many of its outputs are right. dz (R, width) is the mean's
// gradient; null in evaluation. target is the data set's: i32 labels (rows)
// for CROSS_ENTROPY, float (rows, width) for the others.
struct Loss {
	const float *z;
	const void *target;
	float *dz;
	double *loss;
	i32 *right;
	i32 width;
	i32 kind;
};

// Sets Job.batch.loss to the mean of loss (R) and Job.batch.right to the sum of
// right (R); squares (width), null unless evaluating a regression, grows by
// each column's Σ(z-t)².
struct LossSum {
	const double *loss;
	const i32 *right;
	const float *z, *target;
	double *squares;
	i32 width;
};

// partial (ceil(n/SUM_CHUNK)): sums of squares of g (n), in float64.
struct SumSquares { const float *g; double *partial; i32 n; };

// Job.hyper.grad_scale = min(1, clip/(√Σpartial + 1e-6)), NaN staying NaN.
struct ClipScale { const double *partial; double clip; i32 count; };

// torch.optim's update of params (n) from grads (n) by Job.hyper. SGD: slot0
// is the momentum buffer or null; ADAM, ADAMW: m and v; RMSPROP: square
// average, then momentum buffer and gradient average or null.
struct Optimize {
	float *params;
	const float *grads;
	float *slot0, *slot1, *slot2;
	i32 n;
	i32 kind;
};

// order (n): the rows of epoch Job.state.epoch in the order of philox.Permutation.
struct ShuffleRows { i32 *order; i32 n; };

// y (R, n): the batch's rows of the data set x. For models whose first layer
// is neither linear nor conv2d.
struct GatherRows { const float *x; float *y; i32 n; };

// to (n) = from (n), to2 (n2) = from2 (n2).
struct Copy { const float *from; float *to; const float *from2; float *to2; i32 n; i32 n2; };

// The optimizer's numbers for one step, reduced from float64 as
// gpu/host/simd's NewSGD, NewAdam, NewAdamW and NewRMSprop do.
struct Hyper {
	float grad_scale; // 1 without clipping
	float lr;         // SGD, RMSPROP
	float weight_decay;
	float decay;      // ADAMW: 1 - lr·weight decay; else 1
	float momentum;
	float gain;       // SGD: 1 - dampening
	float one_minus_beta1, beta2, one_minus_beta2;
	float sqrt_bc2;   // √(1-β₂ᵗ)
	float step_size;  // lr/(1-β₁ᵗ)
	float eps;
	float alpha, one_minus_alpha;
	i32 nesterov, first, centered;
	float reserved;
};

// What Hyper is computed from; torch.optim's names.
struct OptimizerSpec {
	double lr, beta1, beta2, eps, weight_decay, momentum, dampening, alpha;
	i32 kind, nesterov, centered, clips; // clips: a ClipScale sets Hyper.grad_scale
};

// gpu/train's Schedule.
struct ScheduleSpec {
	double min_lr, gamma, pct_start, div_factor, final_div;
	i64 warmup_steps, step_epochs;
	i32 kind, reserved;
};

// What train.State has beside its vectors. Best vectors exist if has_best.
struct State {
	i64 step, epoch, epoch_step;
	double loss_sum;
	i64 loss_rows;
	i64 best_epoch, bad_epochs;
	double best_metric;
	i32 has_best, epoch_ending, finished, reserved;
	double metrics[METRICS]; // of the model that will be written, as in Report
	double test[METRICS];    // those of the test part
	double lr;               // of the last step
};

// The values of a report and of State.metrics; NaN: not measured.
enum Metric : i32 { TRAIN_LOSS, LR, PART_LOSS, ACCURACY, RMSE, R2, NO_METRIC };

// A contiguous share of the data set that is evaluated. spread (width): Σ(t-mean)²
// a column, null unless regression.
struct Part { i64 first; i64 rows; const double *spread; };

// What a job is doing.
enum Doing : i32 {
	BEGIN,    // as the host laid it down: State says where to go on
	SHUFFLE, TRAIN, VALIDATE, TEST, KEEP, TAKE,
	DONE,     // State.metrics and .test are final
	FAULT,    // the loss is no number: Status.fault
	DOINGS
};

// Where a job stands inside its program. Only advance() writes it.
struct Cursor {
	i32 doing;
	u32 phase;  // next one in the section
	i32 rows;   // of the batch at hand
	i32 reserved;
	i64 first;  // TRAIN: the batch's place in the epoch's order; else the row in the data set
	i64 next;   // VALIDATE, TEST: rows done in the part
};

// What LOSS_SUM found of the batch at hand.
struct Batch { double loss; i64 right; };

// Sums over a part under evaluation.
struct Evaluation { double loss; i64 right; };

struct Report { i64 epoch, step; double metrics[METRICS]; };

// What the host reads after a quantum; in mapped host memory.
struct Status {
	i32 doing;
	i32 reports;     // in this quantum
	i32 found;       // FAULT: the doing that found it, TRAIN or VALIDATE
	i32 reserved;
	i64 step, epoch; // done; a fault of TRAIN is that of the step after
	double loss;     // mean over the rows of the current epoch so far, or the last epoch's
	double fault;    // the loss that is no number
	i64 quantum;     // that this was written in
	i64 busy_ns;     // time that the job's one block spent on it
	Report report[MAX_REPORTS];
};

// A job's fixed part and its standing, at the start of its memory.
struct Job {
	const Op *ops;
	const Phase *phases;
	Section sections[DOINGS]; // by Doing; VALIDATE's and TEST's are the same
	const i32 *order;         // null without shuffling
	Status *status;
	double *squares;          // (width) of a regression's evaluation; null else
	u64 seed;
	i64 steps, steps_per_epoch;
	i64 train_rows;
	i32 batch_size;           // rows of a training batch; the epoch's last may have fewer
	i32 eval_rows;            // rows of an evaluation batch
	i32 width;                // outputs of a row
	i32 task;                 // LossKind: what is measured
	Part validation, test;
	OptimizerSpec optimizer;
	ScheduleSpec schedule;
	i32 early_metric;         // Metric; NO_METRIC: no early stopping
	i32 early_rises;          // greater is better
	i64 patience;
	double min_delta;

	State state;
	Cursor cursor;
	Hyper hyper;
	Batch batch;
	Evaluation evaluation;
	u32 arrived;              // blocks that have done the phase
	i32 reports;              // in quantum
	i64 quantum;              // that reports counts in
	i32 stops;                // KEEP is followed by TAKE, not by the next epoch
	i32 reserved;
};

// Which job a block works on. rank < width; width is 1 for a WHOLE_QUANTUM.
struct Slot { Job *job; u32 rank; u32 width; };

// What a lane's launches share; the host renews it before each quantum.
struct Gang {
	const Slot *slots;   // one a block
	i64 quantum;         // counts up from 1
	i64 budget_ns;       // WHOLE_QUANTUM: a job starts no section after this
	i64 reserved;
};
