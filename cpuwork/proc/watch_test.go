package proc

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestBeatClock: the time that callbacks take is not the child's silence.
func TestBeatClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b beatClock
		check := func(want time.Duration) {
			t.Helper()
			if got := b.silence(time.Now()); got != want {
				t.Errorf("silence is %v, want %v", got, want)
			}
		}
		wait := func(d time.Duration) { <-time.After(d) }
		b.beat()
		wait(3 * time.Second)
		check(3 * time.Second)
		b.pause()
		wait(time.Hour)
		check(3 * time.Second)
		b.resume()
		check(3 * time.Second)
		wait(time.Second)
		check(4 * time.Second)
		b.shift(2 * time.Second)
		check(2 * time.Second)
		b.beat()
		check(0)
	})
}

// TestLook: silence ends a life, unless it was this process that slept.
func TestLook(t *testing.T) {
	start := time.Now()
	watching := func() *watcher {
		s := New(Config{ReadyTimeout: 8 * time.Second, BeatTimeout: 8 * time.Second})
		w := &watcher{life: &life{s: s, ready: make(chan struct{})}, respite: time.NewTimer(time.Hour),
			period: time.Second, looked: start, deadline: start.Add(8 * time.Second)}
		w.beats.last = start
		return w
	}
	every := func(w *watcher, from, to int) {
		for i := from; i <= to; i++ {
			w.look(start.Add(time.Duration(i) * time.Second))
		}
	}
	t.Run("not ready", func(t *testing.T) {
		w := watching()
		every(w, 1, 8)
		if w.cause != nil {
			t.Errorf("in time: %v", w.cause)
		}
		every(w, 9, 9)
		if !errors.Is(w.cause, ErrNotReady) {
			t.Errorf("too late: %v", w.cause)
		}
	})
	t.Run("no beat", func(t *testing.T) {
		w := watching()
		close(w.ready)
		every(w, 1, 8)
		if w.cause != nil {
			t.Errorf("in time: %v", w.cause)
		}
		every(w, 9, 9)
		if !errors.Is(w.cause, ErrNoBeat) {
			t.Errorf("too late: %v", w.cause)
		}
	})
	t.Run("this process slept", func(t *testing.T) {
		for _, ready := range []bool{false, true} {
			w := watching()
			if ready {
				close(w.ready)
			}
			every(w, 1, 5)
			every(w, 3605, 3607)
			if w.cause != nil {
				t.Errorf("ready=%t: %v", ready, w.cause)
			}
			every(w, 3608, 3609)
			if w.cause == nil {
				t.Errorf("ready=%t: silence after the sleep does not count", ready)
			}
		}
	})
	t.Run("stopping", func(t *testing.T) {
		w := watching()
		close(w.ready)
		w.stopped, w.cause = true, ErrStopped
		every(w, 1, 100)
		if !w.killed.IsZero() || !errors.Is(w.cause, ErrStopped) {
			t.Errorf("cause is %v", w.cause)
		}
	})
	t.Run("does not die", func(t *testing.T) {
		var log bytes.Buffer
		w := watching()
		w.cmd = &exec.Cmd{Process: &os.Process{Pid: 4711}}
		w.s.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		w.cause, w.killed = ErrNoBeat, start
		every(w, 1, 10)
		if log.Len() != 0 {
			t.Errorf("too early: %s", &log)
		}
		every(w, 11, 20)
		if n := strings.Count(log.String(), "child does not die: it hangs inside the kernel"); n != 1 {
			t.Errorf("said %d times: %s", n, &log)
		}
	})
}

func TestWords(t *testing.T) {
	var lines []string
	say := func(chunks ...string) string {
		lines = nil
		w := &words{line: func(line string) { lines = append(lines, line) }}
		for _, chunk := range chunks {
			if n, err := w.Write([]byte(chunk)); n != len(chunk) || err != nil {
				t.Errorf("Write returned %d, %v", n, err)
			}
		}
		return w.last()
	}
	many := func(n int, line string) string { return strings.Repeat(line+"\n", n) }
	t.Run("lines", func(t *testing.T) {
		if got := say("on", "e\ntwo\n\nthr", "ee"); got != "one\ntwo\n\nthree" {
			t.Errorf("last words are %q", got)
		}
		if !slices.Equal(lines, []string{"one", "two", ""}) {
			t.Errorf("lines are %q", lines)
		}
	})
	t.Run("nothing", func(t *testing.T) {
		if got := say(); got != "" {
			t.Errorf("last words are %q", got)
		}
	})
	t.Run("long line", func(t *testing.T) {
		say(strings.Repeat("x", 3*lineBytes-1), "y\xffz\n")
		for i, line := range lines {
			if len(line) > lineBytes+len("\uFFFD") {
				t.Errorf("line %d has %d bytes", i, len(line))
			}
		}
		if got := lines[len(lines)-1]; got != "\uFFFDz" {
			t.Errorf("the last piece is %q", got)
		}
	})
	t.Run("only the end is kept", func(t *testing.T) {
		got := say(many(100_000, "noise"), many(39, "end"), "last\n")
		if want := many(39, "end") + "last"; got != want {
			t.Errorf("last words are %q", got)
		}
	})
	t.Run("a long crash report", func(t *testing.T) {
		got := say("starting\n", "panic: oh no\n\n", "goroutine 7 [running]:\n",
			many(5000, "main.f()\n\t/src/main.go:7 +0x1d"))
		if !strings.HasPrefix(got, "panic: oh no\n\ngoroutine 7 [running]:\nmain.f()\n") ||
			!strings.Contains(got, "\n[…]\n") || strings.Count(got, "\n") != tailLines-1 {
			t.Errorf("last words are %q", got)
		}
	})
	t.Run("a crash report with noise", func(t *testing.T) {
		got := say("SIGQUIT: quit\nPC=0x1 m=0 sigcode=0\n\ngoroutine 0 gp=0x1 m=0 mp=0x2 [idle]:\n",
			many(50, "runtime.futex(0x7d41b8)\n\t/go/src/runtime/sys_linux_amd64.s:569 +0x21"),
			"\ngoroutine 1 [select]:\nmain.loop()\n\t/src/main.go:9\n",
			"\nrax    0x0\nr10    0x8\nrip    0x491c41\nrflags 0x286\ncs     0x33\n")
		want := "SIGQUIT: quit\n\ngoroutine 1 [select]:\nmain.loop()\n\t/src/main.go:9"
		if strings.TrimRight(got, "\n") != want {
			t.Errorf("last words are %q, want %q", got, want)
		}
	})
	t.Run("a crash report that was survived", func(t *testing.T) {
		got := say("panic: only words\n", many(1000, "working"), "panic: the real one\n", many(100, "main.f()"))
		if !strings.HasPrefix(got, "panic: the real one\n") {
			t.Errorf("last words are %q", got)
		}
	})
}

func TestLogLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		line := logLines(slog.New(slog.NewTextHandler(&log, nil)), "gpu0")
		for range 5000 {
			line("again")
		}
		if n := strings.Count(log.String(), `msg="child says" name=gpu0 line=again`); n != lineBurst {
			t.Errorf("%d lines were logged, want %d", n, lineBurst)
		}
		<-time.After(time.Second)
		line("at last")
		if !strings.Contains(log.String(), "lines_left_out=4000") || !strings.HasSuffix(log.String(), "line=\"at last\"\n") {
			t.Errorf("the log ends with %q", log.String()[log.Len()-200:])
		}
	})
}

func TestEnviron(t *testing.T) {
	parent := []string{"PATH=/bin", "AWS_SECRET_ACCESS_KEY=x", "LC_ALL=C", "NOTIFY_SOCKET=/run/x", "LCX=1",
		"CUDA_VISIBLE_DEVICES=1", "GOTRACEBACK=none", "odd"}
	got := environ(parent, []string{"PATH=/sbin", "MINE=1"})
	want := []string{"PATH=/bin", "LC_ALL=C", "CUDA_VISIBLE_DEVICES=1", "GOTRACEBACK=all", "PATH=/sbin", "MINE=1"}
	if !slices.Equal(got, want) {
		t.Errorf("environment is %q, want %q", got, want)
	}
}

// TestChildEnviron looks at what a child really gets.
func TestChildEnviron(t *testing.T) {
	t.Setenv("WEFT_TEST_SECRET", "hunter2")
	w := supervise(t, "environ", func(c *Config) { c.Env = append(c.Env, "GOTRACEBACK=single") })
	got := strings.Split(get(t, w.downs, "exit").LastWords, "\n")
	if slices.ContainsFunc(got, func(line string) bool { return strings.Contains(line, "hunter2") }) {
		t.Error("the child got its parent's secret")
	}
	for _, want := range []string{roleVar + "=environ", "GOTRACEBACK=single"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not in %q", want, got)
		}
	}
}
