// A management library of an old version, with one GPU, for the tests: it has a
// few functions only. The file that FAKE_NVML_LOST names, when it is there, makes
// the GPU lost.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int ret_t;
enum { SUCCESS = 0, NOT_SUPPORTED = 3, DRIVER_NOT_LOADED = 9, TIMEOUT = 10, GPU_IS_LOST = 15 };

static int gpu; // its address is the handle

static ret_t here(void) {
	const char *file = getenv("FAKE_NVML_LOST");
	return file && access(file, F_OK) == 0 ? GPU_IS_LOST : SUCCESS;
}

ret_t nvmlInit_v2(void) { return getenv("FAKE_NVML_UNLOADED") ? DRIVER_NOT_LOADED : SUCCESS; }
ret_t nvmlShutdown(void) { return SUCCESS; }
ret_t nvmlSystemGetDriverVersion(char *s, unsigned n) { strncpy(s, "470.99", n); return SUCCESS; }
const char *nvmlErrorString(ret_t r) { return r == GPU_IS_LOST ? "GPU is lost" : r == DRIVER_NOT_LOADED ? "Driver Not Loaded" : "?"; }
ret_t nvmlDeviceGetCount_v2(unsigned *n) { *n = 1; return SUCCESS; }
ret_t nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h) { (void)i; *h = &gpu; return SUCCESS; }
ret_t nvmlDeviceGetUUID(void *h, char *s, unsigned n) { (void)h; strncpy(s, "GPU-11111111-1111-1111-1111-111111111111", n); return SUCCESS; }
ret_t nvmlDeviceGetName(void *h, char *s, unsigned n) { (void)h; strncpy(s, "Fake V100", n); return SUCCESS; }

struct utilization { unsigned gpu, memory; };
ret_t nvmlDeviceGetUtilizationRates(void *h, struct utilization *u) { (void)h; u->gpu = 93; u->memory = 0; return here(); }
struct memory { unsigned long long total, free, used; };
ret_t nvmlDeviceGetMemoryInfo(void *h, struct memory *m) { (void)h; m->total = 16384; m->used = 1024; m->free = 15360; return here(); }
ret_t nvmlDeviceGetPowerUsage(void *h, unsigned *mw) { (void)h; *mw = 123456; return here(); }
ret_t nvmlDeviceGetTemperature(void *h, unsigned kind, unsigned *c) { (void)h; *c = kind == 0 ? 61 : 0; return here(); }
ret_t nvmlDeviceGetClockInfo(void *h, unsigned kind, unsigned *mhz) { (void)h; *mhz = kind == 1 ? 1380 : 877; return here(); }
ret_t nvmlDeviceGetCurrentClocksThrottleReasons(void *h, unsigned long long *bits) { (void)h; *bits = 4 | 32; return here(); }
ret_t nvmlDeviceGetTotalEnergyConsumption(void *h, unsigned long long *mj) { (void)h; *mj = 0; return NOT_SUPPORTED; }
struct process { unsigned pid; unsigned long long memory; };
ret_t nvmlDeviceGetComputeRunningProcesses(void *h, unsigned *n, struct process *p) {
	(void)h;
	*n = 1;
	p[0].pid = 42;
	p[0].memory = ~0ULL; // not known
	return here();
}

// A critical error is told once, when the GPU is lost.
ret_t nvmlEventSetCreate(void **set) { *set = &gpu; return SUCCESS; }
ret_t nvmlEventSetFree(void *set) { (void)set; return SUCCESS; }
ret_t nvmlDeviceRegisterEvents(void *h, unsigned long long kinds, void *set) { (void)h; (void)kinds; (void)set; return SUCCESS; }
struct event { void *device; unsigned long long kind, data; unsigned gi, ci; };
ret_t nvmlEventSetWait_v2(void *set, struct event *e, unsigned ms) {
	static int told;
	(void)set;
	(void)ms;
	if (told || here() == SUCCESS) return TIMEOUT;
	told = 1;
	e->device = &gpu;
	e->kind = 8;
	e->data = 79;
	return SUCCESS;
}
