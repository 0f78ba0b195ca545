//go:build cuda

package lane

import (
	"errors"
	"fmt"
	"time"

	"weft/gpu/cuda"
)

// gridLaunches is how many phases a graph has room for. A job idles for what
// is left of a graph when its next section would not fit, half a section in
// the mean: with 15 phases a step, 3 % of the launches.
const gridLaunches = 256

// maxGraphs bounds the launches that lie ahead of the device in one quantum.
const maxGraphs = 64

// gridGraph is a quantum's launches of a phase each, captured once and launched
// as often as fits into the quantum's time.
type gridGraph struct {
	exec     *cuda.Exec
	stale    bool // the table has moved
	blocks   int  // that the launches have
	launches int
	times    int           // that it was launched in the last quantum
	took     time.Duration // of one of those; 0: not known
}

func (g *gridGraph) close() error {
	if g.exec == nil {
		return nil
	}
	err := g.exec.Close()
	*g = gridGraph{}
	return err
}

// runGraph launches the graph as often as its last duration says that fits
// into budget. Launches beyond a job's end cost a few microseconds each.
func (l *Lane) runGraph(budget time.Duration) error {
	g := &l.graph
	launches := gridLaunches
	for _, j := range l.gang {
		for _, phases := range j.program.Phases {
			launches = max(launches, 2*(phases+2))
		}
	}
	if g.exec == nil || g.stale || g.blocks != l.blocks || g.launches < launches {
		if err := l.capture(launches); err != nil {
			return err
		}
	}
	times := 1
	if g.took > 0 {
		times = min(max(int(budget/g.took), 1), maxGraphs)
	}
	g.times = times
	for range times {
		if err := l.stream.Run(g.exec); err != nil {
			return err
		}
	}
	return nil
}

// capture records the launches, and puts them in the place of the graph that
// is there if the driver can do that, which costs less than a new one.
func (l *Lane) capture(launches int) error {
	graph, err := l.stream.Capture(func() error {
		for i := range launches {
			if err := l.send(uint32(launches - 1 - i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("capture quantum: %w", err)
	}
	err = l.graph.take(graph, launches)
	if err = errors.Join(err, graph.Close()); err != nil {
		return fmt.Errorf("make graph of quantum: %w", err)
	}
	l.graph.blocks, l.graph.launches, l.graph.stale, l.graph.took = l.blocks, launches, false, 0
	return nil
}

// take makes graph the one that is launched.
func (g *gridGraph) take(graph *cuda.Graph, launches int) error {
	if g.exec != nil && g.launches == launches {
		ok, err := g.exec.Update(graph)
		if err != nil || ok {
			return err
		}
	}
	exec, err := graph.Instantiate()
	if err != nil {
		return err
	}
	if g.exec != nil {
		err = g.exec.Close()
	}
	g.exec = exec
	return err
}
