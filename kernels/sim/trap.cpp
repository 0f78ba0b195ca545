// Runs a block so that what it does wrong ends the block and not the process:
// a deadlock, an access to memory that is not there, a division by zero.
//
// The handlers belong to the process, so signals of other threads are handed on
// to whoever had them before: in a Go program, to Go's runtime, which relies on
// them.
#include "memory.hpp"
#include "multiprocessor.hpp"
#include <csignal>
#include <cstring>
#include <memory>
#include <mutex>
#include <sys/mman.h>
#include <ucontext.h>

namespace cudasim {
namespace {

constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
constexpr size_t ALT_STACK = 64 << 10;

struct sigaction previous[64];

// What a thread that runs blocks has.
struct Runner {
	sim::Worker worker;
	char *alt_stack;
	int signal = 0;         // that ended the last block
	uintptr_t address = 0;  // it was about
	int thread = -1;        // of the block, where known

	Runner() {
		alt_stack = (char *)mmap(nullptr, ALT_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
		stack_t s{};
		s.ss_sp = alt_stack, s.ss_size = ALT_STACK;
		sigaltstack(&s, nullptr);
	}
	~Runner() {
		stack_t off{};
		off.ss_flags = SS_DISABLE;
		sigaltstack(&off, nullptr);
		munmap(alt_stack, ALT_STACK);
	}
};

thread_local Runner *running; // while the thread is inside a block

uintptr_t stack_pointer_of([[maybe_unused]] void *context) {
#if defined(__x86_64__)
	return (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
	return (uintptr_t)((ucontext_t *)context)->uc_mcontext.sp;
#else
	return 0;
#endif
}

void hand_on(int signal, siginfo_t *info, void *context) {
	const struct sigaction &old = previous[signal];
	if (old.sa_flags & SA_SIGINFO) return old.sa_sigaction(signal, info, context);
	if (old.sa_handler == SIG_IGN) return;
	if (old.sa_handler != SIG_DFL) return old.sa_handler(signal);
	sigaction(signal, &old, nullptr); // it happens again, and ends the process
}

void handle(int signal, siginfo_t *info, void *context) {
	Runner *r = running;
	if (!r) return hand_on(signal, info, context);
	r->signal = signal;
	r->address = (uintptr_t)info->si_addr;
	r->thread = r->worker.thread_at(stack_pointer_of(context));
	r->worker.escape("fault");
}

void install_handlers() {
	struct sigaction a{};
	a.sa_sigaction = handle;
	a.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER; // no mask to restore when a handler does not return
	sigemptyset(&a.sa_mask);
	for (int s : SIGNALS) sigaction(s, &a, &previous[s]);
}

CUresult describe(const Runner &r, std::string *why) {
	char text[64];
	switch (r.signal) {
	case 0: *why = r.worker.failure(); return CUDA_ERROR_LAUNCH_FAILED;
	case SIGSEGV:
	case SIGBUS:
		if (r.worker.overflowed(r.address)) {
			*why = "a thread's stack overflowed";
			return CUDA_ERROR_LAUNCH_FAILED;
		}
		snprintf(text, sizeof text, "illegal access to %#zx: ", (size_t)r.address);
		*why = text + (r.worker.past_shared(r.address) ? "past the end of shared memory" : whereabouts(r.address));
		return CUDA_ERROR_ILLEGAL_ADDRESS;
	case SIGFPE: *why = "integer division by zero"; return CUDA_ERROR_LAUNCH_FAILED; // a device would give some value
	default: *why = "illegal instruction"; return CUDA_ERROR_ILLEGAL_INSTRUCTION;
	}
}

} // namespace

bool run_block_trapped(const sim::Grid &grid, uint3 index) {
	static std::once_flag once;
	std::call_once(once, install_handlers);
	static thread_local std::unique_ptr<Runner> runner;
	if (!runner) runner = std::make_unique<Runner>();
	Runner &r = *runner;
	r.signal = 0, r.thread = -1;
	running = &r;
	bool ok = r.worker.run(grid, index);
	running = nullptr;
	if (ok) return true;
	std::string why;
	CUresult code = describe(r, &why);
	char where[160];
	int n = snprintf(where, sizeof where, "kernel %s, block (%u,%u,%u)", grid.name, index.x, index.y, index.z);
	if (r.thread >= 0) snprintf(where + n, sizeof where - (size_t)n, ", thread %d", r.thread);
	set_poison(code, std::string(where) + ": " + why);
	return false;
}

} // namespace cudasim
