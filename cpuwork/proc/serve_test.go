package proc

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// serve runs Serve on one end of a connection and returns the other end, from
// which the ready frame has been read, and Serve's result.
func serve(t *testing.T, ctx context.Context, cfg ServeConfig) (*Conn, <-chan error) {
	t.Helper()
	parent, child := connect(t)
	result := make(chan error, 1)
	go func() { result <- Serve(ctx, child, cfg) }()
	f, err := parent.Recv()
	if err != nil || f.Kind != KindReady || string(f.Payload) != string(cfg.Ready) {
		t.Fatalf("first frame is %+v, %v", f, err)
	}
	return parent, result
}

func ignore(context.Context, Frame) error { return nil }

func TestServeStops(t *testing.T) {
	var told []string
	var cause error
	parent, result := serve(t, t.Context(), ServeConfig{
		Ready: []byte("here"),
		Handle: func(ctx context.Context, f Frame) error {
			told = append(told, string(f.Payload))
			if len(told) == 2 { // busy when the stop comes
				<-ctx.Done()
				cause = context.Cause(ctx)
			}
			return nil
		},
		Drain: func(ctx context.Context) error {
			told = append(told, "drain")
			return ctx.Err()
		},
	})
	for _, payload := range []string{"one", "two"} {
		if err := parent.Send(KindUser, []byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
	if err := parent.Send(KindStop, nil); err != nil {
		t.Fatal(err)
	}
	if err := get(t, result, "end of Serve"); err != nil {
		t.Error(err)
	}
	if got := strings.Join(told, " "); got != "one two drain" || !errors.Is(cause, ErrStopped) {
		t.Errorf("told %q, and why: %v", got, cause)
	}
}

func TestServeFails(t *testing.T) {
	broken := errors.New("out of cucumbers")
	cancelled, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	for _, tt := range []struct {
		name string
		ctx  context.Context
		cfg  ServeConfig
		act  func(*Conn) error
		want string
	}{
		{"handler", t.Context(), ServeConfig{Handle: func(context.Context, Frame) error { return broken }},
			func(c *Conn) error { return c.Send(KindUser, nil) }, "handle frame 16: out of cucumbers"},
		{"drain", t.Context(), ServeConfig{Handle: ignore, Drain: func(context.Context) error { return broken }},
			func(c *Conn) error { return c.Send(KindStop, nil) }, "drain: out of cucumbers"},
		{"context", cancelled, ServeConfig{Handle: ignore}, func(*Conn) error { return nil }, "out of cucumbers"},
		{"garbage", t.Context(), ServeConfig{Handle: ignore},
			func(c *Conn) error { _, err := c.sock.Write([]byte("garbage")); return err },
			"receive frame: not a frame: 1651663207 bytes announced, at most 16777216 are allowed"},
		{"parent gone", t.Context(), ServeConfig{Handle: ignore}, (*Conn).Close, "the parent is gone"},
		{"parent gone while draining", t.Context(), ServeConfig{Handle: ignore, Drain: func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}}, func(c *Conn) error { return errors.Join(c.Send(KindStop, nil), c.Close()) }, "drain: the parent is gone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parent, result := serve(t, tt.ctx, tt.cfg)
			if err := tt.act(parent); err != nil {
				t.Fatal(err)
			}
			if err := get(t, result, "end of Serve"); err == nil || err.Error() != tt.want {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
}

// TestServeOrphanedWhileBusy: a handler that has not come back, with more frames
// behind the one it works on and therefore no beats, does not keep Serve from
// noticing that the parent is gone.
func TestServeOrphanedWhileBusy(t *testing.T) {
	parent, result := serve(t, t.Context(), ServeConfig{
		Interval: time.Millisecond,
		Alive:    func() bool { return false },
		Handle: func(ctx context.Context, _ Frame) error {
			<-ctx.Done()
			return context.Cause(ctx)
		},
	})
	for range 3 {
		if err := parent.Send(KindUser, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := parent.Close(); err != nil {
		t.Fatal(err)
	}
	if err := get(t, result, "end of Serve"); !errors.Is(err, ErrOrphaned) {
		t.Errorf("error is %v", err)
	}
}

// TestServeBeats: beats come while the loops are alive, and only then.
func TestServeBeats(t *testing.T) {
	asked := make(chan bool)
	hang := make(chan struct{})
	parent, result := serve(t, t.Context(), ServeConfig{
		Interval: time.Millisecond,
		Limit:    5 * time.Millisecond,
		Alive:    func() bool { return <-asked },
		Handle:   func(context.Context, Frame) error { <-hang; return nil },
	})
	for range 3 {
		asked <- false // no beat: it would be read below in place of a later one
	}
	for i := range 3 {
		asked <- true
		if f, err := parent.Recv(); err != nil || f.Kind != KindBeat {
			t.Fatalf("beat %d: %+v, %v", i, f, err)
		}
	}
	if err := parent.Send(KindUser, nil); err != nil {
		t.Fatal(err)
	}
	for waiting := true; waiting; { // until the handler's pulse stops the questions
		select {
		case asked <- false:
		case <-time.After(100 * time.Millisecond):
			waiting = false
		}
	}
	close(hang)
	asked <- true // they are asked again
	if f, err := parent.Recv(); err != nil || f.Kind != KindBeat {
		t.Fatalf("beat after the hang: %+v, %v", f, err)
	}
	close(asked) // from here on, no is the answer
	if err := parent.Send(KindStop, nil); err != nil {
		t.Fatal(err)
	}
	if err := get(t, result, "end of Serve"); err != nil {
		t.Error(err)
	}
}

func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPulse(10 * time.Second)
		check := func(when string, want bool) {
			t.Helper()
			if got := p.Alive(); got != want {
				t.Errorf("%s: alive is %t", when, got)
			}
		}
		<-time.After(time.Hour)
		check("before the first tick", true)
		p.Tick()
		<-time.After(10 * time.Second)
		check("at the limit", true)
		<-time.After(time.Nanosecond)
		check("beyond it", false)
		p.Tick()
		check("after another tick", true)
		p.Idle()
		<-time.After(time.Hour)
		check("idle", true)
	})
}
