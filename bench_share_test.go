package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"weft/bench/load"
	"weft/daemon/api"
)

// The daemon takes every load: its models parse, compose with their data, and
// are as large as they are said to be.
func TestLoadsCompose(t *testing.T) {
	s := serve(t, t.TempDir())
	defer s.stop()
	rows := map[string]int{"lab": 1438, "wide": 8000, "mixed": 1438, "tiny": 1024, "cnn": 2048}
	parameters := map[string]int64{"lab": 8970, "wide": 784*128 + 128 + 128*10 + 10,
		"tiny": 32*64 + 64 + 64*64 + 64 + 64 + 1, "cnn": 61_706}
	for _, l := range load.All {
		subs := make([]api.Submission, l.Models)
		for i := range subs {
			subs[i] = api.Submission{Kind: api.KindTrain, Spec: l.Spec(i).JSON()}
		}
		plans, err := s.client.DryRun(t.Context(), subs)
		if err != nil {
			t.Errorf("%s: %v", l.Name, err)
			continue
		}
		for i, p := range plans {
			want := parameters[l.Name]
			if p.Rows < rows[l.Name]-2 || p.Rows > rows[l.Name]+2 || (want != 0 && p.Parameters != want) || p.Device == "" {
				t.Errorf("%s: model %d is %+v", l.Name, i, p)
				break
			}
		}
	}
}

// shared is what these tests read of bench share's JSON.
type shared struct {
	Baseline string
	Equal    bool `json:"models_equal"`
	Device   struct{ ID string }
	Arms     []struct {
		Arm     string
		Wall    struct{ Median float64 }  `json:"wall_seconds"`
		Speedup *struct{ Median float64 } `json:"speedup"`
		Runs    []struct {
			Steps, Samples int64
			Wall           float64 `json:"wall_seconds"`
			Device         float64 `json:"device_seconds"`
		}
	}
	Floor struct{ Operations int64 }
	Jobs  []struct {
		Parameters, Steps, Samples int64
		Metric, SHA256             string
		Value                      float64
	}
}

// bench runs weft bench share where it can leave nothing behind unseen.
func bench(t *testing.T, args ...string) (cmd *exec.Cmd, tmp string) {
	t.Helper()
	tmp, err := os.MkdirTemp("", "wb-") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	cmd = exec.Command(weft, append([]string{"bench", "share", "--device", "cpu"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "NO_COLOR=1", "WEFT_STATE="+filepath.Join(tmp, "state"))
	return cmd, tmp
}

// nothingLeft fails if a file or a process of a benchmark is still there.
func nothingLeft(t *testing.T, tmp string) {
	t.Helper()
	if left, err := filepath.Glob(filepath.Join(tmp, "weft-bench-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range environments {
		env, err := os.ReadFile(file)
		if err == nil && bytes.Contains(env, []byte("TMPDIR="+tmp+"\x00")) {
			cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline")) // it may have just ended
			t.Errorf("still running: %s", bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '}))
		}
	}
}

func TestBenchShare(t *testing.T) {
	const models, steps, batch = 3, 50, 32
	saved := filepath.Join(t.TempDir(), "run.json")
	cmd, tmp := bench(t, "--load", "lab", "--models", fmt.Sprint(models), "--steps", fmt.Sprint(steps), "--repeat", "1",
		"--arms", "sequential,auto", "-o", "json", "--save", saved)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("weft bench share: %v\n%s", err, &stderr)
	}
	nothingLeft(t, tmp)
	if file, err := os.ReadFile(saved); err != nil || !bytes.Equal(file, out) {
		t.Errorf("saved %d bytes, wrote %d, %v", len(file), len(out), err)
	}
	var r shared
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	// An epoch of 1,438 rows or so has 45 steps, the last of fewer rows.
	samples := r.Jobs[0].Samples
	if !r.Equal || r.Baseline != "sequential" || r.Device.ID != "cpu" || len(r.Jobs) != models || len(r.Arms) != 2 ||
		samples <= (steps-1)*batch || samples >= steps*batch {
		t.Errorf("result: %+v", r)
	}
	perRow := int64(2 * (2*64*64 + 3*64*64 + 3*64*10))
	if want := models * samples * perRow; r.Floor.Operations != want {
		t.Errorf("%d operations, want %d", r.Floor.Operations, want)
	}
	seen := map[string]bool{}
	for _, j := range r.Jobs {
		seen[j.SHA256] = true
		if j.Parameters != 8970 || j.Steps != steps || j.Samples != samples || j.Metric != "val_accuracy" || j.Value <= 0.1 {
			t.Errorf("job: %+v", j)
		}
	}
	if len(seen) != models {
		t.Errorf("%d models are different, of %d with seeds of their own", len(seen), models)
	}
	for _, a := range r.Arms {
		if len(a.Runs) != 1 || a.Runs[0].Steps != models*steps || a.Runs[0].Samples != models*samples ||
			a.Runs[0].Device <= 0 || a.Wall.Median <= 0 || a.Wall.Median != a.Runs[0].Wall {
			t.Errorf("arm: %+v", a)
		}
	}
	speedup, want := r.Arms[1].Speedup, r.Arms[0].Wall.Median/r.Arms[1].Wall.Median
	if r.Arms[0].Speedup != nil || speedup == nil || math.Abs(speedup.Median-want) > 1e-9 {
		t.Errorf("speedups: %+v", r.Arms)
	}
}

// withTorch is a python that imports torch; the test is skipped without one.
func withTorch(t *testing.T) string {
	t.Helper()
	for _, python := range []string{os.Getenv("WEFT_PYTHON"), "python3", "/usr/bin/python3"} {
		if python != "" && exec.Command(python, "-c", "import torch").Run() == nil {
			return python
		}
	}
	t.Skip("no python3 here imports torch")
	return ""
}

// PyTorch trains the same models to the same losses: its rows, batches and
// initial parameters are weft's.
func TestBenchShareWithPeers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	python := withTorch(t)
	for _, load := range []string{"lab", "tiny", "cnn"} {
		cmd, tmp := bench(t, "--load", load, "--models", "2", "--steps", "100", "--repeat", "1", "--arms", "auto",
			"--peers", "auto", "-o", "json", "--report", filepath.Join(t.TempDir(), "page.html"))
		cmd.Env = append(cmd.Env, "WEFT_PYTHON="+python)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("weft bench share: %v\n%s", err, &stderr)
		}
		nothingLeft(t, tmp)
		var r struct {
			Peers []struct {
				Peer, Skipped, Failed string
				Apart                 *int                                `json:"losses_apart"`
				Ratio                 *struct{ Median, Min, Max float64 } `json:"loss_ratio"`
				Runs                  []struct {
					Steps       int64
					Wall        float64 `json:"wall_seconds"`
					Utilization *float64
					Reason      string `json:"utilization_reason"`
				}
			}
		}
		if err := json.Unmarshal(out, &r); err != nil {
			t.Fatal(err)
		}
		ran := map[string]bool{}
		for _, p := range r.Peers {
			if p.Skipped != "" {
				t.Logf("%s: %s is skipped: %s", load, p.Peer, p.Skipped)
				continue
			}
			if p.Failed != "" || len(p.Runs) != 1 || p.Runs[0].Steps != 200 || p.Apart == nil || *p.Apart != 0 ||
				p.Ratio.Min < 0.99 || p.Ratio.Max > 1.01 {
				t.Errorf("%s: %+v, %+v", load, p, p.Ratio)
			}
			// Its process works while its clock runs, so that a host that is
			// watched cannot be idle.
			if run := p.Runs[0]; run.Wall > 0.5 && (run.Utilization == nil || *run.Utilization <= 0.1 || *run.Utilization > 1) {
				t.Errorf("%s: %s ran %g s at utilization %v: %s", load, p.Peer, run.Wall, run.Utilization, run.Reason)
			}
			ran[p.Peer] = true
		}
		if !ran["torch-eager"] || !ran["torch-processes"] {
			t.Errorf("%s: ran %v", load, ran)
		}
		if kept, err := filepath.Glob(filepath.Join(tmp, "state", "bench", "*-"+load+"-cpu-2.json")); err != nil || len(kept) != 1 {
			t.Errorf("kept %v, %v", kept, err)
		}
	}
}

// A job that fails ends the benchmark with its own words, and a specification
// that the daemon refuses is told at its place.
func TestBenchShareTellsFailures(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"nan.yaml": "name: nan\ndata: {source: digits}\nmodel: [linear: 8, relu, linear: 10]\noptimizer: {name: sgd, lr: 1e30}\nsteps: 1000\n",
		"bad.yaml": "data: {source: digits}\nmodel: [linear: 10]\noptimizer: {lrr: 1}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		want, code := "NaN", 1
		if name == "bad.yaml" {
			want, code = name+`:3:13: unknown key "lrr"`, 2
		}
		cmd, tmp := bench(t, filepath.Join(dir, name), "--quick", "--arms", "auto")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != code || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: %v, want %d and %q\n%s", name, err, code, want, &stderr)
		}
		nothingLeft(t, tmp)
	}
}

// An interrupt ends what the benchmark started, also while models train.
func TestBenchShareIsInterrupted(t *testing.T) {
	for _, moment := range []string{"round 1/5  ", "2 models … "} {
		cmd, tmp := bench(t, "--models", "2", "--steps", "1000000000", "--arms", "auto")
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		out := newTranscript()
		followed := make(chan struct{})
		go func() {
			defer close(followed)
			out.follow(stderr)
		}()
		out.await(t, moment)
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		<-followed
		_ = cmd.Wait() // the exit code says it
		if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.HasSuffix(out.String(),
			"\nweft: interrupted after 0 of 5 runs; nothing is left behind\n"+
				"try: --quick, --repeat 1 or fewer --arms for a shorter run\n") {
			t.Errorf("at %q: exit %d, %s", moment, code, out)
		}
		nothingLeft(t, tmp)
	}
}
