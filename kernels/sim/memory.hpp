// The memory of the devices, and the host's as far as the driver knows it.
//
// Every allocation has pages of its own that end at a page that cannot be
// touched: what runs over its end faults, and what stays within the last 255
// bytes up to the next multiple of 256 is found when it is freed. New memory is
// full of 0xff bytes (NaN); freed memory cannot be touched, for long.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

struct CUctx_st;

namespace cudasim {

enum class Kind { DEVICE, STREAM_ORDERED, HOST, REGISTERED };

struct Allocation {
	uintptr_t base = 0;
	size_t bytes = 0;
	Kind kind = Kind::DEVICE;
	int device = 0;
	CUctx_st *context = nullptr;
	char *map = nullptr;     // with the guard pages; null if registered
	size_t map_bytes = 0;
	bool freeing = false;    // a stream will free it
	bool on_device() const { return kind == Kind::DEVICE || kind == Kind::STREAM_ORDERED; }
};

// Memory of the kind; 0 where there is no room. Counts against the device.
uintptr_t allocate(Kind kind, size_t bytes, int device, CUctx_st *context);

// Notes host memory that is not ours; false: some of it is known already.
bool register_host(uintptr_t base, size_t bytes, CUctx_st *context);

enum class Freed { YES, NOT_FOUND, OVERRUN };

// Frees what allocate or register_host gave. OVERRUN: freed, but something had
// written beside it; says so on stderr.
Freed release(uintptr_t base, bool host);

// Notes that a stream will free it; false: no such device allocation.
bool begin_release(uintptr_t base);

// The allocation that has all of [p, p+n); false: none has.
bool find(uintptr_t p, size_t n, Allocation *found = nullptr);

// Where p is, for a message: "8 bytes past an allocation of 100 bytes".
std::string whereabouts(uintptr_t p);

struct Leaks { size_t allocations = 0, bytes = 0, host = 0, host_bytes = 0; };

// Frees all of a context; false in *intact: something wrote beside its memory.
Leaks release_all(CUctx_st *context, bool *intact);

struct Usage { size_t free, total; };
Usage usage(int device);

// The pool that stream-ordered allocations come from: what they free stays in
// it, up to the threshold, and is free for others after the next synchronization.
void pool_threshold(int device, uint64_t bytes);
void pool_trim(int device, size_t keep);
struct PoolUse { uint64_t used, reserved, used_high, reserved_high, threshold; };
PoolUse pool_use(int device);

// A synchronizing call: pools give back what is over their threshold.
void synchronized();

} // namespace cudasim
