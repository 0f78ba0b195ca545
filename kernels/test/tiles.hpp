// Runs all tiles of an operation, for the tests of windows and norms.
#pragma once
#include "harness.hpp"

namespace harness {

// Runs tile(c, i) for each i below count, in an order of its own, each in a
// block whose shared memory holds NaNs.
template <class F> void run_tiles(Context c, int count, F tile) {
	std::vector<int> order(count);
	for (int i = 0; i < count; i++) order[i] = i;
	std::shuffle(order.begin(), order.end(), rng);
	for (int i : order) {
		block([&] {
			Context mine = c;
			mine.shared = shared();
			for (u32 at = threadIdx.x; at < SHARED_BYTES / 4; at += BLOCK) mine.shared[at] = NAN;
			__syncthreads();
			tile(mine, i);
		});
	}
}

inline Context batch(int rows, bool train = true) {
	Context c{};
	c.rows = rows;
	c.train = train;
	return c;
}

inline Window window(int c, int h, int w, int kh, int kw, int sh, int sw, int ph, int pw) {
	return {c, h, w, (h + 2 * ph - kh) / sh + 1, (w + 2 * pw - kw) / sw + 1, kh, kw, sh, sw, ph, pw};
}

inline std::string describe(const Window &w, int rows) {
	char text[200];
	snprintf(text, sizeof text, "%d x (%d, %d, %d), kernel %dx%d, stride %dx%d, padding %dx%d",
		rows, w.c, w.h, w.w, w.kh, w.kw, w.sh, w.sw, w.ph, w.pw);
	return text;
}

} // namespace harness
