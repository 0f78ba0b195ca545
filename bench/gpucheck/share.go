package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// share compares ways of sharing the GPU, and other programs, on every load.
func (c *check) share(ctx context.Context, loads []string) {
	for _, load := range loads {
		c.compare(ctx, "share", load, c.repeat, "--load", load)
	}
}

// sweep does so over numbers of models, once each.
func (c *check) sweep(ctx context.Context, counts string) {
	c.compare(ctx, "sweep", "tiny", "1", "--load", "tiny", "--sweep-models", counts)
}

// compare runs weft bench share, and records its results with what is wrong
// with them.
func (c *check) compare(ctx context.Context, part, load, repeat string, flags ...string) {
	base := filepath.Join(c.dir, part+"-"+load)
	weft := filepath.Join(c.dir, "weft")
	command := append([]string{weft, "bench", "share", "-o", "wide", "--device", "gpu", "--peers", "auto", "--no-history",
		"--report", base + ".html", "--save", base + ".json", "--force"}, flags...)
	if c.quick {
		command, repeat = append(command, "--quick"), "1"
	}
	command = append(command, "--repeat", repeat)
	if _, ok := c.step(ctx, part, load, ".", command...); !ok {
		return
	}
	c.step(ctx, part, load+": plot", ".", weft, "bench", "plot", base+".json", "-o", base+".svg", "--force")
	body, err := os.ReadFile(base + ".json") // #nosec G304 -- written above
	if err != nil {
		c.fail(part, load, fmt.Errorf("read result: %w", err))
		return
	}
	results := []json.RawMessage{body}
	if part == "sweep" {
		if err := json.Unmarshal(body, &results); err != nil {
			c.fail(part, load, fmt.Errorf("read results: %w", err))
			return
		}
	}
	for _, raw := range results {
		c.judge(part, load, raw)
	}
	c.report.Share = append(c.report.Share, results...)
}

func (c *check) fail(part, name string, err error) {
	fmt.Fprintf(os.Stderr, "== %s: %s failed: %v\n", part, name, err)
	c.report.Steps = append(c.report.Steps, Step{Part: part, Name: name, Status: "failed", Output: err.Error()})
}

// measured is what judge reads of a result.
type measured struct {
	Machine struct {
		GPU *struct{ Driver string }
	}
	Weft  struct{ Commit string }
	Arms  []contestant
	Peers []contestant
}

type contestant struct {
	Arm, Peer, Skipped, Failed string
	Apart                      int `json:"losses_apart"`
	Runs                       []struct {
		Utilization       *float64
		UtilizationReason string   `json:"utilization_reason"`
		Energy            *float64 `json:"energy_joules"`
		EnergyReason      string   `json:"energy_reason"`
	}
}

// judge records what a result lacks: a peer that failed, a run of which neither
// utilization nor energy is known, with the reason; and that nothing says where
// it comes from.
func (c *check) judge(part, load string, raw json.RawMessage) {
	var r measured
	if err := json.Unmarshal(raw, &r); err != nil {
		c.fail(part, load, fmt.Errorf("read result: %w", err))
		return
	}
	switch {
	case r.Machine.GPU == nil || r.Machine.GPU.Driver == "":
		c.fail(part, load+": machine", errors.New("the result does not name the driver"))
	case r.Weft.Commit == "":
		c.fail(part, load+": weft", errors.New("the result does not name the commit; make gpu-check builds a weft that does"))
	}
	for _, p := range r.Peers {
		switch {
		case p.Failed != "":
			c.fail(part, load+": "+p.Peer, errors.New(p.Failed))
		case p.Skipped != "":
			c.skip(part, load+": "+p.Peer, p.Skipped)
		}
	}
	var reasons []string
	for _, one := range append(append([]contestant{}, r.Arms...), r.Peers...) {
		for i, run := range one.Runs {
			if run.Utilization == nil || run.Energy == nil {
				reasons = append(reasons, fmt.Sprintf("%s, round %d: utilization: %s; energy: %s", one.Arm+one.Peer, i+1,
					orKnown(run.UtilizationReason, run.Utilization), orKnown(run.EnergyReason, run.Energy)))
			}
		}
	}
	if len(reasons) > 0 {
		c.skip(part, load+": sensors", strings.Join(reasons, "\n"))
	}
}

// orKnown says why a figure is missing, or what it is.
func orKnown(reason string, v *float64) string {
	switch {
	case v != nil:
		return fmt.Sprintf("%.3g", *v)
	case reason == "":
		return "missing without a reason"
	}
	return reason
}
