// What the environment says the simulated machine is; read at the first call.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace cudasim {

struct Settings {
	int version = 12080;            // CUDASIM_VERSION
	int devices = 1;                // CUDASIM_DEVICES
	size_t memory = (size_t)4 << 30; // CUDASIM_MEMORY, of each device
	int major = 9, minor = 0;       // CUDASIM_CAPABILITY=9.0
	int multiprocessors = 8;        // CUDASIM_SMS, as reported
	int threads = 1;                // CUDASIM_THREADS, OS threads that run blocks; default: the machine's
	bool exclusive = false;         // CUDASIM_EXCLUSIVE=1: one process may have a context on a device
	std::string lock;               // CUDASIM_LOCK: folder of the lock files for that; default: the system's for temporary files
	std::string held;               // CUDASIM_HELD: bytes that another process has, or a file that says so
	std::string leaks;              // CUDASIM_LEAKS: file that leaks are appended to
	std::string fault;              // CUDASIM_FAULT, see faults.hpp
	std::string fault_once;         // CUDASIM_FAULT_ONCE
	int delay_us = 0;               // CUDASIM_DELAY: before every operation of a stream, so that a missing wait shows
	std::vector<int> visible;       // devices that CUDA_VISIBLE_DEVICES leaves, in its order
};

const Settings &settings();

// Bytes that another process has just now.
size_t held_memory();

// A device's UUID, 16 bytes.
void device_uuid(int device, unsigned char uuid[16]);

// Appends "name pid" to CUDASIM_TRACE, if that is set.
void trace(const char *name);

} // namespace cudasim
