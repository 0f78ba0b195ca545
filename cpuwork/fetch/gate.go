package fetch

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"weft/cpuwork"
)

// patience is how long an item waits for its turn holding its place. One that
// has to wait longer is given back to the pool, which keeps it without a
// goroutine, and it returns early enough to wait for its very moment here.
const patience = time.Second

// queue lets requests through at a rate.
//
// It has two limiters. The plan says, before anything is waited for, when a
// request's turn is likely to come, and so whether it waits here or is given
// back. The bar is what counts: it is asked by one request at a time, which
// waits for it holding the bar. Were all to reserve their turns and then to
// wait, a process that stood still for a moment would let all whose turn had
// come through at once, beyond the burst; so, there are never more than the
// burst and one.
//
// Either limiter is asked with the time taken under its lock: a [rate.Limiter]
// that is asked out of order counts some time twice, and gives more than its
// rate.
type queue struct {
	mu   sync.Mutex // guards plan
	plan *rate.Limiter
	held chan struct{} // holds one element while somebody is at the bar
	bar  *rate.Limiter // asked by who is at the bar
}

func newQueue(perSecond float64, burst int) *queue {
	return &queue{
		plan: rate.NewLimiter(rate.Limit(perSecond), burst),
		held: make(chan struct{}, 1),
		bar:  rate.NewLimiter(rate.Limit(perSecond), burst),
	}
}

// turn is when a request that joins the queue is likely to be let through.
func (q *queue) turn() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	return now.Add(q.plan.ReserveN(now, 1).DelayFrom(now))
}

// pass waits in the queue: those that joined first go first.
func (q *queue) pass(ctx context.Context) *cpuwork.ItemError {
	if failed := acquire(ctx, q.held); failed != nil {
		return failed
	}
	defer func() { <-q.held }()
	now := time.Now()
	return sleep(ctx, q.bar.ReserveN(now, 1).DelayFrom(now))
}

// ticketKey is whose turn it is: an item that is redirected has turns with
// several hosts.
type ticketKey struct {
	item string
	host *host
}

// gate decides when requests are made.
type gate struct {
	all *queue // nil: no limit

	mu      sync.Mutex // guards what follows
	tickets map[ticketKey]time.Time
	pruned  time.Time
}

func newGate(p *params) *gate {
	g := &gate{tickets: map[ticketKey]time.Time{}}
	if p.Rate > 0 {
		g.all = newQueue(p.Rate, p.Burst)
	}
	return g
}

// pass waits until a request for an item may be made: until the host's pause
// is over, its breaker closed, and both queues let it through. The overall one
// is last, so that no turn of all is lost to the wait of one host.
func (g *gate) pass(ctx context.Context, h *host, item string) *cpuwork.ItemError {
	for {
		if failed := h.closed(); failed != nil {
			return failed
		}
		paused, failed := h.resting()
		if failed == nil {
			failed = wait(ctx, paused, "the host asked for a pause")
		}
		if failed == nil {
			failed = g.join(ctx, ticketKey{item, h})
		}
		if failed != nil {
			return failed
		}
		if paused, _ := h.resting(); !paused.After(time.Now()) {
			return nil
		}
		// The host asked for a pause meanwhile: the turn is lost.
	}
}

// join waits in the queues of the host and of all. Whose turn is far in either
// gets a ticket: it keeps its place, and does not begin anew when it returns.
func (g *gate) join(ctx context.Context, key ticketKey) *cpuwork.ItemError {
	queues := [...]*queue{key.host.queue, g.all}
	at, has := g.ticket(key)
	for _, q := range queues {
		if q != nil && !has {
			if turn := q.turn(); turn.After(at) {
				at = turn
			}
		}
	}
	if failed := later(at, "its turn comes later"); failed != nil {
		g.keep(key, at)
		return failed
	}
	if has {
		g.drop(key)
	}
	for _, q := range queues {
		if q != nil {
			if failed := q.pass(ctx); failed != nil {
				return failed
			}
		}
	}
	return nil
}

func (g *gate) ticket(key ticketKey) (time.Time, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, has := g.tickets[key]
	return at, has
}

func (g *gate) drop(key ticketKey) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.tickets, key)
}

func (g *gate) keep(key ticketKey, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tickets[key] = at
	// Items that were cancelled never return for theirs.
	if now := time.Now(); now.Sub(g.pruned) > time.Minute {
		g.pruned = now
		for key, at := range g.tickets {
			if at.Add(10 * time.Minute).Before(now) {
				delete(g.tickets, key)
			}
		}
	}
}

// later says when to come back for a moment that is too far to be waited for.
func later(at time.Time, why string) *cpuwork.ItemError {
	d := time.Until(at)
	if d <= patience {
		return nil
	}
	failed := retry(cpuwork.Failf(CodeWaiting, "a higher --rate", "%s, in %s", why, d.Round(time.Millisecond)))
	failed.After = d - patience/2
	return failed
}

// wait waits for a moment, or says when to come back.
func wait(ctx context.Context, at time.Time, why string) *cpuwork.ItemError {
	if failed := later(at, why); failed != nil {
		return failed
	}
	return sleep(ctx, time.Until(at))
}

// sleep waits, unless ctx ends before.
func sleep(ctx context.Context, d time.Duration) *cpuwork.ItemError {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return cpuwork.Failf(CodeCancelled, "", "cancelled")
	}
}

// acquire takes a slot, unless ctx ends before one is free.
func acquire(ctx context.Context, slots chan struct{}) *cpuwork.ItemError {
	select {
	case slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return cpuwork.Failf(CodeCancelled, "", "cancelled")
	}
}
