package jobs

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"weft/cpuwork"
	"weft/cpuwork/batch"
)

func TestJobEnds(t *testing.T) {
	g := newRig(t)
	dir := t.TempDir()
	closed := filepath.Join(dir, "closed")
	g.start(7, dir, "test", fmt.Sprintf(`{"task": {"items": 5, "fault": "item", "close": %q}}`, closed))
	if e := g.until("start", func(e Event) bool { s, ok := e.(Started); return ok && s.Job == 7 }); e.(Started).Done != 0 {
		t.Errorf("started with %+v", e)
	}
	f, ok := g.end(7).(Finished)
	if !ok || f.Summary.Items != 5 || f.Summary.Failed != 1 || f.Progress.Done != 5 || f.Progress.Failed != 1 ||
		f.Progress.Items != 5 || len(f.Summary.FirstFailed) != 1 || f.Summary.FirstFailed[0].Item != "2" {
		t.Errorf("finished %+v", f)
	}
	if _, err := os.Stat(closed); err != nil {
		t.Error("the load was not closed")
	}
	if len(linesOf(t, dir)) != 5 {
		t.Error("not all results are written")
	}
	if err := g.r.Stop(7); err != nil { // it has gone
		t.Error(err)
	}
}

// A job that is asked to leave does, in its midst, and goes on there; a fresh start
// begins again.
func TestJobStopsAndGoesOn(t *testing.T) {
	g := newRig(t)
	dir := t.TempDir()
	const blocks, goesOn = `{"task": {"items": 5, "fault": "block"}}`, `{"task": {"items": 5}}`
	g.start(1, dir, "test", blocks)
	g.done(1, 1)
	if err := g.r.Stop(1); err != nil {
		t.Fatal(err)
	}
	s, ok := g.end(1).(Stopped)
	done := int64(len(linesOf(t, dir)))
	if !ok || s.Progress.Done != done || done < 1 || done > 2 {
		t.Fatalf("it left with %+v and %d results", s, done)
	}
	g.start(1, dir, "test", goesOn)
	started := g.until("start", func(e Event) bool { s, ok := e.(Started); return ok && s.Done > 0 })
	if started.(Started).Done != done {
		t.Errorf("it goes on with %+v", started)
	}
	if f, ok := g.end(1).(Finished); !ok || f.Summary.Items != 5 || f.Summary.Resumed != done {
		t.Errorf("it ended with %+v", f)
	}
	plan, err := Parse("test", []byte(`{"task": {"items": 3}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.r.Start(Job{ID: 1, Kind: "test", Spec: plan.Spec, Dir: dir, Fresh: true}); err != nil {
		t.Fatal(err)
	}
	if f, ok := g.end(1).(Finished); !ok || f.Summary.Items != 3 || f.Summary.Resumed != 0 {
		t.Errorf("afresh it ended with %+v", f)
	}
	if n := len(linesOf(t, dir)); n != 3 {
		t.Errorf("%d results of 3", n)
	}
}

// What goes wrong with a job as a whole is that job's fault, and only its.
func TestJobFails(t *testing.T) {
	g := newRig(t)
	g.start(1, t.TempDir(), "test", `{"task": {"items": 5, "fault": "block"}}`)
	g.done(1, 1)
	for fault, want := range map[string]Fault{
		"panic": {Code: "internal", Message: "item 2"}, "disk": {Code: "disk", Message: "no space left on device", Hint: "make room"},
	} {
		g.start(2, t.TempDir(), "test", fmt.Sprintf(`{"task": {"items": 5, "fault": %q}}`, fault))
		f, ok := g.end(2).(Failed)
		if !ok || f.Fault.Code != want.Code || !strings.Contains(f.Fault.Message, want.Message) || !strings.Contains(f.Fault.Hint, want.Hint) {
			t.Errorf("%s: %+v", fault, f)
		}
	}
	// One whose directory cannot be written to, and one that no weft understands.
	plan, err := Parse("test", []byte(`{"task": {"items": 1}}`))
	if err != nil {
		t.Fatal(err)
	}
	for i, job := range []Job{{Kind: "test", Spec: plan.Spec, Dir: "/proc/none"}, {Kind: "later", Spec: plan.Spec, Dir: t.TempDir()}} {
		job.ID = int64(10 + i)
		if err := g.r.Start(job); err != nil {
			t.Fatal(err)
		}
		if f, ok := g.end(job.ID).(Failed); !ok || f.Fault.Message == "" {
			t.Errorf("%+v ended with %+v", job, f)
		}
	}
	if status := g.r.Status(); status.Restarts != 0 {
		t.Errorf("the process was started %d times again", status.Restarts)
	}
	if err := g.r.Stop(1); err != nil {
		t.Fatal(err)
	}
	if _, ok := g.end(1).(Stopped); !ok {
		t.Error("the other job did not go on")
	}
}

// When the process dies its jobs are named, a start is refused until it is there
// again, and every job goes on from its journal.
func TestProcessDies(t *testing.T) {
	g := newRig(t)
	dirs := map[int64]string{3: t.TempDir(), 1: t.TempDir()}
	for id, dir := range dirs {
		g.start(id, dir, "test", `{"task": {"items": 4, "fault": "block"}}`)
	}
	for id := range dirs {
		g.done(id, 1)
	}
	if err := syscall.Kill(g.r.Status().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	down := g.until("down", func(e Event) bool { _, ok := e.(Down); return ok }).(Down)
	if !slices.Equal(down.Lost, []int64{1, 3}) || !down.Killed || !strings.Contains(down.Evidence, "SIGKILL") {
		t.Errorf("down: %+v", down)
	}
	up := g.until("up", func(e Event) bool { _, ok := e.(Up); return ok }).(Up)
	if up.Restarts != 1 || up.PID == 0 {
		t.Errorf("up: %+v", up)
	}
	for id, dir := range dirs {
		g.start(id, dir, "test", `{"task": {"items": 4}}`)
		if f, ok := g.end(id).(Finished); !ok || f.Summary.Items != 4 || f.Summary.Resumed < 1 || f.Summary.Resumed > 2 {
			t.Errorf("job %d ended with %+v", id, f)
		}
	}
	g.start(1, t.TempDir(), "test", `{"task": {"items": 4, "fault": "block"}}`)
	g.r.Restart("it does not answer")
	down = g.until("down", func(e Event) bool { _, ok := e.(Down); return ok }).(Down)
	if down.Killed || !slices.Equal(down.Lost, []int64{1}) {
		t.Errorf("restarted by us: %+v", down)
	}
}

func TestCloseDrains(t *testing.T) {
	g := newRig(t)
	dir := t.TempDir()
	g.start(1, dir, "test", `{"task": {"items": 4, "fault": "block"}}`)
	g.done(1, 1)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := g.r.Close(ctx); err != nil {
		t.Fatal(err)
	}
	s, ok := g.end(1).(Stopped)
	if !ok || s.Progress.Done != int64(len(linesOf(t, dir))) {
		t.Errorf("it left with %+v and %d results", s, len(linesOf(t, dir)))
	}
	if err := g.r.Start(Job{ID: 2}); !errors.Is(err, ErrDown) {
		t.Errorf("a start afterwards: %v", err)
	}
}

// Processor time is shared out among the jobs that run, and adds up to what the
// process took.
func TestProcessorTimeAddsUp(t *testing.T) {
	w := &worker{runs: map[int64]*run{1: {worked: 3e9}, 2: {worked: 1e9}, 3: {}}}
	for range 2 { // the second time nobody has worked: evenly
		before := w.used
		w.shareLocked()
		var sum float64
		for _, r := range w.runs {
			sum += r.now.CPUSeconds
		}
		if got := w.used.Seconds(); math.Abs(sum-got) > 1e-6 || got < before.Seconds() {
			t.Errorf("%v s are shared of %v", sum, got)
		}
	}
	if a, b := w.runs[1].now, w.runs[2].now; a.CPUSeconds <= b.CPUSeconds || b.CPUSeconds <= w.runs[3].now.CPUSeconds {
		t.Errorf("shares %+v %+v", a, b)
	}
	g := newRig(t)
	// Two at once: one in worker processes of its own.
	g.start(1, t.TempDir(), "test", `{"task": {"items": 20, "spin_ms": 10}}`)
	g.start(2, t.TempDir(), "test", `{"pool": "process", "task": {"items": 20, "spin_ms": 10}}`)
	for id := int64(1); id <= 2; id++ {
		f, ok := g.end(id).(Finished)
		if !ok || f.Progress.CPUSeconds < 0.05 {
			t.Errorf("job %d: %+v", id, f.Progress)
		}
	}
}

// A number that is not prime fails in the pool's way of speaking, and counts as
// done for everybody else.
func TestNotPrimeIsNoFailure(t *testing.T) {
	g := newRig(t)
	dir := t.TempDir()
	g.start(1, dir, "primes", `{"pool": "sequential", "task": {"numbers": ["4", "6", "nine", "7", "8"], "first": true}}`)
	f, ok := g.end(1).(Finished)
	if !ok || f.Progress.Failed != 1 || f.Summary.Kind["first_prime"] != "7" {
		t.Errorf("it ended with %+v", f)
	}
	failed := 0
	for _, line := range linesOf(t, dir) {
		if ItemFailed("primes", &line) {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d lines are about failures", failed)
	}
	if !ItemFailed("sha256", &Line{}) || ItemFailed("primes", &Line{OK: true}) {
		t.Error("ItemFailed")
	}
}

// While a job runs, its progress does not count answers as failures either, also
// not those of an earlier life.
func TestAnswersAreNoFailuresOnTheWay(t *testing.T) {
	l := &watched{Load: &testLoad{testTask{Items: 3, Fault: "item"}}, answers: "odd", on: func(time.Duration) {}}
	for i := range 3 {
		if _, err := l.Answer(batch.Named{Index: int64(i), Name: "x"}, cpuwork.Result{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Resume(batch.Line{Error: cpuwork.Failf("odd", "", "it is odd")}); err != nil || l.passed.Load() != 2 {
		t.Errorf("%d answers (%v)", l.passed.Load(), err)
	}
}

// Items are counted beside the work, where only listing them tells how many there
// are; and a name that JSON cannot write is kept.
func TestItemsAreCountedAndNamed(t *testing.T) {
	in := t.TempDir()
	for _, name := range []string{"a", "b", "c", "\xff"} {
		if err := os.WriteFile(filepath.Join(in, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{"sha256", "jpeg"} {
		plan, err := Parse(kind, fmt.Appendf(nil, `{"task": {"files": {"dir": %q, "paths": ["."], "recursive": true}}}`, in))
		if err != nil {
			t.Fatal(err)
		}
		if n := listed(t.Context(), plan.task.list); n != 4 {
			t.Errorf("%s: %d items", kind, n)
		}
		g := newRig(t)
		dir := t.TempDir()
		g.start(1, dir, kind, string(plan.Spec))
		if _, ok := g.end(1).(Finished); !ok {
			t.Errorf("%s does not finish", kind)
		}
		named := 0
		for _, line := range linesOf(t, dir) {
			text, _ := line.Output[NameBase64].(string)
			if name, err := base64.StdEncoding.DecodeString(text); err == nil && strings.HasSuffix(string(name), "/\xff") {
				named++
			}
		}
		if named != 1 {
			t.Errorf("%s: %d lines have the name: %+v", kind, named, linesOf(t, dir))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	plan, err := Parse("sha256", fmt.Appendf(nil, `{"task": {"files": {"dir": %q, "paths": ["."], "recursive": true}}}`, in))
	if err != nil || listed(ctx, plan.task.list) != -1 {
		t.Errorf("counting goes on after its end (%v)", err)
	}
}
