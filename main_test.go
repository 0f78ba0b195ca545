package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// weft is the path of the real binary, built once for the tests of this
// package: they use it as a person or a supervisor would, through its commands.
var weft string

// buildArgs are go build's besides, such as the tags that these tests have.
var buildArgs []string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "weft-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make directory for the binary:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	weft = filepath.Join(dir, "weft")
	args := append([]string{"build", "-o", weft}, buildArgs...)
	if raceEnabled {
		args = append(args, "-race")
		// Every command would wait for a second before it ends: for races to be found.
		if err := os.Setenv("GORACE", "atexit_sleep_ms=50 "+os.Getenv("GORACE")); err != nil {
			fmt.Fprintln(os.Stderr, "set GORACE:", err)
			return 1
		}
	}
	build := exec.CommandContext(context.Background(), "go", append(args, ".")...)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build weft:", err)
		return 1
	}
	return m.Run()
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(weft)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("WEFT_STATE", filepath.Join(env.WorkDir, "state"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("NO_COLOR", "1")
			env.Setenv("GORACE", os.Getenv("GORACE"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"daemon": startDaemon,
			"kill9":  killDaemon,
		},
	})
}
