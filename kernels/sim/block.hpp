// One block of a grid on one OS thread: its threads are fibers that run until
// they wait at a barrier or return. A thread that never waits costs a call.
//
// The rules are stricter than a device's: a barrier that some threads of the
// block never reach, or that they reach at different lines, is a failure of the
// launch (a device may hang, or go on with wrong values). CUDASIM_ORDER=reverse
// starts the threads from the last one: a missing barrier that one order hides
// shows in the other.
#pragma once
#include "fiber.hpp"
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <utility>

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x = 1, y = 1, z = 1; };

#pragma GCC visibility push(hidden)
namespace sim {

inline constexpr unsigned WARP = 32, MAX_SHARED = 227 << 10;

// The 32 threads that shuffle with each other.
struct Warp {
	unsigned arrived;           // lanes that wait
	unsigned char source[WARP]; // lane each wants the value of
	Parked parked[WARP];
	uint64_t given[WARP], got[WARP];
	unsigned met[WARP];         // syncs of the mask with that first lane so far…
	char meetings[WARP][2];     // …and what the thread sanitizer knows them by
};

// What all blocks of a grid share.
struct Grid {
	const char *name;      // of the kernel
	void (*call)(void **);
	void **params;
	dim3 grid, block;
	unsigned shared_bytes; // dynamic
};

#ifdef SIM_TSAN
inline constexpr bool REUSES_STACKS = false; // in one block: two threads on one would be in order
#else
inline constexpr bool REUSES_STACKS = true;
#endif

// At the head of its threads' stacks.
struct Block {
	// Threads at the block's barrier, in a ring: those of [head, limit) may go
	// on, those of [limit, tail) wait for the rest.
	unsigned head, limit, tail;
	unsigned threads, started, ended;
	unsigned lanes_head, lanes_tail; // lanes released by their warp, in a ring
	unsigned barrier, meetings[2];   // barriers passed; what the thread sanitizer knows them by
	int barrier_line;                // where the first of those waiting stands
	const char *barrier_file;
	Parked home_parked;              // the OS thread's own stack
	uint3 index;
	dim3 size, grid;
	char *dyn;                       // dynamic shared memory
	void (*call)(void **);
	void **params;
	bool reverse;
	unsigned used;                   // stacks in use or idle
	unsigned idle_count;
	Stacks *stacks;
	Fiber home;
	Fiber *idle[MAX_THREADS];        // whose thread returned
	Parked ring[MAX_THREADS], lanes[MAX_THREADS];
	Warp warps[MAX_THREADS / WARP];
	char failure[256];               // empty: none so far
};
static_assert(sizeof(Block) <= HEAD_BYTES);

// The caller's block.
SIM_INLINE Block &block() { return *(Block *)Stacks::head_of(stack_pointer()); }

// sim::cur->… for kernels.
struct Current {
	Block *operator->() const { return &block(); }
};
inline constexpr Current cur;

SIM_SCHEDULER void thread_main();

// Parks the caller at *park and goes on where `to` is parked.
SIM_SCHEDULER void go(Block &b, Parked *park, const Parked *to) {
	switch_fiber(self(), park, to == &b.home_parked ? b.home : *fiber_of(to->address()), to);
}

// A stack for the next thread.
SIM_SCHEDULER const Parked *fresh(Block &b) {
	if (b.idle_count && REUSES_STACKS) return &b.idle[--b.idle_count]->parked;
	Fiber *f = b.stacks->fiber(b.used++);
	if (f->parked.empty()) begin_fiber(*f, thread_main);
	return &f->parked;
}

[[gnu::cold]] SIM_SCHEDULER void give_up(Block &b, const char *format, ...) {
	va_list args;
	va_start(args, format);
	vsnprintf(b.failure, sizeof b.failure, format, args);
	va_end(args);
	came_to(&b.ended);
	Parked lost;
	go(b, &lost, &b.home_parked);
	__builtin_unreachable();
}

[[gnu::cold]] SIM_SCHEDULER void deadlock(Block &b) {
	unsigned at_barrier = b.tail - b.limit, left = b.threads - b.ended;
	if (at_barrier)
		give_up(b, "deadlock: %u of %u threads wait at %s:%d, %u have returned, %u wait for lanes of their warp", at_barrier,
			b.threads, b.barrier_file, b.barrier_line, b.ended, left - at_barrier);
	give_up(b, "deadlock: %u of %u threads wait for lanes of their warp that do not come", left, b.threads);
}

// Parks the caller at *park and goes to whichever thread can run.
SIM_SCHEDULER void leave(Block &b, Parked *park) {
	const Parked *to;
	if (b.head != b.limit) to = &b.ring[b.head++ % MAX_THREADS];
	else if (b.lanes_head != b.lanes_tail) to = &b.lanes[b.lanes_head++ % MAX_THREADS];
	else if (b.started < b.threads) to = fresh(b);
	else if (b.ended == b.threads) to = &b.home_parked;
	else return deadlock(b);
	go(b, park, to);
}

// Runs threads until none is left to start.
SIM_SCHEDULER void thread_main() {
	Fiber &me = self();
	Block &b = block();
	fiber_entered(b.home);
	for (;;) {
		do {
			unsigned n = b.started++, x = b.size.x, y = b.size.y;
			if (b.reverse) n = b.threads - 1 - n;
			me.number = n;
			me.thread = y == 1 && b.size.z == 1 ? Index{n, 0, 0} : Index{n % x, n / x % y, n / (x * y)};
			went_on_from(&b.started);
			b.call(b.params);
			came_to(&b.ended);
			b.ended++;
		} while (REUSES_STACKS && b.head == b.limit && b.lanes_head == b.lanes_tail && b.started < b.threads);
		b.idle[b.idle_count++] = &me;
		leave(b, &me.parked);
	}
}

// The block's barrier.
SIM_SCHEDULER void sync_block(const char *file, int line) {
	Block &b = block();
	// By turns: who goes on from one barrier has not met those who came to the next.
	unsigned *const here = &b.meetings[b.barrier % 2];
	came_to(here);
	if (b.tail == b.limit) b.barrier_file = file, b.barrier_line = line;
	else if (b.barrier_line != line) [[unlikely]]
		give_up(b, "deadlock: thread %u waits at %s:%d, %u others at %s:%d", self().number, file, line, b.tail - b.limit, b.barrier_file,
			b.barrier_line);
	if (b.tail - b.limit + 1 == b.threads) b.limit = b.tail, b.barrier++;
	else leave(b, &b.ring[b.tail++ % MAX_THREADS]);
	went_on_from(here);
}

// Waits until the lanes in mask have come. True for the one that came last,
// which goes on before the others do.
SIM_SCHEDULER bool sync_lanes(Block &b, Warp &w, unsigned lane, unsigned mask) {
	unsigned bit = 1u << lane, first = (unsigned)__builtin_ctz(mask);
	if (!(mask & bit)) [[unlikely]] give_up(b, "thread %u is not in the mask %#x that it waits for", self().number, mask);
	char *const here = &w.meetings[first][w.met[first] % 2];
	came_to(here);
	w.arrived |= bit;
	bool is_last = !(mask & ~w.arrived);
	if (is_last) {
		w.met[first]++;
		w.arrived &= ~mask;
		for (unsigned rest = mask & ~bit; rest; rest &= rest - 1) b.lanes[b.lanes_tail++ % MAX_THREADS] = w.parked[__builtin_ctz(rest)];
	} else {
		leave(b, &w.parked[lane]);
	}
	went_on_from(here);
	return is_last;
}

// Lanes that exist: the last warp may be short.
SIM_SCHEDULER unsigned lanes_of(const Block &b, unsigned number, unsigned mask) {
	unsigned left = b.threads - number / WARP * WARP;
	return left < WARP ? mask & ((1u << left) - 1) : mask;
}

SIM_SCHEDULER void sync_warp(unsigned mask) {
	Block &b = block();
	unsigned number = self().number;
	sync_lanes(b, b.warps[number / WARP], number % WARP, lanes_of(b, number, mask));
}

// The value that lane `source` gave. The last to come hands out all values, so
// one wait is enough: nobody can overwrite what another has not read. A lane
// outside mask gives NaN bits.
template <class T> SIM_SCHEDULER T exchange(unsigned mask, T value, unsigned source) {
	static_assert(sizeof(T) <= 8);
	Block &b = block();
	unsigned number = self().number, lane = number % WARP;
	Warp &w = b.warps[number / WARP];
	memcpy(&w.given[lane], &value, sizeof value);
	w.source[lane] = (unsigned char)source;
	mask = lanes_of(b, number, mask);
	if (sync_lanes(b, w, lane, mask))
		for (unsigned rest = mask; rest; rest &= rest - 1) {
			unsigned to = (unsigned)__builtin_ctz(rest), from = w.source[to];
			w.got[to] = mask >> from & 1 ? w.given[from] : ~(uint64_t)0;
		}
	memcpy(&value, &w.got[lane], sizeof value);
	return value;
}

// The lanes of mask whose predicate holds.
SIM_SCHEDULER unsigned ballot(unsigned mask, bool predicate) {
	Block &b = block();
	unsigned number = self().number, lane = number % WARP;
	Warp &w = b.warps[number / WARP];
	w.given[lane] = (uint64_t)predicate << lane;
	mask = lanes_of(b, number, mask);
	if (sync_lanes(b, w, lane, mask)) {
		uint64_t votes = 0;
		for (unsigned rest = mask; rest; rest &= rest - 1) votes |= w.given[__builtin_ctz(rest)];
		for (unsigned rest = mask; rest; rest &= rest - 1) w.got[__builtin_ctz(rest)] = votes;
	}
	return (unsigned)w.got[lane];
}

// What one OS thread needs to run blocks, kept from block to block.
class Worker {
	static constexpr size_t shared_map = (MAX_SHARED + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	Stacks stacks;
	Block &block = *(Block *)stacks.head();
	char *shared; // shared_map bytes with a guard page behind

public:
	Worker() {
		shared = (char *)mmap(nullptr, shared_map + PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (shared == MAP_FAILED || mprotect(shared + shared_map, PAGE_BYTES, PROT_NONE)) abort();
		block.stacks = &stacks;
		const char *order = getenv("CUDASIM_ORDER");
		block.reverse = order && !strcmp(order, "reverse");
	}
	~Worker() {
#ifdef SIM_ASAN
		__asan_unpoison_memory_region(shared, shared_map);
#endif
		munmap(shared, shared_map + PAGE_BYTES);
	}
	Worker(const Worker &) = delete;
	Worker &operator=(const Worker &) = delete;

	// Runs one block; false: it failed, failure() says how.
	SIM_UNSEEN bool run(const Grid &g, uint3 index) {
		Block &b = block;
		b.index = index, b.size = g.block, b.grid = g.grid;
		b.call = g.call, b.params = g.params;
		b.threads = g.block.x * g.block.y * g.block.z;
		b.head = b.limit = b.tail = b.lanes_head = b.lanes_tail = 0;
		b.started = b.ended = b.idle_count = b.used = 0;
		b.failure[0] = 0;
		place_shared(g.shared_bytes);
		b.home.stack = nullptr;
#ifdef SIM_TSAN
		b.home.tsan = __tsan_get_current_fiber();
#endif
		if (!REUSES_STACKS) stacks.fiber(b.threads - 1); // now: the sanitizer orders who makes a fiber before it
		came_to(&b.started);
		const Parked *first = fresh(b);
		switch_fiber(b.home, &b.home_parked, *fiber_of(first->address()), first);
		went_on_from(&b.ended);
		if (!b.failure[0]) return true; // all fibers are idle in thread_main, and go on there
		for (unsigned i = 0; i < b.used; i++) stacks.fiber(i)->parked = {};
		for (Warp &w : b.warps) w.arrived = 0;
		return false;
	}

	const char *failure() const { return block.failure; }

	// The thread whose stack has the address; -1: none.
	int thread_at(uintptr_t sp) const { return stacks.has(sp) ? (int)fiber_of(sp)->number : -1; }
	// What an address that faulted is.
	bool overflowed(uintptr_t p) const { return stacks.has(p); }
	bool past_shared(uintptr_t p) const { return p - (uintptr_t)shared - shared_map < PAGE_BYTES; }

	// From a signal handler, on top of a thread that cannot go on: ends the
	// block as failed.
	[[noreturn]] SIM_UNSEEN void escape(const char *why) {
		snprintf(block.failure, sizeof block.failure, "%s", why);
		came_to(&block.ended);
		Fiber here{};
		Parked lost;
		switch_fiber(here, &lost, block.home, &block.home_parked);
		__builtin_unreachable();
	}

private:
	// Ends at the guard page, so that an overrun faults.
	void place_shared(unsigned bytes) {
		block.dyn = shared + shared_map - (bytes + 127) / 128 * 128;
#ifdef SIM_ASAN
		__asan_poison_memory_region(shared, shared_map);
		__asan_unpoison_memory_region(block.dyn, bytes);
		memset(block.dyn, 0xff, bytes); // undefined on a device: NaN
#endif
	}
};

// Runs one block on the calling OS thread, and ends the process if it fails:
// for test programs that have no driver.
static inline void run_block(void (*call)(void **), void **params, uint3 index, dim3 block, dim3 grid, unsigned shared_bytes) {
	static thread_local Worker worker;
	if (worker.run(Grid{"", call, params, grid, block, shared_bytes}, index)) return;
	fprintf(stderr, "cudasim: block (%u,%u,%u): %s\n", index.x, index.y, index.z, worker.failure());
	fflush(nullptr);
	_Exit(1);
}

} // namespace sim
#pragma GCC visibility pop
