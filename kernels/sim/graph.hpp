// Graphs, built by stream capture or node by node, and their executable form.
#pragma once
#include "launch.hpp"
#include <thread>

struct CUgraphNode_st {
	CUgraph_st *graph;
	cudasim::OperationPtr operation;
	std::vector<CUgraphNode> after;
};

struct CUgraph_st {
	CUctx_st *context;
	std::vector<std::unique_ptr<CUgraphNode_st>> nodes; // each behind those it depends on
	explicit CUgraph_st(CUctx_st *context) : context(context) {}
	CUgraphNode add(cudasim::OperationPtr operation, std::vector<CUgraphNode> after);
};

struct CUgraphExec_st {
	using Operations = std::vector<cudasim::OperationPtr>;
	struct Shape { cudasim::Operation::Type type; std::vector<size_t> after; }; // of a node

	CUctx_st *context;
	std::mutex mutex; // of all that follows
	std::shared_ptr<const Operations> operations; // replaced, never changed: launches hold it
	std::vector<Shape> shape;
	std::unordered_map<CUgraphNode, size_t> places; // of the graph's nodes
	cudasim::Ticket last; // launch: the next one waits for it
	explicit CUgraphExec_st(CUgraph_st &graph);
};

namespace cudasim {

// A capture under way, in one stream or in several that joined by events. All
// of it is guarded by capture_mutex().
class Capture {
public:
	std::shared_ptr<CUgraph_st> graph;
	CUstream_st *origin;
	CUstreamCaptureMode mode;
	std::thread::id thread;
	bool invalid = false;
	std::map<CUstream_st *, std::vector<CUgraphNode>> frontiers; // of each stream: what its next node depends on
};
std::mutex &capture_mutex();

CUresult begin_capture(CUstream_st &stream, CUstreamCaptureMode mode);
// graph: what was captured, if that is valid.
CUresult end_capture(CUstream_st &stream, std::shared_ptr<CUgraph_st> *graph);

// Adds the operation to what the stream captures.
CUresult capture_node(CUstream_st &stream, OperationPtr operation);

// For the default stream, which would wait for streams that capture: whether one does.
bool captures_forbid_default(CUctx_st &context);

// For calls that a capture does not allow (allocations, synchronization): makes
// the capture invalid and says no.
CUresult check_unsafe();

// For calls about this stream that a capture does not allow.
CUresult check_capturing(CUstream_st &stream);

// An event is recorded in a stream that captures / a stream waits for it.
CUresult capture_record(CUstream_st &stream, CUevent_st &event);
CUresult capture_wait(const std::shared_ptr<CUstream_st> &stream, CUevent_st &event);

} // namespace cudasim
