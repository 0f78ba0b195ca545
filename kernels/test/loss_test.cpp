// Losses, their gradients and what is counted as right, row by row and summed.
#include <algorithm>
#include "tiles.hpp"
#include "../loss.cuh"

using namespace harness;

typedef long double wide;

static const char *const names[] = {"cross_entropy", "mse", "bce_with_logits", "huber"};

// What one row should come to.
struct Want {
	wide loss = 0; // mean over the row for all but cross_entropy
	std::vector<wide> grad;
	int right = 0;
};

// gpu/host's formula where it may overflow, with its float32 differences; the
// sums in long double.
static Want cross_entropy(const float *z, int width, int label, int rows) {
	Want w;
	float top = z[0];
	int said = 0;
	for (int i = 0; i < width; i++) {
		top = std::isnan(top) || std::isnan(z[i]) ? NAN : std::max(top, z[i]);
		if (z[i] > z[said]) said = i;
	}
	w.right = said == label;
	std::vector<wide> e(width);
	wide sum = 0, others = 0;
	bool skipped = false;
	for (int i = 0; i < width; i++) {
		e[i] = std::exp((wide)(float)(z[i] - top));
		sum += e[i];
		if (z[i] == top && !skipped && z[i] - top == 0) skipped = true;
		else others += e[i];
	}
	w.loss = std::log1p(others) - (wide)(float)(z[label] - top);
	for (int i = 0; i < width; i++) {
		wide g = e[i] / sum;
		if (i == label) { // what the others have, minus
			g = 0;
			for (int k = 0; k < width; k++) if (k != i) g -= e[k] / sum;
		}
		w.grad.push_back(std::isnan(sum) ? NAN : g / rows);
	}
	return w;
}

static Want elements(int kind, const float *z, const float *t, int width, int rows) {
	Want w;
	wide n = (wide)rows * width;
	for (int i = 0; i < width; i++) {
		wide x = z[i], want = t[i], d = (float)(z[i] - t[i]), grad;
		switch (kind) {
		case MSE:
			w.loss += d * d;
			grad = 2 * d;
			break;
		case HUBER:
			w.loss += d > 1 ? d - 0.5L : d < -1 ? -d - 0.5L : 0.5L * d * d;
			grad = d > 1 ? 1 : d < -1 ? -1 : d;
			break;
		default: {
			wide e = std::exp(-std::fabs(x));
			w.loss += (std::isnan(x) ? x : std::max(x, (wide)0)) - x * want + std::log1p(e);
			grad = (x < 0 ? e / (1 + e) : 1 / (1 + e)) - want;
			w.right += (z[i] > 0) == (t[i] >= 0.5f);
		}
		}
		w.grad.push_back(grad / n);
	}
	w.loss /= width;
	return w;
}

// A batch of rows with all that a loss reads and writes.
struct Case {
	int kind, rows, width;
	bool train;
	i64 first;
	std::vector<i32> order;
	int set; // rows of the data set
	Buffer<float> z, values;
	Buffer<i32> labels;
	Case(int kind, int rows, int width, bool train = true)
		: kind(kind), rows(rows), width(width), train(train), first(rng() % 7), set(rows + 11),
		  z((size_t)rows * width), values((size_t)set * width), labels(set) {
		for (int i = 0; i < set; i++) order.push_back(i), labels[i] = rng() % width;
		std::shuffle(order.begin(), order.end(), rng);
		z.random(-3, 3), values.random(-3, 3);
		if (kind == BCE_WITH_LOGITS)
			for (size_t i = 0; i < values.n; i++) values[i] = i % 3 ? i % 2 : (float)(rng() % 8) / 8;
	}
	i64 row(int r) const { return train ? order[first + r] : first + r; }
	Want want(int r) {
		const float *at = z.p + (size_t)r * width;
		if (kind == CROSS_ENTROPY) return cross_entropy(at, width, labels[row(r)], rows);
		return elements(kind, at, values.p + row(r) * width, width, rows);
	}
	std::string name() const {
		return std::string(names[kind]) + " (" + std::to_string(rows) + ", " + std::to_string(width) + ")";
	}
};

static bool near(wide got, wide want, wide tolerance) {
	if (std::isnan(want) || std::isinf(want)) return std::isnan(want) ? std::isnan(got) : got == want;
	return std::fabs(got - want) <= tolerance;
}

static void run(Case &k) {
	Buffer<float> dz((size_t)k.rows * k.width);
	Buffer<double> loss(k.rows);
	Buffer<i32> right(k.rows);
	Job job{};
	job.order = k.order.data();
	Context c = batch(k.rows, k.train);
	c.job = &job, c.first = k.first;
	const void *target = k.kind == CROSS_ENTROPY ? (const void *)k.labels.p : k.values.p;
	Loss a{k.z, target, k.train ? dz.p : nullptr, loss, right, k.width, k.kind};
	run_tiles(c, loss_tiles(a, k.rows), [&](const Context &c, int tile) { loss_tile(c, 0, a, tile); });
	std::string name = k.name();
	wide total = 0, most = 0; // most: the greatest gradient, of the row for cross_entropy, else of the batch
	i64 count = 0;
	auto greatest = [&](const Want &w) { for (wide g : w.grad) if (std::fabs(g) > most) most = std::fabs(g); };
	if (k.kind != CROSS_ENTROPY)
		for (int r = 0; r < k.rows; r++) greatest(k.want(r));
	for (int r = 0; r < k.rows; r++) {
		Want w = k.want(r);
		if (k.kind == CROSS_ENTROPY) most = 0, greatest(w);
		total += (wide)loss[r], count += w.right;
		if (!near(loss[r], w.loss, 1e-6L * std::fabs(w.loss) + 1e-37L)) FAIL("%s: row %d costs %.9g, want %.9Lg", name.c_str(), r, loss[r], w.loss);
		if (right[r] != w.right) FAIL("%s: row %d has %d right, want %d", name.c_str(), r, right[r], w.right);
		if (!k.train) continue;
		for (int i = 0; i < k.width; i++)
			if (!near(dz[(size_t)r * k.width + i], w.grad[i], 1e-6L * most + 1e-37L))
				FAIL("%s: gradient (%d, %d) is %.9g, want %.9Lg", name.c_str(), r, i, dz[(size_t)r * k.width + i], w.grad[i]);
	}
	if (!k.train)
		for (size_t i = 0; i < dz.n; i++) if (!std::isnan(dz[i])) FAIL("%s: a gradient in evaluation", name.c_str());

	// The sum, and the squares of a regression's evaluation.
	Buffer<double> squares(k.width);
	std::vector<wide> want(k.width);
	for (int i = 0; i < k.width; i++) want[i] = squares[i] = i + 0.5;
	bool measures = !k.train && (k.kind == MSE || k.kind == HUBER);
	LossSum s{loss, right, k.z, k.values, measures ? squares.p : nullptr, k.width};
	if (loss_sum_tiles(s, k.rows) != 1) FAIL("loss_sum has %d tiles", loss_sum_tiles(s, k.rows));
	run_tiles(c, 1, [&](const Context &c, int tile) { loss_sum_tile(c, 0, s, tile); });
	total /= k.rows;
	if (!near(job.batch.loss, total, 1e-14L * std::fabs(total))) FAIL("%s: the mean is %.17g, want %.17Lg", name.c_str(), job.batch.loss, total);
	if (job.batch.right != count) FAIL("%s: %lld right, want %lld", name.c_str(), job.batch.right, count);
	if (measures)
		for (int r = 0; r < k.rows; r++)
			for (int i = 0; i < k.width; i++) {
				wide d = (wide)k.z[(size_t)r * k.width + i] - k.values[k.row(r) * k.width + i];
				want[i] += d * d;
			}
	for (int i = 0; i < k.width; i++)
		if (!near(squares[i], want[i], 1e-13L * want[i])) FAIL("%s: column %d has squares %.17g, want %.17Lg", name.c_str(), i, squares[i], want[i]);
	if (!dz.guarded() || !loss.guarded() || !right.guarded() || !squares.guarded()) FAIL("%s: wrote beside a buffer", name.c_str());
}

// Outputs that overflow, vanish, tie or are no numbers. Rows are permuted, so
// that each special value comes to stand in each column and at the label.
static void specials(int kind, int width) {
	const float inf = INFINITY;
	const std::vector<std::vector<float>> rows = {
		{NAN, 1, 2}, {1, NAN, 2}, {NAN, NAN, NAN}, {inf, 1, 2}, {1, inf, inf}, {inf, NAN, 1},
		{-inf, 1, 2}, {-inf, -inf, 5}, {-inf, -inf, -inf}, {NAN, -inf, -inf}, {inf, -inf, 0},
		{4, 4, 4}, {0, -0.0f, 0}, {3e38f, -3e38f, 1}, {3e38f, 3e38f, 3e38f}, {-3e38f, -3e38f, 3}, {1e30f, 1, 0},
		{100, 0, 0}, {-100, 0, 0}, {20, 0, 0}, {88, 0, 1}, {95, -3, -3}, {700, 690, 1}, {1e-30f, 1e-40f, 0},
	};
	Case k(kind, (int)rows.size() * 6, width);
	for (int r = 0; r < k.rows; r++) {
		std::vector<float> row = rows[r / 6];
		std::sort(row.begin(), row.end(), [](float a, float b) { u32 x, y; memcpy(&x, &a, 4), memcpy(&y, &b, 4); return x < y; });
		std::shuffle(row.begin(), row.end(), rng);
		for (int i = 0; i < width; i++) {
			// Of wide rows the three are among others, first, last or anywhere.
			float *to = &k.z[(size_t)r * width + i];
			if (width == 3 || i == 0) *to = row[i % 3];
			else if (i == width - 1) *to = row[1 % 3];
			else *to = rng() % 8 ? -1.5f : row[2];
		}
		if (r % 2) k.labels[k.row(r)] = 0;
	}
	run(k);
}

// Makes outputs far from zero and right, but for every wrong-th row.
static void sure(Case &k, int wrong) {
	for (int r = 0; r < k.rows; r++) {
		float *z = k.z.p + (size_t)r * k.width, *t = k.values.p + k.row(r) * k.width;
		for (int i = 0; i < k.width; i++) {
			z[i] = (z[i] < 0 ? -6 : 6) * (1 + std::fabs(z[i]));
			if (wrong && r % wrong == 0) continue;
			// A third of the targets of BCE are not quite 0 or 1.
			t[i] = k.kind != BCE_WITH_LOGITS ? z[i] * 0.9999f : (z[i] > 0) + (r % 3 ? 0 : z[i] > 0 ? -1e-4f : 1e-4f);
		}
		if (!wrong || r % wrong) k.labels[k.row(r)] = (i32)(std::max_element(z, z + k.width) - z);
	}
}

// A row's numbers follow from the row and the batch's size alone.
static void alone(int kind, int width) {
	Case k(kind, 100, width);
	Buffer<float> a(k.z.n), b(k.z.n);
	Buffer<double> loss(k.rows), other(k.rows);
	Buffer<i32> right(k.rows);
	Job job{};
	job.order = k.order.data();
	Context c = batch(k.rows);
	c.job = &job, c.first = k.first;
	const void *target = k.kind == CROSS_ENTROPY ? (const void *)k.labels.p : k.values.p;
	Loss one{k.z, target, a, loss, right, width, kind}, two{k.z, target, b, other, right, width, kind};
	run_tiles(c, loss_tiles(one, 100), [&](const Context &c, int tile) { loss_tile(c, 0, one, tile); });
	for (size_t i = (size_t)width; i < k.z.n; i++) k.z[i] = NAN; // all but the first row
	run_tiles(c, loss_tiles(two, 100), [&](const Context &c, int tile) { loss_tile(c, 0, two, tile); });
	if (loss[0] != other[0] || memcmp(a.p, b.p, width * sizeof(float))) FAIL("%s: a row sees another", k.name().c_str());
}

int main() {
	for (int kind : {CROSS_ENTROPY, MSE, BCE_WITH_LOGITS, HUBER}) {
		for (int width : {1, 2, 3, 4, 5, 10, 31, 33, 64, 100, 129, 257, 1000})
			for (int rows : {1, 2, 7, 32, 33, 100}) {
				Case k(kind, rows, width, (rows + width) % 3 != 0);
				run(k);
			}
		for (int width : {1, 3, 10, 300}) {
			Case k(kind, 600, width, false);
			run(k);
		}
		// Sure of themselves, and right but for some rows: losses and gradients near zero.
		for (int wrong : {0, 4})
			for (int width : {1, 2, 10}) {
				Case k(kind, 64, width);
				sure(k, wrong);
				run(k);
			}
		if (kind != MSE) // whose float32 gradients overflow
			for (int width : {3, 4, 40, 200}) specials(kind, width);
		for (int width : {1, 10, 40, 200}) alone(kind, width);
	}
	// Wide rows keep what narrow ones do. Equal terms are rounded all to the same side.
	Case k(CROSS_ENTROPY, 8, 100003);
	for (size_t i = 0; i < k.z.n; i++) k.z[i] = i % k.width ? -0.1f * (float)(i / k.width) : 0.5f;
	run(k);
	return failures != 0;
}
