package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Report is what a run of gpucheck found.
type Report struct {
	Date   string            `json:"date"`
	Commit string            `json:"commit"`
	Driver json.RawMessage   `json:"driver,omitempty"` // as weft's probe tells it
	Steps  []Step            `json:"steps"`
	Share  []json.RawMessage `json:"share,omitempty"` // weft bench share's results, one a load
}

// Step is one program that was run.
type Step struct {
	Part    string  `json:"part"`
	Name    string  `json:"name"`
	Status  string  `json:"status"` // ok, failed or skipped
	Seconds float64 `json:"seconds"`
	Output  string  `json:"output"` // its end
}

func (r *Report) failed() bool {
	for _, s := range r.Steps {
		if s.Status == "failed" {
			return true
		}
	}
	return len(r.Steps) == 0
}

func (r *Report) write(dir string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "report.json"), append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "report.md"), []byte(r.readable()), 0o600); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// readable is the report for people.
func (r *Report) readable() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Check on a GPU\n\n%s, %s\n", r.Date, r.Commit)
	if len(r.Driver) > 0 {
		fmt.Fprintf(&b, "\n```\n%s\n```\n", strings.TrimSpace(string(r.Driver)))
	}
	b.WriteString("\n| part | step | status | seconds |\n|---|---|---|---|\n")
	for _, s := range r.Steps {
		fmt.Fprintf(&b, "| %s | %s | %s | %.1f |\n", s.Part, s.Name, s.Status, s.Seconds)
	}
	for _, s := range r.Steps {
		if s.Status != "ok" || s.Part == "share" || s.Part == "sweep" || s.Part == "overhead" {
			fmt.Fprintf(&b, "\n## %s: %s\n\n```\n%s\n```\n", s.Part, s.Name, strings.TrimSpace(s.Output))
		}
	}
	return b.String()
}

// tailBytes is how much of a program's output a report keeps.
const tailBytes = 8 << 10

func tail(out []byte) string {
	if len(out) > tailBytes {
		out = out[len(out)-tailBytes:]
	}
	return strings.ToValidUTF8(string(out), "?")
}
