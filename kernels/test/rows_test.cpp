// gather_rows and copy.
#include <algorithm>
#include "tiles.hpp"
#include "../rows.cuh"

using namespace harness;

enum { ACTIVATION, STRAIGHT, SHUFFLED, EVALUATED };

static void gathers(int rows, int n, int kind, int offset) {
	Buffer<float> x((size_t)(rows + 20) * n + offset), y((size_t)rows * n);
	x.random();
	Buffer<i32> order(rows + 20);
	for (size_t i = 0; i < order.n; i++) order[i] = (i32)i;
	std::shuffle(order.p, order.p + order.n, rng);
	Job job{};
	if (kind == SHUFFLED || kind == EVALUATED) job.order = order;
	Context c = batch(rows, kind != EVALUATED);
	c.job = &job;
	c.first = 7;
	GatherRows a{x + offset, y, n};
	run_tiles(c, gather_rows_tiles(a, rows), [&](const Context &c, int tile) { gather_rows_tile(c, kind == ACTIVATION ? 0 : INPUT, a, tile); });
	for (int r = 0; r < rows; r++)
		for (int i = 0; i < n; i++) {
			int from = kind == ACTIVATION ? r : kind == SHUFFLED ? order[7 + r] : 7 + r;
			if (y[(size_t)r * n + i] != a.x[(size_t)from * n + i]) {
				FAIL("gather_rows %d x %d, rows %d, offset %d: row %d, column %d is wrong", rows, n, kind, offset, r, i);
				return;
			}
		}
	if (!y.guarded()) FAIL("gather_rows %d x %d: wrote beside y", rows, n);
}

static void copies(int n, int n2, int offset) {
	Buffer<float> from(n + offset), to(n + offset), from2(n2 + offset), to2(n2 + offset);
	from.random(), from2.random();
	Copy a{from + offset, to + offset, from2 + offset, to2 + offset, n, n2};
	run_tiles(batch(0), copy_tiles(a, 0), [&](const Context &c, int tile) { copy_tile(c, 0, a, tile); });
	if (!std::equal(a.from, a.from + n, a.to) || !std::equal(a.from2, a.from2 + n2, a.to2)) FAIL("copy of %d and %d, offset %d, is wrong", n, n2, offset);
	if (!to.guarded() || !to2.guarded()) FAIL("copy of %d and %d, offset %d: wrote beside a buffer", n, n2, offset);
	for (int i = 0; i < offset; i++)
		if (to[i] == to[i] || to2[i] == to2[i]) FAIL("copy of %d and %d, offset %d: wrote before the beginning", n, n2, offset);
}

int main() {
	for (int rows : {1, 3, 31, 65})
		for (int n : {1, 4, 31, 64, 100, 787, 1024})
			for (int kind : {ACTIVATION, STRAIGHT, SHUFFLED, EVALUATED}) gathers(rows, n, kind, 0);
	gathers(33, 64, SHUFFLED, 1);
	for (int n : {0, 1, 3, 4, 4095, 4096, 4097, 9034})
		for (int n2 : {0, 5, 4100})
			for (int offset : {0, 1, 3}) copies(n, n2, offset);
	return failures != 0;
}
