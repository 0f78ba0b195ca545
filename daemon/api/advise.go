package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// AdviseRequest is POST /v1/advise: a workload that is described, one that is to
// be measured (with what is known of it described besides), or training jobs.
type AdviseRequest struct {
	Workload *AdviseWorkload `json:"workload,omitempty"`
	Measure  *AdviseMeasure  `json:"measure,omitempty"`
	// Jobs are training jobs, as POST /v1/jobs takes them. None is submitted.
	Jobs []Submission `json:"jobs,omitempty"`
	// Calibrate measures the machine's own costs anew.
	Calibrate bool `json:"calibrate,omitempty"`
}

// AdviseWorkload is a batch of like items; what is 0 is not there, or not known.
// Times are in seconds, for one item.
type AdviseWorkload struct {
	Items         int64   `json:"items,omitempty"`
	Bytes         int64   `json:"bytes_per_item,omitempty"` // handed to the worker with it
	CPU           float64 `json:"cpu_seconds,omitempty"`    // of the processor
	GroupCPU      float64 `json:"group_cpu_seconds,omitempty"`
	IO            float64 `json:"io_seconds,omitempty"` // waiting for others
	Order         float64 `json:"order_seconds,omitempty"`
	FarEnd        float64 `json:"far_end_seconds,omitempty"`
	Rate          float64 `json:"rate_limit,omitempty"` // items a second at most
	InFlight      int     `json:"in_flight,omitempty"`
	Isolation     string  `json:"isolation,omitempty"` // none, crash or hostile
	MemoryPerItem int64   `json:"memory_per_item,omitempty"`
	First         bool    `json:"first,omitempty"` // ends at the first success
	Batch         int     `json:"batch,omitempty"`
	GPU           bool    `json:"gpu,omitempty"`         // items are models to train on a GPU
	GPUSeconds    float64 `json:"gpu_seconds,omitempty"` // that one keeps it to itself
}

// AdviseMeasure is a CPU job, of which a sample is run.
type AdviseMeasure struct {
	Kind  Kind            `json:"kind"`
	Spec  json.RawMessage `json:"spec"`            // as in a submission
	Check bool            `json:"check,omitempty"` // run all of it on every pool, too
}

// Advice is the answer.
type Advice struct {
	// Choice is what is advised in short: "goroutine", or a device.
	Choice string `json:"choice"`
	Why    string `json:"why"` // in two sentences
	// Alternatives are the pools; empty for training.
	Alternatives []AdviseAlternative `json:"alternatives"`
	// Placements are the devices; empty for pools.
	Placements []AdvisePlacement `json:"placements"`
	Notes      []string          `json:"notes"`

	Workload *AdviseWorkload    `json:"workload"` // as it was described or measured; null for training
	Sample   *AdviseSample      `json:"sample"`   // null: nothing was run
	Machine  *AdviseCalibration `json:"machine"`  // null for training
}

// AdviseAlternative is a pool with the workers that suit it best.
type AdviseAlternative struct {
	Chosen  bool    `json:"chosen"`
	Pool    string  `json:"pool"`
	Workers int     `json:"workers"`
	Chunk   int     `json:"chunk"`             // items handed over together
	Seconds float64 `json:"seconds"`           // predicted
	Bound   string  `json:"bound"`             // what that comes from: workers, cores, order, rate, far_end, memory, start
	Refused string  `json:"refused,omitempty"` // why it cannot be taken
	// Checked is what it then took; null: it was not run.
	Checked *AdviseCheck `json:"checked"`
}

// AdviseCheck is an alternative that was run.
type AdviseCheck struct {
	Runs    int     `json:"runs"`
	Seconds float64 `json:"seconds"` // the fastest
	Median  float64 `json:"median_seconds"`
	Failed  int64   `json:"failed"` // items
	Others  float64 `json:"others"` // share of the processors that other programs took
	Ratio   float64 `json:"ratio"`  // predicted over measured
}

// AdvisePlacement is training all models on one device.
type AdvisePlacement struct {
	Chosen   bool    `json:"chosen"`
	Device   string  `json:"device"`
	Name     string  `json:"name"`
	AtOnce   int     `json:"at_once"`       // models that fit
	Alone    float64 `json:"alone_seconds"` // one after the other; 0: not known
	Together float64 `json:"together_seconds"`
	Speedup  float64 `json:"speedup"`
	Source   string  `json:"source"`            // where the times come from
	Refused  string  `json:"refused,omitempty"` // why not there
}

// AdviseSample is what was run of a workload.
type AdviseSample struct {
	Counted int64   `json:"counted"` // items in the input
	More    bool    `json:"more"`    // and more: counting was ended after a second
	Items   int64   `json:"items"`   // that were run
	Failed  int64   `json:"failed"`
	Error   string  `json:"error,omitempty"` // the first failure's
	Seconds float64 `json:"seconds"`
	Bytes   int64   `json:"bytes"`  // of input, in all
	Others  float64 `json:"others"` // share of the processors that other programs took
}

// AdviseCalibration is what things cost on the daemon's machine, in seconds and
// bytes a second; docs/advise.md says what each is.
type AdviseCalibration struct {
	At         time.Time `json:"at"`
	Busy       float64   `json:"busy"` // share of the processors that others took meanwhile
	CPU        string    `json:"cpu"`
	Cores      int       `json:"cores"`
	Slowdown   float64   `json:"slowdown"`
	MemoryRate float64   `json:"memory_bytes_per_second"`
	CopyRate   float64   `json:"copy_bytes_per_second"`
	Sequential float64   `json:"sequential_seconds"`
	Goroutine  float64   `json:"goroutine_seconds"`
	Event      float64   `json:"event_seconds"`
	Process    float64   `json:"process_seconds"`
	RoundTrip  float64   `json:"round_trip_seconds"`
	Spawn      float64   `json:"spawn_seconds"`
	Job        float64   `json:"job_seconds"`
}

// Advise returns advice. What is to be measured takes some seconds.
func (c *Client) Advise(ctx context.Context, r AdviseRequest) (*Advice, error) {
	out := &Advice{}
	return out, c.call(ctx, request{method: http.MethodPost, path: "/v1/advise", body: r, again: true}, out)
}
