package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weft/daemon/api"
)

// The real daemon calibrates its machine once, measures a sample in a process of
// its own, and leaves no process and nothing written behind.
func TestAdvise(t *testing.T) {
	in, state := t.TempDir(), t.TempDir()
	someFiles(t, in, 200, 20_000)
	s := serve(t, state)
	described, err := s.client.Advise(t.Context(), api.AdviseRequest{Workload: &api.AdviseWorkload{Items: 10_000, CPU: 5e-3, Isolation: "crash"}})
	if err != nil {
		t.Fatal(err)
	}
	if described.Choice != "process" || described.Machine.Spawn <= 0 {
		t.Errorf("advice is %+v", described)
	}
	spec := cpuJob(api.KindSHA256, "auto", 0, hashFiles(in, filepath.Join(in, "SUMS"))).Spec
	measured, err := s.client.Advise(t.Context(), api.AdviseRequest{Measure: &api.AdviseMeasure{Kind: api.KindSHA256, Spec: spec, Check: true}})
	if err != nil {
		t.Fatal(err)
	}
	if !measured.Machine.At.Equal(described.Machine.At) && described.Machine.Busy <= 0.25 {
		t.Error("the machine was calibrated twice")
	}
	if n := measured.Sample; n.Counted != 200 || n.Failed != 0 || n.Items == 0 {
		t.Errorf("sample is %+v", n)
	}
	for _, alt := range measured.Alternatives {
		t.Logf("%s: predicted %.4f s, measured %+v", alt.Pool, alt.Seconds, alt.Checked)
		if alt.Checked == nil || alt.Checked.Failed != 0 {
			t.Errorf("%s: check is %+v", alt.Pool, alt.Checked)
		}
	}
	if _, err := os.Stat(filepath.Join(in, "SUMS")); !os.IsNotExist(err) {
		t.Errorf("the job's output is there: %v", err)
	}
	names, err := os.ReadDir(state)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if n.IsDir() && n.Name() == "advise" || strings.HasPrefix(n.Name(), ".") {
			t.Errorf("%s is left in the state directory", n.Name())
		}
	}
	left := children(s.cmd.Process.Pid)
	s.stop()
	gone(t, left)
}
