package gpu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"weft/cpuwork/proc"
	"weft/gpu/cuda"
	"weft/gpu/train"
)

// A Discovery is what a probe found out about the machine's GPUs.
type Discovery struct {
	cuda.Driver              // zero: there is none that works
	Fault       *train.Fault // why there is no GPU to work on; nil when there is one
}

// Found is a GPU that the driver knows.
type Found = cuda.Info

// IDOf is what weft calls the GPU with the driver's number index.
func IDOf(index int) string { return fmt.Sprintf("gpu%d", index) }

// Usable returns the GPUs that nothing speaks against.
func (d *Discovery) Usable() []Found {
	var usable []Found
	for _, g := range d.Devices {
		if g.Unusable == "" {
			usable = append(usable, g)
		}
	}
	return usable
}

// judge sets Fault when no GPU is usable.
func (d *Discovery) judge() {
	if d.Fault != nil || len(d.Usable()) > 0 {
		return
	}
	if len(d.Devices) == 0 {
		d.Fault = &train.Fault{Code: cuda.NoDevice, Message: "the NVIDIA driver knows no GPU", Hint: "see what nvidia-smi says"}
		return
	}
	g := &d.Devices[0]
	d.Fault = &train.Fault{Code: cuda.Unusable,
		Message: fmt.Sprintf("weft cannot use %s (%s): %s", IDOf(g.Index), g.Name, g.Unusable)}
	if n := len(d.Devices) - 1; n > 0 {
		d.Fault.Message += fmt.Sprintf("; nor the %d others", n)
	}
}

// Codes of a Discovery's fault beside those of package cuda.
const (
	faultDied  = "probe_died"  // the driver took the probe down
	faultHangs = "probe_hangs" // it does not answer
)

// The probe's deadline: a driver that wakes eight sleeping GPUs takes several
// seconds.
const probeTimeout = 10 * time.Second

// probeOutput bounds what is read of a probe.
const probeOutput = 1 << 20

// Discover asks the driver for GPUs, in a process of its own: what the driver
// does there, crash or hang, harms nobody. It returns within 10 s or so. A
// discovery without GPUs has a Fault.
func Discover(ctx context.Context, program string) Discovery {
	if !builtWithCUDA {
		return ask() // and there is nothing to load
	}
	return discover(ctx, program, probeTimeout)
}

func discover(ctx context.Context, program string, limit time.Duration) Discovery {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	answer := make(chan Discovery, 1)
	// The goroutine outlives the deadline if the process hangs in the kernel,
	// where SIGKILL does not reach it; it ends with the process.
	go func() { answer <- probe(ctx, program) }()
	select {
	case d := <-answer:
		return d
	case <-ctx.Done():
	}
	select {
	case d := <-answer: // killed, and it shows
		return d
	case <-time.After(time.Second):
		return Discovery{Fault: hangs(limit)}
	}
}

// probe runs `weft worker probe` and reads what it prints.
func probe(ctx context.Context, program string) Discovery {
	cmd := exec.CommandContext(ctx, program, "worker", "probe") // #nosec G204 -- weft itself
	cmd.Env = proc.Environ(driverEnviron()...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	var said, words bounded
	cmd.Stdout, cmd.Stderr = &said, &words
	began := time.Now()
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // whom it left behind
	}
	if ctx.Err() != nil {
		return Discovery{Fault: hangs(time.Since(began).Round(time.Second))}
	}
	var d Discovery
	if err == nil {
		err = json.Unmarshal(said.Bytes(), &d)
	}
	if err != nil {
		return Discovery{Fault: crashed(err, words.String())}
	}
	return d
}

// probeWorker is `weft worker probe`: it prints a Discovery. Nothing else of
// weft loads a driver but a GPU's worker.
func probeWorker(w io.Writer) error {
	if err := json.NewEncoder(w).Encode(ask()); err != nil {
		return fmt.Errorf("print what the driver says: %w", err)
	}
	return nil
}

// ask loads the driver into this process.
func ask() Discovery {
	driver, err := cuda.Probe()
	d := Discovery{Driver: driver}
	if err != nil {
		d.Fault = faultOf(err)
	}
	d.judge()
	return d
}

func hangs(after time.Duration) *train.Fault {
	return &train.Fault{Code: faultHangs,
		Message: fmt.Sprintf("the NVIDIA driver did not answer within %s", after),
		Hint:    "see whether nvidia-smi answers, and the kernel's log (dmesg) for NVRM lines"}
}

func crashed(err error, words string) *train.Fault {
	message := fmt.Sprintf("the process that asks the NVIDIA driver failed: %v", err)
	if reason, _ := lastError(words); reason != "" {
		message = fmt.Sprintf("the process that asks the NVIDIA driver failed: %s", reason)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			message = fmt.Sprintf("the NVIDIA driver crashed the process that asks it: %s", unix.SignalName(status.Signal()))
		} else if strings.Contains(words, "SIGSEGV") || strings.Contains(words, "SIGABRT") {
			message = "the NVIDIA driver crashed the process that asks it"
		}
	}
	return &train.Fault{Code: faultDied, Message: message,
		Hint: "weft worker probe shows it; installing the driver again may help"}
}

// driverEnviron are the variables by which the driver and its stand-in for tests
// are chosen, for processes that use it.
func driverEnviron() []string {
	var env []string
	for _, assignment := range os.Environ() {
		if strings.HasPrefix(assignment, "WEFT_CUDA_") || strings.HasPrefix(assignment, "CUDASIM_") {
			env = append(env, assignment)
		}
	}
	return env
}

// bounded keeps the beginning of what is written.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), max(0, probeOutput-b.Len()))])
	return len(p), nil
}
