package cpuwork

import (
	"math"
	"time"
)

// take waits for tasks and returns them in dst; none: there are no more, and the
// worker ends.
func (r *run) take(dst []*task) []*task {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.halted.Load() {
		seen := r.fresh.pushed()
		if dst = r.pick(dst[:0]); len(dst) > 0 {
			r.stir() // there may be more
			return dst
		}
		if r.drained() {
			break
		}
		r.hungry++
		r.setCall()
		if r.fresh.pushed() == seen { // otherwise feed may not have seen the call
			r.ready.Wait()
		}
		r.hungry--
	}
	return nil
}

// takeNow is take for workers that do not wait: they end when there is nothing
// for them, and others are started when there is.
func (r *run) takeNow(dst []*task, first bool) []*task {
	r.mu.Lock()
	defer r.mu.Unlock()
	if first {
		r.starting--
	}
	seen := r.fresh.pushed()
	if !r.halted.Load() {
		if dst = r.pick(dst[:0]); len(dst) > 0 {
			return dst
		}
	}
	r.working--
	r.setCall()
	if r.fresh.pushed() != seen { // feed may not have seen that one can be started again
		r.stir()
	}
	return nil
}

// waits returns how many tasks wait for a worker. The caller holds mu.
func (r *run) waits() int { return r.fresh.len() + r.again.Len() }

// drained reports whether no task will ever wait again. The caller holds mu.
func (r *run) drained() bool {
	return r.ended && r.inFlight == 0 && r.waits() == 0 && r.waiting.Len() == 0
}

// pickable reports whether a worker should take something now. The caller holds mu.
func (r *run) pickable() bool {
	if r.waits() == 0 {
		return false
	}
	return r.flush || r.ended || r.crowded || r.again.Len() > 0 || r.fresh.len() >= r.chunk
}

// stir sees to it that what can be taken is taken, and that feed knows when there
// will be more. The caller holds mu.
func (r *run) stir() {
	for {
		switch {
		case r.spawn != nil:
			for r.working < r.o.Workers && r.starting < r.waits() && !r.halted.Load() {
				r.working++
				r.starting++
				r.spawn()
			}
		case r.hungry > 0 && r.pickable():
			r.ready.Signal()
		}
		if r.setCall() {
			return
		}
	}
}

// setCall says when feed is to look after the workers again, and reports whether
// that is still to come. The caller holds mu.
func (r *run) setCall() bool {
	pushed, at := r.fresh.pushed(), int64(math.MaxInt64)
	switch {
	case r.spawn != nil:
		if r.working < r.o.Workers {
			at = pushed + 1
		}
	case r.hungry == 0: // they come by themselves
	case r.pickable(): // one has been woken; the next one is, for the next chunk
		at = pushed + int64(r.chunk)
	case r.fresh.head == pushed:
		at = pushed + 1 // with it, the time begins that a chunk may take to be full
	default:
		if !r.flushing {
			r.flushing = true
			r.flusher.Reset(chunkTime)
		}
		at = r.fresh.head + int64(r.chunk)
	}
	r.call.Store(at)
	return r.fresh.pushed() < at
}

// pick moves tasks into a worker's hands: those that came first, as many as make
// a chunk. The caller holds mu.
func (r *run) pick(dst []*task) []*task {
	if !r.pickable() {
		return dst
	}
	n := r.chunk
	if r.ended || r.crowded { // this is all there is: for everyone
		n = min(n, max(1, (r.waits()+r.o.Workers-1)/r.o.Workers))
	}
	var size int64
	for len(dst) < n {
		t, from := r.lowest()
		if t == nil || r.held(t) {
			break
		}
		size += t.size
		if size > chunkBytes && len(dst) >= r.batch || !r.reserve(t) {
			break
		}
		if from != nil {
			from.pop()
		} else {
			r.fresh.pop()
		}
		r.inFlight++
		dst = append(dst, t)
	}
	r.flush = r.flush && len(dst) == 0
	return dst
}

// lowest returns the first task in the input's order that waits for a worker,
// and the heap that it is in; nil: it is in fresh. The caller holds mu.
func (r *run) lowest() (*task, *taskHeap) {
	fresh, again := r.fresh.first(), r.again.first()
	if again != nil && (fresh == nil || again.index < fresh.index) {
		return again, &r.again
	}
	return fresh, nil
}

// held reports whether a task has to wait because too much output waits to be
// given away. One for which all other results wait never has to. The caller
// holds mu.
func (r *run) held(t *task) bool {
	return r.backlog > r.o.Memory && (r.ahead == nil || t.index != r.inTurn)
}

// reserve gets memory for a task that needs some. The caller holds mu.
func (r *run) reserve(t *task) bool {
	if t.filled || t.placed || t.size == 0 {
		return true
	}
	t.at, t.placed = r.mem.take(t.size)
	return t.placed
}

// flushNow is called when items have waited for a full chunk for long enough.
func (r *run) flushNow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flushing = false
	r.flush = r.waits() > 0
	r.stir()
}

// wakeWaiting is called when the first of the waiting tasks is due.
func (r *run) wakeWaiting() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for t := r.waiting.first(); t != nil && t.due <= now(); t = r.waiting.first() {
		r.again.push(r.waiting.pop())
	}
	r.setAlarm()
	r.stir()
}

// setAlarm arranges for wakeWaiting to be called. The caller holds mu.
func (r *run) setAlarm() {
	if t := r.waiting.first(); t != nil && !r.halted.Load() {
		r.alarm.Reset(t.due - now())
	}
}

// answer takes a worker's answers. Those that are to be tried again are.
func (r *run) answer(a *answers) {
	if len(a.tasks) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var took time.Duration
	timed, ended := 0, int64(0)
	freed := r.freed.Load()
	for _, t := range a.tasks {
		if t.took > 0 {
			took += t.took
			timed++
		}
		if t.err != nil && r.retry(t) {
			continue
		}
		ended++
		if t.fillIn == nil {
			freed += t.size
		}
		if t.placed {
			r.mem.give(t.at, t.size)
		}
		r.finish(t)
	}
	a.left.Add(ended)
	r.freed.Store(freed)
	r.inFlight -= len(a.tasks)
	r.done += int64(len(a.tasks))
	r.fruitless = 0
	r.learn(took, timed)
	r.answered()
}

// answered wakes those for whom something may have changed. The caller holds mu.
func (r *run) answered() {
	r.stir()
	if r.drained() {
		r.ready.Broadcast()
	}
	if r.results.len() > 0 {
		r.news.Signal()
	}
}

// retry arranges for a task whose attempt has failed to have another, and reports
// whether it has. The caller holds mu.
func (r *run) retry(t *task) bool {
	if !t.filled {
		return false
	}
	d := r.o.again(t)
	if d < 0 {
		return false
	}
	t.out, t.home, t.due = nil, nil, now()+d
	r.waiting.push(t)
	r.setAlarm()
	return true
}

// requeue takes back tasks that nothing was done with.
func (r *run) requeue(tasks []*task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range tasks {
		r.inFlight--
		r.again.push(t)
	}
	r.answered()
}

// finish puts a task that has ended where deliver finds it in its turn. The
// caller holds mu.
func (r *run) finish(t *task) {
	r.backlog += int64(len(t.out))
	if r.ahead == nil {
		r.results.push(t)
		return
	}
	mask := int64(len(r.ahead) - 1)
	r.ahead[t.index&mask] = t
	for {
		next := &r.ahead[r.inTurn&mask]
		if *next == nil {
			return
		}
		r.results.push(*next)
		*next = nil
		r.inTurn++
	}
}

// learn chooses the size of chunks: n items took so long. An item that takes
// longer than was thought is believed sooner than one that takes less, for a
// chunk that is too long makes its items wait. The caller holds mu.
func (r *run) learn(took time.Duration, n int) {
	if n > 0 {
		seen := max(took/time.Duration(n), 1)
		switch {
		case r.cost == 0:
			r.cost = seen
		case seen > r.cost:
			r.cost += (seen - r.cost) * 3 / 4
		default:
			r.cost -= (r.cost - seen) / 4
		}
	}
	switch {
	case r.o.Chunk > 0:
		r.chunk = r.o.Chunk
	case r.cost > 0:
		r.chunk = int(min(max(chunkTime/r.cost, 1), maxChunk))
	}
	if r.o.Chunk == 0 && r.batch > 1 {
		r.chunk = (r.chunk + r.batch - 1) / r.batch * r.batch
	}
}
