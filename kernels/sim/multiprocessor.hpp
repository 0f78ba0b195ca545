// The multiprocessors: OS threads that run the blocks of grids.
//
// The thread of a stream runs the blocks of its grid itself, so every resident
// grid makes progress however many there are. CUDASIM_THREADS - 1 others help
// where a grid has blocks left after some microseconds, in turn among grids of
// the highest priority. At most 128 grids are resident: the next waits for one
// to end.
//
// Blocks of one grid must not wait for each other, as on a device without a
// cooperative launch.
#pragma once
#include "block.hpp"
#include <cuda.h>
#include <string>

namespace cudasim {

inline constexpr int MAX_RESIDENT = 128;

// Runs the grid to its end, or until a block of it or of any other grid has
// failed: then the device is poisoned. A smaller priority goes first.
void run_grid(const sim::Grid &grid, int priority);

// Takes a place among the resident grids and never ends.
[[noreturn]] void hang();

// The first fatal error: all later calls return it. CUDA_SUCCESS: none yet.
CUresult poison();

// Makes code that, unless there is one, and says why on stderr.
void set_poison(CUresult code, const std::string &why);

// Starts a thread that gets no signals but those of its own faults.
void start_thread(void (*body)(void *), void *argument);

// Runs one block of grid on this thread, faults of the processor included;
// false: the device is poisoned now. (trap.cpp)
bool run_block_trapped(const sim::Grid &grid, uint3 index);

} // namespace cudasim
