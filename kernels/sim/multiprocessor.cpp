// The multiprocessors; multiprocessor.hpp says how they share the work.
#include "multiprocessor.hpp"
#include "settings.hpp"
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <ctime>
#include <mutex>
#include <pthread.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <vector>

namespace cudasim {
namespace {

constexpr int64_t WORTH_HELP_NS = 20000; // several times what waking a thread costs

std::atomic<int> fatal{CUDA_SUCCESS};

int64_t now_ns() {
	timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

struct Resident {
	const sim::Grid &grid;
	const int priority;
	const uint64_t count; // blocks
	std::atomic<uint64_t> next{0};
	int helpers = 0;      // threads of the pool inside it; guarded by Pool::mutex
	bool has_blocks() const { return next.load(std::memory_order_relaxed) < count; }
};

class Pool {
	std::mutex mutex; // of all that follows
	std::condition_variable work, ended, place;
	std::vector<Resident *> shared; // grids of more than one block
	int free_places = MAX_RESIDENT;
	size_t turn = 0;
	const int helpers;
	bool started = false;

	// The grid to help next; null: none has blocks left.
	Resident *choose() {
		Resident *best = nullptr;
		for (size_t i = 0; i < shared.size(); i++) {
			Resident *r = shared[(turn + i) % shared.size()];
			if (r->has_blocks() && (!best || r->priority < best->priority)) best = r;
		}
		turn++;
		return best;
	}

	void help() {
		std::unique_lock lock(mutex);
		for (;;) {
			Resident *r = choose();
			if (!r) {
				work.wait(lock);
				continue;
			}
			r->helpers++;
			lock.unlock();
			run_next(*r);
			lock.lock();
			if (--r->helpers == 0) ended.notify_all();
		}
	}

	void share(Resident &r) {
		std::lock_guard lock(mutex);
		shared.push_back(&r);
		for (; !started; started = true)
			for (int i = 0; i < helpers; i++) start_thread([](void *p) { ((Pool *)p)->help(); }, this);
		work.notify_all();
	}

	static bool run_next(Resident &r) {
		uint64_t i = r.next.fetch_add(1, std::memory_order_relaxed);
		if (i >= r.count || poison()) return false;
		const dim3 &g = r.grid.grid;
		return run_block_trapped(r.grid, uint3{unsigned(i % g.x), unsigned(i / g.x % g.y), unsigned(i / g.x / g.y)});
	}

public:
	Pool() : helpers(settings().threads - 1) {}

	void take_place() {
		std::unique_lock lock(mutex);
		place.wait(lock, [&] { return free_places > 0; });
		free_places--;
	}

	void run(const sim::Grid &grid, int priority) {
		Resident r{grid, priority, (uint64_t)grid.grid.x * grid.grid.y * grid.grid.z};
		take_place();
		bool is_shared = false;
		int64_t began = r.count > 1 && helpers > 0 ? now_ns() : 0;
		while (run_next(r)) {
			if (is_shared || !began || !r.has_blocks() || now_ns() - began < WORTH_HELP_NS) continue;
			is_shared = true;
			share(r);
		}
		std::unique_lock lock(mutex);
		if (is_shared) {
			std::erase(shared, &r);
			ended.wait(lock, [&] { return r.helpers == 0; });
		}
		free_places++;
		place.notify_one();
	}
};

Pool &pool() {
	static Pool *p = new Pool; // for threads that outlive main
	return *p;
}

} // namespace

void run_grid(const sim::Grid &grid, int priority) { pool().run(grid, priority); }

void hang() {
	pool().take_place();
	for (;;) pause();
}

CUresult poison() { return (CUresult)fatal.load(std::memory_order_acquire); }

void set_poison(CUresult code, const std::string &why) {
	static std::mutex *const mutex = new std::mutex;
	std::lock_guard lock(*mutex);
	if (poison()) return;
	fprintf(stderr, "cudasim: %s\n", why.c_str()); // before anybody sees the error
	fatal.store(code, std::memory_order_release);
}

void start_thread(void (*body)(void *), void *argument) {
	sigset_t all, before;
	sigfillset(&all);
	for (int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) sigdelset(&all, s);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	std::thread(body, argument).detach();
	pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

} // namespace cudasim
