// What every tile function is told about the batch at hand.
#pragma once
#include "job.cuh"

struct Context {
	Job *job;      // written by LOSS_SUM and CLIP_SCALE alone
	i32 rows;      // R, of the batch at hand
	i64 first;     // its place in the epoch's order, or its first row of the data set
	i64 step;      // optimizer steps done before this one
	bool train;    // false: running statistics, no order
	float *shared; // SHARED_BYTES, 16-byte aligned
};

// The row of an operation's x that row r of the batch is: of the data set for
// an INPUT, else of an activation.
DEV i64 batch_row(const Context &c, u32 flags, i32 r) {
	if (!(flags & INPUT)) return r;
	const i32 *order = c.job->order;
	return c.train && order ? order[c.first + r] : c.first + r;
}
