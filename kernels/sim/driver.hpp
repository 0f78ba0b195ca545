// What the entry points share: contexts, handles and the checks that every call
// begins with.
#pragma once
#include "kernel.hpp"
#include "memory.hpp"
#include "multiprocessor.hpp"
#include "settings.hpp"
#include "stream.hpp"
#include <map>
#include <set>
#include <unordered_map>

// An entry point: exported, under the name that cuda.h's macros give it.
#define API(name, ...) extern "C" __attribute__((visibility("default"))) CUresult name(__VA_ARGS__)

struct CUctx_st {
	const int device;      // of the machine, not of CUDA_VISIBLE_DEVICES
	const CUdevice ordinal;
	unsigned flags;
	int lock = -1;         // file, in exclusive mode
	std::shared_ptr<CUstream_st> default_stream;
	CUctx_st(int device, CUdevice ordinal, unsigned flags) : device(device), ordinal(ordinal), flags(flags) {}
};

struct CUevent_st {
	CUctx_st *context;
	unsigned flags;
	std::mutex mutex; // of all that follows
	bool recorded = false;
	cudasim::Ticket ticket;
	std::shared_ptr<std::atomic<int64_t>> time; // ns, once passed
	std::shared_ptr<cudasim::Capture> capture;  // recorded in a capture…
	std::vector<CUgraphNode> frontier;          // …after these nodes
	CUevent_st(CUctx_st *context, unsigned flags) : context(context), flags(flags) {}
};

struct CUfunc_st {
	const sim::Kernel *kernel;
	std::shared_ptr<CUmod_st> module() const { return owner.lock(); }
	std::weak_ptr<CUmod_st> owner;
	std::atomic<int> max_dynamic_shared{48 << 10};
};

struct CUmod_st {
	CUctx_st *context;
	void *library; // dlopen's handle
	std::map<std::string, std::unique_ptr<CUfunc_st>> functions; // all; made at loading
	CUmod_st(CUctx_st *context, void *library) : context(context), library(library) {}
	~CUmod_st();
};

namespace cudasim {

// The objects of a kind that exist.
template <class T> class Registry {
	mutable std::mutex mutex;
	std::unordered_map<const T *, std::shared_ptr<T>> objects;

public:
	T *add(std::shared_ptr<T> object) {
		std::lock_guard lock(mutex);
		T *handle = object.get();
		objects[handle] = std::move(object);
		return handle;
	}
	std::shared_ptr<T> find(const T *handle) const {
		std::lock_guard lock(mutex);
		auto i = objects.find(handle);
		return i == objects.end() ? nullptr : i->second;
	}
	std::shared_ptr<T> remove(const T *handle) {
		std::lock_guard lock(mutex);
		auto i = objects.find(handle);
		if (i == objects.end()) return nullptr;
		std::shared_ptr<T> object = std::move(i->second);
		objects.erase(i);
		return object;
	}
	std::vector<std::shared_ptr<T>> of(const CUctx_st *context) const {
		std::lock_guard lock(mutex);
		std::vector<std::shared_ptr<T>> v;
		for (auto &[handle, object] : objects)
			if (object->context == context) v.push_back(object);
		return v;
	}
};

struct Driver {
	std::atomic<bool> initialized{false};
	std::mutex contexts_mutex;     // of contexts, destroyed and primary
	std::set<CUctx_st *> contexts; // alive
	std::vector<std::unique_ptr<CUctx_st>> destroyed;
	std::map<CUdevice, std::pair<CUctx_st *, int>> primary; // with its count of users
	Registry<CUstream_st> streams; // without the default ones
	Registry<CUevent_st> events;
	Registry<CUmod_st> modules;
	Registry<CUgraph_st> graphs;
	Registry<CUgraphExec_st> execs;
	std::mutex functions_mutex;
	std::unordered_map<const CUfunc_st *, std::weak_ptr<CUmod_st>> functions; // of all modules
};
Driver &driver();

bool is_alive(CUctx_st *context);

// The calling thread's contexts; the last is current.
std::vector<CUctx_st *> &context_stack();
CUctx_st *current_context();

// The stream of a handle, the context's default one for 0; null: there is none.
std::shared_ptr<CUstream_st> find_stream(CUctx_st &context, CUstream handle);

// Queues the operation, or makes it a node of the graph that the stream
// captures. The default stream waits for all blocking streams and they for it.
CUresult submit(const std::shared_ptr<CUstream_st> &stream, OperationPtr operation, Ticket *ticket = nullptr,
	std::vector<Ticket> after = {});

// Where all streams of the context stand.
std::vector<Ticket> outstanding(CUctx_st &context);
// Waits for them; then the poison, if any.
CUresult synchronize(CUctx_st &context);

enum Needs { NOTHING, INITIALIZED, CONTEXT };

// What any call checks first: CUDA_SUCCESS to go on.
CUresult enter(const char *name, Needs needs);

// The body of an entry point: f() or f(CUctx_st &).
template <Needs needs, class F> CUresult call(const char *name, F f) {
	CUresult r = enter(name, needs);
	if (r != CUDA_SUCCESS) return r;
	if constexpr (needs == CONTEXT) return f(*current_context());
	else return f();
}

} // namespace cudasim
