//go:build cuda

package cuda

// #include <cuda.h>
//
// // Drivers before 12.0 have the first form of cuGraphExecUpdate alone.
// static CUresult update(CUgraphExec x, CUgraph g, int second_form) {
// 	if (second_form) {
// 		CUgraphExecUpdateResultInfo info;
// 		return cuGraphExecUpdate_v2(x, g, &info);
// 	}
// 	CUgraphNode node;
// 	CUgraphExecUpdateResult result;
// 	return cuGraphExecUpdate(x, g, &node, &result);
// }
import "C"

import (
	"slices"
	"sync"

	"weft/gpu/cuda/shim"
)

// Graph is work that was recorded instead of run.
type Graph struct {
	handle  C.CUgraph
	context *Context
	calls   *hostCalls
}

// Exec is a graph made ready to run, again and again.
type Exec struct {
	handle  C.CUgraphExec
	context *Context
	calls   []*hostCalls // of every graph it was made of or updated from
}

// Capture records into a graph what f submits to the stream, and to streams that
// wait for events of it and are waited for in turn. Nothing of it runs. f must not
// synchronise, allocate memory (but with AllocAsync) or copy host memory other
// than [Host]'s. An error of f is returned as it is.
func (s *Stream) Capture(f func() error) (*Graph, error) {
	if !s.open() {
		return nil, closed("cuStreamBeginCapture")
	}
	if err := check("cuStreamBeginCapture", C.cuStreamBeginCapture(s.c(), C.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)); err != nil {
		return nil, err
	}
	s.capture = &hostCalls{}
	done := false
	defer func() {
		if !done { // f panicked, or ended the goroutine
			_, _ = s.endCapture(false) // that goes on
		}
	}()
	err := f()
	done = true
	g, ended := s.endCapture(err == nil)
	if err != nil {
		return nil, err
	}
	return g, ended
}

// endCapture ends the capture; without keep the graph is thrown away.
func (s *Stream) endCapture(keep bool) (*Graph, error) {
	g := &Graph{context: s.context, calls: s.capture}
	s.capture = nil
	g.calls.users.Store(1)
	err := check("cuStreamEndCapture", C.cuStreamEndCapture(s.c(), &g.handle))
	if err == nil && keep {
		s.context.live[graphs].Add(1)
		return g, nil
	}
	if g.handle != nil {
		C.cuGraphDestroy(g.handle) // there is an error to return already
	}
	g.calls.drop()
	return nil, err
}

// Close destroys the graph; what was instantiated of it stays. A second call
// does nothing.
func (g *Graph) Close() error {
	if g.handle == nil {
		return nil
	}
	err := g.context.release(graphs, func() error { return check("cuGraphDestroy", C.cuGraphDestroy(g.handle)) })
	if err == nil {
		g.handle = nil
		g.calls.drop()
	}
	return err
}

func (g *Graph) open() bool { return g.handle != nil && !g.context.over.Load() }

// Instantiate makes the graph ready to run; it takes microseconds for each of
// its nodes.
func (g *Graph) Instantiate() (*Exec, error) {
	if !g.open() {
		return nil, closed("cuGraphInstantiateWithFlags")
	}
	x := &Exec{context: g.context, calls: []*hostCalls{g.calls}}
	if err := check("cuGraphInstantiateWithFlags", C.cuGraphInstantiateWithFlags(&x.handle, g.handle, 0)); err != nil {
		return nil, err
	}
	g.calls.users.Add(1)
	g.context.live[graphs].Add(1)
	return x, nil
}

// secondForm says which form of cuGraphExecUpdate the driver has.
var secondForm = sync.OnceValue(func() C.int {
	if shim.Has("cuGraphExecUpdate_v2") {
		return 1
	}
	return 0
})

// Update gives later runs the parameters of g, a graph of the same nodes; it
// costs a fraction of Instantiate. ok is false when the graphs differ in more, and
// then x is as before. A run under way keeps its own.
func (x *Exec) Update(g *Graph) (ok bool, err error) {
	if !x.open() || !g.open() {
		return false, closed("cuGraphExecUpdate")
	}
	r := C.update(x.handle, g.handle, secondForm())
	if r == C.CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE {
		return false, nil
	}
	if err := check("cuGraphExecUpdate", r); err != nil {
		return false, err
	}
	if len(g.calls.handles) > 0 && !slices.Contains(x.calls, g.calls) {
		g.calls.users.Add(1)
		x.calls = append(x.calls, g.calls)
	}
	return true, nil
}

// Close destroys x, which must not be running; a second call does nothing.
func (x *Exec) Close() error {
	if x.handle == nil {
		return nil
	}
	err := x.context.release(graphs, func() error { return check("cuGraphExecDestroy", C.cuGraphExecDestroy(x.handle)) })
	if err != nil {
		return err
	}
	x.handle = nil
	for _, c := range x.calls {
		c.drop()
	}
	x.calls = nil
	return nil
}

func (x *Exec) open() bool { return x.handle != nil && !x.context.over.Load() }

// Run has the stream run x after the work submitted so far; two runs of one Exec
// follow each other, whatever their streams. It does not allocate.
func (s *Stream) Run(x *Exec) error {
	if !s.open() || !x.open() {
		return closed("cuGraphLaunch")
	}
	return check("cuGraphLaunch", C.cuGraphLaunch(x.handle, s.c()))
}

// Upload moves x to the device ahead of its first run, in the stream's order.
func (s *Stream) Upload(x *Exec) error {
	if !s.open() || !x.open() {
		return closed("cuGraphUpload")
	}
	return check("cuGraphUpload", C.cuGraphUpload(x.handle, s.c()))
}
