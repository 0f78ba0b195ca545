package proc

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// TestFamily: a grandchild that holds the pipe and the socket does not delay the
// end, and does not survive it.
func TestFamily(t *testing.T) {
	w := supervise(t, "worker", nil)
	w.tell("breed")
	f := get(t, w.frames, "pid of the grandchild")
	grandchild := pidfd(t, int(binary.LittleEndian.Uint32(f.Payload)))
	if err := unix.Kill(w.Status().PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	get(t, w.downs, "exit")
	waitDead(t, grandchild, "grandchild")
	get(t, w.ups, "second ready frame")
}

// TestEscape: a grandchild that left the process group, and still holds the pipe
// and the socket, survives; but it does not keep its parent's end from being
// noticed, nor the next life from beginning.
func TestEscape(t *testing.T) {
	w := supervise(t, "worker", func(c *Config) { c.DumpTimeout = 50 * time.Millisecond })
	w.tell("breed apart")
	f := get(t, w.frames, "pid of the grandchild")
	grandchild := pidfd(t, int(binary.LittleEndian.Uint32(f.Payload)))
	if err := unix.Kill(w.Status().PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	get(t, w.downs, "exit")
	get(t, w.ups, "second ready frame")
	if err := unix.PidfdSendSignal(grandchild, 0, nil, 0); err != nil {
		t.Errorf("the grandchild is gone, so nothing was tested: %v", err)
	}
}

// TestOrphans: when the supervising process is killed, nothing of the tree that
// it started survives, though nobody is left to kill it.
func TestOrphans(t *testing.T) {
	for _, wedged := range []bool{false, true} {
		t.Run(fmt.Sprintf("stopped=%t", wedged), func(t *testing.T) {
			cmd := exec.Command(self())
			cmd.Env = append(os.Environ(), roleVar+"=parent")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Wait() }()
			defer func() { _ = cmd.Process.Kill() }()
			var child, grandchild int
			if _, err := fmt.Fscan(bufio.NewReader(out), &child, &grandchild); err != nil {
				t.Fatal(err)
			}
			a, b := pidfd(t, child), pidfd(t, grandchild)
			if wedged { // it wakes up in another world
				if err := unix.Kill(child, unix.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if wedged {
				if err := unix.Kill(child, unix.SIGCONT); err != nil {
					t.Fatal(err)
				}
			}
			waitDead(t, a, "child")
			waitDead(t, b, "grandchild")
		})
	}
}

// pidfd opens a handle on a process that is not necessarily a child. It does not
// outlive the test.
func pidfd(t *testing.T, pid int) int {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("open pid %d: %v", pid, err)
	}
	t.Cleanup(func() {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // fails where the test did not
		_ = unix.Close(fd)
	})
	return fd
}

// waitDead waits until the process is dead.
func waitDead(t *testing.T, fd int, who string) {
	t.Helper()
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, int(patience.Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			t.Fatal(err)
		case n == 0:
			t.Fatalf("%s is still alive", who)
		}
		return
	}
}

// TestChaos kills the child a hundred times at random moments.
func TestChaos(t *testing.T) {
	kills := 100
	if testing.Short() {
		kills = 10
	}
	files, ignore := openFiles(t), goleak.IgnoreCurrent()
	w := supervise(t, "worker", nil)
	rng := rand.New(rand.NewPCG(1, 2))
	for range kills {
		if rng.IntN(4) > 0 { // else as early as it gets
			get(t, w.ups, "ready frame")
			for range rng.IntN(20) {
				_ = w.Send(kindEcho, make([]byte, rng.IntN(100_000))) // it may be too late
			}
		} else {
			for w.Status().PID == 0 {
				runtime.Gosched()
			}
		}
		w.mu.Lock()
		w.signalChild(unix.SIGKILL)
		w.mu.Unlock()
		exit := get(t, w.downs, "exit")
		if exit.Signal != "SIGKILL" {
			t.Fatalf("exit is %+v", exit)
		}
		drainChannels(w)
	}
	w.Kill()
	get(t, w.Done(), "end of Run")
	if s := w.Status(); s.Restarts < kills-1 {
		t.Errorf("%d restarts after %d kills", s.Restarts, kills)
	}
	goleak.VerifyNone(t, ignore)
	if now := openFiles(t); now != files {
		t.Errorf("%d descriptors are open, %d were", now, files)
	}
}

func drainChannels(w *watched) {
	for len(w.ups) > 0 {
		<-w.ups
	}
	for len(w.frames) > 0 {
		<-w.frames
	}
}

// openFiles counts this process's descriptors.
func openFiles(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
