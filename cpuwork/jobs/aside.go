package jobs

import (
	"encoding/json"
	"fmt"
	"slices"

	"weft/cpuwork"
	"weft/cpuwork/batch"
)

// Load opens the plan's items and what is done with their answers. A Load that is
// an [io.Closer] is to be closed.
func (p *Plan) Load() (batch.Load, error) { return p.task.open() }

// Options are those that its batch is run with; Dir is left open.
func (p *Plan) Options() batch.Options { return p.options() }

// First reports whether the job ends with its first success.
func (p *Plan) First() bool { return p.task.stop == cpuwork.StopOnSuccess }

// Lower lowers this process's priority to that of those that run CPU jobs.
func Lower() { beNice() }

// Aside is a plan of a kind that writes below dir what p would write for its
// owner, so that it can be tried without a trace.
func (p *Plan) Aside(kind, dir string) (*Plan, error) {
	var task map[string]any
	if err := json.Unmarshal(p.spec.Task, &task); err != nil {
		return nil, fmt.Errorf("read task: %w", err)
	}
	switch kind {
	case "sha256":
		delete(task, "output")
	case "jpeg":
		task["output"] = dir
	case "fetch":
		if _, writes := task["to"]; writes {
			task["to"] = dir
		}
	case "primes":
	default:
		return nil, fmt.Errorf("work of kind %s cannot be tried without a trace", kind)
	}
	raw, err := json.Marshal(task)
	if err != nil {
		return nil, fmt.Errorf("write task: %w", err)
	}
	s := p.spec
	s.Task = raw
	if raw, err = json.Marshal(s); err != nil {
		return nil, fmt.Errorf("write specification: %w", err)
	}
	return Parse(kind, raw)
}

// A Pace is what a job may ask of others.
type Pace struct {
	Rate     float64 `json:"rate"`             // items a second; 0: no limit
	HostRate float64 `json:"host_rate"`        // the same for each host
	All      int     `json:"concurrency"`      // items in flight
	Host     int     `json:"host_concurrency"` // to one host
}

// Pace is the plan's; zero for kinds that ask nobody.
func (p *Plan) Pace(kind string) Pace {
	var pace Pace
	if kind == "fetch" && json.Unmarshal(p.spec.Task, &pace) != nil { // it was made by Parse
		return Pace{}
	}
	return pace
}

// Known reports whether there is such a kind.
func Known(kind string) bool { return slices.Contains(Kinds(), kind) }
