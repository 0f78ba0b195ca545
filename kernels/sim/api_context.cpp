// Entry points: contexts.
#include "graph.hpp"
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace cudasim {
namespace {

// In exclusive mode a process with a context on the device holds a lock on a
// file; false: another one does.
bool lock_device(int device, int *lock) {
	if (!settings().exclusive) return true;
	std::string path = settings().lock + "/cudasim-device" + std::to_string(device) + ".lock";
	for (CUctx_st *other : driver().contexts)
		if (other->device == device && other->lock >= 0) return (*lock = dup(other->lock)) >= 0;
	*lock = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (*lock < 0) {
		fprintf(stderr, "cudasim: %s: %s\n", path.c_str(), strerror(errno));
		return false;
	}
	if (!flock(*lock, LOCK_EX | LOCK_NB)) return true;
	close(*lock);
	return false;
}

CUresult create(CUctx_st **context, unsigned flags, CUdevice ordinal) {
	if (CUresult r = poison()) return r;
	const std::vector<int> &visible = settings().visible;
	if (ordinal < 0 || (size_t)ordinal >= visible.size()) return CUDA_ERROR_INVALID_DEVICE;
	if (!usage(visible[(size_t)ordinal]).free) return CUDA_ERROR_OUT_OF_MEMORY; // a context takes some itself
	auto c = std::make_unique<CUctx_st>(visible[(size_t)ordinal], ordinal, flags);
	c->default_stream = std::make_shared<CUstream_st>(c.get(), 0, 0, true);
	if (!lock_device(c->device, &c->lock)) return CUDA_ERROR_DEVICE_UNAVAILABLE;
	*context = c.release();
	driver().contexts.insert(*context);
	return CUDA_SUCCESS;
}

void append(std::string &text, size_t n, const char *what, size_t bytes = 0) {
	if (!n) return;
	text += (text.empty() ? "" : ", ") + std::to_string(n) + " " + what + (n == 1 ? "" : "s");
	if (bytes) text += " (" + std::to_string(bytes) + " bytes)";
}

void report(const std::string &leaks) {
	if (leaks.empty()) return;
	std::string line = "cudasim: leaked " + leaks + "\n";
	fputs(line.c_str(), stderr);
	if (settings().leaks.empty()) return;
	int fd = open(settings().leaks.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, line.data(), line.size()) != (ssize_t)line.size()) perror("cudasim: write CUDASIM_LEAKS");
	if (fd >= 0) close(fd);
}

template <class T> size_t remove_all(Registry<T> &registry, CUctx_st *context) {
	auto objects = registry.of(context);
	for (auto &o : objects) registry.remove(o.get());
	return objects.size();
}

CUresult destroy(CUctx_st *context) {
	if (!is_alive(context)) return CUDA_ERROR_INVALID_CONTEXT;
	for (const Ticket &t : outstanding(*context)) t.wait();
	std::string leaks;
	bool intact;
	Leaks memory = release_all(context, &intact);
	append(leaks, memory.allocations, "allocation", memory.bytes);
	append(leaks, memory.host, "host allocation", memory.host_bytes);
	for (auto &s : driver().streams.of(context)) s->close();
	append(leaks, remove_all(driver().streams, context), "stream");
	append(leaks, remove_all(driver().events, context), "event");
	append(leaks, remove_all(driver().execs, context), "executable graph");
	append(leaks, remove_all(driver().graphs, context), "graph");
	append(leaks, remove_all(driver().modules, context), "module");
	if (!poison()) report(leaks); // else nothing could be freed
	std::shared_ptr<CUstream_st> default_stream = std::move(context->default_stream);
	default_stream->close();
	if (!intact) set_poison(CUDA_ERROR_ILLEGAL_ADDRESS, "found when the context was destroyed");
	{
		std::lock_guard lock(driver().contexts_mutex);
		driver().contexts.erase(context);
		driver().destroyed.emplace_back(context); // other threads' stacks may still name it
		if (context->lock >= 0) close(context->lock);
		context->lock = -1;
	}
	std::erase(context_stack(), context);
	return poison();
}

CUresult create_current(const char *name, CUcontext *context, unsigned flags, CUdevice d) {
	return call<INITIALIZED>(name, [&]() -> CUresult {
		std::lock_guard lock(driver().contexts_mutex);
		CUresult r = create(context, flags, d);
		if (r == CUDA_SUCCESS) context_stack().push_back(*context);
		return r;
	});
}

} // namespace
} // namespace cudasim

using namespace cudasim;

API(cuCtxCreate, CUcontext *context, unsigned flags, CUdevice d) { return create_current(__func__, context, flags, d); }
// With execution affinity, which nobody here asks for.
API(cuCtxCreate_v3, CUcontext *context, void *, int, unsigned flags, CUdevice d) { return create_current(__func__, context, flags, d); }
API(cuCtxCreate_v4, CUcontext *context, void *, unsigned flags, CUdevice d) { return create_current(__func__, context, flags, d); }

API(cuCtxDestroy, CUcontext context) {
	return call<INITIALIZED>(__func__, [&] { return destroy(context); });
}

API(cuCtxSetCurrent, CUcontext context) {
	return call<INITIALIZED>(__func__, [&]() -> CUresult {
		std::vector<CUctx_st *> &stack = context_stack();
		if (context && !is_alive(context)) return CUDA_ERROR_INVALID_CONTEXT;
		if (!stack.empty()) stack.pop_back();
		if (context) stack.push_back(context);
		return CUDA_SUCCESS;
	});
}

API(cuCtxGetCurrent, CUcontext *context) {
	return call<INITIALIZED>(__func__, [&] {
		*context = current_context();
		return CUDA_SUCCESS;
	});
}

API(cuCtxPushCurrent, CUcontext context) {
	return call<INITIALIZED>(__func__, [&]() -> CUresult {
		if (!is_alive(context)) return CUDA_ERROR_INVALID_CONTEXT;
		context_stack().push_back(context);
		return CUDA_SUCCESS;
	});
}

API(cuCtxPopCurrent, CUcontext *context) {
	return call<INITIALIZED>(__func__, [&]() -> CUresult {
		if (!current_context()) return CUDA_ERROR_INVALID_CONTEXT;
		if (context) *context = current_context();
		context_stack().pop_back();
		return CUDA_SUCCESS;
	});
}

API(cuCtxSynchronize, void) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) -> CUresult {
		if (CUresult r = check_unsafe()) return r;
		return synchronize(context);
	});
}

API(cuCtxGetDevice, CUdevice *d) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) {
		*d = context.ordinal;
		return CUDA_SUCCESS;
	});
}

API(cuCtxGetFlags, unsigned *flags) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) {
		*flags = context.flags;
		return CUDA_SUCCESS;
	});
}

API(cuCtxGetApiVersion, CUcontext, unsigned *version) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) {
		*version = 3020;
		return CUDA_SUCCESS;
	});
}

API(cuCtxGetStreamPriorityRange, int *least, int *greatest) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) {
		if (least) *least = 0;
		if (greatest) *greatest = -5;
		return CUDA_SUCCESS;
	});
}

API(cuDevicePrimaryCtxRetain, CUcontext *context, CUdevice d) {
	return call<INITIALIZED>(__func__, [&]() -> CUresult {
		std::lock_guard lock(driver().contexts_mutex);
		auto &[primary, users] = driver().primary[d];
		if (!users)
			if (CUresult r = create(&primary, 0, d)) return r;
		users++;
		*context = primary;
		return CUDA_SUCCESS;
	});
}

API(cuDevicePrimaryCtxRelease, CUdevice d) {
	return call<INITIALIZED>(__func__, [&]() -> CUresult {
		CUctx_st *last;
		{
			std::lock_guard lock(driver().contexts_mutex);
			auto &[primary, users] = driver().primary[d];
			if (!users) return CUDA_ERROR_INVALID_CONTEXT;
			if (--users) return CUDA_SUCCESS;
			last = primary;
		}
		return destroy(last);
	});
}

API(cuDevicePrimaryCtxGetState, CUdevice d, unsigned *flags, int *active) {
	return call<INITIALIZED>(__func__, [&] {
		std::lock_guard lock(driver().contexts_mutex);
		*flags = 0, *active = driver().primary[d].second > 0;
		return CUDA_SUCCESS;
	});
}
