// Command doctables writes the measured tables of a document anew, from a result
// of weft bench pools:
//
//	go run ./bench/doctables docs/parallelism.md bench/results/MACHINE/pools.json
//
// A table stands between two comments, <!-- pools: CASE --> and <!-- end -->; what
// is between them is replaced. The case "machine" is a line about the run.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "doctables:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("want DOCUMENT.md and RESULT.json, got %d arguments", len(args))
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	result, err := read(args[1])
	if err != nil {
		return err
	}
	out, err := fill(string(text), result)
	if err != nil {
		return err
	}
	// #nosec G306 -- a document
	if err := os.WriteFile(args[0], []byte(out), 0o644); err != nil {
		return fmt.Errorf("write document: %w", err)
	}
	return nil
}

// A result is the part of weft bench pools' JSON that tables need.
type result struct {
	Benchmark string `json:"benchmark"`
	Date      string `json:"date"`
	Weft      struct{ Version, Commit, Go string }
	Machine   struct {
		CPU   string `json:"cpu"`
		Cores int    `json:"cores"`
	} `json:"machine"`
	Rounds int    `json:"rounds"`
	Cases  []cell `json:"cases"`

	file string
}

type cell struct {
	Case    string `json:"case"`
	Items   int64  `json:"items"`
	Skipped string `json:"skipped"`
	Arms    []arm  `json:"arms"`
	Peers   []arm  `json:"peers"`
}

type arm struct {
	Arm     string `json:"arm"`
	Peer    string `json:"peer"`
	Workers int    `json:"workers"`
	Wall    spread `json:"wall_seconds"`
	Items   spread `json:"items_per_second"`
	Speedup spread `json:"speedup"`
	Peak    spread `json:"peak_bytes"`
}

type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func read(path string) (*result, error) {
	text, err := os.ReadFile(path) // #nosec G304 -- named by whoever runs this
	if err != nil {
		return nil, fmt.Errorf("read result: %w", err)
	}
	r := &result{file: filepath.ToSlash(path)}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("read result %s: %w", path, err)
	}
	if r.Benchmark != "pools" {
		return nil, fmt.Errorf("%s is no result of weft bench pools", path)
	}
	return r, nil
}

var blocks = regexp.MustCompile(`(?s)(<!-- pools: ([a-z0-9-]+) -->\n).*?(<!-- end -->)`)

// fill replaces every block of a document. One for which the result has nothing is
// an error, for a stale table is worse than none.
func fill(text string, r *result) (string, error) {
	var fault error
	out := blocks.ReplaceAllStringFunc(text, func(block string) string {
		parts := blocks.FindStringSubmatch(block)
		body, err := r.table(parts[2])
		if err != nil && fault == nil {
			fault = err
		}
		return parts[1] + body + parts[3]
	})
	return out, fault
}

func (r *result) table(name string) (string, error) {
	if name == "machine" {
		return fmt.Sprintf("Measured on %s, %d cores, %s, %s; medians of %d rounds. Recorded in `%s`.\n",
			strings.Join(strings.Fields(r.Machine.CPU), " "), r.Machine.Cores, r.Weft.Go,
			strings.SplitN(r.Date, "T", 2)[0], r.Rounds, r.file), nil
	}
	for i := range r.Cases {
		if c := &r.Cases[i]; c.Case == name && c.Skipped == "" {
			return c.markdown(), nil
		}
	}
	return "", fmt.Errorf("%s has no case %q", r.file, name)
}

func (c *cell) markdown() string {
	var b strings.Builder
	b.WriteString("| who | workers | time | min-max | items/s | speedup | memory |\n|---|--:|--:|--:|--:|--:|--:|\n")
	for _, a := range append(append([]arm{}, c.Arms...), c.Peers...) {
		name := a.Arm
		if name == "" {
			name = a.Peer
		}
		name = strings.TrimSuffix(name, "-"+strconv.Itoa(a.Workers))
		fmt.Fprintf(&b, "| %s | %d | %s | %s-%s | %.0f | %.2fx | %.0f MB |\n", name, a.Workers, seconds(a.Wall.Median),
			seconds(a.Wall.Min), seconds(a.Wall.Max), a.Items.Median, a.Speedup.Median, a.Peak.Median/1e6)
	}
	return b.String()
}

// seconds writes a time with three digits.
func seconds(s float64) string {
	switch {
	case s < 1e-3:
		return strconv.FormatFloat(s*1e6, 'g', 3, 64) + " us"
	case s < 1:
		return strconv.FormatFloat(s*1e3, 'g', 3, 64) + " ms"
	}
	return strconv.FormatFloat(s, 'g', 3, 64) + " s"
}
