// Tests: devices as the environment describes them, contexts, names, addresses.
#include "test.hpp"
#include <cstring>
#include <sys/wait.h>
#include <unistd.h>

using namespace test;

// The number of devices and whose they are, by the last byte of the UUID.
static std::string visible() {
	CUresult r = cuInit(0);
	if (r) return text(r);
	int n = 0;
	OK(cuDeviceGetCount(&n));
	std::string s;
	for (int i = 0; i < n; i++) {
		CUuuid u;
		OK(cuDeviceGetUuid(&u, i));
		s += std::to_string(u.bytes[15]);
	}
	return s;
}
#define VISIBLE(name, list, want) \
	TEST(visible_##name) { \
		set("CUDASIM_DEVICES", "3"); \
		set("CUDA_VISIBLE_DEVICES", list); \
		EQUAL(visible(), std::string(want)); \
	}
VISIBLE(two, "2,0", "20")
VISIBLE(none, "", "CUDA_ERROR_NO_DEVICE")
VISIBLE(minus_one, "-1", "CUDA_ERROR_NO_DEVICE")
VISIBLE(up_to_the_first_wrong_one, "1,7,0", "1")
VISIBLE(twice, "1,1", "CUDA_ERROR_NO_DEVICE")
VISIBLE(uuid, "GPU-c2da5140-57ef-541d-8000-000000000002,GPU-c0", "20")
VISIBLE(unknown_uuid, "GPU-c9", "CUDA_ERROR_NO_DEVICE")
VISIBLE(uuid_of_many, "GPU-c", "CUDA_ERROR_NO_DEVICE")
TEST(visible_all) {
	set("CUDASIM_DEVICES", "3");
	unsetenv("CUDA_VISIBLE_DEVICES");
	EQUAL(visible(), std::string("012"));
}
TEST(visible_without_devices) {
	set("CUDASIM_DEVICES", "0");
	EQUAL(visible(), std::string("CUDA_ERROR_NO_DEVICE"));
}

TEST(device_is_as_described) {
	set("CUDASIM_VERSION", "11040");
	set("CUDASIM_CAPABILITY", "8.6");
	set("CUDASIM_SMS", "82");
	set("CUDASIM_MEMORY", "123456");
	set("CUDASIM_DEVICES", "2");
	int v;
	CUdevice d;
	EQUAL(cuDeviceGetCount(&v), CUDA_ERROR_NOT_INITIALIZED);
	OK(cuDriverGetVersion(&v));
	EQUAL(v, 11040);
	OK(cuInit(0));
	OK(cuDeviceGet(&d, 1));
	EQUAL(cuDeviceGet(&d, 2), CUDA_ERROR_INVALID_DEVICE);
	EQUAL(cuDeviceGet(&d, -1), CUDA_ERROR_INVALID_DEVICE);
	auto attribute = [&](CUdevice_attribute which) {
		OK(cuDeviceGetAttribute(&v, which, 1));
		return v;
	};
	EQUAL(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR), 8);
	EQUAL(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR), 6);
	EQUAL(attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT), 82);
	EQUAL(attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN), 227 << 10);
	EQUAL(attribute(CU_DEVICE_ATTRIBUTE_PCI_BUS_ID), 0x11);
	EQUAL(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_MODE), 0);
	size_t bytes;
	OK(cuDeviceTotalMem(&bytes, 1));
	EQUAL(bytes, 123456ul);
	char name[100];
	OK(cuDeviceGetName(name, sizeof name, 1));
	EQUAL(std::string(name), std::string("Simulated GPU"));
}

TEST(context_stack) {
	OK(cuInit(0));
	CUcontext a, b, c;
	OK(cuCtxCreate(&a, 0, 0));
	OK(cuCtxCreate(&b, 0, 0));
	OK(cuCtxGetCurrent(&c));
	EQUAL(c, b);
	OK(cuCtxPopCurrent(&c));
	EQUAL(c, b);
	OK(cuCtxGetCurrent(&c));
	EQUAL(c, a);
	OK(cuCtxPushCurrent(b));
	OK(cuCtxDestroy(b));
	OK(cuCtxGetCurrent(&c));
	EQUAL(c, a);
	CUdevice d = -1;
	OK(cuCtxGetDevice(&d));
	EQUAL(d, 0);
	OK(cuCtxDestroy(a));
	OK(cuCtxGetCurrent(&c));
	EQUAL(c, (CUcontext) nullptr);
	EQUAL(cuCtxSetCurrent(a), CUDA_ERROR_INVALID_CONTEXT);
	OK(cuDevicePrimaryCtxRetain(&a, 0)), OK(cuDevicePrimaryCtxRetain(&b, 0));
	EQUAL(a, b);
	OK(cuDevicePrimaryCtxRelease(0)), OK(cuDevicePrimaryCtxRelease(0));
	EQUAL(cuDevicePrimaryCtxRelease(0), CUDA_ERROR_INVALID_CONTEXT);
}

// What a second process gets while this one has a context, and after.
TEST(exclusive_process) {
	set("CUDASIM_EXCLUSIVE", "1");
	set("CUDASIM_LOCK", temporary("x").substr(0, temporary("x").rfind('/')));
	auto other = [] {
		int ends[2];
		if (pipe(ends)) abort();
		pid_t child = fork(); // before this process has initialised anything
		if (!child) {
			char go;
			if (read(ends[0], &go, 1) != 1) _exit(99);
			CUcontext c;
			cuInit(0);
			_exit(cuCtxCreate(&c, 0, 0));
		}
		return [=] {
			int status = 0;
			if (write(ends[1], "!", 1) != 1) abort();
			waitpid(child, &status, 0);
			return (CUresult)WEXITSTATUS(status);
		};
	};
	auto during = other(), after = other();
	OK(cuInit(0));
	int mode;
	OK(cuDeviceGetAttribute(&mode, CU_DEVICE_ATTRIBUTE_COMPUTE_MODE, 0));
	EQUAL(mode, 3);
	CUcontext a, b;
	OK(cuCtxCreate(&a, 0, 0));
	OK(cuCtxCreate(&b, 0, 0)); // of the same process
	EQUAL(during(), CUDA_ERROR_DEVICE_UNAVAILABLE);
	OK(cuCtxDestroy(a)), OK(cuCtxDestroy(b));
	EQUAL(after(), CUDA_SUCCESS);
}

TEST(trace) {
	std::string path = temporary("trace");
	set("CUDASIM_TRACE", path);
	int v;
	OK(cuInit(0));
	OK(cuDeviceGetCount(&v));
	std::string pid = std::to_string(getpid());
	EQUAL(contents(path), "cuInit " + pid + "\ncuDeviceGetCount " + pid + "\n");
}

TEST(names_of_errors) {
	const char *s;
	OK(cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &s));
	EQUAL(std::string(s), std::string("CUDA_ERROR_ILLEGAL_ADDRESS"));
	OK(cuGetErrorString(CUDA_ERROR_ILLEGAL_ADDRESS, &s));
	EQUAL(std::string(s), std::string("an illegal memory access was encountered"));
	EQUAL(cuGetErrorName((CUresult)4711, &s), CUDA_ERROR_INVALID_VALUE);
	CHECK(!s);
}

extern "C" CUresult cuGetProcAddress_v2(const char *, void **, int, uint64_t, int *);

TEST(addresses_of_entry_points) {
	auto address = [](const char *name, int version) {
		void *p;
		int status;
		CUresult r = cuGetProcAddress_v2(name, &p, version, 0, &status);
		EQUAL(r, status ? CUDA_ERROR_NOT_FOUND : CUDA_SUCCESS);
		return p;
	};
	CHECK(address("cuInit", 12000) == (void *)cuInit);
	CHECK(address("cuMemAlloc", 12000) == (void *)cuMemAlloc); // _v2
	CHECK(address("cuGraphExecUpdate", 11040) == (void *)cuGraphExecUpdate);
	CHECK(address("cuGraphExecUpdate", 12000) == (void *)cuGraphExecUpdate_v2);
	CHECK(address("cuCtxCreate", 11000) == (void *)cuCtxCreate);
	CHECK(!address("cuNothing", 12000));
}
