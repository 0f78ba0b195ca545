package simtest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDriver runs the simulator's own tests (kernels/sim/*_test.cpp), each in a
// process of its own. WEFT_SIM=asan or tsan builds the simulator and the tests'
// kernels with a sanitizer.
func TestDriver(t *testing.T) {
	env, err := Env()
	if err != nil {
		t.Fatal(err)
	}
	if env == nil {
		t.Skip("no g++ here to compile the driver simulator with; CI has one")
	}
	dir := filepath.Dir(env["WEFT_CUDA_DRIVER"])
	args := []string{"-C", "../sim", "OUT=" + dir, "tests"}
	if sanitizer := os.Getenv("WEFT_SIM"); sanitizer != "" {
		args = []string{"-C", "../sim", "OUT=" + dir, sanitizer, "GOALS=tests"}
		dir = filepath.Join(dir, sanitizer)
	}
	if out, err := exec.CommandContext(t.Context(), "make", args...).CombinedOutput(); err != nil {
		t.Fatalf("build the simulator's tests: %v\n%s", err, out)
	}
	program := filepath.Join(dir, "simtest")
	list, err := exec.CommandContext(t.Context(), program).Output()
	if err != nil {
		t.Fatal(err)
	}
	plain := slices.Clip(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "CUDASIM_") || strings.HasPrefix(v, "CUDA_VISIBLE_DEVICES=")
	}))
	for name := range strings.FieldsSeq(string(list)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			run := exec.CommandContext(ctx, program, name)
			// Threads that are just ending at exit look like leaks.
			run.Env = append(plain, "TMPDIR="+t.TempDir(), "ASAN_OPTIONS=detect_leaks=0")
			if out, err := run.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
