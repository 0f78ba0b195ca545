// Entry points: initialisation, devices and what they say of themselves.
#include "driver.hpp"
#include <cstring>

using namespace cudasim;

namespace {

// The machine's number of the device; -1: there is none.
int device_of(CUdevice d) {
	const std::vector<int> &visible = settings().visible;
	return d >= 0 && (size_t)d < visible.size() ? visible[(size_t)d] : -1;
}

template <class F> CUresult of_device(const char *name, CUdevice d, F f) {
	return call<INITIALIZED>(name, [&]() -> CUresult {
		int device = device_of(d);
		if (device < 0) return CUDA_ERROR_INVALID_DEVICE;
		return f(device);
	});
}

CUresult attribute(int device, int which, int *value) {
	const Settings &s = settings();
	switch (which) {
	case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
	case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
	case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y: *value = 1024; break;
	case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z: *value = 64; break;
	case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X: *value = 0x7fffffff; break;
	case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
	case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z: *value = 65535; break;
	case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *value = 48 << 10; break;
	case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = 227 << 10; break;
	case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: *value = 228 << 10; break;
	case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK:
	case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR: *value = 65536; break;
	case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR: *value = 2048; break;
	case CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY: *value = 64 << 10; break;
	case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
	case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = s.multiprocessors; break;
	case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = s.major; break;
	case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = s.minor; break;
	case CU_DEVICE_ATTRIBUTE_COMPUTE_MODE: *value = s.exclusive ? 3 : 0; break;
	case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID: *value = 0x10 + device; break;
	case CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID:
	case CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID:
	case CU_DEVICE_ATTRIBUTE_INTEGRATED:
	case CU_DEVICE_ATTRIBUTE_ECC_ENABLED: *value = 0; break;
	case CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS:
	case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY:
	case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
	case CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED:
	case CU_DEVICE_ATTRIBUTE_GPU_OVERLAP:
	case CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM:
	case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED: *value = 1; break;
	case CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT: *value = 3; break;
	case CU_DEVICE_ATTRIBUTE_CLOCK_RATE: *value = 1980000; break;         // kHz
	case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE: *value = 3201000; break;
	case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH: *value = 6144; break; // bits
	case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE: *value = 60 << 20; break;
	default:
		*value = 0;
		return which > 0 && which < 200 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
	}
	return CUDA_SUCCESS;
}

} // namespace

API(cuInit, unsigned flags) {
	return call<NOTHING>(__func__, [&]() -> CUresult {
		if (flags) return CUDA_ERROR_INVALID_VALUE;
		if (settings().visible.empty()) return CUDA_ERROR_NO_DEVICE;
		driver().initialized = true;
		return CUDA_SUCCESS;
	});
}

API(cuDriverGetVersion, int *version) {
	return call<NOTHING>(__func__, [&] {
		*version = settings().version;
		return CUDA_SUCCESS;
	});
}

API(cuDeviceGetCount, int *count) {
	return call<INITIALIZED>(__func__, [&] {
		*count = (int)settings().visible.size();
		return CUDA_SUCCESS;
	});
}

API(cuDeviceGet, CUdevice *device, int ordinal) {
	return of_device(__func__, ordinal, [&](int) {
		*device = ordinal;
		return CUDA_SUCCESS;
	});
}

API(cuDeviceGetName, char *name, int size, CUdevice d) {
	return of_device(__func__, d, [&](int) {
		snprintf(name, (size_t)size, "Simulated GPU");
		return CUDA_SUCCESS;
	});
}

static CUresult get_uuid(const char *name, CUuuid *uuid, CUdevice d) {
	return of_device(name, d, [&](int device) {
		device_uuid(device, (unsigned char *)uuid->bytes);
		return CUDA_SUCCESS;
	});
}
API(cuDeviceGetUuid, CUuuid *uuid, CUdevice d) { return get_uuid(__func__, uuid, d); }
API(cuDeviceGetUuid_v2, CUuuid *uuid, CUdevice d) { return get_uuid(__func__, uuid, d); }

API(cuDeviceTotalMem, size_t *bytes, CUdevice d) {
	return of_device(__func__, d, [&](int) {
		*bytes = settings().memory;
		return CUDA_SUCCESS;
	});
}

API(cuDeviceGetAttribute, int *value, CUdevice_attribute which, CUdevice d) {
	return of_device(__func__, d, [&](int device) { return attribute(device, (int)which, value); });
}

API(cuDeviceGetPCIBusId, char *text, int size, CUdevice d) {
	return of_device(__func__, d, [&](int device) {
		snprintf(text, (size_t)size, "0000:%02X:00.0", 0x10 + device);
		return CUDA_SUCCESS;
	});
}

API(cuDeviceGetDefaultMemPool, CUmemoryPool *pool, CUdevice d) {
	return of_device(__func__, d, [&](int device) {
		*pool = (CUmemoryPool)(uintptr_t)(device + 1); // all there are; see api_memory.cpp
		return CUDA_SUCCESS;
	});
}
