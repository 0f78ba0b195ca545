package kernels

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTiles compiles each program of test/ and runs it: every operation's tiles
// against a float64 reference. Under the race detector it is the kernels that
// are searched for races, for each of a block's threads is one to the thread
// sanitizer too; else for accesses outside of buffers.
func TestTiles(t *testing.T) {
	gxx, err := exec.LookPath("g++")
	if err != nil {
		t.Skip("no g++ here; CI has one")
	}
	programs, err := filepath.Glob("test/*_test.cpp")
	if err != nil || len(programs) == 0 {
		t.Fatalf("no programs in test/: %v", err)
	}
	for _, source := range programs {
		t.Run(strings.TrimSuffix(filepath.Base(source), "_test.cpp"), func(t *testing.T) {
			t.Parallel()
			binary := filepath.Join(t.TempDir(), "test")
			sanitizer := "-fsanitize=address,undefined"
			if raceEnabled {
				sanitizer = "-fsanitize=thread"
			}
			build := exec.CommandContext(t.Context(), gxx, "-std=c++20", "-O1", "-g", "-ffp-contract=off", "-Wall", "-Wno-unknown-pragmas",
				sanitizer, "-fno-sanitize-recover=undefined", source, "-o", binary, "-lpthread")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("compile %s: %v\n%s", source, err, out)
			}
			run := exec.CommandContext(t.Context(), binary)
			run.Env = append(run.Environ(), "ASAN_OPTIONS=detect_stack_use_after_return=0:detect_leaks=0")
			if out, err := run.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", source, err, out)
			}
		})
	}
}
