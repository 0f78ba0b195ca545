// The environment's variables; settings.hpp says what they mean.
#include "settings.hpp"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sstream>
#include <thread>
#include <unistd.h>

namespace cudasim {
namespace {

std::string text(const char *name) {
	const char *v = getenv(name);
	return v ? v : "";
}

long long number(const char *name, long long otherwise) {
	const char *v = getenv(name);
	if (!v || !*v) return otherwise;
	char *end;
	long long n = strtoll(v, &end, 10);
	if (*end) {
		fprintf(stderr, "cudasim: %s=%s is no number; using %lld\n", name, v, otherwise);
		return otherwise;
	}
	return n;
}

std::string uuid_text(int device) {
	unsigned char u[16];
	device_uuid(device, u);
	std::string s = "GPU-";
	for (int i = 0; i < 16; i++) {
		char hex[4];
		snprintf(hex, sizeof hex, "%02x", u[i]);
		s += hex;
		if (i == 3 || i == 5 || i == 7 || i == 9) s += '-';
	}
	return s;
}

// The device that an entry of CUDA_VISIBLE_DEVICES names; -1: none.
int device_named(const std::string &entry, int devices) {
	if (entry.starts_with("GPU-")) {
		int found = -1;
		for (int i = 0; i < devices; i++)
			if (uuid_text(i).starts_with(entry)) {
				if (found >= 0) return -1; // a beginning of two
				found = i;
			}
		return found;
	}
	char *end;
	long n = strtol(entry.c_str(), &end, 10);
	return end != entry.c_str() && !*end && n >= 0 && n < devices ? (int)n : -1;
}

// As the real driver: the list ends at the first entry that names no device,
// and one that names a device twice leaves none.
std::vector<int> visible_devices(int devices) {
	std::vector<int> v;
	const char *list = getenv("CUDA_VISIBLE_DEVICES");
	if (!list) {
		for (int i = 0; i < devices; i++) v.push_back(i);
		return v;
	}
	std::stringstream entries(list);
	for (std::string entry; getline(entries, entry, ',');) {
		int n = device_named(entry, devices);
		if (n < 0) break;
		if (std::find(v.begin(), v.end(), n) != v.end()) return {};
		v.push_back(n);
	}
	return v;
}

Settings read() {
	Settings s;
	s.version = (int)number("CUDASIM_VERSION", s.version);
	s.devices = (int)number("CUDASIM_DEVICES", s.devices);
	s.memory = (size_t)number("CUDASIM_MEMORY", (long long)s.memory);
	std::string capability = text("CUDASIM_CAPABILITY");
	if (!capability.empty() && sscanf(capability.c_str(), "%d.%d", &s.major, &s.minor) != 2)
		fprintf(stderr, "cudasim: CUDASIM_CAPABILITY=%s is not like 9.0\n", capability.c_str());
	s.multiprocessors = (int)number("CUDASIM_SMS", s.multiprocessors);
	s.threads = std::max(1, (int)number("CUDASIM_THREADS", (long long)std::thread::hardware_concurrency()));
	s.exclusive = number("CUDASIM_EXCLUSIVE", 0) != 0;
	s.lock = text("CUDASIM_LOCK");
	if (s.lock.empty()) s.lock = text("TMPDIR");
	if (s.lock.empty()) s.lock = "/tmp";
	s.held = text("CUDASIM_HELD");
	s.leaks = text("CUDASIM_LEAKS");
	s.fault = text("CUDASIM_FAULT");
	s.fault_once = text("CUDASIM_FAULT_ONCE");
	s.delay_us = (int)number("CUDASIM_DELAY", 0);
	s.visible = visible_devices(s.devices);
	return s;
}

} // namespace

const Settings &settings() {
	static const Settings *s = new Settings(read()); // for threads that outlive main
	return *s;
}

size_t held_memory() {
	const std::string &held = settings().held;
	if (held.empty()) return 0;
	if (held.find_first_not_of("0123456789") == std::string::npos) return strtoull(held.c_str(), nullptr, 10);
	FILE *f = fopen(held.c_str(), "re");
	if (!f) return 0; // not written yet
	unsigned long long n = 0;
	if (fscanf(f, "%llu", &n) != 1) n = 0;
	fclose(f);
	return n;
}

void device_uuid(int device, unsigned char uuid[16]) {
	static const unsigned char base[16] = {0xc0, 0xda, 0x51, 0x40, 0x57, 0xef, 0x54, 0x1d, 0x80, 0, 0, 0, 0, 0, 0, 0};
	memcpy(uuid, base, 16);
	uuid[0] = (unsigned char)(uuid[0] + device);
	uuid[15] = (unsigned char)device;
}

void trace(const char *name) {
	static const int fd = [] {
		const char *path = getenv("CUDASIM_TRACE");
		return path && *path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
	}();
	if (fd < 0) return;
	char line[128];
	int n = snprintf(line, sizeof line, "%s %d\n", name, (int)getpid());
	if (write(fd, line, (size_t)n) != n) perror("cudasim: write CUDASIM_TRACE");
}

} // namespace cudasim
