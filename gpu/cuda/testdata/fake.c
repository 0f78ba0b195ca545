// A driver that does as the environment's FAKE_… say, for the tests of Probe and
// Open, and whose launches do nothing, to measure what a call costs.
// FAKE_LOG is a file that it writes a line to when it is opened and initialised.
#include <cuda.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int number(const char *name, int otherwise) {
	const char *v = getenv(name);
	return v ? atoi(v) : otherwise;
}

static void say(const char *what) {
	const char *path = getenv("FAKE_LOG"), *queues = getenv("CUDA_DEVICE_MAX_CONNECTIONS");
	FILE *f = path ? fopen(path, "a") : NULL;
	if (!f) return;
	fprintf(f, "%s connections=%s\n", what, queues ? queues : "unset");
	fclose(f);
}

__attribute__((constructor)) static void opened(void) { say("opened"); }

CUresult cuInit(unsigned flags) {
	(void)flags;
	say("initialised");
	return number("FAKE_INIT", 0);
}
CUresult cuDriverGetVersion(int *v) {
	*v = number("FAKE_VERSION", 12080); // negative: an error
	return *v < 0 ? -*v : 0;
}
CUresult cuDeviceGetCount(int *n) { *n = number("FAKE_COUNT", 1); return 0; }
CUresult cuDeviceGet(CUdevice *d, int i) { *d = i; return 0; }
CUresult cuDeviceGetName(char *p, int n, CUdevice d) { snprintf(p, n, "Fake %d", d); return 0; }
CUresult cuDeviceGetUuid(CUuuid *u, CUdevice d) { memset(u, 0x11 * (d + 1), sizeof *u); return 0; }
CUresult cuDeviceTotalMem(size_t *n, CUdevice d) { *n = (size_t)(d + 1) << 30; return 0; }
CUresult cuDeviceGetAttribute(int *v, CUdevice_attribute a, CUdevice d) {
	(void)d;
	switch (a) {
	case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *v = number("FAKE_MAJOR", 9); break;
	case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *v = 132; break;
	case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *v = 227 << 10; break;
	case CU_DEVICE_ATTRIBUTE_COMPUTE_MODE: *v = number("FAKE_MODE", 0); break;
	case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID: *v = 0xdb; break;
	default: *v = 0;
	}
	return 0;
}
CUresult cuCtxCreate(CUcontext *c, unsigned flags, CUdevice d) {
	(void)d;
	say(flags == CU_CTX_SCHED_BLOCKING_SYNC ? "context, blocking" : "context, not blocking");
	*c = (CUcontext)1;
	return number("FAKE_CONTEXT", 0);
}
CUresult cuCtxDestroy(CUcontext c) { (void)c; return 0; }
CUresult cuCtxSetCurrent(CUcontext c) { (void)c; return 0; }
CUresult cuModuleLoadDataEx(CUmodule *m, const void *image, unsigned n, CUjit_option *o, void **v) {
	(void)n; (void)o;
	*m = (CUmodule)1;
	if (strstr(image, "wrong")) { // as PTX that does not compile
		snprintf(v[0], (size_t)v[1], "ptxas application ptx input, line 1; error: wrong\n");
		return CUDA_ERROR_INVALID_PTX;
	}
	return 0;
}
CUresult cuModuleUnload(CUmodule m) { (void)m; return 0; }
CUresult cuModuleGetFunction(CUfunction *f, CUmodule m, const char *name) {
	(void)m; (void)name;
	*f = (CUfunction)1;
	return 0;
}
CUresult cuStreamCreateWithPriority(CUstream *s, unsigned flags, int priority) {
	(void)flags; (void)priority;
	*s = (CUstream)1;
	return 0;
}
CUresult cuStreamDestroy(CUstream s) { (void)s; return 0; }
CUresult cuMemAlloc(CUdeviceptr *p, size_t n) { (void)n; *p = 256; return 0; }
CUresult cuMemFree(CUdeviceptr p) { (void)p; return 0; }
CUresult cuStreamSynchronize(CUstream s) { (void)s; return 0; }
CUresult cuEventQuery(CUevent e) { (void)e; return CUDA_ERROR_NOT_READY; }
CUresult cuStreamQuery(CUstream s) { (void)s; return CUDA_ERROR_NOT_READY; }
CUresult cuEventCreate(CUevent *e, unsigned flags) { (void)flags; *e = (CUevent)1; return 0; }
CUresult cuEventDestroy(CUevent e) { (void)e; return 0; }
CUresult cuEventRecord(CUevent e, CUstream s) { (void)e; (void)s; return 0; }
CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
		unsigned shared, CUstream s, void **params, void **extra) {
	(void)f; (void)gx; (void)gy; (void)gz; (void)bx; (void)by; (void)bz; (void)shared; (void)s; (void)params; (void)extra;
	return CUDA_SUCCESS;
}
