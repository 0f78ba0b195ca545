// Kernel launches; launch.hpp.
#include "launch.hpp"
#include <cstring>
#include <unistd.h>

namespace cudasim {
namespace {

// cuLaunchKernel's `extra` names its entries by these.
void *const PARAM_END = nullptr, *const PARAM_POINTER = (void *)1, *const PARAM_SIZE = (void *)2;
constexpr size_t MAX_PARAMETERS = 4096, MAX_GRID_X = 0x7fffffff, MAX_GRID_YZ = 65535;

size_t align(size_t n, size_t to) { return (n + to - 1) / to * to; }

bool within_limits(const CUDA_KERNEL_NODE_PARAMS &p) {
	uint64_t threads = (uint64_t)p.blockDimX * p.blockDimY * p.blockDimZ;
	return p.gridDimX && p.gridDimY && p.gridDimZ && threads && p.gridDimX <= MAX_GRID_X && p.gridDimY <= MAX_GRID_YZ &&
		p.gridDimZ <= MAX_GRID_YZ && p.blockDimX <= 1024 && p.blockDimY <= 1024 && p.blockDimZ <= 64 && threads <= sim::MAX_THREADS &&
		p.sharedMemBytes <= (unsigned)p.func->max_dynamic_shared;
}

// The parameters as one buffer, from `extra`; false: `extra` makes no sense.
bool parse_extra(void **extra, const char **buffer, size_t *size) {
	*buffer = nullptr, *size = 0;
	for (int i = 0; extra[i] != PARAM_END; i += 2) {
		if (extra[i] == PARAM_POINTER) *buffer = (const char *)extra[i + 1];
		else if (extra[i] == PARAM_SIZE) *size = *(size_t *)extra[i + 1];
		else return false;
	}
	return *buffer != nullptr;
}

} // namespace

std::shared_ptr<CUmod_st> module_of(CUfunction function) {
	std::lock_guard lock(driver().functions_mutex);
	auto i = driver().functions.find(function);
	return i == driver().functions.end() ? nullptr : i->second.lock();
}

std::shared_ptr<const Launch> Launch::make(const CUDA_KERNEL_NODE_PARAMS &p, CUresult *result) {
	std::shared_ptr<CUmod_st> module = module_of(p.func);
	*result = CUDA_ERROR_INVALID_HANDLE;
	if (!module) return nullptr;
	*result = CUDA_ERROR_INVALID_VALUE;
	if (!within_limits(p)) return nullptr;
	const sim::Kernel &k = *p.func->kernel;
	const char *buffer = nullptr;
	size_t given = 0;
	if (p.extra && (p.kernelParams || !parse_extra(p.extra, &buffer, &given))) return nullptr;
	if (!p.extra && !p.kernelParams && k.count) return nullptr;
	size_t bytes = 0;
	for (unsigned i = 0; i < k.count; i++) bytes = align(bytes, k.alignments[i]) + k.sizes[i];
	if (bytes > MAX_PARAMETERS || (buffer && given < bytes)) return nullptr;
	size_t head = align(k.count * sizeof(void *), 16);
	auto memory = std::make_unique_for_overwrite<char[]>(head + bytes); // 16-byte aligned, as the largest parameter
	size_t at = 0;
	for (unsigned i = 0; i < k.count; i++) {
		at = align(at, k.alignments[i]);
		char *to = memory.get() + head + at;
		memcpy(to, buffer ? buffer + at : (const char *)p.kernelParams[i], k.sizes[i]);
		((void **)memory.get())[i] = to;
		at += k.sizes[i];
	}
	*result = CUDA_SUCCESS;
	return std::make_shared<Launch>(p, std::move(module), std::move(memory));
}

Launch::Launch(const CUDA_KERNEL_NODE_PARAMS &p, std::shared_ptr<CUmod_st> module, std::unique_ptr<char[]> memory)
	: Operation(KERNEL), module(std::move(module)), memory(std::move(memory)), function(p.func) {
	const sim::Kernel &k = *p.func->kernel;
	grid = {k.name, k.call, (void **)this->memory.get(), dim3{p.gridDimX, p.gridDimY, p.gridDimZ},
		dim3{p.blockDimX, p.blockDimY, p.blockDimZ}, p.sharedMemBytes};
}

CUDA_KERNEL_NODE_PARAMS Launch::params() const {
	return {function, grid.grid.x, grid.grid.y, grid.grid.z, grid.block.x, grid.block.y, grid.block.z, grid.shared_bytes, grid.params, nullptr};
}

void Launch::run(CUstream_st &stream, const Fault &fault) const {
	if (poison()) return;
	if (fault.hang) hang();
	if (fault.slow_ms) usleep((useconds_t)fault.slow_ms * 1000);
	if (fault.sticky) return set_poison(CUDA_ERROR_ILLEGAL_ADDRESS, std::string("kernel ") + grid.name + ": illegal access, as ordered by CUDASIM_FAULT");
	run_grid(grid, stream.priority);
}

CUresult refuse(const Fault &fault) {
	auto code = (CUresult)fault.refuse;
	bool fatal = (code >= CUDA_ERROR_HARDWARE_STACK_ERROR && code <= CUDA_ERROR_LAUNCH_FAILED) || code == CUDA_ERROR_ILLEGAL_ADDRESS ||
		code == CUDA_ERROR_LAUNCH_TIMEOUT || code == CUDA_ERROR_ASSERT || code == CUDA_ERROR_ECC_UNCORRECTABLE || code == CUDA_ERROR_UNKNOWN;
	if (fatal) set_poison(code, "launch refused, as ordered by CUDASIM_FAULT");
	return code;
}

} // namespace cudasim
