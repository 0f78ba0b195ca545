package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// unkillable is how long a child may outlive SIGKILL before that is worth a
// line in the log. It then hangs inside the kernel, in a driver as a rule.
const unkillable = 10 * time.Second

// watcher is the state of watch; it belongs to Run's goroutine.
type watcher struct {
	*life
	cause    error       // why the life ends, as first noticed; nil: it goes on
	atKill   error       // the cause if the child must be killed after its respite
	respite  *time.Timer // until SIGKILL
	period   time.Duration
	looked   time.Time // when look was last called
	deadline time.Time // for the ready frame
	killed   time.Time // when SIGKILL was sent
	stopped  bool      // it was asked to stop
}

// watch waits until the child is dead, and sees to it that this comes to pass
// when there is a reason. It returns the reason.
func (l *life) watch(ctx context.Context) error {
	cfg := &l.s.cfg
	now := time.Now()
	w := &watcher{life: l, looked: now, deadline: now.Add(cfg.ReadyTimeout)}
	w.period = max(min(cfg.ReadyTimeout, cfg.BeatTimeout)/8, time.Millisecond)
	w.respite = time.NewTimer(0)
	w.respite.Stop()
	defer w.respite.Stop()
	ticker := time.NewTicker(w.period)
	defer ticker.Stop()

	readDone, stopping, killing, cancelled := l.readDone, l.s.stopping, l.s.killing, ctx.Done()
	for {
		select { // a channel that has been heard is not heard again
		case <-l.dead:
			return w.verdict()
		case <-readDone:
			readDone = nil
			w.socketEnded()
		case cause := <-l.request:
			w.dump(cause)
		case <-stopping:
			stopping = nil
			w.stop(0)
		case <-cancelled:
			cancelled = nil
			w.stop(cfg.StopTimeout)
		case <-killing:
			killing = nil
			w.kill(ErrKilled)
		case <-w.respite.C:
			w.kill(w.atKill)
		case <-ticker.C:
			w.look(time.Now())
		}
	}
}

// verdict returns why the dead child died.
func (w *watcher) verdict() error {
	switch {
	case w.cause != nil:
		return w.cause
	case closed(w.s.killing):
		return ErrKilled
	}
	return ErrExited
}

// look checks what only the clock can tell. If this process itself did not run
// for a while, stopped or starved, the child's silence proves nothing: then the
// clocks are moved by that while.
func (w *watcher) look(now time.Time) {
	if lag := now.Sub(w.looked) - w.period; lag > w.period {
		w.beats.shift(lag)
		w.deadline = w.deadline.Add(lag)
	}
	w.looked = now
	switch {
	case !w.killed.IsZero():
		if now.Sub(w.killed) > unkillable {
			w.killed = now
			w.s.cfg.Log.Error("child does not die: it hangs inside the kernel", "name", w.s.cfg.Name,
				"pid", w.cmd.Process.Pid)
		}
	case w.cause != nil || w.stopped:
	case !closed(w.ready):
		if now.After(w.deadline) {
			w.dump(fmt.Errorf("%w: %v passed", ErrNotReady, w.s.cfg.ReadyTimeout))
		}
	default:
		if w.beats.silence(now) > w.s.cfg.BeatTimeout {
			w.dump(fmt.Errorf("%w for %v", ErrNoBeat, w.s.cfg.BeatTimeout))
		}
	}
}

// socketEnded deals with the end of the stream. A child that is about to exit
// closes its end first, so it gets some time to do so.
func (w *watcher) socketEnded() {
	switch err := w.readErr; {
	case w.cause != nil:
	case isProtocolError(err):
		w.kill(err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		w.killAfter(w.s.cfg.DumpTimeout, ErrHungUp)
	default:
		w.kill(fmt.Errorf("%w: %w", ErrHungUp, err))
	}
}

// stop asks the child to drain and exit, and kills it after patience; with a
// patience of 0 that is up to whoever called Stop. A child that is not ready
// has nothing to drain.
func (w *watcher) stop(patience time.Duration) {
	switch {
	case !closed(w.ready):
		w.kill(ErrStopped)
		return
	case w.cause != nil && !w.stopped:
		return // it is on its way out already
	}
	if patience > 0 {
		w.killAfter(patience, ErrStopped)
	}
	if !w.stopped {
		w.stopped, w.cause = true, ErrStopped
		w.stopper.Go(func() { _ = w.conn.Send(KindStop, nil) }) // if it fails, the child is gone or gets killed
	}
}

// dump makes a Go program print all its stacks and exit. It is killed if it has
// not done so soon.
func (w *watcher) dump(cause error) {
	if w.cause != nil {
		return
	}
	w.cause = cause
	w.s.mu.Lock()
	w.s.signalChild(unix.SIGQUIT)
	w.s.mu.Unlock()
	w.killAfter(w.s.cfg.DumpTimeout, cause)
}

func (w *watcher) killAfter(d time.Duration, cause error) {
	w.atKill = cause
	w.respite.Reset(d)
}

func (w *watcher) kill(cause error) {
	if w.cause == nil {
		w.cause = cause
	}
	if w.killed.IsZero() {
		w.killed = time.Now()
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.signalGroup(unix.SIGKILL)
}

func isProtocolError(err error) bool {
	var p *ProtocolError
	return errors.As(err, &p)
}

// beatClock measures a child's silence, less the time in which a callback kept
// its frames waiting.
type beatClock struct {
	mu     sync.Mutex // guards the fields below
	last   time.Time  // of the last beat, moved by the time spent in callbacks
	paused time.Time  // since when a callback runs; zero: none does
}

func (b *beatClock) beat() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = time.Now()
}

func (b *beatClock) pause() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.paused = time.Now()
}

func (b *beatClock) resume() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = b.last.Add(time.Since(b.paused))
	b.paused = time.Time{}
}

func (b *beatClock) shift(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = b.last.Add(d)
}

func (b *beatClock) silence(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.paused.IsZero() {
		return b.paused.Sub(b.last)
	}
	return now.Sub(b.last)
}
