// dropout against Philox's stream read number by number.
#include <algorithm>
#include "tiles.hpp"
#include "../dropout.cuh"

using namespace harness;

// Number i of stage's stream at step, as gpu/train/philox's Stream.Uint32.
static u32 number(u64 seed, u64 stage, u64 step, u64 i) {
	u32 w[4] = {(u32)(i / 4), 3u << 24, (u32)step, (u32)(stage << 16 | step >> 32)};
	philox_rounds(w, (u32)seed, (u32)(seed >> 32));
	return w[i % 4];
}

static void check(int rows, int n, double p, int stage, i64 step, int offset, bool train, bool in_place) {
	const size_t count = (size_t)rows * n;
	Buffer<float> x(count + offset), y(count + offset);
	x.random();
	std::vector<float> was(x.p + offset, x.p + offset + count);
	Job job{};
	job.seed = 0x1122334455667788;
	Context c = batch(rows, train);
	c.job = &job;
	c.step = step;
	Dropout a{x + offset, (in_place ? x : y) + offset, n, stage, (u32)std::ceil(p * (1 << 24)), p < 1 ? (float)(1 / (1 - p)) : 0};
	run_tiles(c, dropout_tiles(a, rows), [&](const Context &c, int tile) { dropout_tile(c, 0, a, tile); });
	size_t dropped = 0;
	for (size_t i = 0; i < count; i++) {
		float want = was[i];
		if (train) {
			const bool keeps = (number(job.seed, stage, step, i) >> 8) * 0x1p-24 >= p;
			want *= keeps ? a.keep : 0;
			dropped += !keeps;
		}
		if (__float_as_uint(a.y[i]) != __float_as_uint(want)) {
			FAIL("%d x %d, p %g, stage %d, step %lld, offset %d: element %zu is %g, want %g", rows, n, p, stage, step, offset, i, a.y[i], want);
			break;
		}
	}
	// Six standard errors.
	if (train && std::fabs(dropped - p * count) > 6 * std::sqrt(p * (1 - p) * count) + 1e-9) FAIL("%zu of %zu dropped with p %g", dropped, count, p);
	if (!x.guarded() || !y.guarded()) FAIL("%d x %d: wrote beside a buffer", rows, n);
}

int main() {
	for (int rows : {1, 3, 31, 65})
		for (int n : {1, 31, 64, 127}) check(rows, n, 0.3, 2, 17, 0, true, false);
	for (double p : {0.0, 0.5, 0.999, 1.0}) check(65, 100, p, 1, 3, 0, true, true);
	// One number is p exactly: it keeps.
	check(1, 31, (number(0x1122334455667788, 2, 17, 5) >> 8) * 0x1p-24, 2, 17, 0, true, false);
	check(33, 35, 0.5, 0, 0, 1, true, false);
	check(33, 35, 0.5, 300, (i64)1 << 40, 0, true, false);
	for (bool in_place : {false, true}) check(33, 35, 0.5, 1, 1, 0, false, in_place);
	return failures != 0;
}
