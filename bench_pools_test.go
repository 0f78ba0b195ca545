package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// pooled is what these tests read of bench pools' JSON.
type pooled struct {
	Benchmark string
	Quick     bool
	Equal     bool `json:"answers_equal"`
	Cases     []struct {
		Case, Skipped, Baseline string
		Items                   int
		Equal                   bool `json:"answers_equal"`
		Arms                    []struct {
			Arm, Pool string
			Workers   int
			Wall      struct{ Median float64 } `json:"wall_seconds"`
			Speedup   struct{ Median float64 }
			CPU       struct{ Median float64 } `json:"cpu_seconds"`
			Peak      struct{ Max float64 }    `json:"peak_bytes"`
			Runs      []struct{ Digest string }
		}
		Peers []struct {
			Peer, Skipped, Failed string
			Equal                 *bool             `json:"answers_equal"`
			Runs                  []json.RawMessage `json:"runs"`
		}
	}
	Against []struct {
		Case, What string
		Met        bool
	}
}

// benchPools runs weft bench pools where it can leave nothing behind unseen.
func benchPools(t *testing.T, args ...string) (cmd *exec.Cmd, tmp string) {
	t.Helper()
	tmp = t.TempDir()
	cmd = exec.Command(weft, append([]string{"bench", "pools"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "NO_COLOR=1", "WEFT_STATE="+filepath.Join(tmp, "state"))
	return cmd, tmp
}

// Everything once, with few items: all arms of all cases run and agree, peers too
// where they are here.
func TestBenchPools(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	saved := filepath.Join(t.TempDir(), "run.json")
	cmd, tmp := benchPools(t, "--quick", "--items", "12", "--size", "5000", "--workers", "1,2", "-o", "json", "--save", saved,
		"--report", filepath.Join(t.TempDir(), "page.html"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("weft bench pools: %v\n%s", err, &stderr)
	}
	nothingLeft(t, tmp)
	if file, err := os.ReadFile(saved); err != nil || !bytes.Equal(file, out) {
		t.Errorf("saved %d bytes, wrote %d, %v", len(file), len(out), err)
	}
	var r pooled
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	if r.Benchmark != "pools" || !r.Quick || !r.Equal || len(r.Cases) != 9 || len(r.Against) < 6 {
		t.Errorf("result: %+v", r)
	}
	for _, c := range r.Cases {
		if c.Skipped != "" {
			t.Logf("%s is skipped: %s", c.Case, c.Skipped)
			continue
		}
		if c.Items != 12 || !c.Equal || c.Baseline != "sequential-1" || len(c.Arms) < 7 {
			t.Errorf("%s: %d items, %d arms against %s", c.Case, c.Items, len(c.Arms), c.Baseline)
		}
		for _, a := range c.Arms {
			if a.Wall.Median <= 0 || a.Speedup.Median <= 0 || a.CPU.Median <= 0 || a.Peak.Max < 1e6 || len(a.Runs) != 1 ||
				(a.Runs[0].Digest == "") != (c.Case == "handoff") {
				t.Errorf("%s: %+v", c.Case, a)
			}
		}
		for _, p := range c.Peers {
			if p.Skipped == "" && (p.Failed != "" || len(p.Runs) != 1 || p.Equal != nil && !*p.Equal) {
				t.Errorf("%s: %+v", c.Case, p)
			}
		}
	}
	list := exec.Command(weft, "bench", "history", "--benchmark", "pools")
	list.Env = cmd.Env
	if text, err := list.Output(); err != nil || !strings.Contains(string(text), "-pools") {
		t.Errorf("history: %v\n%s", err, text)
	}
	plot := exec.Command(weft, "bench", "plot", "-o", filepath.Join(tmp, "pools.svg"))
	plot.Env = cmd.Env
	if text, err := plot.CombinedOutput(); err != nil {
		t.Errorf("plot: %v\n%s", err, text)
	}
}

// An interrupt ends what the benchmark started, whichever kind of contestant runs.
func TestBenchPoolsIsInterrupted(t *testing.T) {
	for _, c := range []struct{ args, during string }{
		{"sha256-blobs --arms process --items 1000000", "process-2"},
		{"fetch-limited --arms event --items 1000000", "event-2"},
		{"sha256-blobs --arms sequential --items 300000 --size 1 --peers python-shared-memory", "python-shared-memory"},
	} {
		if strings.HasPrefix(c.during, "python") && exec.Command("python3", "--version").Run() != nil {
			continue
		}
		args := strings.Fields(c.args + " --workers 2")
		if !strings.Contains(c.args, "--peers") {
			args = append(args, "--peers", "none")
		}
		cmd, tmp := benchPools(t, args...)
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all, seen := bufio.NewReader(stderr), ""
		for err == nil && !strings.Contains(seen, c.during) {
			var b byte
			b, err = all.ReadByte()
			seen += string(b)
		}
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		var rest bytes.Buffer
		_, _ = rest.ReadFrom(all) // its end is the process's
		_ = cmd.Wait()            // its code is looked at
		if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(rest.String(), "interrupted") {
			t.Errorf("%s: exit %d\n%s%s", c.args, code, seen, &rest)
		}
		nothingLeft(t, tmp)
	}
}
