package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"weft/cpuwork"
	"weft/cpuwork/batch"
)

// The test binary is weft: as a worker it is the process that runs jobs, or one
// slot of a pool, and knows a kind more.
func TestMain(m *testing.M) {
	kinds["test"] = kind{parse: parseTest, works: []cpuwork.Work{testWork}}
	if len(os.Args) > 2 && os.Args[1] == "worker" {
		if err := WorkerMain(context.Background(), os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if path := os.Getenv(lifeVar); path != "" {
		if err := live(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// testTask is a job of so many items, each of which spins for a while. Fault is
// what happens at item 2: panic, disk, item, block (until told to leave).
type testTask struct {
	Items int    `json:"items"`
	Spin  int64  `json:"spin_ms,omitempty"`
	Fault string `json:"fault,omitempty"`
	Close string `json:"close,omitempty"` // written at the end: to be found by the test
}

func parseTest(js json.RawMessage) (task, error) {
	var t testTask
	if err := Strict(js, &t); err != nil {
		return task{}, err
	}
	return task{spec: t, name: "test", open: func() (batch.Load, error) { return &testLoad{t}, nil },
		pool: cpuwork.Goroutine, workers: 1, retries: 2, perItem: 1 << 20}, nil
}

var testWork = cpuwork.Work{Name: "test", New: func([]byte) (cpuwork.Func, error) {
	return func(ctx context.Context, in, out []byte) ([]byte, error) {
		var spin time.Duration
		if _, err := fmt.Sscan(string(in), &spin); err != nil {
			return out, err
		}
		if spin < 0 {
			<-ctx.Done()
			return out, ctx.Err()
		}
		for begin := processorTime(); processorTime()-begin < spin && ctx.Err() == nil; { //nolint:revive // it is to cost
		}
		return out, ctx.Err()
	}, nil
}}

type testLoad struct{ testTask }

func (l *testLoad) Work() (cpuwork.Work, []byte) { return testWork, nil }
func (l *testLoad) Count() int64                 { return int64(l.testTask.Items) }

func (l *testLoad) Items(context.Context) iter.Seq2[batch.Item, error] {
	return func(yield func(batch.Item, error) bool) {
		for i := range l.testTask.Items {
			spin := time.Duration(l.Spin) * time.Millisecond
			if i == 2 && l.Fault == "block" {
				spin = -1
			}
			if !yield(batch.Item{Name: fmt.Sprint(i), Item: cpuwork.Item{Data: fmt.Append(nil, int64(spin))}}, nil) {
				return
			}
		}
	}
}

func (l *testLoad) Answer(item batch.Named, r cpuwork.Result) (batch.Line, error) {
	line := batch.Line{Item: item.Name, OK: r.Err == nil, Seconds: r.Took.Seconds(), Attempts: r.Attempts}
	if item.Index == 2 {
		switch l.Fault {
		case "panic":
			panic("item 2")
		case "disk":
			return line, fmt.Errorf("write picture: %w", unix.ENOSPC)
		case "item":
			line.OK, line.Error = false, cpuwork.Failf("odd", "", "it is odd")
		}
	}
	return line, nil
}

func (l *testLoad) Finish(context.Context, *batch.Summary) error { return nil }

func (l *testLoad) Close() error {
	if l.testTask.Close == "" {
		return nil
	}
	return os.WriteFile(l.testTask.Close, nil, 0o600)
}

// A rig is a Runner and what it tells.
type rig struct {
	t      *testing.T
	r      *Runner
	events chan Event
	kept   []Event // seen by until, of other jobs
}

// limit is how long a test waits for what must happen.
const limit = 30 * time.Second

func newRig(t *testing.T) *rig {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{t: t, events: make(chan Event, 1<<14)}
	g.r, err = Open(t.Context(), Config{Program: program, OnEvent: func(e Event) { g.events <- e },
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := g.r.Close(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("close: %v", err)
		}
	})
	g.until("up", func(e Event) bool { _, ok := e.(Up); return ok })
	return g
}

func (g *rig) start(id int64, dir, kind, spec string) {
	g.t.Helper()
	plan, err := Parse(kind, []byte(spec))
	if err != nil {
		g.t.Fatal(err)
	}
	if err := g.r.Start(Job{ID: id, Kind: kind, Spec: plan.Spec, Dir: dir}); err != nil {
		g.t.Fatal(err)
	}
}

// until returns the first event that is wanted, among those not asked for before.
func (g *rig) until(what string, want func(Event) bool) Event {
	g.t.Helper()
	for i, e := range g.kept {
		if want(e) {
			g.kept = append(g.kept[:i], g.kept[i+1:]...)
			return e
		}
	}
	timeout := time.After(limit)
	for {
		select {
		case e := <-g.events:
			if want(e) {
				return e
			}
			g.kept = append(g.kept, e)
		case <-timeout:
			g.t.Fatalf("no %s; there were %d events, the first %+v", what, len(g.kept), g.kept[:min(len(g.kept), 5)])
		}
	}
}

// end waits for the last event of a job.
func (g *rig) end(id int64) Event {
	g.t.Helper()
	return g.until(fmt.Sprintf("end of job %d", id), func(e Event) bool {
		switch e := e.(type) {
		case Stopped:
			return e.Job == id
		case Finished:
			return e.Job == id
		case Failed:
			return e.Job == id
		}
		return false
	})
}

// done waits until so many of a job's items have ended.
func (g *rig) done(id, count int64) {
	g.t.Helper()
	g.until("progress", func(e Event) bool {
		p, ok := e.(Progressed)
		for _, j := range p.Jobs {
			if ok && j.ID == id && j.Done >= count {
				return true
			}
		}
		return false
	})
}

func linesOf(t *testing.T, dir string) []Line {
	t.Helper()
	f, err := os.Open(dir + "/" + ResultsFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []Line
	for d := json.NewDecoder(f); d.More(); {
		var one Line
		if err := d.Decode(&one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}
