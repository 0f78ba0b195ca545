package fetch

import (
	"errors"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"weft/cpuwork"
)

// A host is what is known of one server: its limits, whether it asked for a
// pause, and whether it works at all.
type host struct {
	slots   chan struct{}                              // one for each request in flight
	queue   *queue                                     // nil: no limit
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}] // nil: none
	table   *hosts

	refs int       // guarded by table.mu: requests that hold it
	used time.Time // guarded by table.mu: when the last let go

	mu      sync.Mutex // guards what follows; never held while the breaker is called
	paused  time.Time  // nobody asks before
	strikes int        // pauses in a row without a success in between
	opened  time.Time  // until then the breaker is open
	why     string     // the last failure
	code    string     // of the last answer that asked for a pause
}

// Pauses of a host that says it is overloaded, but not for how long.
const (
	firstPause = 500 * time.Millisecond // doubles with each
	lastPause  = 30 * time.Second
	// maxStrikes is after how many pauses in a row a host is given up: from then
	// on its items fail while it pauses, and only those that come between two
	// pauses ask whether it has changed its mind.
	maxStrikes = 10
)

// errFailed is what the breaker is told of a request that its host failed.
var errFailed, errNobody = errors.New("failed"), errors.New("nobody's fault")

// hosts are the servers that are known. Those that have been idle are
// forgotten, so that a list of many hosts does not fill memory.
type hosts struct {
	p     *params
	idle  time.Duration // after which nothing that is known of a host matters
	mu    sync.Mutex    // guards what follows
	known map[string]*host
	sweep int // how many there may be before the idle are looked for
}

const fewHosts = 4096

func newHosts(p *params) *hosts {
	idle := max(time.Minute, 2*seconds(p.BreakSeconds))
	if p.HostRate > 0 {
		idle = max(idle, seconds(float64(p.HostBurst)/p.HostRate))
	}
	return &hosts{p: p, idle: idle, known: map[string]*host{}, sweep: fewHosts}
}

// hold returns the host of a name, which is known until it is let go.
func (t *hosts) hold(name string) *host {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.known[name]
	if h == nil {
		if len(t.known) >= t.sweep {
			t.forget(time.Now())
			t.sweep = max(fewHosts, 2*len(t.known))
		}
		h = t.make()
		t.known[name] = h
	}
	h.refs++
	return h
}

// forget drops hosts that are idle. It is called with mu held.
func (t *hosts) forget(now time.Time) {
	for name, h := range t.known {
		h.mu.Lock()
		paused := h.paused.After(now)
		h.mu.Unlock()
		if h.refs == 0 && !paused && now.Sub(h.used) > t.idle {
			delete(t.known, name)
		}
	}
}

func (h *host) letGo() {
	h.table.mu.Lock()
	defer h.table.mu.Unlock()
	h.refs--
	if h.refs == 0 {
		h.used = time.Now()
	}
}

func (t *hosts) make() *host {
	h := &host{table: t, slots: make(chan struct{}, t.p.HostConcurrency)}
	if t.p.HostRate > 0 {
		h.queue = newQueue(t.p.HostRate, t.p.HostBurst)
	}
	if t.p.BreakAfter < 0 {
		return h
	}
	timeout := seconds(t.p.BreakSeconds)
	h.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:     timeout,
		MaxRequests: 1,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(t.p.BreakAfter) },
		IsExcluded:  func(err error) bool { return errors.Is(err, errNobody) },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				h.mu.Lock()
				h.opened = time.Now().Add(timeout)
				h.mu.Unlock()
			}
		},
	})
	return h
}

// resting is until when nobody asks the host, or why nobody will.
func (h *host) resting() (time.Time, *cpuwork.ItemError) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.strikes >= maxStrikes && h.paused.After(time.Now()) {
		return h.paused, cpuwork.Failf(h.code, "a lower --rate or --host-rate, and a later time",
			"the host is given up: it asked for %d pauses in a row and answered nothing in between", h.strikes)
	}
	return h.paused, nil
}

// allow begins a request as the breaker sees it: what it returns is called with
// the request's end.
func (h *host) allow() (ended func(*cpuwork.ItemError), failed *cpuwork.ItemError) {
	if h.breaker == nil {
		return h.note, nil
	}
	done, err := h.breaker.Allow()
	if err != nil {
		return nil, h.open()
	}
	return func(failed *cpuwork.ItemError) {
		h.note(failed)
		switch blameFor(failed) {
		case blameHost:
			done(errFailed)
		case blameURL:
			done(nil)
		case blameNobody:
			done(errNobody)
		}
	}, nil
}

// closed is the error of an open breaker, before anything was done.
func (h *host) closed() *cpuwork.ItemError {
	if h.breaker == nil || h.breaker.State() != gobreaker.StateOpen {
		return nil
	}
	return h.open()
}

func (h *host) open() *cpuwork.ItemError {
	h.mu.Lock()
	defer h.mu.Unlock()
	failed := retry(cpuwork.Failf(CodeCircuitOpen, "a later time, when the host works again",
		"the host is left alone for a while, it failed %d times in a row; last: %s", h.table.p.BreakAfter, h.why))
	// A moment later than the breaker: its first request decides for the others.
	failed.After = max(0, time.Until(h.opened)) + 100*time.Millisecond
	return failed
}

// note takes in how a request ended: pauses of the host and why it fails.
func (h *host) note(failed *cpuwork.ItemError) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if failed == nil {
		h.strikes = 0
		return
	}
	if blameFor(failed) == blameHost {
		h.why = failed.Message
	}
	if failed.Code != "status_429" && failed.Code != "status_503" || !failed.Retry {
		return
	}
	pause := failed.After
	if pause == 0 {
		pause = min(lastPause, firstPause<<min(h.strikes, maxStrikes))
		failed.After = pause
	}
	if now := time.Now(); !h.paused.After(now) {
		h.strikes++ // those in flight together are one strike
	}
	h.code = failed.Code
	if until := time.Now().Add(pause); until.After(h.paused) {
		h.paused = until
	}
}
