// Streams: queues of operations, each with a thread that runs them in order.
#pragma once
#include "faults.hpp"
#include <atomic>
#include <condition_variable>
#include <cuda.h>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace cudasim {

// Something to do in a stream or a node of a graph. Immutable once submitted.
class Operation {
public:
	enum Type { KERNEL, COPY, SET, HOST, EMPTY, OTHER };
	const Type type;
	explicit Operation(Type type) : type(type) {}
	virtual ~Operation() = default;
	virtual void run(CUstream_st &stream) const = 0;
	Operation(const Operation &) = delete;
	Operation &operator=(const Operation &) = delete;
};
using OperationPtr = std::shared_ptr<const Operation>;

class Capture;

// A place in a stream: the work up to the seq-th operation.
struct Ticket {
	std::shared_ptr<CUstream_st> stream; // null: nothing to wait for
	uint64_t seq = 0;
	bool done() const;
	void wait() const;
};

} // namespace cudasim

struct CUstream_st : std::enable_shared_from_this<CUstream_st> {
	using Ticket = cudasim::Ticket;

	CUctx_st *const context;
	const unsigned flags;
	const int priority;
	const bool is_default;
	std::shared_ptr<cudasim::Capture> capture; // guarded by capture's own lock, see graph.hpp
	std::atomic<bool> capturing{false};        // whether there is one

	CUstream_st(CUctx_st *context, unsigned flags, int priority, bool is_default)
		: context(context), flags(flags), priority(priority), is_default(is_default) {}

	bool blocking() const { return !(flags & CU_STREAM_NON_BLOCKING); } // ordered with the default stream

	// Queues the operation behind `after`.
	Ticket submit(cudasim::OperationPtr operation, std::vector<Ticket> after = {});
	// All that was submitted so far.
	Ticket last();
	bool done(uint64_t seq);
	void wait(uint64_t seq);
	// No more submissions; the thread ends once it has run what there is.
	void close();

private:
	struct Item { cudasim::OperationPtr operation; std::vector<Ticket> after; };
	std::mutex mutex; // of all that follows but the atomics
	std::condition_variable work, progress;
	std::vector<Item> queue;
	uint64_t submitted = 0;
	bool closed = false, has_thread = false, idle = false; // idle: the thread waits for work
	std::shared_ptr<CUstream_st> self; // keeps it for its thread
	std::atomic<uint64_t> completed{0}; // written by the thread alone
	std::atomic<int> waiting{0};        // threads in wait()

	void serve();
	void run(Item &item);
};

namespace cudasim {

// Whether the calling thread runs a host function of a stream.
bool in_host_function();

// Runs the operations one after the other as one.
class Copy final : public Operation {
	void *to;
	const void *from;
	size_t bytes;
	std::unique_ptr<char[]> staged; // the source's bytes, if it was pageable
	bool host_to, host_from;        // pageable: not the driver's to check

public:
	Copy(void *to, bool host_to, const void *from, bool host_from, size_t bytes, bool stage);
	void run(CUstream_st &) const override;
};

class Set final : public Operation {
	void *to;
	uint32_t value;
	unsigned width; // bytes of a value: 1, 2, 4
	size_t count;

public:
	Set(void *to, uint32_t value, unsigned width, size_t count) : Operation(SET), to(to), value(value), width(width), count(count) {}
	void run(CUstream_st &) const override;
};

class HostCall final : public Operation {
public:
	const CUhostFn function;
	void *const argument;
	HostCall(CUhostFn function, void *argument) : Operation(HOST), function(function), argument(argument) {}
	void run(CUstream_st &) const override;
};

class Empty final : public Operation {
public:
	Empty() : Operation(EMPTY) {}
	void run(CUstream_st &) const override {}
};

class Other final : public Operation {
	std::function<void()> body;

public:
	explicit Other(std::function<void()> body) : Operation(OTHER), body(std::move(body)) {}
	void run(CUstream_st &) const override { body(); }
};

} // namespace cudasim
