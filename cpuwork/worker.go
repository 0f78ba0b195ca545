package cpuwork

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"weft/cpuwork/proc"
)

// How far a worker process is kept ahead, in chunks: with several, it never waits
// for the next one. A chunk that takes long is better off with another worker.
const (
	aheadShort = 3
	aheadLong  = 2
	longChunk  = 5 * time.Millisecond
	weighEvery = 5 * time.Millisecond
	tooLong    = 100 * time.Millisecond // beyond, none is sent before the last one is done
)

// Worker processes that do not start are tried again a few times. So are those
// that died while they started, whoever killed them.
const (
	startAttempts = 3
	startPause    = 100 * time.Millisecond
)

// worker is a place for a worker process, of which there is at most one at any
// time. In a run, work's goroutine hands chunks over; answers and the process's
// end come from the supervisor's.
type worker struct {
	p    *processes
	line int

	failed   int   // processes that did not start, in a row of this run; work's alone
	doneThen int64 // what the run had done at the last of them; work's alone

	mu      sync.Mutex // guards life and what is in it; taken before run.mu
	changed sync.Cond  // a chunk was answered, the process ended, or the run did
	life    *life      // nil: no process
}

// life is one worker process, from start to end.
type life struct {
	w     *worker
	sup   *proc.Supervisor
	hello chan error // its answer to hello, or why there is none

	weighed time.Duration // when work last looked at its memory; work's alone

	// Guarded by w.mu.
	r       *run
	chunks  map[uint32][]*task // those not answered yet; in them, nil: answered
	number  uint32             // of the last chunk
	dead    bool
	recycle bool   // to be replaced when it has nothing to do
	condemn error  // why the pool killed it; nil: it did not
	guilty  uint64 // the state for which it was; 0: whatever it held
}

func (w *worker) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed.Broadcast()
}

// work hands chunks over until there are no more. It leaves the process idle, or
// dead.
func (w *worker) work(r *run) {
	w.failed = 0
	var tasks []*task
	for w.waitFree(r) {
		if tasks = r.take(tasks); tasks == nil {
			break
		}
		tasks = fillAll(r, tasks)
		if len(tasks) == 0 {
			continue
		}
		if err := w.handOver(r, tasks); err != nil {
			r.stop(err)
			break
		}
	}
	w.mu.Lock()
	l := w.life
	busy := l != nil && len(l.chunks) > 0
	w.mu.Unlock()
	if busy {
		l.sup.Kill() // the run has stopped: nobody wants what it does
		<-l.sup.Done()
	}
}

// fillAll fills the tasks, and returns those that can be done.
func fillAll(r *run, tasks []*task) []*task {
	able := tasks[:0]
	var a answers
	for _, t := range tasks {
		if err := t.fill(r.mem.mem); err != nil {
			t.notFilled(err)
			a.add(t)
			continue
		}
		able = append(able, t)
	}
	r.answer(&a)
	return able
}

// waitFree waits until the process may be given another chunk; false: the run has
// stopped.
func (w *worker) waitFree(r *run) bool {
	w.mu.Lock()
	for !r.halted.Load() && w.life != nil && len(w.life.chunks) >= w.ahead(r) {
		w.changed.Wait()
	}
	l := w.life
	w.mu.Unlock()
	if l != nil && r.o.RecycleBytes > 0 && now()-l.weighed > weighEvery {
		l.weighed = now()
		l.weigh(r.o.RecycleBytes, state(w.p.states.Bytes(), w.line).Load())
	}
	w.mu.Lock()
	old := l != nil && l.recycle
	for !r.halted.Load() && old && len(l.chunks) > 0 {
		w.changed.Wait()
	}
	w.mu.Unlock()
	if old && !r.halted.Load() {
		w.replace(r, l)
	}
	return !r.halted.Load()
}

// ahead returns how many chunks the process may have. The caller holds w.mu.
func (w *worker) ahead(r *run) int {
	if w.life.recycle {
		return 1 // none, that is: waitFree goes on when there are less
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch t := r.cost * time.Duration(r.chunk); {
	case r.cost == 0 || t > tooLong:
		return 1
	case t > longChunk:
		return aheadLong
	}
	return aheadShort
}

// replace ends a process that has grown, and that has nothing to do.
func (w *worker) replace(r *run, l *life) {
	ctx, cancel := context.WithTimeout(r.ctx, drainTime)
	defer cancel()
	_ = l.sup.Stop(ctx) // otherwise it is killed, and that is as good
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recycled++
}

// retire ends the process, if there is one, when no run is going on.
func (w *worker) retire() error {
	w.mu.Lock()
	l := w.life
	w.mu.Unlock()
	if l == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	return l.sup.Stop(ctx)
}

// handOver gives the tasks to the process, and starts one if there is none. When
// that fails, others may have the tasks. It returns why the pool cannot go on.
func (w *worker) handOver(r *run, tasks []*task) error {
	for !w.send(r, tasks) {
		if err := w.start(r); err != nil {
			r.requeue(tasks)
			return w.startFailed(r, err)
		}
		w.failed = 0
	}
	return nil
}

// startFailed waits before the next process is started. It returns err when that is
// of no use: the work was refused, or several did not start while nothing got done
// and no other worker has a process.
func (w *worker) startFailed(r *run, err error) error {
	r.mu.Lock()
	done := r.done
	r.mu.Unlock()
	if done != w.doneThen {
		w.failed, w.doneThen = 0, done
	}
	w.failed++
	var refused *ItemError
	if errors.As(err, &refused) || w.failed >= startAttempts && !w.p.alive() {
		return err
	}
	if !wait(r.ctx, startPause<<min(w.failed, startAttempts)) {
		return context.Cause(r.ctx)
	}
	return nil
}

// alive reports whether any worker has a process that knows what to do.
func (p *processes) alive() bool {
	for _, w := range p.workers {
		w.mu.Lock()
		alive := w.life != nil
		w.mu.Unlock()
		if alive {
			return true
		}
	}
	return false
}

// send sends a chunk to the process; false: there is none. When the process does
// not live to take the chunk, its end gives the tasks back.
func (w *worker) send(r *run, tasks []*task) bool {
	w.mu.Lock()
	l := w.life
	if l == nil || l.dead {
		w.mu.Unlock()
		return false
	}
	l.r = r
	l.number++
	frame := appendChunk(nil, l.number, tasks)
	l.chunks[l.number] = append([]*task(nil), tasks...)
	w.mu.Unlock()
	_ = l.sup.Send(kindChunk, frame) // it fails because the process is ending, which is noticed by itself
	return true
}

// start starts a process and waits until it knows what to do.
func (w *worker) start(r *run) error {
	l := &life{w: w, hello: make(chan error, 1), chunks: map[uint32][]*task{}}
	o := &w.p.o
	state(w.p.states.Bytes(), w.line).Store(0)
	l.sup = proc.New(proc.Config{
		Name: fmt.Sprintf("%s worker %d", o.Work.Name, w.line), Path: o.Path, Args: o.Args, Env: o.Env,
		Backoff: &backoff.StopBackOff{}, OnFrame: l.frame, OnDown: l.down, Log: o.Log,
	})
	if err := l.sup.Start(r.ctx); err != nil {
		return err
	}
	err := l.introduce(r.ctx)
	if err != nil {
		l.sup.Kill()
		<-l.sup.Done()
		return fmt.Errorf("start %s worker: %w", o.Work.Name, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.dead {
		return fmt.Errorf("start %s worker: it died at once", o.Work.Name)
	}
	w.life, l.r = l, r
	return nil
}

// introduce says hello and waits for the answer.
func (l *life) introduce(ctx context.Context) error {
	frame, err := l.w.p.helloFrame(l.w.line)
	if err != nil {
		return err
	}
	if err := l.sup.Send(kindHello, frame, l.w.p.items.File(), l.w.p.states.File()); err != nil {
		return err
	}
	select {
	case err := <-l.hello:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
