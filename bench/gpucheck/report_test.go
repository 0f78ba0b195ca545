package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A program that fails shows in the report and in the exit status; one that is
// missing is told as skipped.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	c := &check{dir: dir, report: Report{Date: "2026-01-02T03:04:05Z", Commit: "weft v0"}}
	c.step(context.Background(), "tests", "good", ".", "/bin/sh", "-c", "echo fine")
	if c.report.failed() {
		t.Fatalf("failed without a reason: %+v", c.report)
	}
	c.skip("sanitizer", "memcheck", "not installed")
	if c.report.failed() {
		t.Fatal("what is skipped counts as failed")
	}
	c.step(context.Background(), "overhead", "bad", ".", "/bin/sh", "-c", "echo 12 apples; exit 3")
	if !c.report.failed() {
		t.Fatal("a failure does not show")
	}
	if err := c.report.write(dir); err != nil {
		t.Fatal(err)
	}
	var read Report
	b, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &read); err != nil || len(read.Steps) != 3 {
		t.Fatalf("report.json: %v, %+v", err, read)
	}
	md, err := os.ReadFile(filepath.Join(dir, "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| tests | good | ok |", "| sanitizer | memcheck | skipped |", "| overhead | bad | failed |", "12 apples", "not installed"} {
		if !strings.Contains(string(md), want) {
			t.Errorf("report.md lacks %q:\n%s", want, md)
		}
	}
}

func TestNothingRunIsNoSuccess(t *testing.T) {
	if r := (Report{}); !r.failed() {
		t.Error("a report without steps passes")
	}
}

// What is wrong with a result, or missing in it, is a step of its own.
func TestJudge(t *testing.T) {
	const good = `{"machine":{"gpu":{"driver":"580"}},"weft":{"commit":"0123"},
		"arms":[{"arm":"auto","runs":[{"utilization":0.5,"energy_joules":3}]}],
		"peers":[{"peer":"torch-eager","runs":[{"utilization":0.5,"energy_joules":3}]}]}`
	for name, c := range map[string]struct {
		old, new string
		want     []string
	}{
		"good":    {"", "", nil},
		"driver":  {`"driver":"580"`, `"driver":""`, []string{"failed lab: machine: the result does not name the driver"}},
		"no GPU":  {`{"driver":"580"}`, `null`, []string{"failed lab: machine: the result does not name the driver"}},
		"commit":  {`"0123"`, `""`, []string{"failed lab: weft: the result does not name the commit; make gpu-check builds a weft that does"}},
		"peer":    {`"peer":"torch-eager",`, `"peer":"torch-eager","failed":"out of memory",`, []string{"failed lab: torch-eager: out of memory"}},
		"skipped": {`"peer":"torch-eager",`, `"peer":"torch-eager","skipped":"no torch",`, []string{"skipped lab: torch-eager: no torch"}},
		"too short": {`"runs":[{"utilization":0.5,"energy_joules":3}]}],`, `"runs":[{"utilization":null,"utilization_reason":"too short","energy_joules":3}]}],`,
			[]string{"skipped lab: sensors: auto, round 1: utilization: too short; energy: 3"}},
		"silent": {`{"utilization":0.5,"energy_joules":3}]}]}`, `{}]}]}`,
			[]string{"skipped lab: sensors: torch-eager, round 1: utilization: missing without a reason; energy: missing without a reason"}},
		"garbled": {`"arms":[`, `"arms":{`, []string{"failed lab: read result: invalid character ']' after object key"}},
	} {
		c2 := &check{}
		c2.judge("share", "lab", []byte(strings.Replace(good, c.old, c.new, 1)))
		var got []string
		for _, s := range c2.report.Steps {
			got = append(got, s.Status+" "+s.Name+": "+s.Output)
		}
		if name == "garbled" {
			if len(got) != 1 || !strings.HasPrefix(got[0], "failed lab: read result: ") {
				t.Errorf("%s: %v", name, got)
			}
			continue
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
