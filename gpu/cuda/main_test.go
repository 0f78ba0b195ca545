//go:build cuda

package cuda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// A driver is a process's for good, so what Probe and Open say of other drivers
// than the simulator is asked of this test program as another process: with
// helperVariable set it does that and prints an answer.
const helperVariable = "WEFT_CUDA_TEST_HELPER"

// imageVariable is a helper's file of kernels.
const imageVariable = "WEFT_CUDA_TEST_IMAGE"

// answer is what a helper found.
type answer struct {
	Driver              Driver
	Code, Message, Hint string
	Wrapped             string // the driver call that failed
	Second              string // message of a second Probe
	Fatal               string // FatalReason
}

func TestMain(m *testing.M) {
	if task := os.Getenv(helperVariable); task != "" {
		os.Exit(help(task))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if workshop != "" {
			_ = os.RemoveAll(workshop) // in the system's temporary folder
		}
		os.Exit(code)
	}))
}

func help(task string) int {
	runtime.LockOSThread()
	var a answer
	var err error
	switch task {
	case "idle": // the program started; that is all
	case "probe":
		a.Driver, err = Probe()
		if _, again := Probe(); again != nil {
			a.Second = again.Error()
		}
	case "stray":
		err = stray()
		a.Fatal = FatalReason(err)
	case "load wrong":
		var c *Context
		if c, err = Open(0); err == nil {
			_, err = c.Load([]byte("something wrong"))
			err = errors.Join(err, c.Close())
		}
	case "open", "open 7":
		var c *Context
		index := 0
		if task == "open 7" {
			index = 7
		}
		if c, err = Open(index); err == nil {
			err = c.Close()
		}
	}
	var failure *ProbeError
	if errors.As(err, &failure) {
		a.Code, a.Message, a.Hint = failure.Code, failure.Message, failure.Hint
		if failure.Err != nil {
			a.Wrapped = failure.Err.Error()
		}
	} else if err != nil {
		a.Message = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// stray has a kernel write to an address that is none, and returns what the
// stream's next calls say of it.
func stray() error {
	image, err := os.ReadFile(os.Getenv(imageVariable))
	if err != nil {
		return err
	}
	c, err := Open(0)
	if err != nil {
		return err
	}
	m, err := c.Load(image)
	if err != nil {
		return err
	}
	f, err := m.Function("stray")
	if err != nil {
		return err
	}
	s, err := c.NewStream(0)
	if err != nil {
		return err
	}
	if err := s.Launch(f, 1, 32, 0, Pointer(1<<20)); err != nil {
		return err
	}
	if err := s.Synchronize(); err == nil {
		return nil
	}
	return s.Synchronize() // as every later call
}

// ask runs a helper with the driver and the further environment.
func ask(t *testing.T, task, driver string, environment ...string) answer {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self)
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); name != visibleVariable && name != "CUDA_DEVICE_MAX_CONNECTIONS" {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, helperVariable+"="+task, DriverVariable+"="+driver)
	cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=0") // else the race detector has each helper wait a second
	cmd.Env = append(cmd.Env, environment...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("helper %s with %s: %v", task, driver, err)
	}
	var a answer
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("helper %s printed %q: %v", task, out, err)
	}
	return a
}

// compile makes a shared library of a C file; the test is skipped where there is
// no C compiler.
func compile(t *testing.T, source string) string {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skipf("a driver for this test is compiled with gcc: %v", err)
	}
	out := filepath.Join(t.TempDir(), strings.TrimSuffix(filepath.Base(source), ".c")+".so")
	cmd := exec.CommandContext(t.Context(), "gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-Iinclude", source, "-o", out)
	if words, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, words)
	}
	return out
}
