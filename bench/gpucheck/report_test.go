package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
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
