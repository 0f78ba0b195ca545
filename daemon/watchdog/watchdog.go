package watchdog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultLimit is how long a loop may go without a tick.
const DefaultLimit = 30 * time.Second

// coarsest is the longest time between two looks at the loops.
const coarsest = time.Second

// Config says how patient to be, and where to put the evidence.
type Config struct {
	Limit  time.Duration // without a tick; DefaultLimit if 0
	Dir    string        // made when needed
	Log    *slog.Logger  // nil: nobody is told
	OnTrip func(Report)  // called by the checking goroutine, which waits for it; may be nil

	// NoTrace leaves the flight recorder off, which else costs one or two per
	// cent of the CPU and up to traceBytes of memory all the time.
	NoTrace bool
}

// Report is one episode: a loop that stopped, as seen when its limit had passed.
type Report struct {
	At     time.Time
	Loop   string
	Age    time.Duration // since its last tick
	Stacks string        // file with the stacks of all goroutines; "" if it could not be written
	Trace  string        // file for go tool trace; "" if there is none
}

// Watchdog watches loops while Run runs.
type Watchdog struct {
	cfg    Config
	period time.Duration // between looks

	// clock is the time by which loops are judged, in nanoseconds since New. It
	// advances by one period a look at most, so it stands still while the whole
	// process does: stopped, starved, or asleep with the machine.
	clock atomic.Int64
	trips atomic.Int64

	mu     sync.Mutex // guards the fields below and Loop.tripped
	loops  []*Loop
	looked time.Time // the last look; zero while Run does not run
}

// New returns a watchdog that sleeps until Run.
func New(cfg Config) *Watchdog {
	if cfg.Limit <= 0 {
		cfg.Limit = DefaultLimit
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.OnTrip == nil {
		cfg.OnTrip = func(Report) {}
	}
	return &Watchdog{cfg: cfg, period: min(max(cfg.Limit/8, time.Millisecond), coarsest)}
}

// Loop registers a loop that ticks at least once per Config.Limit while it has
// work. It starts idle. Several loops may have the same name.
func (w *Watchdog) Loop(name string) *Loop { return w.LoopWithin(name, w.cfg.Limit) }

// LoopWithin is Loop with a limit of its own, which is rounded up to the time
// between two looks: an eighth of Config.Limit, a second at most.
func (w *Watchdog) LoopWithin(name string, limit time.Duration) *Loop {
	l := &Loop{dog: w, name: name, limit: limit}
	l.Idle()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loops = append(w.loops, l)
	return l
}

func (w *Watchdog) remove(l *Loop) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loops = slices.DeleteFunc(w.loops, func(other *Loop) bool { return other == l })
}

// Trips returns the number of episodes so far.
func (w *Watchdog) Trips() int64 { return w.trips.Load() }

// Run watches until ctx ends. It is called once.
func (w *Watchdog) Run(ctx context.Context) {
	recorder := w.startRecorder()
	defer recorder.stop()
	w.setLooked(time.Now())
	defer w.setLooked(time.Time{})
	ticker := time.NewTicker(w.period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if stopped := w.look(time.Now()); len(stopped) > 0 {
			w.trip(recorder, stopped)
		}
		w.setLooked(time.Now()) // writing the evidence took its time
	}
}

func (w *Watchdog) setLooked(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looked = t
}

// look advances the clock and returns the reports of the episodes that begin.
func (w *Watchdog) look(now time.Time) []Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	gap := now.Sub(w.looked)
	if gap > w.cfg.Limit {
		w.cfg.Log.Warn("the whole process did not run", "for", gap)
	}
	clock := w.clock.Add(int64(min(gap, w.period)))
	var begun []Report
	for _, l := range w.loops {
		age := l.age(clock)
		late := age > l.limit
		switch {
		case late && !l.tripped:
			begun = append(begun, Report{At: now, Loop: l.name, Age: age})
		case !late && l.tripped:
			w.cfg.Log.Info("loop goes on", "loop", l.name)
		}
		l.tripped = late
	}
	return begun
}

// trip keeps the evidence, once for all loops that stopped together, and tells.
func (w *Watchdog) trip(recorder *recorder, reports []Report) {
	w.trips.Add(int64(len(reports)))
	first := reports[0]
	stacks := w.save(first.At, stackFiles, func(f io.Writer) error { return writeStacks(f, reports) })
	trace := ""
	if recorder.running() {
		trace = w.save(first.At, traceFiles, recorder.write)
	}
	for _, r := range reports {
		r.Stacks, r.Trace = stacks, trace
		w.cfg.Log.Error("loop does not turn", "loop", r.Loop, "age", r.Age, "stacks", r.Stacks, "trace", r.Trace)
		w.cfg.OnTrip(r)
	}
}

// A LoopAge is how long a loop has owed a tick: 0 for one that owes none.
type LoopAge struct {
	Name string
	Age  time.Duration
}

// Loops lists the loops under watch, by the clock of the last look.
func (w *Watchdog) Loops() []LoopAge {
	w.mu.Lock()
	defer w.mu.Unlock()
	clock := w.clock.Load()
	ages := make([]LoopAge, len(w.loops))
	for i, l := range w.loops {
		ages[i] = LoopAge{l.name, l.age(clock)}
	}
	return ages
}

// Healthy returns nil while every loop turns, and an error that names those that
// do not until they do.
func (w *Watchdog) Healthy() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.looked.IsZero() {
		return nil
	}
	if gap := time.Since(w.looked); gap > w.cfg.Limit {
		return fmt.Errorf("the watchdog itself has not looked for %v", gap.Round(time.Second))
	}
	clock := w.clock.Load()
	var late []string
	for _, l := range w.loops {
		if age := l.age(clock); age > l.limit {
			late = append(late, fmt.Sprintf("loop %s has not ticked for %v", l.name, age.Round(time.Millisecond)))
		}
	}
	if len(late) == 0 {
		return nil
	}
	return fmt.Errorf("%s; the stacks of all goroutines are in %s", strings.Join(late, ", "), w.cfg.Dir)
}
