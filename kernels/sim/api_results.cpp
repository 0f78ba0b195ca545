// Entry points: names of errors, addresses of entry points.
#include "driver.hpp"
#include <cstring>
#include <dlfcn.h>

using namespace cudasim;

namespace {

struct Name { CUresult code; const char *name, *text; };
#define NAME(code, text) {code, #code, text}
constexpr Name NAMES[] = {
	NAME(CUDA_SUCCESS, "no error"),
	NAME(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
	NAME(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
	NAME(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
	NAME(CUDA_ERROR_DEINITIALIZED, "driver shutting down"),
	NAME(CUDA_ERROR_STUB_LIBRARY, "CUDA driver is a stub library"),
	NAME(CUDA_ERROR_DEVICE_UNAVAILABLE, "CUDA-capable device(s) is/are busy or unavailable"),
	NAME(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
	NAME(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
	NAME(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid"),
	NAME(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
	NAME(CUDA_ERROR_ECC_UNCORRECTABLE, "uncorrectable ECC error encountered"),
	NAME(CUDA_ERROR_INVALID_PTX, "a PTX JIT compilation failed"),
	NAME(CUDA_ERROR_FILE_NOT_FOUND, "file not found"),
	NAME(CUDA_ERROR_OPERATING_SYSTEM, "OS call failed or operation not supported on this OS"),
	NAME(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
	NAME(CUDA_ERROR_ILLEGAL_STATE, "the operation cannot be performed in the present state"),
	NAME(CUDA_ERROR_NOT_FOUND, "named symbol not found"),
	NAME(CUDA_ERROR_NOT_READY, "device not ready"),
	NAME(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
	NAME(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch"),
	NAME(CUDA_ERROR_LAUNCH_TIMEOUT, "the launch timed out and was terminated"),
	NAME(CUDA_ERROR_CONTEXT_IS_DESTROYED, "context is destroyed"),
	NAME(CUDA_ERROR_ASSERT, "device-side assert triggered"),
	NAME(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, "part or all of the requested memory range is already mapped"),
	NAME(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "pointer does not correspond to a registered memory region"),
	NAME(CUDA_ERROR_HARDWARE_STACK_ERROR, "hardware stack error"),
	NAME(CUDA_ERROR_ILLEGAL_INSTRUCTION, "an illegal instruction was encountered"),
	NAME(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address"),
	NAME(CUDA_ERROR_INVALID_PC, "invalid program counter"),
	NAME(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"),
	NAME(CUDA_ERROR_NOT_PERMITTED, "operation not permitted"),
	NAME(CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
	NAME(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, "system has unsupported display driver / cuda driver combination"),
	NAME(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing"),
	NAME(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "operation failed due to a previous error during capture"),
	NAME(CUDA_ERROR_STREAM_CAPTURE_MERGE, "operation would result in a merge of separate capture sequences"),
	NAME(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "capture was not ended in the same stream as it began"),
	NAME(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "capturing stream has unjoined work"),
	NAME(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "dependency created on uncaptured work in another stream"),
	NAME(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "operation would make the legacy stream depend on a capturing blocking stream"),
	NAME(CUDA_ERROR_CAPTURED_EVENT, "operation not permitted on an event last recorded in a capturing stream"),
	NAME(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "attempt to terminate a thread-local capture sequence from another thread"),
	NAME(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, "the graph update was not performed because it included changes which violated constraints specific to instantiated graph update"),
	NAME(CUDA_ERROR_UNKNOWN, "unknown error"),
};

const Name *name_of(CUresult code) {
	for (const Name &n : NAMES)
		if (n.code == code) return &n;
	return nullptr;
}

// Functions of which a name without suffix means different versions, from which version of CUDA on.
struct Version { const char *name; int since; const char *symbol; };
constexpr Version VERSIONS[] = {
	{"cuCtxCreate", 12050, "cuCtxCreate_v4"},
	{"cuCtxCreate", 11040, "cuCtxCreate_v3"},
	{"cuDeviceGetUuid", 11040, "cuDeviceGetUuid_v2"},
	{"cuEventElapsedTime", 12080, "cuEventElapsedTime_v2"},
	{"cuGetProcAddress", 12000, "cuGetProcAddress_v2"},
	{"cuGraphExecUpdate", 12000, "cuGraphExecUpdate_v2"},
	{"cuGraphInstantiate", 12000, "cuGraphInstantiateWithFlags"},
	{"cuGraphAddKernelNode", 12000, "cuGraphAddKernelNode_v2"},
	{"cuGraphKernelNodeSetParams", 12000, "cuGraphKernelNodeSetParams_v2"},
	{"cuGraphExecKernelNodeSetParams", 12000, "cuGraphExecKernelNodeSetParams_v2"},
};
// Those of the table whose older meaning is the name itself.
bool is_versioned(const char *name) {
	for (const Version &v : VERSIONS)
		if (!strcmp(v.name, name) && strcmp(name, "cuCtxCreate") && strcmp(name, "cuGraphInstantiate")) return true;
	return false;
}

void *look_up(const char *name, int version) {
	static void *const self = [] {
		Dl_info info;
		void *h = dladdr((void *)&name_of, &info) ? dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD) : nullptr;
		return h ? h : RTLD_DEFAULT;
	}();
	for (const Version &v : VERSIONS)
		if (!strcmp(v.name, name) && version >= v.since) return dlsym(self, v.symbol);
	void *p = is_versioned(name) ? nullptr : dlsym(self, (std::string(name) + "_v2").c_str());
	return p ? p : dlsym(self, name);
}

} // namespace

API(cuGetErrorName, CUresult code, const char **name) {
	return call<NOTHING>(__func__, [&] {
		const Name *n = name_of(code);
		*name = n ? n->name : nullptr;
		return n ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
	});
}

API(cuGetErrorString, CUresult code, const char **text) {
	return call<NOTHING>(__func__, [&] {
		const Name *n = name_of(code);
		*text = n ? n->text : nullptr;
		return n ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
	});
}

// As in CUDA 11.3; status of _v2: 0 found, 1 no such symbol.
API(cuGetProcAddress, const char *name, void **function, int version, uint64_t) {
	return call<NOTHING>(__func__, [&] {
		*function = look_up(name, version);
		return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
	});
}
API(cuGetProcAddress_v2, const char *name, void **function, int version, uint64_t, int *status) {
	return call<NOTHING>(__func__, [&] {
		*function = look_up(name, version);
		if (status) *status = !*function;
		return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
	});
}
