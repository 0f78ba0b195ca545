package proc

import (
	"sync/atomic"
	"time"
)

// Pulse shows whether a loop still turns. The loop calls Tick, the child's beats
// ask Alive. It costs a clock reading and an atomic store.
type Pulse struct {
	limit time.Duration
	start time.Time
	last  atomic.Int64 // of the last tick, nanoseconds since start; idle if none is due
}

// idle marks a loop that waits for something to do, for as long as it takes.
const idle = -1

// NewPulse returns the pulse of a loop that ticks at least once per limit while
// it has work. It starts idle.
func NewPulse(limit time.Duration) *Pulse {
	p := &Pulse{limit: limit, start: time.Now()}
	p.last.Store(idle)
	return p
}

// Tick says that the loop works and got on.
func (p *Pulse) Tick() { p.last.Store(int64(time.Since(p.start))) }

// Idle says that the loop waits and no tick is due.
func (p *Pulse) Idle() { p.last.Store(idle) }

// Alive reports whether the loop is idle or ticked within its limit.
func (p *Pulse) Alive() bool {
	last := p.last.Load()
	return last == idle || time.Since(p.start)-time.Duration(last) <= p.limit
}
