// Command doctables writes the measured tables of a document anew, from results of
// weft bench pools or weft bench share:
//
//	go run ./bench/doctables docs/parallelism.md bench/results/MACHINE/pools.json bench/results/MACHINE/share-lab.json
//
// A table stands between two comments, <!-- pools: CASE --> or <!-- share: LOAD -->
// and <!-- end -->; what is between them is replaced by what the results of that
// benchmark have, and left alone if there are none. "machine" is a line about the run.
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
	if len(args) < 2 {
		return fmt.Errorf("want DOCUMENT.md and RESULT.json…, got %d arguments", len(args))
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	out := string(text)
	for _, file := range args[1:] {
		result, err := read(file)
		if err != nil {
			return err
		}
		if out, err = fill(out, result); err != nil {
			return err
		}
	}
	// #nosec G306 -- a document
	if err := os.WriteFile(args[0], []byte(out), 0o644); err != nil {
		return fmt.Errorf("write document: %w", err)
	}
	return nil
}

// A result is the part of a benchmark's JSON that tables need.
type result struct {
	Benchmark string `json:"benchmark"`
	Date      string `json:"date"`
	Weft      struct{ Version, Commit, Go string }
	Machine   struct {
		CPU   string `json:"cpu"`
		Cores int    `json:"cores"`
	} `json:"machine"`
	Rounds int                   `json:"rounds"`
	Cases  []cell                `json:"cases"` // of pools
	Load   struct{ Name string } // of share, with the arms and peers
	Arms   []arm                 `json:"arms"`
	Peers  []arm                 `json:"peers"`

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

	Steps       spread  `json:"steps_per_second"` // of share
	Utilization *spread `json:"utilization"`
	Skipped     string  `json:"skipped"`
	Failed      string  `json:"failed"`
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
	if r.Benchmark != "pools" && r.Benchmark != "share" {
		return nil, fmt.Errorf("%s is no result of weft bench pools or weft bench share", path)
	}
	return r, nil
}

var blocks = regexp.MustCompile(`(?s)(<!-- (pools|share): ([a-z0-9-]+) -->\n).*?(<!-- end -->)`)

// fill replaces every block of a document that is of the result's benchmark. One for
// which the result has nothing is an error, for a stale table is worse than none.
func fill(text string, r *result) (string, error) {
	var fault error
	out := blocks.ReplaceAllStringFunc(text, func(block string) string {
		parts := blocks.FindStringSubmatch(block)
		if parts[2] != r.Benchmark {
			return block
		}
		body, err := r.table(parts[3])
		if err != nil && fault == nil {
			fault = err
		}
		return parts[1] + body + parts[4]
	})
	return out, fault
}

func (r *result) table(name string) (string, error) {
	if name == "machine" {
		return fmt.Sprintf("Measured on %s, %d cores, %s, %s; medians of %d rounds. Recorded in `%s`.\n",
			strings.Join(strings.Fields(r.Machine.CPU), " "), r.Machine.Cores, r.Weft.Go,
			strings.SplitN(r.Date, "T", 2)[0], r.Rounds, r.file), nil
	}
	if r.Benchmark == "share" && r.Load.Name == name {
		return r.shareTable(), nil
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

// shareTable has the arms and the peers that ran.
func (r *result) shareTable() string {
	var b strings.Builder
	b.WriteString("| who | time | min-max | steps/s | speedup | utilization |\n|---|--:|--:|--:|--:|--:|\n")
	for _, a := range append(append([]arm{}, r.Arms...), r.Peers...) {
		if a.Skipped != "" || a.Failed != "" {
			continue
		}
		speedup, utilization := "1.00x", "-"
		if a.Speedup.Median > 0 { // the baseline has none
			speedup = fmt.Sprintf("%.2fx", a.Speedup.Median)
		}
		if a.Utilization != nil {
			utilization = fmt.Sprintf("%.0f %%", 100*a.Utilization.Median)
		}
		fmt.Fprintf(&b, "| %s | %s | %s-%s | %.0f | %s | %s |\n", a.Arm+a.Peer, seconds(a.Wall.Median),
			seconds(a.Wall.Min), seconds(a.Wall.Max), a.Steps.Median, speedup, utilization)
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
