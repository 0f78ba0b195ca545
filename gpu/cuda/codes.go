package cuda

import "strconv"

// code is what weft knows about one of the driver's error numbers.
type code struct {
	name  string
	text  string // what it means
	fatal string // what happened to the context; empty when it goes on
}

func codeOf(n int) code {
	if c, ok := codes[n]; ok {
		return c
	}
	return code{name: "CUDA_ERROR_" + strconv.Itoa(n), text: "an error that weft does not know"}
}

// codes by number. The meanings are those of the driver API's reference,
// "CUresult"; fatal are those of which it says that the context, or the process,
// must be given up.
var codes = map[int]code{
	0:   {name: "CUDA_SUCCESS", text: "no error"},
	1:   {name: "CUDA_ERROR_INVALID_VALUE", text: "a parameter is out of range"},
	2:   {name: "CUDA_ERROR_OUT_OF_MEMORY", text: "out of memory"},
	3:   {name: "CUDA_ERROR_NOT_INITIALIZED", text: "the driver is not initialised"},
	4:   {name: "CUDA_ERROR_DEINITIALIZED", text: "the driver is shutting down", fatal: "the driver is shutting down"},
	34:  {name: "CUDA_ERROR_STUB_LIBRARY", text: "the library is the toolkit's stub"},
	46:  {name: "CUDA_ERROR_DEVICE_UNAVAILABLE", text: "the device is busy or unavailable"},
	100: {name: "CUDA_ERROR_NO_DEVICE", text: "no device"},
	101: {name: "CUDA_ERROR_INVALID_DEVICE", text: "no such device"},
	200: {name: "CUDA_ERROR_INVALID_IMAGE", text: "the kernels' image is invalid"},
	201: {name: "CUDA_ERROR_INVALID_CONTEXT", text: "the thread has no valid context"},
	205: {name: "CUDA_ERROR_MAP_FAILED", text: "mapping failed"},
	206: {name: "CUDA_ERROR_UNMAP_FAILED", text: "unmapping failed"},
	209: {name: "CUDA_ERROR_NO_BINARY_FOR_GPU", text: "the image has no code for this GPU"},
	214: {name: "CUDA_ERROR_ECC_UNCORRECTABLE", text: "uncorrectable memory error",
		fatal: "the GPU's memory had an error that ECC could not correct"},
	215: {name: "CUDA_ERROR_UNSUPPORTED_LIMIT", text: "the limit is not supported"},
	216: {name: "CUDA_ERROR_CONTEXT_ALREADY_IN_USE", text: "the device has a context already"},
	218: {name: "CUDA_ERROR_INVALID_PTX", text: "the PTX does not compile"},
	220: {name: "CUDA_ERROR_NVLINK_UNCORRECTABLE", text: "uncorrectable NVLink error",
		fatal: "a link between GPUs had an error that could not be corrected"},
	221: {name: "CUDA_ERROR_JIT_COMPILER_NOT_FOUND", text: "the PTX compiler (libnvidia-ptxjitcompiler) is not installed"},
	222: {name: "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", text: "the PTX is newer than the driver"},
	223: {name: "CUDA_ERROR_JIT_COMPILATION_DISABLED", text: "compiling PTX is disabled (CUDA_DISABLE_PTX_JIT)"},
	226: {name: "CUDA_ERROR_CONTAINED", text: "memory error, contained",
		fatal: "the GPU's memory had an error, contained to this process"},
	300: {name: "CUDA_ERROR_INVALID_SOURCE", text: "the kernels' source is invalid"},
	301: {name: "CUDA_ERROR_FILE_NOT_FOUND", text: "file not found"},
	302: {name: "CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND", text: "a shared library lacks a symbol"},
	303: {name: "CUDA_ERROR_SHARED_OBJECT_INIT_FAILED", text: "a shared library does not start"},
	304: {name: "CUDA_ERROR_OPERATING_SYSTEM", text: "a call to the operating system failed"},
	400: {name: "CUDA_ERROR_INVALID_HANDLE", text: "the object is closed or of another context"},
	401: {name: "CUDA_ERROR_ILLEGAL_STATE", text: "not possible in this state"},
	500: {name: "CUDA_ERROR_NOT_FOUND", text: "not found"},
	600: {name: "CUDA_ERROR_NOT_READY", text: "not done yet"},
	700: {name: "CUDA_ERROR_ILLEGAL_ADDRESS", text: "a kernel used an illegal address",
		fatal: "a kernel read or wrote outside its memory"},
	701: {name: "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", text: "too many registers or too much shared memory for the launch"},
	702: {name: "CUDA_ERROR_LAUNCH_TIMEOUT", text: "a kernel ran too long",
		fatal: "a kernel ran longer than the display's watchdog allows"},
	703: {name: "CUDA_ERROR_LAUNCH_INCOMPATIBLE_TEXTURING", text: "incompatible texturing"},
	708: {name: "CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE", text: "the primary context is active already"},
	709: {name: "CUDA_ERROR_CONTEXT_IS_DESTROYED", text: "the context is destroyed", fatal: "the context is destroyed"},
	710: {name: "CUDA_ERROR_ASSERT", text: "an assertion in a kernel failed", fatal: "an assertion in a kernel failed"},
	714: {name: "CUDA_ERROR_HARDWARE_STACK_ERROR", text: "hardware stack error",
		fatal: "a kernel's call stack was corrupted or overflowed"},
	715: {name: "CUDA_ERROR_ILLEGAL_INSTRUCTION", text: "illegal instruction", fatal: "a kernel met an illegal instruction"},
	716: {name: "CUDA_ERROR_MISALIGNED_ADDRESS", text: "misaligned address", fatal: "a kernel used a misaligned address"},
	717: {name: "CUDA_ERROR_INVALID_ADDRESS_SPACE", text: "invalid address space",
		fatal: "a kernel used an address of the wrong space"},
	718: {name: "CUDA_ERROR_INVALID_PC", text: "invalid program counter", fatal: "a kernel jumped outside its code"},
	719: {name: "CUDA_ERROR_LAUNCH_FAILED", text: "a kernel failed", fatal: "a kernel failed"},
	720: {name: "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", text: "more blocks than fit at once"},
	721: {name: "CUDA_ERROR_TENSOR_MEMORY_LEAK", text: "tensor memory leak", fatal: "a kernel ended without freeing tensor memory"},
	800: {name: "CUDA_ERROR_NOT_PERMITTED", text: "not permitted"},
	801: {name: "CUDA_ERROR_NOT_SUPPORTED", text: "not supported by the device or driver"},
	802: {name: "CUDA_ERROR_SYSTEM_NOT_READY", text: "the system's GPUs are not ready"},
	803: {name: "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", text: "driver library and kernel module differ in version"},
	804: {name: "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE", text: "forward compatibility is not supported on this GPU"},
	805: {name: "CUDA_ERROR_MPS_CONNECTION_FAILED", text: "no connection to the MPS control daemon"},
	806: {name: "CUDA_ERROR_MPS_RPC_FAILURE", text: "the MPS server does not answer", fatal: "the MPS server does not answer"},
	807: {name: "CUDA_ERROR_MPS_SERVER_NOT_READY", text: "the MPS server is not ready"},
	808: {name: "CUDA_ERROR_MPS_MAX_CLIENTS_REACHED", text: "the MPS server has all the clients it takes"},
	809: {name: "CUDA_ERROR_MPS_MAX_CONNECTIONS_REACHED", text: "the MPS server has all the connections it takes"},
	810: {name: "CUDA_ERROR_MPS_CLIENT_TERMINATED", text: "the MPS server ended this client",
		fatal: "the MPS server ended this process's work"},
	900: {name: "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", text: "the call is not allowed while a stream is captured"},
	901: {name: "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", text: "the capture was spoilt by an earlier error"},
	902: {name: "CUDA_ERROR_STREAM_CAPTURE_MERGE", text: "two captures would be merged"},
	903: {name: "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", text: "the capture did not begin on this stream"},
	904: {name: "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", text: "a stream of the capture was not joined to its first"},
	905: {name: "CUDA_ERROR_STREAM_CAPTURE_ISOLATION", text: "the capture depends on work outside it"},
	906: {name: "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT", text: "the capture would wait for the default stream"},
	907: {name: "CUDA_ERROR_CAPTURED_EVENT", text: "the event was last recorded in a capture"},
	908: {name: "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD", text: "the capture began on another thread"},
	909: {name: "CUDA_ERROR_TIMEOUT", text: "timed out"},
	910: {name: "CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE", text: "the graphs differ in more than parameters"},
	911: {name: "CUDA_ERROR_EXTERNAL_DEVICE", text: "another device failed", fatal: "a device that shares memory with this one failed"},
	912: {name: "CUDA_ERROR_INVALID_CLUSTER_SIZE", text: "the cluster does not fit"},
	999: {name: "CUDA_ERROR_UNKNOWN", text: "unknown error", fatal: "the driver met an error that it has no name for"},
}
