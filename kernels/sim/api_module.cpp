// Entry points: modules, functions, launches.
//
// A module is a host shared object made of a .cu file by g++ with device.hpp
// (see the Makefile); the real driver's images are refused.
#include "graph.hpp"
#include <algorithm>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

namespace cudasim {
namespace {

constexpr int JIT_ERROR_LOG_BUFFER = 5, JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6; // CU_JIT_…

CUresult use(CUctx_st &context, void *library, CUmodule *out, std::string *why) {
	auto kernels = (const sim::Kernel *(*)())dlsym(library, "cudasim_kernels");
	const sim::Kernel *list = kernels ? kernels() : nullptr;
	if (!list || list->abi != sim::ABI) {
		*why = !kernels ? "the image was not compiled with device.hpp" : !list ? "the image has no kernels" : "the image was compiled for another version of the simulator, or with other sanitizers";
		dlclose(library);
		return CUDA_ERROR_INVALID_IMAGE;
	}
	auto module = std::make_shared<CUmod_st>(&context, library);
	std::lock_guard lock(driver().functions_mutex);
	for (const sim::Kernel *k = list; k; k = k->next) {
		auto f = std::make_unique<CUfunc_st>();
		f->kernel = k;
		driver().functions[f.get()] = module;
		module->functions[k->name] = std::move(f);
	}
	*out = driver().modules.add(std::move(module));
	return CUDA_SUCCESS;
}

// The bytes of the shared object at image, from its own headers; 0: it is none.
size_t image_bytes(const void *image) {
	Elf64_Ehdr h;
	if (memcmp(image, ELFMAG, SELFMAG)) return 0;
	memcpy(&h, image, sizeof h);
	if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_type != ET_DYN) return 0;
	size_t n = h.e_shoff + (size_t)h.e_shnum * h.e_shentsize;
	for (int i = 0; i < h.e_phnum; i++) {
		Elf64_Phdr p;
		memcpy(&p, (const char *)image + h.e_phoff + (size_t)i * h.e_phentsize, sizeof p);
		n = std::max(n, (size_t)(p.p_offset + p.p_filesz));
	}
	return n;
}

CUresult load_image(CUctx_st &context, const void *image, CUmodule *out, std::string *why) {
	if (CUresult r = check_unsafe()) return r;
	if (!image) return CUDA_ERROR_INVALID_VALUE;
	size_t n = image_bytes(image);
	if (!n) {
		*why = "the image is no shared object for this machine; the simulator runs nothing else";
		return CUDA_ERROR_INVALID_IMAGE;
	}
	int fd = memfd_create("cudasim-module", MFD_CLOEXEC);
	if (fd < 0) return CUDA_ERROR_OPERATING_SYSTEM;
	for (size_t done = 0; done < n;) {
		ssize_t k = write(fd, (const char *)image + done, n - done);
		if (k <= 0) {
			close(fd);
			return CUDA_ERROR_OPERATING_SYSTEM;
		}
		done += (size_t)k;
	}
	void *library = dlopen(("/proc/self/fd/" + std::to_string(fd)).c_str(), RTLD_NOW | RTLD_LOCAL);
	close(fd);
	if (!library) {
		*why = dlerror();
		return CUDA_ERROR_INVALID_IMAGE;
	}
	return use(context, library, out, why);
}

CUresult set_attribute(CUfunction f, int which, int value) {
	if (!module_of(f)) return CUDA_ERROR_INVALID_HANDLE;
	if (which == CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT) return value >= -1 && value <= 100 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
	if (which != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 || value > (int)sim::MAX_SHARED) return CUDA_ERROR_INVALID_VALUE;
	f->max_dynamic_shared = value;
	return CUDA_SUCCESS;
}

CUresult get_attribute(CUfunction f, int which, int *value) {
	if (!module_of(f)) return CUDA_ERROR_INVALID_HANDLE;
	int capability = settings().major * 10 + settings().minor;
	switch (which) {
	case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = sim::MAX_THREADS; break;
	case CU_FUNC_ATTRIBUTE_NUM_REGS: *value = 64; break;
	case CU_FUNC_ATTRIBUTE_PTX_VERSION:
	case CU_FUNC_ATTRIBUTE_BINARY_VERSION: *value = capability; break;
	case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: *value = f->max_dynamic_shared; break;
	case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT: *value = -1; break;
	case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
	case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
	case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
	case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA: *value = 0; break;
	default: return CUDA_ERROR_INVALID_VALUE;
	}
	return CUDA_SUCCESS;
}

// By threads, blocks, shared memory and 64 registers a thread of an H200's multiprocessor.
CUresult occupancy(int *blocks, CUfunction f, int threads, size_t shared) {
	if (!module_of(f)) return CUDA_ERROR_INVALID_HANDLE;
	if (threads <= 0) return CUDA_ERROR_INVALID_VALUE;
	*blocks = 0;
	if (threads > (int)sim::MAX_THREADS || shared > (size_t)f->max_dynamic_shared) return CUDA_SUCCESS;
	int rounded = (threads + 31) / 32 * 32;
	size_t block_shared = (shared + 1024 + 127) / 128 * 128;
	*blocks = std::min({2048 / rounded, 32, 65536 / (64 * rounded), (int)((228u << 10) / block_shared)});
	return CUDA_SUCCESS;
}

CUresult launch(CUctx_st &context, CUstream handle, const CUDA_KERNEL_NODE_PARAMS &p) {
	auto stream = find_stream(context, handle);
	CUresult r = CUDA_ERROR_INVALID_HANDLE;
	auto operation = stream ? Launch::make(p, &r) : nullptr;
	if (!operation) return r;
	if (!faults_ordered() || stream->capturing) return submit(stream, std::move(operation));
	Fault f = count_kernel();
	if (f.refuse) return refuse(f);
	if (!f.any()) return submit(stream, std::move(operation));
	return submit(stream, std::make_shared<FaultyLaunch>(std::move(operation), f));
}

} // namespace
} // namespace cudasim

using namespace cudasim;

API(cuModuleLoad, CUmodule *module, const char *path) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) -> CUresult {
		if (access(path, R_OK)) return CUDA_ERROR_FILE_NOT_FOUND;
		void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		std::string why;
		CUresult r = CUDA_ERROR_INVALID_IMAGE;
		if (!library) why = dlerror();
		else r = use(context, library, module, &why);
		if (r) fprintf(stderr, "cudasim: %s: %s\n", path, why.c_str());
		return r;
	});
}

API(cuModuleLoadData, CUmodule *module, const void *image) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) {
		std::string why;
		return load_image(context, image, module, &why);
	});
}

API(cuModuleLoadDataEx, CUmodule *module, const void *image, unsigned n, CUjit_option *options, void **values) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) {
		std::string why;
		CUresult r = load_image(context, image, module, &why);
		char *log = nullptr;
		size_t size = 0;
		void **size_out = nullptr;
		for (unsigned i = 0; i < n; i++) {
			if (options[i] == JIT_ERROR_LOG_BUFFER) log = (char *)values[i];
			if (options[i] == JIT_ERROR_LOG_BUFFER_SIZE_BYTES) size = (size_t)(uintptr_t)values[i], size_out = &values[i];
		}
		if (log && size) snprintf(log, size, "%s", why.c_str());
		if (size_out) *size_out = (void *)(uintptr_t)std::min(why.size(), size);
		return r;
	});
}

API(cuModuleUnload, CUmodule module) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) -> CUresult {
		auto m = driver().modules.remove(module);
		if (!m) return CUDA_ERROR_INVALID_HANDLE;
		std::lock_guard lock(driver().functions_mutex);
		for (auto &[name, f] : m->functions) driver().functions.erase(f.get());
		return CUDA_SUCCESS;
	});
}

API(cuModuleGetFunction, CUfunction *function, CUmodule module, const char *name) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) -> CUresult {
		auto m = driver().modules.find(module);
		if (!m) return CUDA_ERROR_INVALID_HANDLE;
		auto f = m->functions.find(name);
		if (f == m->functions.end()) return CUDA_ERROR_NOT_FOUND;
		*function = f->second.get();
		return CUDA_SUCCESS;
	});
}

API(cuModuleGetGlobal, CUdeviceptr *, size_t *, CUmodule module, const char *) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) { return driver().modules.find(module) ? CUDA_ERROR_NOT_FOUND : CUDA_ERROR_INVALID_HANDLE; });
}

API(cuFuncSetAttribute, CUfunction f, CUfunction_attribute which, int value) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) { return set_attribute(f, (int)which, value); });
}

API(cuFuncGetAttribute, int *value, CUfunction_attribute which, CUfunction f) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) { return get_attribute(f, (int)which, value); });
}

API(cuFuncSetCacheConfig, CUfunction f, CUfunc_cache) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) { return module_of(f) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE; });
}

API(cuOccupancyMaxActiveBlocksPerMultiprocessor, int *blocks, CUfunction f, int threads, size_t shared) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) { return occupancy(blocks, f, threads, shared); });
}
API(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags, int *blocks, CUfunction f, int threads, size_t shared, unsigned) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) { return occupancy(blocks, f, threads, shared); });
}

API(cuLaunchKernel, CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, CUstream stream,
	void **params, void **extra) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) { return launch(context, stream, {f, gx, gy, gz, bx, by, bz, shared, params, extra}); });
}
