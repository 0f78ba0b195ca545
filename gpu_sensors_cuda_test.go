//go:build cuda

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"weft/daemon/api"
	"weft/kernels/simtest"
)

var uuidForm = regexp.MustCompile(`GPU-[0-9a-f-]{36}`)

// Through the front door: recorded readings come to the GPU of that UUID, from a
// worker that is started again when the library takes it down.
func TestGPUSensors(t *testing.T) {
	if simtest.RealGPU() {
		t.Skip("a recording is for the simulated GPU")
	}
	dir := t.TempDir()
	probe := serveOn(t, t.TempDir(), "auto", simulator(t))
	doctor, err := probe.client.Doctor(t.Context())
	if err != nil {
		t.Fatalf("doctor: %v", err)
	}
	said, err := json.Marshal(doctor)
	if err != nil {
		t.Fatal(err)
	}
	uuid := uuidForm.FindString(string(said))
	probe.stop()
	file := filepath.Join(dir, "samples.json")
	recording := strings.ReplaceAll(`{"frames": [
		{"samples": [{"uuid": "UUID", "utilization": 0.5, "memory_used_bytes": 1073741824, "power_watts": 300,
			"processes": []}]},
		{"samples": [{"uuid": "UUID", "error": {"code": "gpu_lost", "message": "the GPU is lost, after Xid 79"}}]},
		{"crash": true}]}`, "UUID", uuid)
	if err := os.WriteFile(file, []byte(recording), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serveOn(t, t.TempDir(), "auto", simulator(t, "WEFT_NVML=recorded:"+file), "--sample-every", "100ms")
	defer s.stop()
	seen := map[string]bool{}
	for !(seen["ok"] && seen["lost"] && seen["stale"]) {
		devices, err := s.client.Devices(t.Context())
		if err != nil {
			t.Fatalf("list devices: %v", err)
		}
		for _, d := range devices {
			if d.ID != "gpu0" || d.Sample == nil {
				continue
			}
			seen[d.Sample.State] = true
			if d.Sample.Stale {
				seen["stale"] = true
			}
			requireSample(t, d.Sample)
		}
	}
}

func requireSample(t *testing.T, s *api.Sample) {
	t.Helper()
	switch {
	case s.Temperature != nil || s.Throttled != nil:
		t.Fatalf("readings that the GPU has not: %+v", s)
	case s.State == api.SampleOK && (s.Power == nil || *s.Power != 300):
		t.Fatalf("%+v", s)
	case s.State == api.SampleLost && !s.Stale && s.Reason != "the GPU is lost, after Xid 79":
		t.Fatalf("%+v", s)
	case s.Stale && s.Reason == "":
		t.Fatalf("stale without a reason: %+v", s)
	}
}
