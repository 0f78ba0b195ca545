// Faults to order: CUDASIM_FAULT is a list, separated by commas, of
//
//	oom@N          the N-th allocation of device memory fails
//	sticky@N       the N-th kernel ends in CUDA_ERROR_ILLEGAL_ADDRESS, and with it the process's context
//	launch@N:CODE  the call that launches the N-th kernel returns CODE; if CODE is a fatal one, so do all calls after it
//	hang@N         the N-th kernel never ends
//	slow@N:MS      the N-th kernel and all that follow take MS milliseconds longer
//
// Kernels are counted from 1 as they are launched, those in graphs at the launch
// of the graph. With CUDASIM_FAULT_ONCE=path a fault happens only if it can
// create that file (path, path.2, path.3 … for the first, second, third of the
// list), so not again in the process that takes this one's place.
#pragma once
#include <cstdint>

namespace cudasim {

// What is ordered for one kernel.
struct Fault {
	bool hang = false, sticky = false;
	int slow_ms = 0;
	int refuse = 0; // the call's result
	bool any() const { return hang || sticky || slow_ms || refuse; }
};

// Whether anything is ordered for kernels at all.
bool faults_ordered();

// Counts a kernel, and says what happens to it.
Fault count_kernel();

// Counts an allocation; true: it fails.
bool count_allocation();

} // namespace cudasim
