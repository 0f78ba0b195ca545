// Command gpucheck runs weft's checks and benchmarks on a machine with a GPU
// and no Go: `make gpu-check` puts it into a folder together with weft, the
// test programs and what they read, and the folder can be copied there.
//
//	./gpucheck                  everything; report.json and report.md beside it
//	./gpucheck -only tests      one part: probe, tests, sanitizer, overhead, share or sweep
//	./gpucheck -only share -loads lab -quick      does it work; figures mean little
//
// The share part compares ways of sharing the GPU, and PyTorch and JAX where the
// python3 found has them (WEFT_PYTHON names another), with utilization and
// energy; its results, pages and plots are beside the report as share-LOAD.json,
// .html and .svg. The sweep part does so over numbers of models.
//
// It exits 1 if a part failed. A part for which something is missing is told
// as skipped, with the reason.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	flags := flag.NewFlagSet("gpucheck", flag.ContinueOnError)
	only := flags.String("only", "", "run these parts only, separated by commas")
	loads := flags.String("loads", "lab,wide,mixed,tiny,cnn", "loads of the share part")
	repeat := flags.String("repeat", "3", "rounds of each load")
	counts := flags.String("counts", "1,4,16,64,256", "numbers of models of the sweep part, whose load is tiny")
	quick := flags.Bool("quick", false, "one short round of each load")
	out := flags.String("out", ".", "folder for report.json and report.md")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "gpucheck:", err)
		return 1
	}
	c := &check{dir: filepath.Dir(self), repeat: *repeat, quick: *quick, report: Report{Date: time.Now().UTC().Format(time.RFC3339)}}
	c.report.Commit = c.commit()
	wanted := func(part string) bool {
		return *only == "" || strings.Contains(","+*only+",", ","+part+",")
	}
	for _, part := range []struct {
		name string
		run  func(context.Context)
	}{
		{"probe", c.probe},
		{"tests", c.tests},
		{"sanitizer", c.sanitizer},
		{"overhead", c.overhead},
		{"share", func(ctx context.Context) { c.share(ctx, strings.Split(*loads, ",")) }},
		{"sweep", func(ctx context.Context) { c.sweep(ctx, *counts) }},
	} {
		if wanted(part.name) && ctx.Err() == nil {
			part.run(ctx)
		}
	}
	if err := c.report.write(*out); err != nil {
		fmt.Fprintln(os.Stderr, "gpucheck:", err)
		return 1
	}
	if c.report.failed() {
		return 1
	}
	return 0
}

// check is a run of the parts.
type check struct {
	dir    string
	repeat string
	quick  bool
	report Report
}

// step runs a program and records what came of it.
func (c *check) step(ctx context.Context, part, name, dir string, command ...string) ([]byte, bool) {
	fmt.Fprintf(os.Stderr, "== %s: %s\n", part, name)
	began := time.Now()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) // #nosec G204 -- programs of this folder
	cmd.Dir = filepath.Join(c.dir, dir)
	cmd.Env = append(os.Environ(), "WEFT_GPU_CHECK=1", "WEFT_CUDA_TEST=gpu", "NO_COLOR=1")
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	s := Step{Part: part, Name: name, Seconds: time.Since(began).Seconds(), Status: "ok", Output: tail(out)}
	if err != nil {
		s.Status = "failed"
		s.Output = tail(out) + "\n" + err.Error()
	}
	c.report.Steps = append(c.report.Steps, s)
	fmt.Fprintf(os.Stderr, "   %s in %.1f s\n", s.Status, s.Seconds)
	return out, err == nil
}

func (c *check) skip(part, name, why string) {
	fmt.Fprintf(os.Stderr, "== %s: %s skipped: %s\n", part, name, why)
	c.report.Steps = append(c.report.Steps, Step{Part: part, Name: name, Status: "skipped", Output: why})
}

// commit is the version that weft was built with.
func (c *check) commit() string {
	out, err := exec.Command(filepath.Join(c.dir, "weft"), "version").Output() // #nosec G204 -- of this folder
	if err != nil {
		return "unknown: " + err.Error()
	}
	return strings.TrimSpace(string(out))
}

// probe asks the driver what is there.
func (c *check) probe(ctx context.Context) {
	out, ok := c.step(ctx, "probe", "driver and devices", ".", filepath.Join(c.dir, "weft"), "worker", "probe")
	if ok && json.Valid(out) {
		c.report.Driver = out
	}
}

// tests runs every test program in the folder of its package, where it finds
// what it reads.
func (c *check) tests(ctx context.Context) {
	for _, program := range c.testPrograms() {
		c.step(ctx, "tests", filepath.Dir(program), filepath.Dir(program),
			filepath.Join(c.dir, program), "-test.v", "-test.timeout=8m")
	}
}

// testPrograms are those of the folder, by package.
func (c *check) testPrograms() []string {
	found, err := filepath.Glob(filepath.Join(c.dir, "gpu", "*", "check.test"))
	if err != nil {
		return nil
	}
	for i := range found {
		found[i], _ = filepath.Rel(c.dir, found[i]) // both are absolute
	}
	return found
}

// sanitizer runs a short training of each kind under compute-sanitizer.
func (c *check) sanitizer(ctx context.Context) {
	tool, err := exec.LookPath("compute-sanitizer")
	if err != nil {
		tool = "/usr/local/cuda/bin/compute-sanitizer"
		if _, err := os.Stat(tool); err != nil {
			c.skip("sanitizer", "memcheck and racecheck", "compute-sanitizer is not installed")
			return
		}
	}
	for _, kind := range []string{"memcheck", "racecheck"} {
		c.step(ctx, "sanitizer", kind, "gpu/lane", tool, "--tool", kind, "--error-exitcode", "9",
			filepath.Join(c.dir, "gpu/lane/check.test"), "-test.run", "TestAgreesWithHost", "-test.timeout=8m")
	}
}

// overhead measures what a quantum costs the host.
func (c *check) overhead(ctx context.Context) {
	c.step(ctx, "overhead", "a quantum beyond its kernels", "gpu/lane", filepath.Join(c.dir, "gpu/lane/check.test"),
		"-test.run", "^$", "-test.bench", "Quantum", "-test.count", "5")
}
