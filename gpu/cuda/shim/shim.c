//go:build cuda

// Finds the driver's functions at run time; doc.go says why and when.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#pragma GCC visibility push(hidden) // of all that follows; the system's own must not be
#include "shim.h"
#include <cuda.h>

static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER; // held by weft_cuda_load
static void *driver; // dlopen's handle; NULL until a driver is loaded, then for good

static void *loaded(void) { return __atomic_load_n(&driver, __ATOMIC_ACQUIRE); }

int weft_cuda_load(const char *path, char *why, size_t size) {
	int outcome = WEFT_CUDA_LOADED;
	pthread_mutex_lock(&loading);
	if (!driver) {
		// The driver reads it when it is initialised: without it more than 8
		// streams share 8 queues and wait for each other.
		setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
		void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		if (!library) {
			const char *words = dlerror();
			snprintf(why, size, "%s", words ? words : "no reason given");
			outcome = WEFT_CUDA_NOT_OPENED;
		} else if (!dlsym(library, "cuInit")) {
			dlclose(library);
			outcome = WEFT_CUDA_NO_INIT;
		} else {
			__atomic_store_n(&driver, library, __ATOMIC_RELEASE);
		}
	}
	pthread_mutex_unlock(&loading);
	return outcome;
}

const char *weft_cuda_path(void) {
	void *library = loaded();
	Dl_info info;
	if (!library || !dladdr(dlsym(library, "cuInit"), &info) || !info.dli_fname) return "";
	return info.dli_fname;
}

int weft_cuda_has(const char *name) {
	void *library = loaded();
	return library && dlsym(library, name);
}

static CUresult not_initialized(void) { return CUDA_ERROR_NOT_INITIALIZED; }
static CUresult not_found(void) { return CUDA_ERROR_NOT_FOUND; }

// weft_cuda_resolve is called by a trampoline whose slot is not filled yet and
// returns where to jump. Threads that race here fill the slot with the same value.
void *weft_cuda_resolve(const char *name, void **slot) {
	void *library = loaded();
	if (!library) return (void *)not_initialized;
	void *function = dlsym(library, name);
	if (!function) function = (void *)not_found;
	__atomic_store_n(slot, function, __ATOMIC_RELEASE);
	return function;
}

// The two functions that gorgonia.org/cu's init() calls: with an error from
// cuInit it would end the program.

CUresult cuInit(unsigned flags) {
	void *library = loaded();
	if (!library) return CUDA_SUCCESS;
	CUresult (*init)(unsigned) = (CUresult (*)(unsigned))dlsym(library, "cuInit");
	return init(flags);
}

CUresult cuDeviceGetCount(int *count) {
	void *library = loaded();
	*count = 0;
	if (!library) return CUDA_SUCCESS;
	CUresult (*get)(int *) = (CUresult (*)(int *))dlsym(library, "cuDeviceGetCount");
	return get ? get(count) : CUDA_ERROR_NOT_FOUND;
}
