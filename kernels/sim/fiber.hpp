// Fibers: many call stacks on one OS thread, switched by hand. Each thread of
// a simulated block has one.
//
// The stacks of a block lie in one region aligned to its size, each aligned to
// STACK_BYTES, with its Fiber near the top. So code finds its own fiber, and
// the block before the region, from the stack pointer alone: no thread-local
// variable, which makes threadIdx and a barrier cheap. How near the top varies
// by whole cache lines: places a power of two apart share their cache sets.
//
// Sanitizers are told of every switch. For the thread sanitizer the fibers of a
// block are threads that only barriers and shuffles order: it finds barriers
// that are missing.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <sys/mman.h>
#if defined(__SANITIZE_ADDRESS__)
#define SIM_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#define SIM_TSAN 1
#include <sanitizer/tsan_interface.h>
#endif
#if !defined(__x86_64__)
#define SIM_UCONTEXT 1
#endif
#ifdef SIM_UCONTEXT
#include <ucontext.h>
#endif
#define SIM_INLINE __attribute__((always_inline)) static inline
// Functions that the fibers of a block share their scheduler's state in.
#ifdef SIM_TSAN
#define SIM_UNSEEN __attribute__((noinline, no_sanitize("thread")))
#define SIM_SCHEDULER __attribute__((noinline, unused, no_sanitize("thread"))) static
#else
#define SIM_UNSEEN
#define SIM_SCHEDULER static inline
#endif

#pragma GCC visibility push(hidden)
namespace sim {

inline constexpr unsigned MAX_THREADS = 1024;
#if defined(SIM_ASAN) || defined(SIM_TSAN)
inline constexpr size_t STACK_BYTES = 256 << 10;
#else
inline constexpr size_t STACK_BYTES = 64 << 10;
#endif
inline constexpr size_t PAGE_BYTES = 4096, LINE_BYTES = 64, COLORS = 32, REGION_BYTES = MAX_THREADS * STACK_BYTES, HEAD_BYTES = 128 << 10;

struct Index { unsigned x, y, z; };

// Where a fiber that does not run goes on. Not on its stack: what a barrier
// touches should be few cache lines.
struct Parked {
#ifdef SIM_UCONTEXT
	ucontext_t *context;
	uintptr_t address() const { return (uintptr_t)context; }
	bool empty() const { return !context; }
#else
	void *sp, *bp, *ip;
	uintptr_t address() const { return (uintptr_t)sp; }
	bool empty() const { return !sp; }
#endif
};

struct alignas(LINE_BYTES) Fiber {
	Index thread;     // threadIdx of the thread it runs
	unsigned number;  // the same, counted through the block
	Parked parked;    // once begun and idle
	char *stack;      // lowest address
	size_t stack_bytes;
#ifdef SIM_ASAN
	void *fake_stack;
#endif
#ifdef SIM_TSAN
	void *tsan;
#endif
};

// The fiber whose stack has the address p.
SIM_INLINE Fiber *fiber_of(uintptr_t p) {
	uintptr_t color = p / STACK_BYTES % COLORS * LINE_BYTES;
	return (Fiber *)((p | (STACK_BYTES - 1)) + 1 - sizeof(Fiber) - color);
}

SIM_INLINE uintptr_t stack_pointer() {
	uintptr_t sp;
#if defined(__x86_64__)
	__asm__("movq %%rsp,%0" : "=r"(sp)); // not volatile: one read a function will do
#elif defined(__aarch64__)
	__asm__("mov %0,sp" : "=r"(sp));
#else
	sp = (uintptr_t)__builtin_frame_address(0);
#endif
	return sp;
}

// The fiber that runs the caller. Not for the OS thread's own stack.
SIM_INLINE Fiber &self() { return *fiber_of(stack_pointer()); }

#ifdef SIM_UCONTEXT
// Parks the caller at *from and goes on where `to` was parked.
static inline void switch_stack(Parked *from, const Parked *to) {
	ucontext_t here, *there = to->context;
	from->context = &here;
	swapcontext(&here, there);
}
#else
#ifdef __AVX512F__
#define SIM_AVX512_CLOBBERS \
	, "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", \
		"xmm30", "xmm31", "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"
#else
#define SIM_AVX512_CLOBBERS
#endif
// Parks the caller at *from and goes on where `to` was parked. Inline, for a
// call that never returns spoils the processor's prediction of the returns
// that follow.
SIM_INLINE void switch_stack(Parked *from, const Parked *to) {
	__asm__ volatile(
		"leaq 1f(%%rip),%%rax\n\tmovq %%rsp,(%%rdi)\n\tmovq %%rbp,8(%%rdi)\n\tmovq %%rax,16(%%rdi)\n\t"
		"movq (%%rsi),%%rsp\n\tmovq 8(%%rsi),%%rbp\n\tjmpq *16(%%rsi)\n"
		"1:\n"
		: "+D"(from), "+S"(to)
		:
		: "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc", "memory", "xmm0", "xmm1", "xmm2",
		  "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
		  "xmm15" SIM_AVX512_CLOBBERS);
}
#endif

// switch_stack, with the sanitizers told whose stacks these are.
SIM_INLINE void switch_fiber([[maybe_unused]] Fiber &from, Parked *park, [[maybe_unused]] Fiber &to, const Parked *parked) {
#ifdef SIM_ASAN
	__sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.stack_bytes);
#endif
#ifdef SIM_TSAN
	__tsan_switch_to_fiber(to.tsan, __tsan_switch_to_fiber_no_sync);
#endif
	switch_stack(park, parked);
#ifdef SIM_ASAN
	__sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

// What happened before came_to(p) in any fiber happens before what follows
// went_on_from(p); for the thread sanitizer.
SIM_INLINE void came_to([[maybe_unused]] void *p) {
#ifdef SIM_TSAN
	__tsan_release(p);
#endif
}
SIM_INLINE void went_on_from([[maybe_unused]] void *p) {
#ifdef SIM_TSAN
	__tsan_acquire(p);
#endif
}

// First statement of a fiber's main function.
SIM_SCHEDULER void fiber_entered([[maybe_unused]] Fiber &home) {
#ifdef SIM_ASAN
	const void *bottom;
	size_t bytes;
	__sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
	if (!home.stack) home.stack = (char *)bottom, home.stack_bytes = bytes; // the first comes from home
#endif
}

// Parks f at the beginning of main.
SIM_SCHEDULER void begin_fiber(Fiber &f, void (*main)()) {
#ifdef SIM_ASAN
	__asan_unpoison_memory_region(f.stack, (char *)&f - f.stack); // frames that were given up
#endif
#ifdef SIM_UCONTEXT
	auto *context = (ucontext_t *)f.stack; // the far end: main comes back only by switch_stack
	getcontext(context);
	context->uc_stack.ss_sp = f.stack + sizeof *context;
	context->uc_stack.ss_size = (size_t)((char *)&f - f.stack) - sizeof *context;
	context->uc_link = nullptr;
	makecontext(context, main, 0);
	f.parked = {context};
#else
	void **sp = (void **)&f;
	*--sp = nullptr; // return address of main, which never returns
	f.parked = {sp, nullptr, (void *)main};
#endif
}

// A region of stacks, each with a guard page below, and HEAD_BYTES of zeros
// before it. Stacks come into being on demand.
class Stacks {
	static constexpr size_t map_bytes = 2 * REGION_BYTES + HEAD_BYTES;
	char *map, *base;
	unsigned made = 0;

public:
	Stacks() {
		map = (char *)mmap(nullptr, map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (map == MAP_FAILED) abort();
		base = (char *)(((uintptr_t)map + HEAD_BYTES + REGION_BYTES - 1) & ~(REGION_BYTES - 1));
		if (mprotect(base - HEAD_BYTES, HEAD_BYTES, PROT_READ | PROT_WRITE)) abort();
	}
	~Stacks() {
#ifdef SIM_TSAN
		for (unsigned i = 0; i < made; i++) __tsan_destroy_fiber(fiber(i)->tsan);
#endif
#ifdef SIM_ASAN
		__asan_unpoison_memory_region(base, made * STACK_BYTES);
#endif
		munmap(map, map_bytes);
	}
	Stacks(const Stacks &) = delete;
	Stacks &operator=(const Stacks &) = delete;

	// The head of the region that has the address p.
	__attribute__((always_inline)) static void *head_of(uintptr_t p) { return (char *)(p & ~(REGION_BYTES - 1)) - HEAD_BYTES; }
	void *head() { return base - HEAD_BYTES; }
	// Whether p is of one of the stacks made so far.
	bool has(uintptr_t p) const { return p - (uintptr_t)base < made * STACK_BYTES; }

	SIM_UNSEEN Fiber *fiber(unsigned i) {
		for (; made <= i; made++) {
			char *stack = base + made * STACK_BYTES;
			if (mprotect(stack + PAGE_BYTES, STACK_BYTES - PAGE_BYTES, PROT_READ | PROT_WRITE)) abort();
			Fiber *f = fiber_of((uintptr_t)stack);
			f->stack = stack + PAGE_BYTES;
			f->stack_bytes = STACK_BYTES - PAGE_BYTES;
#ifdef SIM_TSAN
			f->tsan = __tsan_create_fiber(0);
#endif
		}
		return fiber_of((uintptr_t)base + i * STACK_BYTES);
	}
};

} // namespace sim
#pragma GCC visibility pop
