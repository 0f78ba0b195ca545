package main

import (
	"os/exec"
	"strconv"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// startDaemon is the script command `daemon [flags]`: weft serve on $WEFT_STATE,
// ready when it returns, killed at the script's end.
func startDaemon(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("daemon cannot be negated; use ! exec weft serve")
	}
	cmd := exec.Command(weft, append([]string{"serve"}, args...)...)
	cmd.Dir = ts.Getenv("WORK")
	for _, name := range []string{"PATH", "HOME", "WEFT_STATE", "NO_COLOR"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	cmd.Env = append(cmd.Env, "WEFT_DEVICE=cpu")
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	out := newTranscript()
	go out.follow(stderr)
	if !out.contains("weft: ready on ") {
		ts.Fatalf("weft serve is not ready:\n%s", out)
	}
	ts.Setenv("DAEMON_PID", strconv.Itoa(cmd.Process.Pid))
	ts.Defer(func() {
		_ = cmd.Process.Kill() // it may have ended already
		_ = cmd.Wait()
	})
}

// killDaemon is the script command `kill9`: SIGKILL to the daemon.
func killDaemon(ts *testscript.TestScript, _ bool, _ []string) {
	pid, err := strconv.Atoi(ts.Getenv("DAEMON_PID"))
	ts.Check(err)
	ts.Check(syscall.Kill(pid, syscall.SIGKILL))
}
