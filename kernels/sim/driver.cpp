// Contexts, handles and checks; driver.hpp.
#include "driver.hpp"
#include "graph.hpp"
#include <dlfcn.h>

CUmod_st::~CUmod_st() { dlclose(library); }

namespace cudasim {

Driver &driver() {
	static Driver *d = new Driver; // for threads that outlive main
	return *d;
}

bool is_alive(CUctx_st *context) {
	std::lock_guard lock(driver().contexts_mutex);
	return driver().contexts.contains(context);
}

std::vector<CUctx_st *> &context_stack() {
	static thread_local std::vector<CUctx_st *> stack;
	return stack;
}

CUctx_st *current_context() { return context_stack().empty() ? nullptr : context_stack().back(); }

CUresult enter(const char *name, Needs needs) {
	trace(name);
	if (needs == NOTHING) return CUDA_SUCCESS;
	if (in_host_function()) return CUDA_ERROR_NOT_PERMITTED;
	if (!driver().initialized) return CUDA_ERROR_NOT_INITIALIZED;
	if (needs == INITIALIZED) return CUDA_SUCCESS;
	CUctx_st *context = current_context();
	if (!context) return CUDA_ERROR_INVALID_CONTEXT;
	if (!is_alive(context)) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
	return poison();
}

std::shared_ptr<CUstream_st> find_stream(CUctx_st &context, CUstream handle) {
	if (!handle || handle == (CUstream)1) return context.default_stream; // 1: CU_STREAM_LEGACY
	return driver().streams.find(handle);
}

std::vector<Ticket> outstanding(CUctx_st &context) {
	std::vector<Ticket> tickets;
	auto add = [&](CUstream_st &s) {
		Ticket t = s.last();
		if (t.stream) tickets.push_back(std::move(t));
	};
	add(*context.default_stream);
	for (auto &s : driver().streams.of(&context)) add(*s);
	return tickets;
}

CUresult synchronize(CUctx_st &context) {
	for (const Ticket &t : outstanding(context)) t.wait();
	synchronized();
	return poison();
}

CUresult submit(const std::shared_ptr<CUstream_st> &stream, OperationPtr operation, Ticket *ticket, std::vector<Ticket> after) {
	if (stream->capturing) return capture_node(*stream, std::move(operation));
	CUctx_st &context = *stream->context;
	if (stream->is_default) {
		if (captures_forbid_default(context)) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
		for (auto &s : driver().streams.of(&context)) {
			if (!s->blocking()) continue;
			Ticket t = s->last();
			if (t.stream) after.push_back(std::move(t));
		}
	} else if (stream->blocking()) {
		Ticket t = context.default_stream->last();
		if (t.stream) after.push_back(std::move(t));
	}
	Ticket t = stream->submit(std::move(operation), std::move(after));
	if (ticket) *ticket = std::move(t);
	return CUDA_SUCCESS;
}

} // namespace cudasim
