// Streams and the simple operations; stream.hpp.
#include "stream.hpp"
#include "memory.hpp"
#include "multiprocessor.hpp"
#include "settings.hpp"
#include <cstring>
#include <unistd.h>

using cudasim::Ticket;

Ticket CUstream_st::submit(cudasim::OperationPtr operation, std::vector<Ticket> after) {
	std::lock_guard lock(mutex);
	queue.push_back({std::move(operation), std::move(after)});
	if (!has_thread) {
		has_thread = true;
		self = shared_from_this();
		cudasim::start_thread([](void *p) { ((CUstream_st *)p)->serve(); }, this);
	}
	if (idle) work.notify_one();
	return {shared_from_this(), ++submitted};
}

Ticket CUstream_st::last() {
	std::lock_guard lock(mutex);
	if (completed == submitted) return {};
	return {shared_from_this(), submitted};
}

bool CUstream_st::done(uint64_t seq) { return completed >= seq; }

void CUstream_st::wait(uint64_t seq) {
	std::unique_lock lock(mutex);
	waiting++; // before completed is read; run() does it the other way around, so that none is forgotten
	progress.wait(lock, [&] { return completed >= seq; });
	waiting--;
}

void CUstream_st::close() {
	std::lock_guard lock(mutex);
	closed = true;
	work.notify_one();
}

void CUstream_st::run(Item &item) {
	for (const Ticket &t : item.after) t.wait();
	if (cudasim::settings().delay_us) usleep((useconds_t)cudasim::settings().delay_us);
	item.operation->run(*this);
	item = {}; // before it counts as completed: it may hold the last of something
	completed++;
	if (!waiting) return;
	std::lock_guard lock(mutex);
	progress.notify_all();
}

void CUstream_st::serve() {
	std::vector<Item> items;
	std::unique_lock lock(mutex);
	for (;;) {
		idle = true;
		work.wait(lock, [&] { return closed || !queue.empty(); });
		idle = false;
		if (queue.empty()) break;
		items.swap(queue);
		lock.unlock();
		for (Item &item : items) run(item);
		items.clear();
		lock.lock();
	}
	lock.unlock();
	std::shared_ptr<CUstream_st> last_of_all = std::move(self);
}

namespace cudasim {

namespace {
thread_local bool inside_host_function;
}

bool Ticket::done() const { return !stream || stream->done(seq); }
void Ticket::wait() const {
	if (stream) stream->wait(seq);
}

bool in_host_function() { return inside_host_function; }

// What is on the device is looked up again when the operation runs: it may have
// been freed since.
static bool reachable(const char *what, const void *p, size_t n) {
	if (find((uintptr_t)p, n)) return true;
	set_poison(CUDA_ERROR_ILLEGAL_ADDRESS, std::string(what) + " of " + std::to_string(n) + " bytes: " + whereabouts((uintptr_t)p));
	return false;
}

Copy::Copy(void *to, bool host_to, const void *from, bool host_from, size_t bytes, bool stage)
	: Operation(COPY), to(to), from(from), bytes(bytes), host_to(host_to), host_from(host_from || stage) {
	if (!stage) return;
	staged = std::make_unique_for_overwrite<char[]>(bytes);
	memcpy(staged.get(), from, bytes);
	this->from = staged.get();
}

void Copy::run(CUstream_st &) const {
	if (poison()) return;
	if (!host_to && !reachable("copy to the device", to, bytes)) return;
	if (!host_from && !reachable("copy from the device", from, bytes)) return;
	memmove(to, from, bytes);
}

void Set::run(CUstream_st &) const {
	if (poison() || !reachable("memset", to, width * count)) return;
	switch (width) {
	case 1: memset(to, (int)value, count); break;
	case 2: std::fill_n((uint16_t *)to, count, (uint16_t)value); break;
	default: std::fill_n((uint32_t *)to, count, value);
	}
}

void HostCall::run(CUstream_st &) const {
	if (poison()) return;
	inside_host_function = true;
	function(argument);
	inside_host_function = false;
}

} // namespace cudasim
