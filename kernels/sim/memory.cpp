// The devices' memory; memory.hpp says how it is laid out.
#include "memory.hpp"
#include "fiber.hpp"
#include "settings.hpp"
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <sys/mman.h>

namespace cudasim {
namespace {

using sim::PAGE_BYTES;
constexpr size_t ALIGNMENT = 256;
constexpr size_t QUARANTINE = 4096; // freed mappings that stay reserved

struct DeviceMemory {
	size_t used = 0; // by allocations that are not stream-ordered
	uint64_t pool_used = 0, pool_idle = 0, pool_used_high = 0, pool_reserved_high = 0, threshold = 0;
};

struct Tables {
	std::mutex mutex; // of all that follows
	std::map<uintptr_t, Allocation> allocations;
	std::map<int, DeviceMemory> devices;
	std::deque<std::pair<char *, size_t>> quarantine;
};

Tables &tables() {
	static Tables *t = new Tables; // for threads that outlive main
	return *t;
}

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

size_t in_use(const DeviceMemory &d) { return d.used + d.pool_used + d.pool_idle; }

// Maps pages for a, poisoned; false: the host has no room.
bool map_pages(Allocation &a) {
	size_t pages = round_up(a.bytes, PAGE_BYTES);
	a.map_bytes = pages + 2 * PAGE_BYTES;
	void *map = mmap(nullptr, a.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED) return false;
	a.map = (char *)map;
	if (mprotect(a.map + PAGE_BYTES, pages, PROT_READ | PROT_WRITE)) {
		munmap(map, a.map_bytes);
		return false;
	}
	char *end = a.map + PAGE_BYTES + pages;
	a.base = (uintptr_t)(end - round_up(a.bytes, ALIGNMENT));
	memset(a.map + PAGE_BYTES, 0xff, pages);
#ifdef SIM_ASAN
	__asan_poison_memory_region(a.map + PAGE_BYTES, pages);
	__asan_unpoison_memory_region((char *)a.base, a.bytes);
#endif
	return true;
}

const char *first_change(const char *from, const char *to) {
	while (from < to && *from == (char)0xff) from++;
	return from < to ? from : nullptr;
}

// Makes a's pages untouchable; false: something had written beside a.
bool unmap_pages(const Allocation &a, Tables &t) {
	char *first = a.map + PAGE_BYTES, *end = a.map + a.map_bytes - PAGE_BYTES, *base = (char *)a.base;
#ifdef SIM_ASAN
	__asan_unpoison_memory_region(first, (size_t)(end - first));
#endif
	const char *before = first_change(first, base), *after = first_change(base + a.bytes, end);
	if (before)
		fprintf(stderr, "cudasim: memory was written %zu bytes before an allocation of %zu bytes\n", (size_t)(base - before), a.bytes);
	if (after)
		fprintf(stderr, "cudasim: memory was written %zu bytes past an allocation of %zu bytes\n", (size_t)(after - (base + a.bytes)), a.bytes);
	mmap(a.map, a.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	t.quarantine.emplace_back(a.map, a.map_bytes);
	if (t.quarantine.size() > QUARANTINE) {
		munmap(t.quarantine.front().first, t.quarantine.front().second);
		t.quarantine.pop_front();
	}
	return !before && !after;
}

bool reserve(DeviceMemory &d, Kind kind, size_t bytes) {
	size_t taken = in_use(d) + held_memory(), total = settings().memory, room = taken < total ? total - taken : 0;
	if (kind == Kind::DEVICE) {
		if (bytes > room) return false;
		d.used += bytes;
		return true;
	}
	uint64_t reused = std::min<uint64_t>(d.pool_idle, bytes);
	if (bytes - reused > room) return false;
	d.pool_idle -= reused;
	d.pool_used += bytes;
	d.pool_used_high = std::max(d.pool_used_high, d.pool_used);
	d.pool_reserved_high = std::max(d.pool_reserved_high, d.pool_used + d.pool_idle);
	return true;
}

void give_back(DeviceMemory &d, Kind kind, size_t bytes) {
	if (kind == Kind::DEVICE) d.used -= bytes;
	else d.pool_used -= bytes, d.pool_idle += bytes;
}

// The allocation with the greatest base that is not above p.
Allocation *below(Tables &t, uintptr_t p) {
	auto i = t.allocations.upper_bound(p);
	return i == t.allocations.begin() ? nullptr : &std::prev(i)->second;
}

bool release_locked(Tables &t, std::map<uintptr_t, Allocation>::iterator i) {
	Allocation &a = i->second;
	bool intact = true;
	if (a.on_device()) give_back(t.devices[a.device], a.kind, round_up(a.bytes, ALIGNMENT));
	if (a.map) intact = unmap_pages(a, t);
	t.allocations.erase(i);
	return intact;
}

} // namespace

uintptr_t allocate(Kind kind, size_t bytes, int device, CUctx_st *context) {
	Tables &t = tables();
	Allocation a;
	a.bytes = bytes, a.kind = kind, a.device = device, a.context = context;
	size_t counted = round_up(bytes, ALIGNMENT);
	if (counted < bytes) return 0;
	{
		std::lock_guard lock(t.mutex);
		if (a.on_device() && !reserve(t.devices[device], kind, counted)) return 0;
	}
	bool mapped = map_pages(a);
	std::lock_guard lock(t.mutex);
	if (mapped) t.allocations[a.base] = a;
	else if (a.on_device()) give_back(t.devices[device], kind, counted);
	return mapped ? a.base : 0;
}

bool register_host(uintptr_t base, size_t bytes, CUctx_st *context) {
	Tables &t = tables();
	std::lock_guard lock(t.mutex);
	const Allocation *a = below(t, base + bytes - 1);
	if (a && a->base + a->bytes > base) return false;
	Allocation r;
	r.base = base, r.bytes = bytes, r.kind = Kind::REGISTERED, r.context = context;
	t.allocations[base] = r;
	return true;
}

Freed release(uintptr_t base, bool host) {
	Tables &t = tables();
	std::lock_guard lock(t.mutex);
	auto i = t.allocations.find(base);
	if (i == t.allocations.end() || i->second.on_device() == host) return Freed::NOT_FOUND;
	return release_locked(t, i) ? Freed::YES : Freed::OVERRUN;
}

bool begin_release(uintptr_t base) {
	Tables &t = tables();
	std::lock_guard lock(t.mutex);
	auto i = t.allocations.find(base);
	if (i == t.allocations.end() || !i->second.on_device() || i->second.freeing) return false;
	i->second.freeing = true;
	return true;
}

bool find(uintptr_t p, size_t n, Allocation *found) {
	Tables &t = tables();
	std::lock_guard lock(t.mutex);
	const Allocation *a = below(t, p);
	if (!a || p - a->base > a->bytes || n > a->bytes - (p - a->base)) return false;
	if (found) *found = *a;
	return true;
}

std::string whereabouts(uintptr_t p) {
	Tables &t = tables();
	std::lock_guard lock(t.mutex);
	if (p < PAGE_BYTES) return "a null pointer";
	for (auto &[map, bytes] : t.quarantine)
		if (p >= (uintptr_t)map && p < (uintptr_t)map + bytes) return "memory that was freed";
	const Allocation *a = below(t, p);
	if (a && p < (uintptr_t)a->map + a->map_bytes)
		return std::to_string(p - (a->base + a->bytes)) + " bytes past an allocation of " + std::to_string(a->bytes) + " bytes";
	auto next = t.allocations.upper_bound(p);
	if (next != t.allocations.end() && next->second.map && p >= (uintptr_t)next->second.map)
		return std::to_string(next->second.base - p) + " bytes before an allocation of " + std::to_string(next->second.bytes) + " bytes";
	return "no allocation";
}

Leaks release_all(CUctx_st *context, bool *intact) {
	Tables &t = tables();
	std::lock_guard lock(t.mutex);
	Leaks l;
	*intact = true;
	for (auto i = t.allocations.begin(); i != t.allocations.end();) {
		auto here = i++;
		const Allocation &a = here->second;
		if (a.context != context) continue;
		(a.on_device() ? l.allocations : l.host)++;
		(a.on_device() ? l.bytes : l.host_bytes) += a.bytes;
		if (!release_locked(t, here)) *intact = false;
	}
	return l;
}

Usage usage(int device) {
	Tables &t = tables();
	std::lock_guard lock(t.mutex);
	size_t total = settings().memory, taken = in_use(t.devices[device]) + held_memory();
	return {taken < total ? total - taken : 0, total};
}

void pool_threshold(int device, uint64_t bytes) {
	Tables &t = tables();
	std::lock_guard lock(t.mutex);
	t.devices[device].threshold = bytes;
}

static void trim(DeviceMemory &d, uint64_t keep) { d.pool_idle = std::min(d.pool_idle, keep > d.pool_used ? keep - d.pool_used : 0); }

void pool_trim(int device, size_t keep) {
	Tables &t = tables();
	std::lock_guard lock(t.mutex);
	trim(t.devices[device], keep);
}

PoolUse pool_use(int device) {
	Tables &t = tables();
	std::lock_guard lock(t.mutex);
	const DeviceMemory &d = t.devices[device];
	return {d.pool_used, d.pool_used + d.pool_idle, d.pool_used_high, d.pool_reserved_high, d.threshold};
}

void synchronized() {
	Tables &t = tables();
	std::lock_guard lock(t.mutex);
	for (auto &[device, d] : t.devices) trim(d, d.threshold);
}

} // namespace cudasim
