package proc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sys/unix"
)

// ErrDown is returned by Send while no child is ready.
var ErrDown = errors.New("no child is ready")

// Config says what to run and how long to be patient. Durations that are 0 take
// the default in brackets.
//
// The callbacks come one at a time, for each life OnUp (if it got ready), then
// OnFrame any number of times, then OnDown. While one runs, the child's frames
// wait, but its silence is not held against it.
type Config struct {
	Name string   // in logs and evidence; of Path if empty
	Path string   // the program
	Args []string // its arguments, without its own name
	Env  []string // on top of [Environ]
	Dir  string   // working directory; the parent's if empty

	ReadyTimeout time.Duration // from start to ready frame (10 s)
	BeatTimeout  time.Duration // without a beat, once ready (10 s)
	DumpTimeout  time.Duration // for a hanging child to print its stacks, or one without a socket to exit (1 s)
	StopTimeout  time.Duration // for a child to drain when Run's context ends (10 s)

	Backoff backoff.BackOff // between lives (exponential with jitter, 100 ms to 30 s)
	Healthy time.Duration   // a ready life this long resets Backoff (1 min)

	OnUp    func(conn *Conn, ready Frame)
	OnFrame func(Frame) // owns the frame; kinds from KindUser on
	OnDown  func(Exit)

	Log *slog.Logger // gets every line the child prints; nil: nobody
}

// withDefaults returns c with every field usable.
func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.ReadyTimeout, 10 * time.Second},
		{&c.BeatTimeout, 10 * time.Second},
		{&c.DumpTimeout, time.Second},
		{&c.StopTimeout, 10 * time.Second},
		{&c.Healthy, time.Minute},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if c.Name == "" {
		c.Name = c.Path
	}
	if c.Backoff == nil {
		b := backoff.NewExponentialBackOff()
		b.InitialInterval, b.MaxInterval, b.Multiplier = 100*time.Millisecond, 30*time.Second, 2
		c.Backoff = b
	}
	if c.OnUp == nil {
		c.OnUp = func(*Conn, Frame) {}
	}
	if c.OnFrame == nil {
		c.OnFrame = func(f Frame) { f.Close() }
	}
	if c.OnDown == nil {
		c.OnDown = func(Exit) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Supervisor keeps one child running. It may be used from any goroutine, but
// Stop, and waiting for Done, would wait for themselves in a callback.
type Supervisor struct {
	cfg Config

	stopping chan struct{} // closed by Stop and Kill: no more lives
	killing  chan struct{} // closed by Kill: nor any patience with this one
	done     chan struct{} // closed when Run has returned
	first    chan error    // for Start: nil at the first ready, or what came instead

	mu       sync.Mutex // guards the fields below; taken last
	running  bool       // Run was called, or will never be
	life     *life      // of the child, until it is reaped; nil: none
	pid      int        // its pid and process group; 0: none
	conn     *Conn      // to it, once it is ready; nil: not
	restarts int        // lives that ended and were followed by another
}

// Status is a supervisor's state at one moment.
type Status struct {
	PID      int  // of the child; 0 if none runs
	Ready    bool // it takes frames
	Restarts int
}

// New returns a supervisor that has not started anything yet.
func New(cfg Config) *Supervisor {
	return &Supervisor{
		cfg:      cfg.withDefaults(),
		stopping: make(chan struct{}),
		killing:  make(chan struct{}),
		done:     make(chan struct{}),
		first:    make(chan error, 1),
	}
}

// Start runs the supervisor in a goroutine of its own, which Stop or Kill end,
// and returns when the child is ready for the first time. If its first life
// fails before, or ctx ends, there is no second: Start returns the Exit or the
// context's cause. Once Start has returned nil, ctx has no more meaning.
func (s *Supervisor) Start(ctx context.Context) error {
	go func() {
		err := s.Run(context.WithoutCancel(ctx))
		if err == nil {
			err = ErrStopped
		}
		s.tellFirst(err)
	}()
	var err error
	select {
	case err = <-s.first:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		s.Kill()
		<-s.done
		return fmt.Errorf("start %s: %w", s.cfg.Name, err)
	}
	return nil
}

// Run starts the child, and again whenever it ends, until Stop, Kill or the end
// of ctx, which stops it with StopTimeout; then it returns nil. It returns an
// error if it was called before, or the last Exit if Backoff gave up. All that
// it started is gone when it returns. No callback comes after that.
func (s *Supervisor) Run(ctx context.Context) error {
	s.mu.Lock()
	again := s.running
	s.running = true
	s.mu.Unlock()
	if again {
		return fmt.Errorf("run %s: a supervisor runs once", s.cfg.Name)
	}
	defer close(s.done)
	for !s.ending(ctx) {
		exit := s.live(ctx)
		exit.Retry = s.nextDelay(ctx, exit)
		s.report(ctx, exit)
		if exit.Retry == backoff.Stop && !s.ending(ctx) {
			return exit
		}
		if !s.pause(ctx, exit.Retry) {
			break
		}
		s.mu.Lock()
		s.restarts++
		s.mu.Unlock()
	}
	return nil
}

// ending reports whether the child now running, if any, is the last.
func (s *Supervisor) ending(ctx context.Context) bool {
	return ctx.Err() != nil || closed(s.stopping)
}

// nextDelay returns how long to wait before the next life; -1: there is none.
func (s *Supervisor) nextDelay(ctx context.Context, exit Exit) time.Duration {
	if s.ending(ctx) {
		return backoff.Stop
	}
	if exit.Ready && exit.Uptime >= s.cfg.Healthy {
		s.cfg.Backoff.Reset()
	}
	return s.cfg.Backoff.NextBackOff()
}

// report tells everyone who asked about the end of a life.
func (s *Supervisor) report(ctx context.Context, exit Exit) {
	level := slog.LevelWarn
	if s.ending(ctx) {
		level = slog.LevelDebug
	}
	s.cfg.Log.Log(ctx, level, "child ended", "name", exit.Name, "pid", exit.PID, "reason", exit.Reason,
		"status", exit.Status, "uptime", exit.Uptime, "retry", exit.Retry)
	s.tellFirst(exit)
	s.cfg.OnDown(exit)
}

// tellFirst tells Start how the first life began. Later news is not for it.
func (s *Supervisor) tellFirst(err error) {
	select {
	case s.first <- err:
	default:
	}
}

// pause waits, and reports whether there is to be another life.
func (s *Supervisor) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.stopping:
	case <-ctx.Done():
	}
	return false
}

// Send sends a frame to the child, as [Conn.Send] does; ErrDown while none is ready.
func (s *Supervisor) Send(kind byte, payload []byte, files ...*os.File) error {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn == nil {
		return fmt.Errorf("send to %s: %w", s.cfg.Name, ErrDown)
	}
	if err := conn.Send(kind, payload, files...); err != nil {
		return fmt.Errorf("send to %s: %w", s.cfg.Name, err)
	}
	return nil
}

// Status returns the present state.
func (s *Supervisor) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Status{PID: s.pid, Ready: s.conn != nil, Restarts: s.restarts}
}

// Done is closed when Run has returned.
func (s *Supervisor) Done() <-chan struct{} { return s.done }

// Restart ends the present life as a missing beat would: the child is made to
// print its stacks, and is killed. The next life follows after Backoff. It does
// not wait; without a child it does nothing.
func (s *Supervisor) Restart(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life != nil {
		s.life.requestEnd(fmt.Errorf("%w: %s", ErrRestarted, reason))
	}
}

// Stop asks the child to drain and exit, and waits until Run has returned. When
// ctx ends first, the child is killed and Stop returns an error.
func (s *Supervisor) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.end(false)
	s.mu.Unlock()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	s.Kill()
	<-s.done
	return fmt.Errorf("stop %s: killed, since it did not end in time: %w", s.cfg.Name, context.Cause(ctx))
}

// Kill kills the child and its process group now, and lets Run return. It does
// not wait; see Done.
func (s *Supervisor) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(true)
	s.signalGroup(unix.SIGKILL)
}

// end closes stopping and, if kill, killing. If there is no Run yet, there will
// be none. The caller holds mu.
func (s *Supervisor) end(kill bool) {
	if !s.running {
		s.running = true
		close(s.done)
	}
	if !closed(s.stopping) {
		close(s.stopping)
	}
	if kill && !closed(s.killing) {
		close(s.killing)
	}
}

// signalGroup signals the child's process group, if there is a child that has
// not been reaped. The caller holds mu, which is what keeps the number from
// being another process's.
func (s *Supervisor) signalGroup(sig syscall.Signal) {
	if s.pid != 0 {
		_ = unix.Kill(-s.pid, sig) // it can only fail because all are dead
	}
}

// signalChild signals the child alone. The caller holds mu.
func (s *Supervisor) signalChild(sig syscall.Signal) {
	if s.pid != 0 {
		_ = unix.Kill(s.pid, sig) // it can only fail because the child is dead
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
