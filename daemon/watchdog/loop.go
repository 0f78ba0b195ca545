package watchdog

import (
	"sync/atomic"
	"time"
)

// idle is the tick of a loop that owes none.
const idle = -1

// Loop is one loop under watch. Tick and Idle cost two atomic operations and no
// clock reading, so that a loop can afford them every time round. The methods
// may be called from any goroutine.
type Loop struct {
	dog   *Watchdog
	name  string
	limit time.Duration
	last  atomic.Int64 // the dog's clock at the last tick, or idle

	tripped bool // an episode is on; guarded by dog.mu
}

// Tick says that the loop got on. The next tick is due within the limit, unless
// Idle or Done comes first.
func (l *Loop) Tick() { l.last.Store(l.dog.clock.Load()) }

// Idle says that the loop waits for something that may never come.
func (l *Loop) Idle() { l.last.Store(idle) }

// Done says that the loop has ended. It is not watched any more.
func (l *Loop) Done() { l.dog.remove(l) }

// age returns for how long a tick has been owed at the clock's time now; 0 if
// none is.
func (l *Loop) age(now int64) time.Duration {
	last := l.last.Load()
	if last == idle {
		return 0
	}
	return time.Duration(now - last)
}
