package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"weft/daemon/api"
)

// ownDaemon is a daemon that the client started for one command's time.
type ownDaemon struct {
	client *api.Client
	cmd    *exec.Cmd
	log    string        // path of its standard error
	keep   string        // the command that keeps the log
	ended  chan struct{} // closed when the process has ended
	grace  time.Duration // between asking it to end and making it
}

// startDaemon starts `weft serve` on a directory and a socket of its own, with
// further flags, and returns when it is ready for jobs. The caller stops it;
// keep is the command that keeps its log.
func (p *program) startDaemon(ctx context.Context, dir, keep string, flags ...string) (*ownDaemon, error) {
	path, err := p.executable()
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "weft.sock")
	d := &ownDaemon{log: filepath.Join(dir, "serve.log"), keep: keep, ended: make(chan struct{}), grace: demoGrace}
	if d.client, err = api.New("unix://"+socket, api.Options{UserAgent: "weft/" + p.app.Version}); err != nil {
		return nil, err
	}
	log, err := os.Create(d.log)
	if err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	defer log.Close() // the daemon has its own descriptor
	// #nosec G204 -- this program itself
	d.cmd = exec.Command(path, append([]string{"serve", "--state-dir", filepath.Join(dir, "state"),
		"--socket", socket}, flags...)...)
	d.cmd.Env = cleanEnvironment(os.Environ())
	d.cmd.Stderr = log
	// A group of its own, so that an interrupt typed at the terminal reaches
	// the client only, which then ends the daemon in order.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start daemon: %w", err)
	}
	go func() { // ends with the process, which stop waits for
		_ = d.cmd.Wait() // how it ended is in its log
		close(d.ended)
	}()
	if err := d.untilReady(ctx); err != nil {
		d.stop()
		return nil, d.explain(err)
	}
	return d, nil
}

// keptSettings are those that say what the machine has, not where or how the
// user's own daemon runs.
var keptSettings = []string{"WEFT_THREADS", "WEFT_MEMORY", "WEFT_GPU_MEMORY", "WEFT_CUDA_DRIVER", "WEFT_CUDA_KERNELS",
	"WEFT_NVML"}

// cleanEnvironment leaves out the settings of the user's own daemon.
func cleanEnvironment(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return strings.HasPrefix(name, "WEFT_") && !strings.HasPrefix(name, "WEFT_TEST_") &&
			!slices.Contains(keptSettings, name)
	})
}

// untilReady asks until the daemon says that it takes jobs.
func (d *ownDaemon) untilReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	wait := api.Backoff{First: 10 * time.Millisecond, Most: 200 * time.Millisecond}
	for n := 1; ; n++ {
		health, err := d.client.Ready(ctx)
		if err == nil && health.Status == api.CheckOK {
			return nil
		}
		select {
		case <-d.ended:
			return &api.Error{Code: api.CodeUnreachable, Message: "the daemon ended before it was ready"}
		default:
		}
		if e := wait.Wait(ctx, n); errors.Is(e, context.DeadlineExceeded) {
			return &api.Error{Code: api.CodeUnreachable,
				Message: fmt.Sprintf("the daemon was not ready within %s", demoPatience)}
		} else if e != nil {
			return e
		}
	}
}

// explain adds the last line of the daemon's log to a failure that it may be
// the cause of; where that says what to try, so does the failure.
func (d *ownDaemon) explain(err error) error {
	e := api.AsError(err)
	if e == nil || e.Code != api.CodeUnreachable {
		return err
	}
	b, readErr := os.ReadFile(d.log)
	text := strings.TrimSpace(string(b))
	if readErr != nil || text == "" {
		return err
	}
	hint := d.keep + " keeps its log"
	last := text[strings.LastIndexByte(text, '\n')+1:]
	if try, ok := strings.CutPrefix(last, "try: "); ok {
		hint = try
		text = strings.TrimSpace(strings.TrimSuffix(text, last))
		last = text[strings.LastIndexByte(text, '\n')+1:]
	}
	return &api.Error{Code: e.Code, Message: e.Message + "; its last words: " + last, Hint: hint}
}

// stop ends the daemon in order, by force after a while, and waits for it.
// Its group goes with it, so that no worker stays.
func (d *ownDaemon) stop() {
	d.client.Close()
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // fails if it has ended
	grace := time.NewTimer(d.grace)
	defer grace.Stop()
	select {
	case <-d.ended:
	case <-grace.C:
		_ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
		<-d.ended
	}
}
