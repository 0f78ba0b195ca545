package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Why the context of a child's handler ends.
var (
	// ErrStopped: the parent asked the child to finish.
	ErrStopped = errors.New("stopped by the parent")
	// ErrOrphaned: the parent is gone.
	ErrOrphaned = errors.New("the parent is gone")
)

// ServeConfig is a child's side of the supervision.
type ServeConfig struct {
	// Interval between beats, half a second if 0. The parent's BeatTimeout must
	// be several times as long.
	Interval time.Duration

	// Limit is how long Handle may work on one frame, ten seconds if 0. Beyond
	// it no beat is sent, and the parent will end this process.
	Limit time.Duration

	// Alive is asked before each beat, from a goroutine of its own; no beat is
	// sent when it says no. It speaks for the loops that Handle starts; see
	// [Pulse]. Nil if there are none.
	Alive func() bool

	// Ready is the payload of the ready frame, with which Serve begins.
	Ready []byte

	// Handle deals with one frame of the parent, and owns it. Its error ends
	// Serve.
	Handle func(ctx context.Context, f Frame) error

	// Drain, if not nil, is called instead of Handle after the parent has asked
	// the child to stop: it ends what is going on and sends what the parent
	// should still know. It is not held to Limit, but to the parent's patience.
	Drain func(ctx context.Context) error
}

// Serve tells the parent that this process is ready, and handles its frames
// until it is asked to stop: then it drains and returns nil. It returns early
// with the handler's error, the context's cause, or the connection's error. The
// connection can still send afterwards, but not receive.
//
// When the parent is gone, a Serve on the [Inherited] connection kills its
// process group, itself included, at once: there is nobody left to report to, and
// whoever takes the parent's place must not meet a writer it does not know. On
// other connections it returns ErrOrphaned.
func Serve(ctx context.Context, conn *Conn, cfg ServeConfig) error {
	s := newServer(conn, cfg)
	ctx, s.cancel = context.WithCancelCause(ctx)
	defer s.cancel(nil)
	if err := conn.Send(KindReady, cfg.Ready); err != nil {
		return fmt.Errorf("say ready: %w", s.lost(err))
	}
	handling, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var helpers sync.WaitGroup
	helpers.Go(func() { s.read(ctx, stop) })
	helpers.Go(func() { s.beat(ctx) })

	err := s.handle(ctx, handling)
	s.cancel(err)
	_ = conn.sock.SetReadDeadline(time.Unix(1, 0)) // frees read, and cannot fail but on a closed socket
	helpers.Wait()
	return err
}

// server is one call of Serve. Beside the caller's goroutine, which handles, it
// has one that reads and one that beats; both end when their context does.
type server struct {
	conn   *Conn
	cfg    ServeConfig
	cancel context.CancelCauseFunc
	frames chan Frame // from read to handle; closed when the parent says stop
	pulse  *Pulse     // of handle
}

func newServer(conn *Conn, cfg ServeConfig) *server {
	if cfg.Interval <= 0 {
		cfg.Interval = 500 * time.Millisecond
	}
	if cfg.Limit <= 0 {
		cfg.Limit = 10 * time.Second
	}
	if cfg.Alive == nil {
		cfg.Alive = func() bool { return true }
	}
	return &server{conn: conn, cfg: cfg, frames: make(chan Frame), pulse: NewPulse(cfg.Limit)}
}

// handle runs Handle on each frame until there are no more, and then Drain.
// The context handling ends earlier than ctx when the parent says stop.
func (s *server) handle(ctx, handling context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case f, more := <-s.frames:
			if !more {
				return s.drain(ctx)
			}
			s.pulse.Tick()
			err := s.cfg.Handle(handling, f)
			s.pulse.Idle()
			if err != nil {
				return fmt.Errorf("handle frame %d: %w", f.Kind, err)
			}
		}
	}
}

func (s *server) drain(ctx context.Context) error {
	if s.cfg.Drain == nil {
		return nil
	}
	if err := s.cfg.Drain(ctx); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}

// read hands frames to handle. After a stop it goes on reading, to notice the
// parent's end.
func (s *server) read(ctx context.Context, stop context.CancelCauseFunc) {
	stopped := false
	for {
		f, err := s.conn.Recv()
		switch {
		case err != nil:
			s.cancel(s.lost(err))
			return
		case stopped:
			f.Close()
		case f.Kind == KindStop:
			stopped = true
			f.Close()
			stop(ErrStopped)
			close(s.frames)
		case !s.pass(ctx, f):
			return
		}
	}
}

// pass hands one frame to handle, unless the context ends first.
func (s *server) pass(ctx context.Context, f Frame) bool {
	select {
	case s.frames <- f:
		return true
	case <-ctx.Done():
		f.Close()
		return false
	}
}

// beat sends beats while everything is alive. It also looks whether the parent
// is still there, which read cannot do while it waits for handle.
func (s *server) beat(ctx context.Context) {
	ticker := time.NewTicker(s.cfg.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		var err error
		switch {
		case s.conn.hungUp():
			err = io.EOF
		case s.pulse.Alive() && s.cfg.Alive():
			err = s.conn.Send(KindBeat, nil)
		}
		if err != nil {
			s.cancel(s.lost(err))
			return
		}
	}
}

// lost tells what an error of the connection means, and acts on it if the
// parent is gone.
func (s *server) lost(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, unix.EPIPE) {
		return err
	}
	if s.conn.inherited && unix.Getpgrp() == os.Getpid() {
		_ = unix.Kill(0, unix.SIGKILL) // does not return
	}
	return ErrOrphaned
}
