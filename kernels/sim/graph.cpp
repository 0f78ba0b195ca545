// Graphs and captures; graph.hpp.
#include "graph.hpp"
#include <algorithm>

using cudasim::Operation, cudasim::OperationPtr;

CUgraphNode CUgraph_st::add(OperationPtr operation, std::vector<CUgraphNode> after) {
	nodes.push_back(std::make_unique<CUgraphNode_st>(CUgraphNode_st{this, std::move(operation), std::move(after)}));
	return nodes.back().get();
}

CUgraphExec_st::CUgraphExec_st(CUgraph_st &graph) : context(graph.context) {
	auto list = std::make_shared<Operations>();
	for (auto &node : graph.nodes) {
		places[node.get()] = list->size();
		Shape s{node->operation->type, {}};
		for (CUgraphNode before : node->after) s.after.push_back(places.at(before));
		std::sort(s.after.begin(), s.after.end());
		shape.push_back(std::move(s));
		list->push_back(node->operation);
	}
	operations = std::move(list);
}

namespace cudasim {
namespace {

std::atomic<int> captures; // under way, so that nobody else takes the lock

// Ends the capture's hold on its streams; under capture_mutex().
void release_streams(Capture &c) {
	for (auto &[stream, frontier] : c.frontiers) {
		stream->capturing = false;
		stream->capture.reset();
	}
	c.frontiers.clear();
	captures--;
}

// All nodes are before the origin's frontier.
bool is_joined(const Capture &c) {
	std::set<CUgraphNode> seen;
	std::vector<CUgraphNode> open = c.frontiers.at(c.origin);
	while (!open.empty()) {
		CUgraphNode n = open.back();
		open.pop_back();
		if (seen.insert(n).second) open.insert(open.end(), n->after.begin(), n->after.end());
	}
	return seen.size() == c.graph->nodes.size();
}

// The captures that streams are the origins of.
std::vector<std::shared_ptr<Capture>> running_captures() {
	std::vector<std::shared_ptr<Capture>> found;
	std::lock_guard lock(driver().contexts_mutex);
	for (CUctx_st *context : driver().contexts)
		for (auto &s : driver().streams.of(context))
			if (s->capture && s->capture->origin == s.get()) found.push_back(s->capture);
	return found;
}

} // namespace

std::mutex &capture_mutex() {
	static std::mutex *m = new std::mutex;
	return *m;
}

CUresult begin_capture(CUstream_st &stream, CUstreamCaptureMode mode) {
	std::lock_guard lock(capture_mutex());
	if (stream.capture) return CUDA_ERROR_ILLEGAL_STATE;
	auto c = std::make_shared<Capture>();
	c->graph = std::make_shared<CUgraph_st>(stream.context);
	c->origin = &stream, c->mode = mode, c->thread = std::this_thread::get_id();
	c->frontiers[&stream];
	stream.capture = c;
	stream.capturing = true;
	captures++;
	return CUDA_SUCCESS;
}

CUresult end_capture(CUstream_st &stream, std::shared_ptr<CUgraph_st> *graph) {
	std::lock_guard lock(capture_mutex());
	std::shared_ptr<Capture> c = stream.capture;
	if (!c) return CUDA_ERROR_ILLEGAL_STATE;
	if (c->origin != &stream) return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
	if (c->mode != CU_STREAM_CAPTURE_MODE_RELAXED && c->thread != std::this_thread::get_id()) return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
	CUresult r = c->invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : is_joined(*c) ? CUDA_SUCCESS : CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
	release_streams(*c);
	*graph = c->graph;
	return r;
}

CUresult capture_node(CUstream_st &stream, OperationPtr operation) {
	std::lock_guard lock(capture_mutex());
	if (!stream.capture) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED; // ended by another thread meanwhile
	Capture &c = *stream.capture;
	if (c.invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
	auto &frontier = c.frontiers[&stream];
	frontier = {c.graph->add(std::move(operation), frontier)};
	return CUDA_SUCCESS;
}

bool captures_forbid_default(CUctx_st &context) {
	if (!captures) return false;
	std::lock_guard lock(capture_mutex());
	bool forbidden = false;
	for (auto &s : driver().streams.of(&context))
		if (s->capture && s->blocking()) forbidden = s->capture->invalid = true;
	return forbidden;
}

CUresult check_unsafe() {
	if (!captures) return CUDA_SUCCESS;
	std::lock_guard lock(capture_mutex());
	for (auto &c : running_captures()) {
		bool mine = c->thread == std::this_thread::get_id();
		if (c->mode == CU_STREAM_CAPTURE_MODE_RELAXED || (c->mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL && !mine)) continue;
		c->invalid = true;
		return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	}
	return CUDA_SUCCESS;
}

CUresult check_capturing(CUstream_st &stream) {
	if (!stream.capturing) return CUDA_SUCCESS;
	std::lock_guard lock(capture_mutex());
	if (stream.capture) stream.capture->invalid = true;
	return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

CUresult capture_record(CUstream_st &stream, CUevent_st &event) {
	std::lock_guard lock(capture_mutex());
	if (!stream.capture) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
	std::lock_guard event_lock(event.mutex);
	event.capture = stream.capture;
	event.frontier = stream.capture->frontiers[&stream];
	return CUDA_SUCCESS;
}

CUresult capture_wait(const std::shared_ptr<CUstream_st> &stream, CUevent_st &event) {
	std::lock_guard lock(capture_mutex());
	std::lock_guard event_lock(event.mutex);
	if (!event.capture) { // it was recorded outside of the capture that waits for it
		if (stream->capture) stream->capture->invalid = true;
		return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
	}
	if (stream->capture && stream->capture != event.capture) {
		stream->capture->invalid = event.capture->invalid = true;
		return CUDA_ERROR_STREAM_CAPTURE_MERGE;
	}
	if (!event.capture->frontiers.contains(event.capture->origin)) return CUDA_ERROR_CAPTURED_EVENT; // the capture has ended
	if (stream->is_default) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
	stream->capture = event.capture;
	stream->capturing = true;
	auto &frontier = event.capture->frontiers[stream.get()];
	for (CUgraphNode n : event.frontier)
		if (std::find(frontier.begin(), frontier.end(), n) == frontier.end()) frontier.push_back(n);
	return CUDA_SUCCESS;
}

} // namespace cudasim
