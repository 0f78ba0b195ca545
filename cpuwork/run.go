package cpuwork

import (
	"context"
	"fmt"
	"iter"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of a run, beside Options.Memory.
const (
	maxChunk   = 512     // items handed over together
	chunkBytes = 1 << 20 // of items handed over together, unless they make a batch
	chunkTime  = time.Millisecond
	minWindow  = 4096 // items admitted and not yet given to each, at most
	tellAtOnce = 64   // results given to each before room is made for new items
)

// run is one call of a pool's Run. These goroutines take part:
//
//   - the caller's, in deliver: it gives results away, and ends the run.
//   - feed: takes items from the input as long as there is room. It ends with the
//     input, or at the first item after the run has stopped.
//   - the workers, which the kind starts: take tasks, and tell answers. They end
//     when take says that there is nothing any more: that is the drain.
//
// An item waits in fresh, is in the hands of a worker, waits in waiting for its
// next attempt, then in again for a worker, and is at last in results.
//
// The lock is taken once for many items. feed does without it as long as there is
// room and no worker waits: it owns one end of fresh, and call tells it when it
// has to look after the workers.
type run struct {
	o      *Options
	ctx    context.Context // of Funcs; ends when the run stops
	cancel context.CancelCauseFunc
	begin  time.Duration
	batch  int    // items that a worker does at once
	staged bool   // Data is copied into the region, too
	spawn  func() // starts a worker, for kinds that start them as needed; called with mu held
	onStop func() // wakes who does not wait here; called without mu
	group  sync.WaitGroup

	// Of feed, until the input has ended.
	admitted int64   // items taken from the input
	taken    int64   // bytes of Data in them
	blank    []*task // for items to come

	// Written with mu held, and read without.
	halted atomic.Bool
	told   atomic.Int64 // items given to each
	freed  atomic.Int64 // bytes of Data of items that have ended
	call   atomic.Int64 // feed is to look after the workers when it has queued so many items

	mu    sync.Mutex // guards the fields below; the last to be taken
	room  sync.Cond  // feed waits for it
	ready sync.Cond  // workers wait for it
	news  sync.Cond  // deliver waits for it
	mem   *region
	cause error // why it halted

	fresh    taskRing // feed pushes without mu
	again    taskHeap // by index: tasks that may be tried again now
	waiting  taskHeap // by due
	alarm    *time.Timer
	inFlight int   // in the hands of workers
	backlog  int64 // bytes of outputs in results and ahead
	ended    bool  // the input
	inputErr error // what it ended with
	crowded  bool  // feed waits
	flush    bool  // a chunk need not be full
	flushing bool  // flusher is set
	flusher  *time.Timer
	hungry   int // workers that wait
	starting int // workers that were started and have not taken anything yet
	working  int // workers that run, for kinds that start them as needed

	cost  time.Duration // of an item, as seen
	chunk int           // items handed over together
	spare []*task

	results taskList
	ahead   []*task // by index in the window: what has ended before its turn; nil: any order
	inTurn  int64   // the lowest index that has not ended

	lost, recycled int64 // worker processes
	done           int64 // attempts that were told
	fruitless      int   // of the lost, those in a row that brought nothing to an end
}

// newRun returns a run whose items have the memory mem, all of which is free.
func newRun(ctx context.Context, o *Options, mem []byte) *run {
	window := 1 << bits.Len(uint(max(minWindow, 4*o.Workers)-1))
	r := &run{o: o, mem: newRegion(mem), begin: now(), batch: max(1, o.Work.Batch)}
	// It ends by stop alone, after halted is set: an item that is cancelled with the
	// run must not be told as one that failed.
	r.ctx, r.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	r.room.L, r.ready.L, r.news.L = &r.mu, &r.mu, &r.mu
	r.fresh.slots = make([]*task, window)
	r.again.less, r.waiting.less = byIndex, byDue
	if o.Ordered {
		r.ahead = make([]*task, window)
	}
	r.flusher = time.AfterFunc(time.Hour, r.flushNow)
	r.alarm = time.AfterFunc(time.Hour, r.wakeWaiting)
	r.flusher.Stop()
	r.alarm.Stop()
	r.chunk = 1
	r.learn(0, 0)
	return r
}

// do runs to the end, with workers started by start.
func (r *run) do(ctx context.Context, items iter.Seq2[Item, error], each func(Result) error, start func()) (s Summary, err error) {
	stopped := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(stopped)
		r.stop(context.Cause(ctx))
	})
	defer func() { // also when each panics
		if !unhook() {
			<-stopped
		}
		r.stop(context.Canceled)
		r.group.Wait()
		r.flusher.Stop()
		r.alarm.Stop()
		r.mu.Lock() // a worker process's last answers may still be on their way into r
		defer r.mu.Unlock()
		s.Elapsed, s.Workers, s.Chunk = now()-r.begin, r.o.Workers, r.chunk
		s.Lost, s.Recycled = r.lost, r.recycled
	}()
	r.group.Go(func() { r.feed(items) })
	start()
	err = r.deliver(&teller{o: r.o, s: &s, each: each})
	return s, err
}

// stop ends the run now: what runs is cancelled. The first cause counts.
func (r *run) stop(cause error) {
	r.mu.Lock()
	if !r.halted.Load() {
		r.cause = cause
		r.halted.Store(true)
	}
	r.wakeAll()
	r.mu.Unlock()
	r.cancel(cause)
	if r.onStop != nil {
		r.onStop()
	}
}

// wakeAll lets everyone look again. The caller holds mu.
func (r *run) wakeAll() {
	r.room.Broadcast()
	r.ready.Broadcast()
	r.news.Broadcast()
}

// feed admits the input's items.
func (r *run) feed(items iter.Seq2[Item, error]) {
	var err error
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("read items: %w", panicError(v))
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended, r.inputErr = true, err
		r.stir()
		r.wakeAll()
	}()
	for item, itemErr := range items {
		if itemErr != nil {
			err = itemErr
			return
		}
		if !r.admit(item) {
			return
		}
	}
}

// admit waits for room and lets the item in; false: the run has stopped.
func (r *run) admit(item Item) bool {
	n := int64(len(item.Data))
	if !r.hasRoom(n) {
		r.awaitRoom(n)
	}
	if r.halted.Load() {
		return false
	}
	t := r.newTask()
	ok := t.begin(r.admitted, &item, r.o.Memory)
	t.filled = item.Fill == nil && !r.staged
	r.admitted++
	if !ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.finish(t)
		r.news.Signal()
		return true
	}
	r.taken += n
	if r.fresh.push(t) >= r.call.Load() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stir()
	}
	return true
}

// hasRoom reports whether an item with n bytes of Data may be admitted. It is
// feed's.
func (r *run) hasRoom(n int64) bool {
	data := r.taken - r.freed.Load()
	return r.admitted-r.told.Load() < int64(len(r.fresh.slots)) && (data == 0 || data+n <= r.o.Memory)
}

// awaitRoom waits for room, or for the run to stop.
func (r *run) awaitRoom(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.halted.Load() && !r.hasRoom(n) {
		r.crowded = true
		r.stir()
		r.room.Wait()
	}
	r.crowded = false
}

// newTasks is how many tasks are made at once.
const newTasks = 64

// newTask returns an empty task. It is feed's.
func (r *run) newTask() *task {
	if len(r.blank) == 0 {
		r.mu.Lock()
		r.blank, r.spare = r.spare, r.blank
		r.mu.Unlock()
	}
	if len(r.blank) == 0 {
		tasks := make([]task, newTasks)
		for i := range tasks {
			r.blank = append(r.blank, &tasks[i])
		}
	}
	last := len(r.blank) - 1
	t := r.blank[last]
	r.blank = r.blank[:last]
	return t
}

// deliver gives results away until there are no more to come.
func (r *run) deliver(tell *teller) error {
	var batch []*task
	for {
		var err error
		if batch, err = r.next(batch); len(batch) == 0 {
			return err
		}
		for _, t := range batch {
			if r.halted.Load() {
				break
			}
			if done, err := tell.tell(t); err != nil || done {
				r.stop(err)
				return err
			}
		}
	}
}

// next takes back the results in told, and returns more of them; none at the
// end, and what the run ended with.
func (r *run) next(told []*task) ([]*task, error) {
	size := leave(told)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.backlog -= size
	r.spare = append(r.spare, told...)
	if len(told) > 0 {
		r.told.Add(int64(len(told)))
		r.stir()
		if r.crowded {
			r.room.Signal()
		}
	}
	for !r.halted.Load() && r.results.len() == 0 && !(r.ended && r.told.Load() == r.admitted) {
		r.news.Wait()
	}
	if r.halted.Load() {
		return nil, r.cause
	}
	if r.results.len() == 0 {
		return nil, r.inputErr
	}
	return r.results.pop(told[:0], tellAtOnce), nil
}
