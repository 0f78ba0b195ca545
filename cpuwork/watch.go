package cpuwork

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// watched is what is known of a worker process.
type watched struct {
	l     *life
	word  uint64 // its state
	since time.Time
}

// How often worker processes are looked at, and how much longer than the timeout
// one may take to end an attempt by itself.
const (
	watchPeriod = 50 * time.Millisecond
	minPeriod   = 5 * time.Millisecond
	minGrace    = 50 * time.Millisecond
)

// watch ends processes whose item takes too long or that grow too much, until ctx
// ends.
func (p *processes) watch(ctx context.Context, r *run) {
	period := watchPeriod
	if p.o.Timeout > 0 {
		period = min(period, max(p.o.Timeout/8, minPeriod))
	}
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	seen := make([]watched, len(p.workers))
	for {
		select {
		case <-ctx.Done():
			return
		case at := <-ticker.C:
			for i, w := range p.workers {
				w.look(&seen[i], at)
			}
		}
	}
}

// look looks at one worker.
func (w *worker) look(seen *watched, at time.Time) {
	w.mu.Lock()
	l := w.life
	w.mu.Unlock()
	if l == nil {
		*seen = watched{}
		return
	}
	word := state(w.p.states.Bytes(), w.line).Load()
	if l != seen.l || word != seen.word {
		*seen = watched{l, word, at}
	}
	o := &w.p.o
	if limit := o.Timeout; limit > 0 && heldOf(word).count > 0 {
		// The process ends a batch that takes too long by itself, to do its items
		// one by one: that is one attempt for each.
		attempts := time.Duration(1 + heldOf(word).count)
		if heldOf(word).count == 1 {
			attempts = 1
		}
		if at.Sub(seen.since) > attempts*limit+max(limit/4, minGrace) {
			l.kill(timeoutError(limit), word)
			return
		}
	}
	if o.RecycleBytes > 0 {
		l.weigh(o.RecycleBytes, word)
	}
}

// weigh looks at the process's own memory.
func (l *life) weigh(limit int64, word uint64) {
	used := ownMemory(l.sup.Status().PID)
	switch {
	case used > 2*limit && heldOf(word).count > 0:
		l.kill(fmt.Errorf("it had grown to %d bytes, where %d are allowed", used, limit), word)
	case used > limit:
		l.w.mu.Lock()
		l.recycle = true
		l.w.changed.Signal()
		l.w.mu.Unlock()
	}
}

// ownMemory returns the bytes that a process has resident and does not share; 0 if
// it is gone.
func ownMemory(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 3 {
		return 0
	}
	resident, err1 := strconv.ParseInt(fields[1], 10, 64)
	shared, err2 := strconv.ParseInt(fields[2], 10, 64)
	if err1 != nil || err2 != nil {
		return 0
	}
	return (resident - shared) * int64(os.Getpagesize())
}
