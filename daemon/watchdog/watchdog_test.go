package watchdog

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kennel is a watchdog in a bubble of fake time, and what it told.
type kennel struct {
	*Watchdog
	dir string

	mu   sync.Mutex // guards the fields below
	text bytes.Buffer
	list []Report
}

func (k *kennel) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.text.Write(p)
}

func (k *kennel) onTrip(r Report) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = append(k.list, r)
}

func (k *kennel) log() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.text.String()
}

func (k *kennel) reports() []Report {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.list)
}

// bubble runs test in fake time with a watchdog that runs. The flight recorder
// is outside every bubble, so it is off.
func bubble(t *testing.T, limit time.Duration, test func(t *testing.T, k *kennel)) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "made", "when", "needed")
	bubbleIn(t, dir, limit, test)
}

func bubbleIn(t *testing.T, dir string, limit time.Duration, test func(t *testing.T, k *kennel)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := &kennel{dir: dir}
		k.Watchdog = New(Config{Limit: limit, Dir: dir, NoTrace: true,
			Log: slog.New(slog.NewTextHandler(k, nil)), OnTrip: k.onTrip})
		ctx, cancel := context.WithCancel(t.Context())
		go k.Run(ctx)
		synctest.Wait()
		test(t, k)
		cancel()
	})
}

// pass lets fake time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// files returns the names in the directory that begin so.
func (k *kennel) files(t *testing.T, prefix string) []string {
	t.Helper()
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestTrip(t *testing.T) {
	bubble(t, 30*time.Second, func(t *testing.T, k *kennel) {
		loop := k.Loop("scheduler")
		loop.Tick()
		pass(29 * time.Second)
		if err := k.Healthy(); err != nil || len(k.reports()) != 0 {
			t.Fatalf("tripped after 29 s: %v", err)
		}
		pass(3 * time.Second)
		want := "loop scheduler has not ticked for 32s; the stacks of all goroutines are in " + k.dir
		if err := k.Healthy(); err == nil || err.Error() != want {
			t.Errorf("healthy: %v, want %q", err, want)
		}
		if len(k.reports()) != 1 || k.Trips() != 1 {
			t.Fatalf("%d reports, %d trips", len(k.reports()), k.Trips())
		}
		r := k.reports()[0]
		if r.Loop != "scheduler" || r.Age < 30*time.Second || r.Age > 32*time.Second || r.Trace != "" {
			t.Errorf("report is %+v", r)
		}
		text, err := os.ReadFile(r.Stacks)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"loop scheduler had not ticked for 31s at 2000-01-01T", "goroutine ", "TestTrip"} {
			if !strings.Contains(string(text), part) {
				t.Errorf("%q is not in the stacks", part)
			}
		}
		if !strings.Contains(k.log(), "stacks="+r.Stacks) {
			t.Errorf("the log does not say where the stacks are: %s", k.log())
		}

		pass(time.Hour) // one episode, however long
		if len(k.reports()) != 1 {
			t.Errorf("%d reports of one episode", len(k.reports()))
		}
		loop.Tick()
		if err := k.Healthy(); err != nil {
			t.Errorf("after a tick: %v", err)
		}
		pass(2 * time.Second)
		if !strings.Contains(k.log(), `msg="loop goes on" loop=scheduler`) {
			t.Errorf("the log does not say that the loop goes on: %s", k.log())
		}
		pass(time.Minute) // and the next episode
		if len(k.reports()) != 2 || k.Trips() != 2 || len(k.files(t, "stacks-")) != 2 {
			t.Errorf("%d reports, %d trips", len(k.reports()), k.Trips())
		}
	})
}

// TestQuiet has the ways to go without a tick that are nobody's fault.
func TestQuiet(t *testing.T) {
	for name, use := range map[string]func(l *Loop){
		"never ticked": func(*Loop) {},
		"idle":         func(l *Loop) { l.Tick(); l.Idle() },
		"done":         func(l *Loop) { l.Tick(); l.Done() },
		"idle while late": func(l *Loop) {
			l.Tick()
			pass(29 * time.Second)
			l.Idle()
		},
		"ticking": func(l *Loop) {
			for range 100 {
				l.Tick()
				pass(20 * time.Second)
			}
			l.Idle()
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 30*time.Second, func(t *testing.T, k *kennel) {
				use(k.Loop("http"))
				pass(time.Hour)
				if err := k.Healthy(); err != nil || k.Trips() != 0 {
					t.Errorf("%d trips, %v", k.Trips(), err)
				}
			})
		})
	}
}

// TestSeveral: loops that stop together share the evidence, each with its report;
// one that is removed while it hangs is forgotten.
func TestSeveral(t *testing.T) {
	bubble(t, 10*time.Second, func(t *testing.T, k *kennel) {
		a, b, patient := k.Loop("a"), k.Loop("b"), k.LoopWithin("patient", time.Minute)
		a.Tick()
		b.Tick()
		patient.Tick()
		pass(20 * time.Second)
		if len(k.reports()) != 2 || k.reports()[0].Stacks != k.reports()[1].Stacks || len(k.files(t, "stacks-")) != 1 {
			t.Fatalf("reports are %+v", k.reports())
		}
		if err := k.Healthy(); err == nil || !strings.Contains(err.Error(), "loop a has not ticked for 20s, loop b has") {
			t.Errorf("healthy: %v", err)
		}
		a.Done()
		b.Done()
		if err := k.Healthy(); err != nil {
			t.Errorf("after their end: %v", err)
		}
		pass(time.Minute)
		if len(k.reports()) != 3 || k.reports()[2].Loop != "patient" {
			t.Errorf("reports are %+v", k.reports())
		}
	})
}

// TestKeep: the newest ten files of each kind stay, and nothing else is touched.
func TestKeep(t *testing.T) {
	bubble(t, 10*time.Second, func(t *testing.T, k *kennel) {
		if err := os.MkdirAll(k.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"stacks.db", "trace-old.txt"} {
			if err := os.WriteFile(filepath.Join(k.dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		loop := k.Loop("loop")
		for range 15 {
			loop.Tick()
			pass(20 * time.Second)
		}
		if len(k.reports()) != 15 {
			t.Fatalf("%d reports", len(k.reports()))
		}
		var want []string
		for _, r := range k.reports()[5:] {
			want = append(want, filepath.Base(r.Stacks))
		}
		if got := k.files(t, "stacks-"); !slices.Equal(got, want) {
			t.Errorf("kept are %v, want %v", got, want)
		}
		if len(k.files(t, "")) != 12 {
			t.Errorf("in the directory are %v", k.files(t, ""))
		}
	})
}

// TestDirectoryFails: that the evidence cannot be written hides nothing else.
func TestDirectoryFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bubbleIn(t, dir, 10*time.Second, func(t *testing.T, k *kennel) {
		k.Loop("loop").Tick()
		pass(20 * time.Second)
		if len(k.reports()) != 1 || k.reports()[0].Stacks != "" || k.Healthy() == nil {
			t.Errorf("reports are %+v", k.reports())
		}
		if !strings.Contains(k.log(), `msg="evidence is lost" err="make directory: `) {
			t.Errorf("the log says %s", k.log())
		}
	})
}

// TestWriteFileLeavesNothing: a file that could not be written whole is not there.
func TestWriteFileLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	err := writeFile(filepath.Join(dir, "x"), func(io.Writer) error { return os.ErrInvalid })
	entries, _ := os.ReadDir(dir)
	if err == nil || len(entries) != 0 {
		t.Errorf("error %v, and %d files are left", err, len(entries))
	}
}

// TestProcessAsleep: when the process as a whole did not run, no loop is blamed.
func TestProcessAsleep(t *testing.T) {
	log := new(bytes.Buffer)
	w := New(Config{Limit: 30 * time.Second, Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(log, nil))})
	start := time.Now()
	w.setLooked(start)
	l := w.Loop("loop")
	l.Tick()
	if begun := w.look(start.Add(8 * time.Hour)); len(begun) != 0 {
		t.Errorf("blamed: %+v", begun)
	}
	if !strings.Contains(log.String(), `msg="the whole process did not run" for=8h0m0s`) {
		t.Errorf("the log says %s", log)
	}
}

// TestWatchdogItselfHangs: who does not look cannot say that all is well.
func TestWatchdogItselfHangs(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		w := New(Config{Limit: 10 * time.Second, Dir: dir, NoTrace: true, OnTrip: func(Report) { <-free }})
		ctx, cancel := context.WithCancel(t.Context())
		go w.Run(ctx)
		loop := w.Loop("loop")
		synctest.Wait()
		loop.Tick()
		pass(15 * time.Second)
		loop.Idle()
		pass(15 * time.Second)
		if err := w.Healthy(); err == nil || !strings.HasPrefix(err.Error(), "the watchdog itself has not looked for ") {
			t.Errorf("healthy: %v", err)
		}
		close(free)
		pass(2 * time.Second)
		if err := w.Healthy(); err != nil {
			t.Errorf("healthy afterwards: %v", err)
		}
		cancel()
		synctest.Wait()
		if err := w.Healthy(); err != nil {
			t.Errorf("healthy when nothing is watched: %v", err)
		}
	})
}

// TestTrace uses real time, since the flight recorder does: a loop that hangs
// leaves a trace; a second watchdog has to do without.
func TestTrace(t *testing.T) {
	reports := make(chan Report, 10)
	watch := func(log *slog.Logger) (*Loop, func()) {
		w := New(Config{Limit: 20 * time.Millisecond, Dir: t.TempDir(), Log: log, OnTrip: func(r Report) { reports <- r }})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { w.Run(ctx); close(ended) }()
		return w.Loop("loop"), func() { cancel(); <-ended }
	}
	loop, stop := watch(nil)
	defer stop()
	loop.Tick()
	r := <-reports
	data, err := os.ReadFile(r.Trace)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(data, []byte("go 1.")) || !bytes.Contains(data[:32], []byte(" trace\x00")) {
		t.Errorf("this is not a trace: %q", data[:min(32, len(data))])
	}
	loop.Idle()

	var log bytes.Buffer
	second, stopSecond := watch(slog.New(slog.NewTextHandler(&log, nil)))
	second.Tick()
	r = <-reports
	stopSecond()
	if r.Trace != "" || r.Stacks == "" || !strings.Contains(log.String(), `msg="watchdog works without traces"`) {
		t.Errorf("report is %+v, log %s", r, log.String())
	}
}

func BenchmarkTick(b *testing.B) {
	l := New(Config{Dir: b.TempDir()}).Loop("loop")
	b.ReportAllocs()
	for b.Loop() {
		l.Tick()
	}
}
