package daemon

import (
	"sort"
	"sync"
	"time"
)

// A watch notices loops that have stopped turning.
type watch struct {
	cfg   Config
	meter *meter
	done  chan struct{} // closed by stop
	once  sync.Once

	mu    sync.Mutex // guards loops
	loops map[string]*loop
}

type loop struct {
	last   time.Time
	silent bool
}

func newWatch(cfg Config, m *meter) *watch {
	return &watch{cfg: cfg, meter: m, done: make(chan struct{}), loops: map[string]*loop{}}
}

// Loop registers a loop; the loop calls what is returned every time it turns.
func (w *watch) Loop(name string) func() {
	l := &loop{last: time.Now()}
	w.mu.Lock()
	w.loops[name] = l
	w.mu.Unlock()
	return func() {
		w.mu.Lock()
		l.last = time.Now()
		w.mu.Unlock()
	}
}

// Silent returns the loops that have not turned for too long.
func (w *watch) Silent() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for n, l := range w.loops {
		if l.silent {
			names = append(names, n)
		}
	}
	sort.Strings(names)
	return names
}

func (w *watch) stop() { w.once.Do(func() { close(w.done) }) }

func (w *watch) run() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-w.done:
			return
		case now := <-tick.C:
			w.check(now)
		}
	}
}

func (w *watch) check(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, l := range w.loops {
		silent := now.Sub(l.last) > w.cfg.Watchdog
		if silent && !l.silent {
			w.meter.trips.WithLabelValues(name).Inc()
			w.cfg.Log.Error("loop is silent", "loop", name, "for", now.Sub(l.last))
		}
		l.silent = silent
	}
}
