// Entry points: captures and graphs.
#include "graph.hpp"

namespace cudasim {
namespace {

// All of a graph as one operation of a stream.
class GraphLaunch final : public Operation {
	std::shared_ptr<const CUgraphExec_st::Operations> operations;
	std::map<size_t, Fault> faults; // of kernels, by place

public:
	GraphLaunch(std::shared_ptr<const CUgraphExec_st::Operations> operations, std::map<size_t, Fault> faults)
		: Operation(OTHER), operations(std::move(operations)), faults(std::move(faults)) {}
	void run(CUstream_st &stream) const override {
		for (size_t i = 0; i < operations->size(); i++) {
			auto fault = faults.find(i);
			if (fault == faults.end()) (*operations)[i]->run(stream);
			else static_cast<const Launch &>(*(*operations)[i]).run(stream, fault->second);
		}
	}
};

std::vector<CUgraphNode> list(const CUgraphNode *nodes, size_t n) { return n ? std::vector<CUgraphNode>(nodes, nodes + n) : std::vector<CUgraphNode>{}; }

// The operation in place of the exec's at the node; null launch: refused.
CUresult replace(CUgraphExec handle, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS &p) {
	auto exec = driver().execs.find(handle);
	if (!exec) return CUDA_ERROR_INVALID_HANDLE;
	CUresult r;
	auto launch = Launch::make(p, &r);
	if (!launch) return r;
	std::lock_guard lock(exec->mutex);
	auto place = exec->places.find(node);
	if (place == exec->places.end() || exec->shape[place->second].type != Operation::KERNEL) return CUDA_ERROR_INVALID_VALUE;
	auto next = std::make_shared<CUgraphExec_st::Operations>(*exec->operations);
	(*next)[place->second] = std::move(launch);
	exec->operations = std::move(next);
	return CUDA_SUCCESS;
}

CUresult update(CUgraphExec handle, CUgraph from, CUgraphExecUpdateResult *result, CUgraphNode *at) {
	auto exec = driver().execs.find(handle);
	auto graph = driver().graphs.find(from);
	*result = CU_GRAPH_EXEC_UPDATE_ERROR, *at = nullptr;
	if (!exec || !graph) return CUDA_ERROR_INVALID_HANDLE;
	CUgraphExec_st fresh(*graph);
	std::lock_guard lock(exec->mutex);
	*result = CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
	if (fresh.shape.size() != exec->shape.size()) return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
	for (size_t i = 0; i < fresh.shape.size(); i++) {
		*at = graph->nodes[i].get();
		*result = CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
		if (fresh.shape[i].after != exec->shape[i].after) return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
		*result = CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED;
		if (fresh.shape[i].type != exec->shape[i].type) return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
	}
	exec->operations = fresh.operations; // places stay those of the graph it was made of
	*result = CU_GRAPH_EXEC_UPDATE_SUCCESS, *at = nullptr;
	return CUDA_SUCCESS;
}

CUresult instantiate(CUgraphExec *exec, CUgraph handle) {
	auto graph = driver().graphs.find(handle);
	if (!graph) return CUDA_ERROR_INVALID_HANDLE;
	*exec = driver().execs.add(std::make_shared<CUgraphExec_st>(*graph));
	return CUDA_SUCCESS;
}

CUresult add_node(CUgraphNode *node, CUgraph handle, const CUgraphNode *after, size_t n, OperationPtr operation) {
	auto graph = driver().graphs.find(handle);
	if (!graph) return CUDA_ERROR_INVALID_HANDLE;
	for (size_t i = 0; i < n; i++)
		if (after[i]->graph != graph.get()) return CUDA_ERROR_INVALID_VALUE;
	*node = graph->add(std::move(operation), list(after, n));
	return CUDA_SUCCESS;
}

} // namespace
} // namespace cudasim

using namespace cudasim;

API(cuStreamBeginCapture, CUstream handle, CUstreamCaptureMode mode) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) -> CUresult {
		auto stream = find_stream(context, handle);
		if (!stream) return CUDA_ERROR_INVALID_HANDLE;
		if (stream->is_default) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
		return begin_capture(*stream, mode);
	});
}

API(cuStreamEndCapture, CUstream handle, CUgraph *graph) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) -> CUresult {
		*graph = nullptr;
		auto stream = find_stream(context, handle);
		if (!stream) return CUDA_ERROR_INVALID_HANDLE;
		std::shared_ptr<CUgraph_st> captured;
		CUresult r = end_capture(*stream, &captured);
		if (r == CUDA_SUCCESS) *graph = driver().graphs.add(std::move(captured));
		return r;
	});
}

API(cuStreamIsCapturing, CUstream handle, CUstreamCaptureStatus *status) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) -> CUresult {
		auto stream = find_stream(context, handle);
		if (!stream) return CUDA_ERROR_INVALID_HANDLE;
		std::lock_guard lock(capture_mutex());
		*status = !stream->capture ? CU_STREAM_CAPTURE_STATUS_NONE
			: stream->capture->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED : CU_STREAM_CAPTURE_STATUS_ACTIVE;
		return CUDA_SUCCESS;
	});
}

API(cuGraphCreate, CUgraph *graph, unsigned flags) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) -> CUresult {
		if (flags) return CUDA_ERROR_INVALID_VALUE;
		*graph = driver().graphs.add(std::make_shared<CUgraph_st>(&context));
		return CUDA_SUCCESS;
	});
}

API(cuGraphDestroy, CUgraph graph) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) { return driver().graphs.remove(graph) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE; });
}

API(cuGraphExecDestroy, CUgraphExec exec) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) { return driver().execs.remove(exec) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE; });
}

API(cuGraphAddEmptyNode, CUgraphNode *node, CUgraph graph, const CUgraphNode *after, size_t n) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) { return add_node(node, graph, after, n, std::make_shared<Empty>()); });
}

API(cuGraphAddHostNode, CUgraphNode *node, CUgraph graph, const CUgraphNode *after, size_t n, const CUDA_HOST_NODE_PARAMS *p) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) { return add_node(node, graph, after, n, std::make_shared<HostCall>(p->fn, p->userData)); });
}

API(cuGraphAddKernelNode, CUgraphNode *node, CUgraph graph, const CUgraphNode *after, size_t n, const CUDA_KERNEL_NODE_PARAMS *p) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) -> CUresult {
		CUresult r;
		auto launch = Launch::make(*p, &r);
		return launch ? add_node(node, graph, after, n, std::move(launch)) : r;
	});
}

API(cuGraphKernelNodeSetParams, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS *p) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) -> CUresult {
		CUresult r;
		if (node->operation->type != Operation::KERNEL) return CUDA_ERROR_INVALID_VALUE;
		auto launch = Launch::make(*p, &r);
		if (launch) node->operation = std::move(launch);
		return r;
	});
}

API(cuGraphKernelNodeGetParams, CUgraphNode node, CUDA_KERNEL_NODE_PARAMS *p) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) -> CUresult {
		if (node->operation->type != Operation::KERNEL) return CUDA_ERROR_INVALID_VALUE;
		*p = static_cast<const Launch &>(*node->operation).params();
		return CUDA_SUCCESS;
	});
}

API(cuGraphGetNodes, CUgraph handle, CUgraphNode *nodes, size_t *n) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) -> CUresult {
		auto graph = driver().graphs.find(handle);
		if (!graph) return CUDA_ERROR_INVALID_HANDLE;
		if (!nodes) *n = graph->nodes.size();
		for (size_t i = 0; nodes && i < *n; i++) nodes[i] = i < graph->nodes.size() ? graph->nodes[i].get() : nullptr;
		return CUDA_SUCCESS;
	});
}

API(cuGraphInstantiateWithFlags, CUgraphExec *exec, CUgraph graph, unsigned long long) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) { return instantiate(exec, graph); });
}
API(cuGraphInstantiate_v2, CUgraphExec *exec, CUgraph graph, CUgraphNode *, char *, size_t) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) { return instantiate(exec, graph); });
}

API(cuGraphExecKernelNodeSetParams, CUgraphExec exec, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS *p) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) { return replace(exec, node, *p); });
}

API(cuGraphExecUpdate, CUgraphExec exec, CUgraph graph, CUgraphNode *at, CUgraphExecUpdateResult *result) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) { return update(exec, graph, result, at); });
}
API(cuGraphExecUpdate_v2, CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo *info) {
	return call<CONTEXT>(__func__, [&](CUctx_st &) {
		info->errorFromNode = nullptr;
		return update(exec, graph, &info->result, &info->errorNode);
	});
}

// Drivers since 12.0 take two more fields here, behind those of the first version; both mean "as the function".
API(cuGraphAddKernelNode_v2, CUgraphNode *node, CUgraph graph, const CUgraphNode *after, size_t n, const CUDA_KERNEL_NODE_PARAMS *p) {
	return cuGraphAddKernelNode(node, graph, after, n, p);
}
API(cuGraphKernelNodeSetParams_v2, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS *p) { return cuGraphKernelNodeSetParams(node, p); }
API(cuGraphExecKernelNodeSetParams_v2, CUgraphExec exec, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS *p) {
	return cuGraphExecKernelNodeSetParams(exec, node, p);
}

API(cuGraphUpload, CUgraphExec exec, CUstream stream) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) {
		return driver().execs.find(exec) && find_stream(context, stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
	});
}

API(cuGraphLaunch, CUgraphExec handle, CUstream stream_handle) {
	return call<CONTEXT>(__func__, [&](CUctx_st &context) -> CUresult {
		auto exec = driver().execs.find(handle);
		auto stream = find_stream(context, stream_handle);
		if (!exec || !stream) return CUDA_ERROR_INVALID_HANDLE;
		if (CUresult r = check_capturing(*stream)) return r; // a graph in a graph: not here
		std::lock_guard lock(exec->mutex);
		std::map<size_t, Fault> faults;
		for (size_t i = 0; faults_ordered() && i < exec->shape.size(); i++) {
			if (exec->shape[i].type != Operation::KERNEL) continue;
			Fault f = count_kernel();
			if (f.refuse) return refuse(f);
			if (f.any()) faults[i] = f;
		}
		std::vector<Ticket> after;
		if (exec->last.stream && exec->last.stream != stream) after.push_back(exec->last);
		return submit(stream, std::make_shared<GraphLaunch>(exec->operations, std::move(faults)), &exec->last, std::move(after));
	});
}
