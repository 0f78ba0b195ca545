package client

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"weft/bench/load"
	"weft/daemon/api"
)

// shareFloor is what the load asks of any program on the device, by the
// formulas of [load.StepCost]; null where it is not known, and Reason says why.
type shareFloor struct {
	Operations        *int64   `json:"operations"` // of all models
	OperationsRate    *float64 `json:"operations_per_second"`
	OperationsSource  string   `json:"operations_rate_source"`
	OperationsSeconds *float64 `json:"operations_seconds"`
	Bytes             *int64   `json:"bytes"` // if nothing of a model stays on the chip between steps
	BytesRate         *float64 `json:"bytes_per_second"`
	BytesSource       string   `json:"bytes_rate_source"`
	BytesSeconds      *float64 `json:"bytes_seconds"`
	Reason            string   `json:"reason"`
}

// deviceRate is what a device can do: float32 operations without tensor cores,
// and bytes of its memory, a second.
type deviceRate struct {
	name              string // whole words of the device's own name, dashes apart
	operations, bytes float64
}

// knownRates are NVIDIA's data sheets' figures; the first that matches counts.
var knownRates = []deviceRate{
	{"H200 NVL", 60e12, 4.8e12},
	{"H200", 67e12, 4.8e12},
	{"H100 NVL", 60e12, 3.9e12},
	{"H100 PCIe", 51e12, 2.0e12},
	{"H100", 67e12, 3.35e12},
	{"A100 SXM4 80GB", 19.5e12, 2.039e12},
	{"A100 80GB PCIe", 19.5e12, 1.935e12},
	{"A100 SXM4 40GB", 19.5e12, 1.555e12},
	{"A100 PCIE 40GB", 19.5e12, 1.555e12},
	{"L40S", 91.6e12, 0.864e12},
	{"L4", 30.3e12, 0.3e12},
	{"A10", 31.2e12, 0.6e12},
}

// rates finds what is known of a device and says where from. The CPU's rate is
// measured, where it was: measured is 0 otherwise, and whyNot says why.
func (f *shareFloor) rates(d shareDevice, measured float64, whyNot string) {
	switch {
	case d.Kind == "cpu" && measured == 0:
		f.Reason = whyNot
		return
	case d.Kind == "cpu":
		f.OperationsRate = &measured
		f.OperationsSource = fmt.Sprintf("measured: weft's products of %s, on %s at once", calibrationText,
			counted(d.Lanes, "lane"))
		return
	}
	words := " " + strings.ReplaceAll(d.Name, "-", " ") + " "
	for i := range knownRates {
		if r := &knownRates[i]; strings.Contains(words, " "+r.name+" ") {
			f.OperationsRate, f.BytesRate = &r.operations, &r.bytes
			f.BytesSource = "known: NVIDIA's data sheet of the " + r.name
			f.OperationsSource = f.BytesSource + ", float32 without tensor cores"
			return
		}
	}
	f.Reason = fmt.Sprintf("the rates of %s are not known", firstOf(d.Name, d.ID))
}

// count adds up what the models of a run take; tensors are the shapes of each
// model's file, in the order of the load.
func (f *shareFloor) count(jobs []shareJob, run []modelRun, tensors []load.Tensors) {
	var operations, bytes int64
	for i := range jobs {
		c, err := load.StepCost(jobs[i].Spec, tensors[i])
		if err != nil {
			f.Reason = fmt.Sprintf("%s cannot be counted: %v", jobs[i].Name, err)
			return
		}
		operations += c.Operations(run[i].samples)
		bytes += c.Bytes(run[i].steps, run[i].samples)
	}
	f.Operations, f.Bytes = &operations, &bytes
	f.OperationsSeconds = over(operations, f.OperationsRate)
	f.BytesSeconds = over(bytes, f.BytesRate)
}

func over(n int64, rate *float64) *float64 {
	if rate == nil {
		return nil
	}
	s := float64(n) / *rate
	return &s
}

// The calibration: matrix products large enough that nothing else counts, one
// model a lane, by the program that is measured. It gives the rate that weft's
// own products reach, which is at most the device's.
const (
	calibrationText  = "512x512, batch 128"
	calibrationSteps = 150
	calibrationSpec  = `{"name": "calibration", "data": {"source": "teacher", "standardize": false,
		"make": {"rows": 1024, "features": 512}, "split": {"validation": 0}},
		"model": [{"linear": 512}, "relu", {"linear": 512}, "relu", {"linear": 1}], "loss": "mse",
		"optimizer": {"name": "sgd", "lr": 1e-4}, "batch_size": 128, "steps": %d, "seed": %d}`
)

// calibrate measures the device's rate of operations: the sum over the lanes
// of what each did in its own time.
func calibrate(ctx context.Context, c *api.Client, lanes int) (float64, error) {
	subs := make([]api.Submission, max(lanes, 1))
	for i := range subs {
		subs[i] = api.Submission{Kind: api.KindTrain, Spec: fmt.Appendf(nil, calibrationSpec, calibrationSteps, i)}
	}
	cost, err := load.StepCost(subs[0].Spec, load.Tensors{"0.weight": {512, 512}, "2.weight": {512, 512},
		"4.weight": {1, 512}})
	if err != nil {
		return 0, fmt.Errorf("count calibration: %w", err)
	}
	jobs, err := c.Submit(ctx, subs, "")
	if err != nil {
		return 0, fmt.Errorf("calibrate: %w", err)
	}
	ended, err := track(ctx, c, idsOf(jobs), silent{})
	if err != nil {
		return 0, err
	}
	if err := outcome(ended); err != nil {
		return 0, err
	}
	rate := 0.0
	for _, j := range ended {
		if j.Usage.DeviceSeconds > 0 {
			rate += float64(cost.Operations(calibrationSteps*128)) / j.Usage.DeviceSeconds
		}
	}
	return rate, nil
}

func idsOf(jobs []api.Job) []int64 {
	ids := make([]int64, len(jobs))
	for i := range jobs {
		ids[i] = jobs[i].ID
	}
	return ids
}

// batchOf reads what samplesOf needs from a specification.
func batchOf(spec json.RawMessage) (batch int, dropLast bool) {
	s := struct {
		BatchSize int  `json:"batch_size"`
		DropLast  bool `json:"drop_last"`
	}{BatchSize: 32}
	_ = json.Unmarshal(spec, &s) // the daemon has taken it already
	return s.BatchSize, s.DropLast
}
