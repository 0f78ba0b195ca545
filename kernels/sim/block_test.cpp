// Tests: the threads of a block as fibers, without a driver.
#include "device.hpp"
#include "test.hpp"

namespace {

std::function<void()> task;
void run_task(void **) { task(); }

// Runs f in every thread of one block.
void block(dim3 size, unsigned shared, std::function<void()> f) {
	task = std::move(f);
	sim::run_block(run_task, nullptr, uint3{0, 0, 0}, size, dim3{}, shared);
}

struct Big { double a[3]; };

} // namespace

TEST(block_indices) {
	int seen[6][5][4] = {};
	block({4, 5, 6}, 0, [&] {
		seen[threadIdx.z][threadIdx.y][threadIdx.x]++;
		__syncthreads();
		seen[threadIdx.z][threadIdx.y][threadIdx.x] += blockDim.x == 4 && blockDim.z == 6 && gridDim.x == 1 && blockIdx.x == 0;
	});
	for (auto &plane : seen)
		for (auto &row : plane)
			for (int v : row) EQUAL(v, 2);
}

// Every thread sees what all wrote before the barrier, again and again.
TEST(block_barriers) {
	for (unsigned n : {1u, 2u, 31u, 33u, 256u, 1000u, 1024u}) {
		int wrong = 0;
		block({n}, n * 4, [&] {
			DYN_SHARED(unsigned, v);
			unsigned t = threadIdx.x;
			for (unsigned i = 0; i < 20; i++) {
				v[t] = i * n + t;
				__syncthreads();
				unsigned other = (t + i * 7 + 1) % n;
				atomicAdd(&wrong, v[other] != i * n + other);
				__syncthreads();
			}
		});
		EQUAL(wrong, 0);
	}
}

TEST(block_reverse_order) {
	setenv("CUDASIM_ORDER", "reverse", 1);
	std::vector<unsigned> order;
	int place = 0;
	order.resize(40);
	block({40}, 0, [&] { order[(size_t)atomicAdd(&place, 1)] = threadIdx.x; });
	for (unsigned i = 0; i < 40; i++) EQUAL(order[i], 39 - i);
}

template <class T> static void check_shuffles() {
	int wrong = 0;
	block({96}, 0, [&] {
		unsigned t = threadIdx.x, lane = t % 32, warp = t - lane;
		T mine = (T)(t * 3);
		auto of = [&](unsigned l) { return (T)((warp + l) * 3); };
		atomicAdd(&wrong, __shfl_sync(~0u, mine, 5) != of(5));
		atomicAdd(&wrong, __shfl_sync(~0u, mine, (int)lane + 1, 8) != of((lane & ~7u) | ((lane + 1) & 7)));
		for (int x = 16; x; x /= 2) atomicAdd(&wrong, __shfl_xor_sync(~0u, mine, x) != of(lane ^ (unsigned)x));
		atomicAdd(&wrong, __shfl_down_sync(~0u, mine, 3) != of(lane + 3 < 32 ? lane + 3 : lane));
		atomicAdd(&wrong, __shfl_up_sync(~0u, mine, 3) != of(lane >= 3 ? lane - 3 : lane));
		atomicAdd(&wrong, __shfl_down_sync(~0u, mine, 3, 16) != of(lane % 16 + 3 < 16 ? lane + 3 : lane));
	});
	EQUAL(wrong, 0);
}
TEST(block_shuffles) {
	check_shuffles<int>(), check_shuffles<unsigned>(), check_shuffles<float>(), check_shuffles<double>(), check_shuffles<long long>();
}

// Halves of a warp shuffle on their own, at their own pace.
TEST(block_shuffles_of_halves) {
	int wrong = 0;
	block({32}, 0, [&] {
		unsigned lane = threadIdx.x, half = lane / 16, mask = half ? 0xffff0000u : 0xffffu;
		for (unsigned i = 0; i < (half ? 7 : 3); i++) atomicAdd(&wrong, __shfl_xor_sync(mask, lane + i, 1) != (lane ^ 1) + i);
		__syncthreads();
		atomicAdd(&wrong, __shfl_sync(~0u, lane, 31) != 31);
	});
	EQUAL(wrong, 0);
}

// Sums by warps with shared memory between: the pattern of most reductions.
TEST(block_reduction) {
	float sum = 0;
	block({256}, 32 * 4, [&] {
		DYN_SHARED(float, part);
		float s = (float)threadIdx.x;
		for (int d = 16; d; d /= 2) s += __shfl_xor_sync(~0u, s, d);
		if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = s;
		__syncthreads();
		if (threadIdx.x < 32) {
			s = threadIdx.x < 8 ? part[threadIdx.x] : 0;
			for (int d = 16; d; d /= 2) s += __shfl_down_sync(~0u, s, (unsigned)d);
			if (threadIdx.x == 0) sum = s;
		}
		__syncthreads();
	});
	EQUAL(sum, 255.0f * 128);
}

TEST(block_votes) {
	int wrong = 0;
	block({64}, 0, [&] {
		atomicAdd(&wrong, __ballot_sync(~0u, threadIdx.x % 3 == 0) != (threadIdx.x < 32 ? 0x49249249u : 0x92492492u));
		atomicAdd(&wrong, !__any_sync(~0u, threadIdx.x % 32 == 7) || __any_sync(~0u, 0));
		atomicAdd(&wrong, !__all_sync(~0u, 1) || __all_sync(~0u, threadIdx.x % 32 != 7));
		__syncwarp();
	});
	EQUAL(wrong, 0);
}

// A short warp: the lanes that are not there are not waited for.
TEST(block_short_warp) {
	int wrong = 0;
	block({37}, 0, [&] {
		__syncwarp();
		atomicAdd(&wrong, __ballot_sync(~0u, 1) != (threadIdx.x < 32 ? ~0u : 0x1fu));
		atomicAdd(&wrong, __shfl_sync(~0u, threadIdx.x, 2) != threadIdx.x / 32 * 32 + 2);
	});
	EQUAL(wrong, 0);
}

TEST(block_atomics) {
	int i = 0;
	unsigned long long u = 1ull << 40;
	float f = 0;
	block({256}, 0, [&] {
		atomicAdd(&i, 2);
		atomicAdd(&u, 1);
		atomicAdd(&f, 0.5f);
		atomicMax(&i, (int)threadIdx.x);
	});
	EQUAL(i, 512);
	EQUAL(u, (1ull << 40) + 256);
	EQUAL(f, 128.0f);
	EQUAL(atomicCAS(&i, 512, 3), 512);
	EQUAL(atomicExch(&i, 4), 3);
}

TEST(block_integers) {
	EQUAL(__umulhi(0x80000000u, 6u), 3u);
	EQUAL(__mul64hi(-1ll << 62, 8ll), -2ll);
	EQUAL(__umul64hi(1ull << 63, 6ull), 3ull);
	EQUAL(__clz(1), 31);
	EQUAL(__popc(0xf0f0u), 8);
	EQUAL(__float_as_int(1.0f), 0x3f800000);
	EQUAL(min(-3, 2), -3);
	unsigned long long t = globaltimer_ns();
	CHECK(globaltimer_ns() >= t);
}
