// Entry points: streams, events, host functions.
#include "graph.hpp"
#include <algorithm>
#include <ctime>

namespace cudasim {
namespace {

int64_t now_ns() {
	timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

CUresult create_stream(CUctx_st &context, CUstream *stream, unsigned flags, int priority) {
	if (!stream || flags & ~(unsigned)CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
	*stream = driver().streams.add(std::make_shared<CUstream_st>(&context, flags, std::clamp(priority, -5, 0), false));
	return CUDA_SUCCESS;
}

template <class F> CUresult of_stream(const char *name, CUstream handle, F f) {
	return call<CONTEXT>(name, [&](CUctx_st &context) -> CUresult {
		auto stream = find_stream(context, handle);
		return stream ? f(stream) : CUDA_ERROR_INVALID_HANDLE;
	});
}

template <class F> CUresult of_event(const char *name, CUevent handle, F f) {
	return call<CONTEXT>(name, [&](CUctx_st &) -> CUresult {
		auto event = driver().events.find(handle);
		return event ? f(*event) : CUDA_ERROR_INVALID_HANDLE;
	});
}

// Where the event was last recorded.
CUresult ticket_of(CUevent_st &e, Ticket *ticket) {
	std::lock_guard lock(e.mutex);
	if (e.capture) return CUDA_ERROR_CAPTURED_EVENT;
	*ticket = e.ticket;
	return CUDA_SUCCESS;
}

CUresult record(const std::shared_ptr<CUstream_st> &stream, CUevent_st &event) {
	if (stream->capturing) return capture_record(*stream, event);
	auto time = std::make_shared<std::atomic<int64_t>>(0);
	Ticket ticket;
	CUresult r = submit(stream, std::make_shared<Other>([time] { *time = now_ns(); }), &ticket);
	if (r) return r;
	std::lock_guard lock(event.mutex);
	event.recorded = true;
	event.ticket = std::move(ticket);
	event.time = std::move(time);
	event.capture.reset();
	return CUDA_SUCCESS;
}

CUresult wait_event(const std::shared_ptr<CUstream_st> &stream, CUevent_st &event) {
	bool captured;
	Ticket ticket;
	{
		std::lock_guard lock(event.mutex);
		captured = event.capture != nullptr;
		ticket = event.ticket;
	}
	if (captured || stream->capturing) return capture_wait(stream, event);
	if (ticket.done()) return CUDA_SUCCESS;
	return submit(stream, std::make_shared<Empty>(), nullptr, {std::move(ticket)});
}

CUresult elapsed(CUevent a, CUevent b, float *ms) {
	auto from = driver().events.find(a), to = driver().events.find(b);
	if (!from || !to || (from->flags | to->flags) & CU_EVENT_DISABLE_TIMING) return CUDA_ERROR_INVALID_HANDLE;
	int64_t times[2];
	for (CUevent_st *e : {from.get(), to.get()}) {
		std::lock_guard lock(e->mutex);
		if (!e->recorded) return CUDA_ERROR_INVALID_HANDLE;
		if (!e->ticket.done()) return CUDA_ERROR_NOT_READY;
		times[e == to.get()] = *e->time;
		if (from == to) times[0] = *e->time;
	}
	*ms = (float)((double)(times[1] - times[0]) / 1e6);
	return CUDA_SUCCESS;
}

} // namespace
} // namespace cudasim

using namespace cudasim;

API(cuStreamCreate, CUstream *stream, unsigned flags) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) { return create_stream(context, stream, flags, 0); });
}
API(cuStreamCreateWithPriority, CUstream *stream, unsigned flags, int priority) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) { return create_stream(context, stream, flags, priority); });
}

API(cuStreamDestroy, CUstream handle) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) -> CUresult {
		auto stream = driver().streams.find(handle);
		if (!stream) return CUDA_ERROR_INVALID_HANDLE;
		if (CUresult r = check_capturing(*stream)) return r;
		driver().streams.remove(handle);
		stream->close(); // what is queued still runs
		return CUDA_SUCCESS;
	});
}

API(cuStreamSynchronize, CUstream handle) {
	return of_stream(__func__, handle, [&](const std::shared_ptr<CUstream_st> &stream) -> CUresult {
		if (CUresult r = check_capturing(*stream)) return r;
		if (stream->is_default) {
			Ticket t;
			if (CUresult r = submit(stream, std::make_shared<Empty>(), &t)) return r;
			t.wait();
		} else {
			stream->last().wait();
		}
		synchronized();
		return poison();
	});
}

API(cuStreamQuery, CUstream handle) {
	return of_stream(__func__, handle, [&](const std::shared_ptr<CUstream_st> &stream) -> CUresult {
		if (CUresult r = check_capturing(*stream)) return r;
		bool done = !stream->last().stream;
		if (CUresult r = poison()) return r;
		return done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
	});
}

API(cuStreamGetFlags, CUstream handle, unsigned *flags) {
	return of_stream(__func__, handle, [&](const std::shared_ptr<CUstream_st> &stream) {
		*flags = stream->flags;
		return CUDA_SUCCESS;
	});
}

API(cuStreamGetPriority, CUstream handle, int *priority) {
	return of_stream(__func__, handle, [&](const std::shared_ptr<CUstream_st> &stream) {
		*priority = stream->priority;
		return CUDA_SUCCESS;
	});
}

API(cuStreamGetCtx, CUstream handle, CUcontext *context) {
	return of_stream(__func__, handle, [&](const std::shared_ptr<CUstream_st> &stream) {
		*context = stream->context;
		return CUDA_SUCCESS;
	});
}

API(cuStreamWaitEvent, CUstream handle, CUevent event, unsigned) {
	return of_stream(__func__, handle, [&](const std::shared_ptr<CUstream_st> &stream) -> CUresult {
		auto e = driver().events.find(event);
		return e ? wait_event(stream, *e) : CUDA_ERROR_INVALID_HANDLE;
	});
}

API(cuLaunchHostFunc, CUstream handle, CUhostFn function, void *argument) {
	return of_stream(__func__, handle, [&](const std::shared_ptr<CUstream_st> &stream) {
		return function ? submit(stream, std::make_shared<HostCall>(function, argument)) : CUDA_ERROR_INVALID_VALUE;
	});
}

API(cuEventCreate, CUevent *event, unsigned flags) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) -> CUresult {
		if (!event || flags & ~7u) return CUDA_ERROR_INVALID_VALUE;
		*event = driver().events.add(std::make_shared<CUevent_st>(&context, flags));
		return CUDA_SUCCESS;
	});
}

API(cuEventDestroy, CUevent event) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) { return driver().events.remove(event) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE; });
}

API(cuEventRecord, CUevent event, CUstream handle) {
	return of_stream(__func__, handle, [&](const std::shared_ptr<CUstream_st> &stream) -> CUresult {
		auto e = driver().events.find(event);
		return e ? record(stream, *e) : CUDA_ERROR_INVALID_HANDLE;
	});
}

API(cuEventQuery, CUevent event) {
	return of_event(__func__, event, [&](CUevent_st &e) -> CUresult {
		Ticket t;
		if (CUresult r = ticket_of(e, &t)) return r;
		bool done = t.done();
		if (CUresult r = poison()) return r;
		return done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
	});
}

API(cuEventSynchronize, CUevent event) {
	return of_event(__func__, event, [&](CUevent_st &e) -> CUresult {
		Ticket t;
		if (CUresult r = ticket_of(e, &t)) return r;
		t.wait();
		synchronized();
		return poison();
	});
}

API(cuEventElapsedTime, float *ms, CUevent a, CUevent b) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) { return elapsed(a, b, ms); });
}
API(cuEventElapsedTime_v2, float *ms, CUevent a, CUevent b) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) { return elapsed(a, b, ms); });
}
