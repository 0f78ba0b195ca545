package client

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	poolbench "weft/bench/pools"
	"weft/cpuwork"
)

// poolsFormat is the version of pools' JSON: fields may be added within one.
const poolsFormat = 1

// poolsResult is pools' JSON, and what its tables are made of. Times are in seconds.
type poolsResult struct {
	Benchmark string         `json:"benchmark"`
	Format    int            `json:"format"`
	Date      time.Time      `json:"date"`
	Weft      shareVersion   `json:"weft"`
	Machine   machine        `json:"machine"`
	Rounds    int            `json:"rounds"`
	OrderSeed uint64         `json:"order_seed"`
	Quick     bool           `json:"quick"` // shortened: not for comparison
	Equal     bool           `json:"answers_equal"`
	Cases     []poolsCase    `json:"cases"`
	Against   []poolsAgainst `json:"against"` // where both sides ran
}

// poolsCase is what was measured of one case.
type poolsCase struct {
	Case     string      `json:"case"`
	Group    string      `json:"group"`
	About    string      `json:"about"`
	Items    int         `json:"items"`
	Size     int         `json:"item_bytes,omitempty"` // 0: it says nothing
	Skipped  string      `json:"skipped,omitempty"`    // why it was not measured
	Baseline string      `json:"baseline"`             // the arm that speedups are against
	Ideal    float64     `json:"ideal_seconds,omitempty"`
	Making   *spread     `json:"making_items_seconds,omitempty"` // alone, on one core: it is in every clock
	Equal    bool        `json:"answers_equal"`
	Arms     []poolsArm  `json:"arms"`
	Peers    []poolsPeer `json:"peers,omitempty"`
}

// poolsArm is what the runs of one arm came to.
type poolsArm struct {
	Arm        string       `json:"arm"`
	Pool       cpuwork.Kind `json:"pool"`
	Workers    int          `json:"workers"`
	Variant    string       `json:"variant,omitempty"`
	Efficiency *float64     `json:"efficiency"` // speedup by workers; null: its workers mostly wait
	Reference  string       `json:"equal_to"`   // the arm that its answers were compared with
	Equal      bool         `json:"answers_equal"`
	poolsFigures
}

// poolsPeer is what another program made of the case, or why it did not.
type poolsPeer struct {
	Peer    string `json:"peer"`
	About   string `json:"about"`
	Workers int    `json:"workers"`
	Runtime string `json:"runtime"`
	Skipped string `json:"skipped,omitempty"` // why it did not run
	Failed  string `json:"failed,omitempty"`  // what ended it; its runs before are kept
	Equal   *bool  `json:"answers_equal"`     // null: they are not comparable byte for byte
	poolsFigures
}

// poolsFigures are what runs of one contestant came to; null without runs.
type poolsFigures struct {
	Wall    *spread    `json:"wall_seconds"`
	ItemsPS *spread    `json:"items_per_second"`
	BytesPS *spread    `json:"bytes_per_second,omitempty"` // of items
	Speedup *spread    `json:"speedup"`                    // the baseline's wall over its own, round by round
	CPU     *spread    `json:"cpu_seconds"`
	Peak    *spread    `json:"peak_bytes"` // of all of its processes together
	Refused int64      `json:"refused"`    // requests, by the server, in all rounds
	Runs    []poolsRun `json:"runs"`
}

// poolsRun is one contestant in one round.
type poolsRun struct {
	Round int     `json:"round"` // from 1
	Place int     `json:"place"` // in the round, from 1
	Whole float64 `json:"process_seconds"`
	poolbench.Answer
}

// check refuses what tables and plots could not be made of.
func (r *poolsResult) check() error {
	if len(r.Cases) == 0 {
		return errors.New("nothing was measured")
	}
	for i := range r.Cases {
		c := &r.Cases[i]
		if c.Skipped != "" {
			continue
		}
		if len(c.Arms) == 0 || c.Items < 1 {
			return fmt.Errorf("%s has no arms", c.Case)
		}
		for k := range c.Arms {
			if !c.Arms[k].complete() || c.Arms[k].Workers < 1 {
				return fmt.Errorf("%s of %s was not measured", c.Arms[k].Arm, c.Case)
			}
		}
		for k := range c.Peers {
			if p := &c.Peers[k]; len(p.Runs) > 0 && (!p.complete() || p.Workers < 1) {
				return fmt.Errorf("%s of %s was not measured", p.Peer, c.Case)
			}
		}
	}
	return nil
}

// complete reports whether all figures are there.
func (f *poolsFigures) complete() bool {
	return len(f.Runs) > 0 && f.Wall != nil && f.ItemsPS != nil && f.Speedup != nil && f.CPU != nil && f.Peak != nil
}

// speedupsText is each case's greatest speedup in a line.
func (r *poolsResult) speedupsText() string {
	var parts []string
	for i := range r.Cases {
		c := &r.Cases[i]
		var best *poolsArm
		for k := range c.Arms {
			if a := &c.Arms[k]; best == nil || a.Speedup.Median > best.Speedup.Median {
				best = a
			}
		}
		if best != nil {
			parts = append(parts, fmt.Sprintf("%s %s %s", c.Case, best.Arm, timesText(best.Speedup.Median)))
		}
	}
	return strings.Join(parts, ", ")
}

// sumUp fills in what follows from the runs.
func (r *poolsResult) sumUp() {
	r.Equal = true
	for i := range r.Cases {
		c := &r.Cases[i]
		if c.Skipped == "" {
			c.sumUp()
			r.Equal = r.Equal && c.Equal
		}
	}
	r.Against = against(r)
}

func (c *poolsCase) sumUp() {
	base := c.baseline()
	walls := base.walls()
	for i := range c.Arms {
		a := &c.Arms[i]
		a.sumUp(c, walls)
		waits := c.Group == "fetch" && a.Pool == cpuwork.Event
		if a.Speedup != nil && !waits {
			e := a.Speedup.Median / float64(a.Workers)
			a.Efficiency = &e
		}
	}
	for i := range c.Peers {
		if p := &c.Peers[i]; len(p.Runs) > 0 {
			p.sumUp(c, walls)
		}
	}
	c.compare()
}

// baseline is the arm that speedups are against: the plain sequential one if it
// ran, else the first.
func (c *poolsCase) baseline() *poolsArm {
	i := slices.IndexFunc(c.Arms, func(a poolsArm) bool { return a.Arm == c.Baseline })
	return &c.Arms[max(i, 0)]
}

// walls are the times of a contestant by round.
func (f *poolsFigures) walls() map[int]float64 {
	walls := make(map[int]float64, len(f.Runs))
	for _, run := range f.Runs {
		walls[run.Round] = run.Wall
	}
	return walls
}

func (f *poolsFigures) sumUp(c *poolsCase, baseline map[int]float64) {
	of := func(value func(poolsRun) float64) *spread {
		values := make([]float64, len(f.Runs))
		for i, run := range f.Runs {
			values[i] = value(run)
		}
		s := spreadOf(values)
		return &s
	}
	f.Wall = of(func(r poolsRun) float64 { return r.Wall })
	f.ItemsPS = of(func(r poolsRun) float64 { return float64(c.Items) / r.Wall })
	if c.Size > 0 {
		f.BytesPS = of(func(r poolsRun) float64 { return float64(c.Items) * float64(c.Size) / r.Wall })
	}
	f.Speedup = of(func(r poolsRun) float64 { return baseline[r.Round] / r.Wall })
	f.CPU = of(func(r poolsRun) float64 { return r.CPU })
	f.Peak = of(func(r poolsRun) float64 { return float64(r.Peak) })
	f.Refused = 0
	for _, run := range f.Runs {
		f.Refused += run.Refused
	}
}

// compare compares the answers of all runs with those of the baseline's first, or of
// the first arm that must have the same.
func (c *poolsCase) compare() {
	all := poolbench.Find(c.Case)
	if len(all) != 1 { // of a version that had other cases
		all = []poolbench.Case{{Name: c.Case, Group: c.Group}}
	}
	of := all[0]
	plain := func(a *poolsArm) poolbench.Arm {
		return poolbench.Arm{Pool: a.Pool, Workers: a.Workers, Variant: a.Variant}
	}
	c.Equal = true
	for i := range c.Arms {
		a := &c.Arms[i]
		ref := c.baseline()
		for k := 0; !of.Same(plain(ref), plain(a)); k++ { // it finds itself at the latest
			ref = &c.Arms[k]
		}
		a.Reference = ref.Arm
		a.Equal = sameDigests(a.Runs, ref.Runs[0].Digest)
		c.Equal = c.Equal && a.Equal
	}
	for i := range c.Peers {
		if p := &c.Peers[i]; len(p.Runs) > 0 && of.Exact {
			equal := sameDigests(p.Runs, c.baseline().Runs[0].Digest)
			p.Equal = &equal
			c.Equal = c.Equal && equal
		}
	}
}

func sameDigests(runs []poolsRun, digest string) bool {
	return !slices.ContainsFunc(runs, func(r poolsRun) bool { return r.Digest != digest })
}

// find returns an arm by its pool and workers, without variant; nil: it did not run.
func (c *poolsCase) find(kind cpuwork.Kind, workers int, variant string) *poolsArm {
	for i := range c.Arms {
		if a := &c.Arms[i]; a.Pool == kind && a.Workers == workers && a.Variant == variant && len(a.Runs) > 0 {
			return a
		}
	}
	return nil
}
