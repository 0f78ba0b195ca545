package proc

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Why a child's life ended; Exit.Err is one of these or wraps one. Where the
// child talked nonsense it wraps a *ProtocolError.
var (
	ErrSpawn     = errors.New("could not be started")
	ErrNotReady  = errors.New("not ready in time")
	ErrNoBeat    = errors.New("no beat")
	ErrExited    = errors.New("exited by itself")
	ErrHungUp    = errors.New("closed its socket")
	ErrNoRead    = errors.New("did not read what it was sent")
	ErrRestarted = errors.New("restarted")
	ErrKilled    = errors.New("killed")
	// ErrStopped, too: the child was asked to stop.
)

// Exit is the evidence of how one child's life ended.
type Exit struct {
	Name      string
	PID       int           // 0 if it could not be started
	Ready     bool          // it had said that it was ready
	Uptime    time.Duration // since it was started
	Status    string        // how the process ended: "exit status 2", "signal: SIGSEGV", "" if never started
	Code      int           // exit code; -1 if a signal ended it
	Signal    string        // "SIGKILL"; "" if none ended it
	Reason    string        // why it ended, in words
	Err       error         // the same, for errors.Is
	LastWords string        // the end of what it printed, 40 lines at most
	PeakBytes int64         // the most memory it had resident
	Restarts  int           // earlier lives of this supervisor's child
	Retry     time.Duration // until the next life; -1 if there is none
}

// Error says what happened in one line, and adds the last words if there are any.
func (e Exit) Error() string {
	if e.PID == 0 {
		return e.Name + " " + e.Reason
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s (pid %d) ended after %v: %s", e.Name, e.PID, e.Uptime.Round(time.Millisecond), e.Reason)
	if e.Status != "" {
		fmt.Fprintf(&b, " (%s)", e.Status)
	}
	if e.LastWords != "" {
		fmt.Fprintf(&b, "; its last words:\n%s", e.LastWords)
	}
	return b.String()
}

// Unwrap returns Err.
func (e Exit) Unwrap() error { return e.Err }

// setStatus fills in how the process ended.
func (e *Exit) setStatus(cmd *exec.Cmd) {
	state := cmd.ProcessState
	if state == nil {
		return
	}
	e.Code, e.Status = state.ExitCode(), state.String()
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		e.PeakBytes = usage.Maxrss << 10
	}
	wait, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !wait.Signaled() {
		return
	}
	e.Signal = unix.SignalName(wait.Signal())
	if e.Signal == "" {
		e.Signal = fmt.Sprintf("signal %d", int(wait.Signal()))
	}
	e.Status = "signal: " + e.Signal
	if wait.CoreDump() {
		e.Status += ", core dumped"
	}
}

// setReason says why the life ended.
func (e *Exit) setReason(cause error) {
	e.Err, e.Reason = cause, cause.Error()
	if e.Signal == "SIGKILL" && errors.Is(cause, ErrExited) {
		e.Reason = "killed from outside; if nobody did it, memory ran out: see the kernel's log"
	}
}
