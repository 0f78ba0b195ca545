// How a module's kernels are found: KERNEL(name, parameters…) puts each into a
// list, and the driver asks a shared object for its list by cudasim_kernels.
#pragma once
#include "block.hpp"

#pragma GCC visibility push(hidden)
namespace sim {

// What driver and module must agree on.
enum : unsigned {
#if defined(SIM_ASAN)
	ABI = 1u << 24 | sizeof(Block),
#elif defined(SIM_TSAN)
	ABI = 2u << 24 | sizeof(Block),
#else
	ABI = 3u << 24 | sizeof(Block),
#endif
};

struct Kernel {
	unsigned abi;
	const char *name;
	void (*call)(void **params); // params[i] points at parameter i
	unsigned count;              // parameters
	const unsigned *sizes, *alignments;
	const Kernel *next;
};

inline const Kernel *kernels; // of this shared object

template <auto F> struct Entry;
template <class... A, void (*F)(A...)> struct Entry<F> {
	static constexpr unsigned sizes[] = {sizeof(A)..., 0}, alignments[] = {alignof(A)..., 0};
	Kernel kernel;
	template <size_t... I> static void unpack([[maybe_unused]] void **p, std::index_sequence<I...>) { F(*(A *)p[I]...); }
	static void call(void **p) { unpack(p, std::index_sequence_for<A...>{}); }
	explicit Entry(const char *name) : kernel{ABI, name, call, sizeof...(A), sizes, alignments, kernels} { kernels = &kernel; }
};

} // namespace sim
#pragma GCC visibility pop

#ifndef SIM_DRIVER
extern "C" __attribute__((visibility("default"), weak)) const sim::Kernel *cudasim_kernels() { return sim::kernels; }
#endif

#define SIM_KERNEL(name) static sim::Entry<name> sim_entry_##name{#name};
#define KERNEL(name, ...) \
	static void name(__VA_ARGS__); \
	SIM_KERNEL(name) \
	static void name(__VA_ARGS__)
