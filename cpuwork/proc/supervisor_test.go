package proc

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sys/unix"
)

// patience bounds every wait of these tests; it is used up only when one fails.
const patience = 20 * time.Second

// watched is a supervisor whose callbacks go to channels.
type watched struct {
	*Supervisor
	t      *testing.T
	ups    chan Frame
	frames chan Frame
	downs  chan Exit
}

// supervise starts a child in the given role; change may alter the configuration.
func supervise(t *testing.T, role string, change func(*Config)) *watched {
	t.Helper()
	w := &watched{t: t, ups: make(chan Frame, 1000), frames: make(chan Frame, 1000), downs: make(chan Exit, 1000)}
	cfg := Config{
		Name: role, Path: self(), Env: []string{roleVar + "=" + role},
		ReadyTimeout: patience, BeatTimeout: patience, DumpTimeout: patience,
		Backoff: backoff.NewConstantBackOff(time.Millisecond),
		OnUp:    func(_ *Conn, f Frame) { w.ups <- f },
		OnFrame: func(f Frame) { w.frames <- f },
		OnDown:  func(e Exit) { w.downs <- e },
	}
	if change != nil {
		change(&cfg)
	}
	w.Supervisor = New(cfg)
	go func() { _ = w.Run(context.Background()) }()
	t.Cleanup(func() { w.Kill(); get(t, w.Done(), "end of Run") })
	return w
}

// tell sends the worker an act once it is up.
func (w *watched) tell(act string) {
	w.t.Helper()
	get(w.t, w.ups, "ready frame")
	if err := w.Send(kindAct, []byte(act)); err != nil {
		w.t.Fatal(err)
	}
}

// get receives from c, or fails the test.
func get[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

func TestLife(t *testing.T) {
	w := supervise(t, "drainer", nil)
	ready := get(t, w.ups, "ready frame")
	if want := fmt.Sprintf("pid %d", w.Status().PID); string(ready.Payload) != want {
		t.Errorf("ready payload is %q, want %q", ready.Payload, want)
	}
	if s := w.Status(); !s.Ready || s.Restarts != 0 {
		t.Errorf("status is %+v", s)
	}
	for i := range 100 {
		if err := w.Send(kindEcho, fmt.Appendf(nil, "frame %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		if f := get(t, w.frames, "echo"); string(f.Payload) != fmt.Sprintf("frame %d", i) {
			t.Fatalf("echo %d is %q", i, f.Payload)
		}
	}
	if err := w.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if f := get(t, w.frames, "frame from drain"); string(f.Payload) != "draining" {
		t.Errorf("drain said %q", f.Payload)
	}
	exit := get(t, w.downs, "exit")
	if !errors.Is(exit.Err, ErrStopped) || exit.Code != 0 || exit.Retry >= 0 || !exit.Ready {
		t.Errorf("exit is %+v", exit)
	}
	if s := w.Status(); s.PID != 0 || s.Ready {
		t.Errorf("status after the end is %+v", s)
	}
	if err := w.Send(kindEcho, nil); !errors.Is(err, ErrDown) {
		t.Errorf("sending after the end: %v", err)
	}
}

// TestEnds has one row for each way in which a child ends without being asked to.
func TestEnds(t *testing.T) {
	raw := func(text []byte) []string {
		return []string{roleVar + "=raw", rawVar + "=" + hex.EncodeToString(text)}
	}
	tests := []struct {
		name, role string
		change     func(*Config)
		act        string      // to be told once ready
		signal     unix.Signal // to be sent once ready
		err        error       // Exit.Err
		status     string      // Exit.Status
		reason     string      // part of Exit.Reason
		words      []string    // parts of Exit.LastWords
	}{
		{name: "exit 0 in mid-life", role: "worker", act: "exit", err: ErrExited, status: "exit status 0"},
		{name: "handler fails", role: "worker", act: "fail", err: ErrExited, status: "exit status 1",
			words: []string{"handle frame 17: cannot divide by cucumber"}},
		{name: "panic", role: "worker", act: "panic", err: ErrExited, status: "exit status 2",
			words: []string{"panic: the cat fell off the table", "roles_test.go", "[…]"}},
		{name: "killed from outside", role: "worker", signal: unix.SIGKILL, err: ErrExited,
			status: "signal: SIGKILL", reason: "killed from outside"},
		{name: "terminated", role: "worker", signal: unix.SIGTERM, err: ErrExited, status: "signal: SIGTERM"},
		{name: "handler hangs", role: "worker", act: "hang", err: ErrNoBeat, status: "exit status 2",
			change: func(c *Config) { c.BeatTimeout = 400 * time.Millisecond },
			reason: "no beat for 400ms", words: []string{"SIGQUIT: quit", "proc.act"}},
		{name: "stopped by a signal", role: "worker", signal: unix.SIGSTOP, err: ErrNoBeat, status: "signal: SIGKILL",
			change: func(c *Config) { c.BeatTimeout, c.DumpTimeout = 400*time.Millisecond, 50*time.Millisecond }},
		{name: "hangs up", role: "worker", act: "hang up", err: ErrHungUp, status: "signal: SIGKILL",
			change: func(c *Config) { c.DumpTimeout = 50 * time.Millisecond }},
		{name: "never ready", role: "mute", err: ErrNotReady, status: "signal: SIGKILL",
			change: func(c *Config) { c.ReadyTimeout, c.DumpTimeout = 300*time.Millisecond, 50*time.Millisecond },
			reason: "not ready in time: 300ms passed"},
		{name: "fails before it is ready", role: "failing", err: ErrExited, status: "exit status 1",
			words: []string{"no such device: plug one in"}},
		{name: "no such program", role: "-", err: os.ErrNotExist,
			change: func(c *Config) { c.Path = "/nonexistent/weft" }, reason: "could not be started"},
		{name: "garbage", change: func(c *Config) { c.Env = raw([]byte("Segmentation fault, sorry\n")) },
			err: &ProtocolError{}, status: "signal: SIGKILL", reason: "not a frame: 1835492691 bytes announced"},
		{name: "frame too large", err: &ProtocolError{}, status: "signal: SIGKILL",
			change: func(c *Config) { c.Env = raw(appendHeader(nil, header{length: MaxPayload + 1, kind: KindUser})) },
			reason: "16777217 bytes announced, at most 16777216 are allowed"},
		{name: "descriptors that never came", err: &ProtocolError{}, status: "signal: SIGKILL",
			change: func(c *Config) { c.Env = raw(appendHeader(nil, header{kind: KindUser, files: 2})) },
			reason: "2 descriptors announced, 0 came"},
		{name: "frame before ready", err: &ProtocolError{}, status: "signal: SIGKILL",
			change: func(c *Config) { c.Env = raw(appendHeader(nil, header{kind: KindUser})) },
			reason: "kind 16 is not expected here (ready: false)"},
		{name: "reserved kind", err: &ProtocolError{}, status: "signal: SIGKILL",
			change: func(c *Config) {
				c.Env = raw(appendHeader(appendHeader(nil, header{kind: KindReady}), header{kind: 7}))
			},
			reason: "kind 7 is not expected here (ready: true)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := supervise(t, tt.role, tt.change)
			if tt.act != "" {
				w.tell(tt.act)
			}
			if tt.signal != 0 {
				var pid int // not the one of now: it would be 0, all of us, if it had died by itself
				if _, err := fmt.Sscanf(string(get(t, w.ups, "ready frame").Payload), "pid %d", &pid); err != nil {
					t.Fatal(err)
				}
				if err := unix.Kill(pid, tt.signal); err != nil {
					t.Fatal(err)
				}
			}
			exit := get(t, w.downs, "exit")
			for range 10 { // a child that did not get to run for so long has no beat either, and never came to hang
				if tt.act != "hang" || !errors.Is(exit, tt.err) || strings.Contains(exit.LastWords, "proc.act") {
					break
				}
				w.tell(tt.act)
				exit = get(t, w.downs, "exit")
			}
			if _, want := tt.err.(*ProtocolError); want {
				if !isProtocolError(exit.Err) {
					t.Errorf("error is %v, want a *ProtocolError", exit.Err)
				}
			} else if !errors.Is(exit, tt.err) {
				t.Errorf("error is %v, want %v", exit.Err, tt.err)
			}
			if exit.Status != tt.status {
				t.Errorf("status is %q, want %q", exit.Status, tt.status)
			}
			if !strings.Contains(exit.Reason, tt.reason) {
				t.Errorf("reason is %q, want %q in it", exit.Reason, tt.reason)
			}
			for _, part := range tt.words {
				if !strings.Contains(exit.LastWords, part) {
					t.Errorf("%q is not in the last words:\n%s", part, exit.LastWords)
				}
			}
			if n := strings.Count(exit.LastWords, "\n") + 1; n > tailLines {
				t.Errorf("%d lines of last words", n)
			}
			if exit.Retry != time.Millisecond {
				t.Errorf("retry in %v", exit.Retry)
			}
		})
	}
}

func TestRestart(t *testing.T) {
	w := supervise(t, "worker", nil)
	get(t, w.ups, "ready frame")
	first := w.Status().PID
	w.Restart("quantum overran 50ms")
	exit := get(t, w.downs, "exit")
	if exit.PID != first || exit.Reason != "restarted: quantum overran 50ms" || !errors.Is(exit, ErrRestarted) {
		t.Errorf("exit is %+v", exit)
	}
	if !strings.Contains(exit.LastWords, "SIGQUIT: quit") {
		t.Errorf("no stacks in the last words:\n%s", exit.LastWords)
	}
	get(t, w.ups, "second ready frame")
	if s := w.Status(); s.Restarts != 1 || s.PID == first {
		t.Errorf("status is %+v", s)
	}
}

// TestLastFrames: what a child sent before it died arrives, all before OnDown.
func TestLastFrames(t *testing.T) {
	w := supervise(t, "worker", nil)
	w.tell("last words")
	get(t, w.downs, "exit")
	if n := len(w.frames); n != 100 {
		t.Fatalf("%d frames arrived before OnDown, want 100", n)
	}
	for i := range 100 {
		if f := <-w.frames; f.Payload[0] != byte(i) {
			t.Fatalf("frame %d is %d", i, f.Payload[0])
		}
	}
}

func TestStop(t *testing.T) {
	t.Run("a child that does not end is killed", func(t *testing.T) {
		w := supervise(t, "dawdler", nil)
		get(t, w.ups, "ready frame")
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan error, 1)
		go func() { stopped <- w.Stop(ctx) }()
		get(t, w.frames, "word from drain")
		cancel()
		if err := get(t, stopped, "end of Stop"); !errors.Is(err, context.Canceled) {
			t.Errorf("stop returned %v", err)
		}
		if exit := get(t, w.downs, "exit"); !errors.Is(exit, ErrStopped) || exit.Signal != "SIGKILL" {
			t.Errorf("exit is %+v", exit)
		}
	})
	t.Run("the context of Run ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		exits := make(chan Exit, 1)
		sup := New(Config{Path: self(), Env: []string{roleVar + "=dawdler"}, StopTimeout: 50 * time.Millisecond,
			OnUp: func(*Conn, Frame) { cancel() }, OnDown: func(e Exit) { exits <- e }})
		if err := sup.Run(ctx); err != nil {
			t.Error(err)
		}
		if exit := <-exits; !errors.Is(exit, ErrStopped) || exit.Retry >= 0 {
			t.Errorf("exit is %+v", exit)
		}
	})
	t.Run("before the child is ready", func(t *testing.T) {
		w := supervise(t, "mute", nil)
		for w.Status().PID == 0 {
			runtime.Gosched()
		}
		if err := w.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("between two lives", func(t *testing.T) {
		w := supervise(t, "failing", func(c *Config) { c.Backoff = backoff.NewConstantBackOff(time.Hour) })
		get(t, w.downs, "exit")
		if err := w.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("before Run", func(t *testing.T) {
		sup := New(Config{Path: self()})
		if err := sup.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if err := sup.Run(t.Context()); err == nil {
			t.Error("Run after Stop returned nil")
		}
		if err := sup.Start(t.Context()); err == nil {
			t.Error("Start after Stop returned nil")
		}
	})
}

func TestStart(t *testing.T) {
	t.Run("ready", func(t *testing.T) {
		sup := New(Config{Path: self(), Env: []string{roleVar + "=worker"}})
		if err := sup.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !sup.Status().Ready {
			t.Error("Start returned before the child was ready")
		}
		if err := sup.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("first life fails", func(t *testing.T) {
		sup := New(Config{Name: "gpu0", Path: self(), Env: []string{roleVar + "=failing"}})
		err := sup.Start(t.Context())
		var exit Exit
		if !errors.As(err, &exit) || exit.LastWords != "no such device: plug one in" {
			t.Fatalf("start returned %v", err)
		}
		want := fmt.Sprintf("start gpu0: gpu0 (pid %d) ended after %v: exited by itself (exit status 1); its last words:\n"+
			"no such device: plug one in", exit.PID, exit.Uptime.Round(time.Millisecond))
		if err.Error() != want {
			t.Errorf("start returned %q, want %q", err, want)
		}
	})
	t.Run("context ends", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		sup := New(Config{Path: self(), Env: []string{roleVar + "=mute"}})
		if err := sup.Start(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("start returned %v", err)
		}
		if s := sup.Status(); s.PID != 0 {
			t.Errorf("pid %d is left", s.PID)
		}
	})
	t.Run("killed before", func(t *testing.T) {
		sup := New(Config{Path: self()})
		sup.Kill()
		if err := sup.Start(t.Context()); err == nil {
			t.Error("start after Kill returned nil")
		}
	})
}

// TestBackoff: Run gives up when its Backoff does, with the last exit.
func TestBackoff(t *testing.T) {
	downs := 0
	sup := New(Config{Path: self(), Env: []string{roleVar + "=failing"},
		Backoff: &backoff.StopBackOff{}, OnDown: func(Exit) { downs++ }})
	var exit Exit
	if err := sup.Run(t.Context()); !errors.As(err, &exit) || exit.Code != 1 || downs != 1 {
		t.Errorf("after %d lives, Run returned %v", downs, err)
	}
}

// counted counts the resets of a Backoff.
type counted struct {
	backoff.ZeroBackOff
	resets int
}

func (c *counted) Reset() { c.resets++ }

func TestHealthyLifeResetsBackoff(t *testing.T) {
	for _, tt := range []struct {
		name, role string
		healthy    time.Duration
		resets     int
	}{
		{"long enough", "worker", time.Nanosecond, 2},
		{"too short", "worker", time.Hour, 0},
		{"never ready", "failing", time.Nanosecond, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &counted{}
			exits := make(chan Exit, 100)
			var sup *Supervisor
			sup = New(Config{Path: self(), Env: []string{roleVar + "=" + tt.role}, Backoff: b, Healthy: tt.healthy,
				OnUp: func(c *Conn, _ Frame) { _ = c.Send(kindAct, []byte("exit")) },
				OnDown: func(e Exit) {
					if e.Restarts == 1 {
						sup.Kill()
					}
					exits <- e
				}})
			if err := sup.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if b.resets != tt.resets {
				t.Errorf("%d resets, want %d", b.resets, tt.resets)
			}
		})
	}
}

func TestUninvited(t *testing.T) {
	cmd := exec.Command(self())
	cmd.Env = append(os.Environ(), roleVar+"=uninvited")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "take over descriptor 3: ") ||
		!strings.Contains(string(out), "(this program is started by a supervisor)") {
		t.Errorf("it said %q, %v", out, err)
	}
}
