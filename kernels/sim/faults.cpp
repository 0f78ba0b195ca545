// Faults to order; faults.hpp says which.
#include "faults.hpp"
#include "settings.hpp"
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <mutex>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

namespace cudasim {
namespace {

struct Order {
	std::string kind, marker; // marker: file to create first; empty: none
	uint64_t at = 0;
	int value = 0;
	bool claimed = false, refused = false;

	// Whether this process may have the fault; called under mutex.
	bool claim() {
		if (claimed || refused) return claimed;
		if (!marker.empty()) {
			int fd = open(marker.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
			if (fd < 0) {
				refused = true;
				return false;
			}
			close(fd);
		}
		return claimed = true;
	}
};

struct Plan {
	std::vector<Order> orders;
	bool kernels = false, allocations = false;
	uint64_t kernel_count = 0, allocation_count = 0;
	std::mutex mutex; // of orders and counts
};

Plan &plan() {
	static Plan *p = [] {
		auto *p = new Plan;
		std::stringstream list(settings().fault);
		for (std::string entry; getline(list, entry, ',');) {
			Order o;
			unsigned long long at = 0;
			char kind[16] = "";
			if (sscanf(entry.c_str(), "%15[a-z]@%llu:%d", kind, &at, &o.value) < 2 || !at) {
				fprintf(stderr, "cudasim: CUDASIM_FAULT: %s is not understood\n", entry.c_str());
				continue;
			}
			o.kind = kind, o.at = at;
			if (o.kind == "oom") p->allocations = true;
			else if (o.kind == "sticky" || o.kind == "launch" || o.kind == "hang" || o.kind == "slow") p->kernels = true;
			else fprintf(stderr, "cudasim: CUDASIM_FAULT: %s is not understood\n", entry.c_str());
			if (!settings().fault_once.empty()) {
				o.marker = settings().fault_once;
				if (!p->orders.empty()) o.marker += "." + std::to_string(p->orders.size() + 1);
			}
			p->orders.push_back(o);
		}
		return p;
	}();
	return *p;
}

} // namespace

bool faults_ordered() { return plan().kernels; }

Fault count_kernel() {
	Fault f;
	Plan &p = plan();
	if (!p.kernels) return f;
	std::lock_guard lock(p.mutex);
	uint64_t n = ++p.kernel_count;
	for (Order &o : p.orders) {
		bool due = o.kind == "slow" ? n >= o.at : n == o.at;
		if (!due || o.kind == "oom" || !o.claim()) continue;
		if (o.kind == "slow") f.slow_ms += o.value;
		if (o.kind == "hang") f.hang = true;
		if (o.kind == "sticky") f.sticky = true;
		if (o.kind == "launch") f.refuse = o.value ? o.value : 719;
	}
	return f;
}

bool count_allocation() {
	Plan &p = plan();
	if (!p.allocations) return false;
	std::lock_guard lock(p.mutex);
	uint64_t n = ++p.allocation_count;
	bool fails = false;
	for (Order &o : p.orders)
		if (o.kind == "oom" && n == o.at && o.claim()) fails = true;
	return fails;
}

} // namespace cudasim
