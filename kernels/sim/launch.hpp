// Kernel launches: what cuLaunchKernel and the kernel nodes of graphs are made of.
#pragma once
#include "driver.hpp"

namespace cudasim {

// A launch with its own copy of the parameters.
class Launch final : public Operation {
	std::shared_ptr<CUmod_st> module; // keeps the code
	std::unique_ptr<char[]> memory;   // pointers to the parameters, then the parameters
	sim::Grid grid;

public:
	const CUfunction function;
	// Checks against the device's limits and copies the parameters; null and *result: refused.
	static std::shared_ptr<const Launch> make(const CUDA_KERNEL_NODE_PARAMS &p, CUresult *result);

	Launch(const CUDA_KERNEL_NODE_PARAMS &p, std::shared_ptr<CUmod_st> module, std::unique_ptr<char[]> memory);
	void run(CUstream_st &stream) const override { run(stream, Fault{}); }
	void run(CUstream_st &stream, const Fault &fault) const;
	// As given; the pointers are to the copies.
	CUDA_KERNEL_NODE_PARAMS params() const;
};

// A launch for which a fault is ordered.
class FaultyLaunch final : public Operation {
	std::shared_ptr<const Launch> launch;
	Fault fault;

public:
	FaultyLaunch(std::shared_ptr<const Launch> launch, Fault fault) : Operation(KERNEL), launch(std::move(launch)), fault(fault) {}
	void run(CUstream_st &stream) const override { launch->run(stream, fault); }
};

// What an ordered refusal makes the call return; fatal codes stay.
CUresult refuse(const Fault &fault);

// The function's module, null if the handle is none.
std::shared_ptr<CUmod_st> module_of(CUfunction function);

} // namespace cudasim
