//go:build cuda

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"weft/kernels/simtest"
)

// Of a GPU with an energy counter every arm has its energy, from the counter
// around its runs, and what is missing says why. The result names the driver.
func TestBenchShareOnGPU(t *testing.T) {
	if simtest.RealGPU() {
		t.Skip("a recording is for the simulated GPU")
	}
	env := simulator(t)
	probe := exec.Command(weft, "worker", "probe")
	probe.Env = append(os.Environ(), env...)
	said, err := probe.Output()
	if err != nil {
		t.Fatalf("probe: %v", err)
	}
	var frames []string
	for i := range 3000 {
		frames = append(frames, fmt.Sprintf(`{"samples": [{"uuid": %q, "utilization": 0.5, "energy_joules": %d}]}`,
			uuidForm.Find(said), 1_000_000+30*i))
	}
	file := filepath.Join(t.TempDir(), "samples.json")
	if err := os.WriteFile(file, []byte(`{"frames": [`+strings.Join(frames, ",")+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, tmp := bench(t, "--load", "lab", "--models", "2", "--steps", "400", "--repeat", "1", "--arms", "auto", "-o", "json",
		"--device", "gpu")
	cmd.Env = append(cmd.Env, append(env, "WEFT_NVML=recorded:"+file)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("weft bench share: %v\n%s", err, &stderr)
	}
	nothingLeft(t, tmp)
	var r struct {
		Machine struct {
			GPU struct{ Name, Driver string }
		}
		Device struct{ ID string }
		Arms   []struct {
			Energy *struct{ Median float64 } `json:"energy_joules"`
			Runs   []struct {
				Wall        float64 `json:"wall_seconds"`
				Utilization *float64
				Reason      string `json:"utilization_reason"`
				Source      string `json:"energy_source"`
				Energy      *float64
			}
		}
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	run := r.Arms[0].Runs[0]
	if run.Wall < 0.3 {
		t.Skipf("the simulator takes %g s, too short for its sensors", run.Wall)
	}
	// 30 J a reading, of which there are ten a second where nothing is late.
	energy := r.Arms[0].Energy
	if energy == nil || run.Source != "counter" || energy.Median < 0.1*300*run.Wall || energy.Median > 1.5*300*run.Wall {
		t.Errorf("%g s: energy %+v by %q", run.Wall, energy, run.Source)
	}
	if known := run.Utilization != nil; known != (run.Wall >= 1) || known != (run.Reason == "") || known && *run.Utilization != 0.5 {
		t.Errorf("%g s: utilization %v, %q", run.Wall, run.Utilization, run.Reason)
	}
	if r.Device.ID != "gpu0" || r.Machine.GPU.Name == "" || !strings.Contains(r.Machine.GPU.Driver, "CUDA 12.8") {
		t.Errorf("machine: %+v on %s", r.Machine, r.Device.ID)
	}
}
