package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"weft/cpuwork/advise"
	"weft/cpuwork/advise/measure"
	"weft/cpuwork/jobs"
	"weft/daemon/api"
)

const (
	calibrationName = "advise.json" // in the state directory
	measureName     = "advise"      // there, a directory that lives as long as a measurement
	adviseTimeout   = answerTimeout - 10*time.Second
	maxGPUItems     = api.MaxJobsPerPost
)

// An adviser answers POST /v1/advise. One request measures at a time: two would
// measure each other.
type adviser struct {
	s    *server
	turn chan struct{} // holds one token while something is measured
	ask  func(context.Context, measure.Request) (*measure.Answer, error)
}

type adviseOutput struct{ Body api.Advice }

type adviseInput struct {
	RawBody []byte `contentType:"application/json"`
}

func (s *server) registerAdvise(doc huma.API) {
	a := &adviser{s: s, turn: make(chan struct{}, 1), ask: func(ctx context.Context, r measure.Request) (*measure.Answer, error) {
		return measure.Ask(ctx, s.cfg.Program, r, s.log.With("worker", "advise"))
	}}
	op := operation(doc, "advise", http.MethodPost, "/v1/advise",
		"Which pool or device suits a workload that is described or measured, and why")
	op.Responses["200"] = jsonResponse(doc, reflect.TypeFor[api.Advice]())
	registerBody(doc, op, schemaOf[api.AdviseRequest](doc), func(ctx context.Context, in *adviseInput) (*adviseOutput, error) {
		out, err := a.advise(ctx, in.RawBody)
		if err != nil {
			return nil, s.fault(err)
		}
		return &adviseOutput{*out}, nil
	})
}

// read decodes a request strictly; raw are its jobs.
func readAdvise(body []byte) (r api.AdviseRequest, raw []byte, err error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return r, nil, badBody("the request has no body")
	}
	var workload, sample, list json.RawMessage
	if err := decodeObject(body, "", map[string]field{
		"workload":  {&workload, "an object"},
		"measure":   {&sample, "an object"},
		"jobs":      {&list, "an array of submissions"},
		"calibrate": {&r.Calibrate, "true or false"},
	}); err != nil {
		return r, nil, err
	}
	if workload != nil {
		w := &api.AdviseWorkload{}
		r.Workload = w
		if err := decodeObject(workload, "/workload", workloadFields(w)); err != nil {
			return r, nil, err
		}
	}
	if sample != nil {
		m := &api.AdviseMeasure{}
		r.Measure = m
		if err := decodeObject(sample, "/measure", map[string]field{
			"kind": {&m.Kind, "a string"}, "spec": {&m.Spec, "a specification"}, "check": {&m.Check, "true or false"},
		}); err != nil {
			return r, nil, err
		}
	}
	switch one := (list != nil) != (workload != nil || sample != nil); {
	case !one && list == nil && r.Calibrate:
		return r, nil, nil // that alone
	case !one:
		return r, nil, &api.Error{Code: api.CodeInvalid, Message: "the request has neither a workload, nor jobs, or it has both",
			Hint: `{"workload": {"items": 10000, "cpu_seconds": 0.001}}`}
	}
	return r, list, nil
}

func workloadFields(w *api.AdviseWorkload) map[string]field {
	const number, whole = "a number", "a whole number"
	return map[string]field{
		"items": {&w.Items, whole}, "bytes_per_item": {&w.Bytes, whole}, "cpu_seconds": {&w.CPU, number},
		"group_cpu_seconds": {&w.GroupCPU, number}, "io_seconds": {&w.IO, number}, "order_seconds": {&w.Order, number},
		"far_end_seconds": {&w.FarEnd, number}, "rate_limit": {&w.Rate, number}, "in_flight": {&w.InFlight, whole},
		"isolation": {&w.Isolation, "a string"}, "memory_per_item": {&w.MemoryPerItem, whole}, "first": {&w.First, "true or false"},
		"batch": {&w.Batch, whole}, "gpu": {&w.GPU, "true or false"}, "gpu_seconds": {&w.GPUSeconds, number},
	}
}

func (a *adviser) advise(ctx context.Context, body []byte) (*api.Advice, error) {
	r, list, err := readAdvise(body)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, adviseTimeout, &api.Error{Code: api.CodeTimeout,
		Message: fmt.Sprintf("measuring took more than %v", adviseTimeout), Hint: "weft advise with a description"})
	defer cancel()
	switch {
	case list != nil:
		return a.training(ctx, list)
	case r.Workload != nil && (r.Workload.GPU || r.Workload.GPUSeconds > 0):
		if r.Measure != nil {
			return nil, &api.Error{Code: api.CodeInvalid, Message: "what is measured runs on the processors, and not on a GPU",
				Hint: "weft advise SPEC.yaml for models"}
		}
		return a.onGPU(ctx, r.Workload)
	}
	return a.pools(ctx, &r)
}

// pools advises a pool.
func (a *adviser) pools(ctx context.Context, r *api.AdviseRequest) (*api.Advice, error) {
	told := advise.Workload{}
	if r.Workload != nil {
		told = fromAPI(r.Workload)
	}
	ask := measure.Request{Calibrate: r.Calibrate, Weft: a.weft(), Told: told}
	if m := r.Measure; m != nil {
		if !jobs.Known(string(m.Kind)) {
			return nil, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("work of kind %q cannot be measured", clip(string(m.Kind))),
				Hint: fmt.Sprintf("one of %v", jobs.Kinds())}
		}
		ask.Kind, ask.Spec, ask.Check = string(m.Kind), m.Spec, m.Check
	} else if r.Workload != nil {
		if err := told.Check(); err != nil {
			return nil, &api.Error{Code: api.CodeInvalid, Message: "/workload: " + err.Error()}
		}
	}
	kept := measure.Recall(a.path())
	if kept == nil || !kept.Holds(measure.Here(ask.Weft), time.Now()) {
		ask.Calibrate = true
	} else {
		ask.Machine = &kept.Machine
	}
	answer := &measure.Answer{}
	if ask.Calibrate || ask.Kind != "" {
		var err error
		if answer, err = a.measure(ctx, ask); err != nil {
			return nil, err
		}
	}
	if answer.Calibration != nil {
		kept = answer.Calibration
		if err := kept.Keep(a.path()); err != nil {
			return nil, err
		}
	}
	switch {
	case ask.Kind != "":
	case r.Workload == nil: // only the machine is asked for
		return newAdvice(kept), nil
	default:
		m := kept.Machine
		m.Memory = measure.Available()
		var err error
		answer.Workload = &told
		if answer.Advice, err = advise.Pools(&m, &told); err != nil {
			return nil, err
		}
	}
	return poolAdvice(kept, answer), nil
}

func (a *adviser) path() string { return filepath.Join(a.s.cfg.StateDir, calibrationName) }

func (a *adviser) weft() string {
	v := version(a.s.cfg)
	return v.Version + " " + v.Commit
}

// measure has a process measure, when its turn has come.
func (a *adviser) measure(ctx context.Context, r measure.Request) (answer *measure.Answer, err error) {
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	r.Dir = filepath.Join(a.s.cfg.StateDir, measureName)
	if err := os.RemoveAll(r.Dir); err != nil { // of a daemon that was killed
		return nil, fmt.Errorf("clear measurements: %w", err)
	}
	if err := os.Mkdir(r.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make room for measurements: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.Dir)) }()
	answer, err = a.ask(ctx, r)
	if fault, ok := errors.AsType[*jobs.Fault](err); ok {
		return nil, &api.Error{Code: api.Code(fault.Code), Message: fault.Message, Hint: fault.Hint}
	}
	return answer, err
}

// training advises a device for training jobs.
func (a *adviser) training(ctx context.Context, list []byte) (*api.Advice, error) {
	drafts, err := readDrafts(list)
	if err != nil {
		return nil, err
	}
	for i := range drafts {
		if drafts[i].cpu != nil {
			return nil, &api.Error{Code: api.CodeInvalid, Message: drafts[i].at + ": a CPU job's items may be anything",
				Hint: "weft advise --measure -- " + string(drafts[i].sub.Kind) + " …"}
		}
	}
	release, err := a.s.compose(ctx, drafts)
	defer release()
	if err != nil {
		return nil, err
	}
	models := make([]advise.Model, len(drafts))
	for i := range drafts {
		d := &drafts[i]
		models[i] = advise.Model{Name: d.sub.Name, Steps: d.est.Steps, Flops: d.est.StepFlops, HostSize: d.est.MemoryBytes,
			GPUSize: d.est.GPUBytes, DataSize: d.est.DataBytes, Data: d.hash, Wants: d.want()}
	}
	return a.place(ctx, models)
}

// onGPU advises for models that are only described.
func (a *adviser) onGPU(ctx context.Context, w *api.AdviseWorkload) (*api.Advice, error) {
	told := fromAPI(w)
	if err := told.Check(); err != nil {
		return nil, &api.Error{Code: api.CodeInvalid, Message: "/workload: " + err.Error()}
	}
	if w.Items > maxGPUItems || !(w.GPUSeconds >= 0 && w.GPUSeconds < 1e7) {
		return nil, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("/workload: %d models of %g s are too many or too long", w.Items, w.GPUSeconds)}
	}
	views, err := a.s.owner.views(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(views, func(v api.Device) bool { return v.Kind == kindGPU }) {
		found := a.s.gpus.found()
		return nil, noGPU(kindGPU, views, &found)
	}
	models := make([]advise.Model, w.Items)
	for i := range models {
		models[i] = advise.Model{Name: fmt.Sprintf("model %d", i+1), GPUSize: max(1, w.MemoryPerItem), Wants: kindGPU, Seconds: w.GPUSeconds}
	}
	return a.place(ctx, models)
}

func (a *adviser) place(ctx context.Context, models []advise.Model) (*api.Advice, error) {
	views, err := a.s.owner.views(ctx)
	if err != nil {
		return nil, err
	}
	records := a.records(ctx)
	var devices []advise.Device
	for i := range views {
		v := &views[i]
		if v.Kind != kindGPU && v.Kind != kindCPU {
			continue // it does not train
		}
		devices = append(devices, advise.Device{ID: v.ID, Kind: v.Kind, Name: v.Name, Ready: v.State == api.DeviceReady, Lanes: v.Lanes,
			Slots: v.Slots, Memory: v.MemoryBytes, Record: records[v.Name]})
	}
	slowdown := 1.0
	if kept := measure.Recall(a.path()); kept != nil && kept.Machine.Check() == nil {
		slowdown = kept.Machine.Slowdown
	}
	return trainingAdvice(advise.Training(models, devices, slowdown)), nil
}

const kindCPU = "cpu"

// maxRecords is how many results of weft bench share are looked through.
const maxRecords = 50

// records are the newest results of weft bench share on this machine, by the
// device's name. Shortened runs are not for comparison.
func (a *adviser) records(ctx context.Context) map[string]*advise.Record {
	out := map[string]*advise.Record{}
	b := &benchFiles{dir: filepath.Join(a.s.cfg.StateDir, benchFolder), turn: make(chan struct{}, 1)}
	list, err := b.list(ctx, &benchInput{Limit: maxRecords})
	if err != nil {
		a.s.log.Warn("recorded results cannot be read", "error", err)
		return out
	}
	for i := range list.Results {
		r := &list.Results[i]
		if out[r.DeviceName] != nil || r.Quick {
			continue
		}
		body, err := b.one(ctx, r.ID)
		if err != nil {
			continue // it was removed meanwhile
		}
		if record := recordOf(r, body); record != nil {
			out[r.DeviceName] = record
		}
	}
	return out
}

// recordOf reads what sharing brought in a result; nil: it does not say.
func recordOf(r *api.BenchSummary, body []byte) *advise.Record {
	var more struct {
		Jobs []struct {
			Steps int64 `json:"steps"`
		} `json:"jobs"`
	}
	if json.Unmarshal(body, &more) != nil {
		return nil
	}
	var steps int64
	for _, j := range more.Jobs {
		steps += j.Steps
	}
	record := &advise.Record{ID: r.ID, Load: r.Load, Models: r.Models}
	for _, arm := range r.Arms {
		if arm.Name == r.Baseline && steps > 0 {
			record.Step = arm.Wall / float64(steps)
		}
		if s := arm.Speedup; !arm.Peer && s != nil && *s > record.Speedup {
			record.Arm, record.Speedup = arm.Name, *s
		}
	}
	if record.Speedup == 0 || r.Baseline != "sequential" {
		return nil
	}
	return record
}

func fromAPI(w *api.AdviseWorkload) advise.Workload {
	return advise.Workload{Items: w.Items, Bytes: w.Bytes, CPU: w.CPU, Group: w.GroupCPU, IO: w.IO, Order: w.Order, FarEnd: w.FarEnd,
		Rate: w.Rate, InFlight: w.InFlight, Isolation: advise.Isolation(w.Isolation), MemoryPerItem: w.MemoryPerItem, First: w.First,
		Batch: w.Batch}
}

func toAPI(w *advise.Workload) *api.AdviseWorkload {
	return &api.AdviseWorkload{Items: w.Items, Bytes: w.Bytes, CPU: w.CPU, GroupCPU: w.Group, IO: w.IO, Order: w.Order, FarEnd: w.FarEnd,
		Rate: w.Rate, InFlight: w.InFlight, Isolation: string(w.Isolation), MemoryPerItem: w.MemoryPerItem, First: w.First, Batch: w.Batch}
}

func newAdvice(c *measure.Calibration) *api.Advice {
	a := &api.Advice{Alternatives: []api.AdviseAlternative{}, Placements: []api.AdvisePlacement{}, Notes: []string{}}
	if c != nil {
		m := &c.Machine
		a.Machine = &api.AdviseCalibration{At: c.At, Busy: c.Busy, CPU: c.Identity.CPU, Cores: m.Cores, Slowdown: m.Slowdown,
			MemoryRate: m.MemoryRate, CopyRate: m.CopyRate, Sequential: m.Sequential, Goroutine: m.Goroutine, Event: m.Event,
			Process: m.Process, RoundTrip: m.RoundTrip, Spawn: m.Spawn, Job: m.Job}
	}
	return a
}

func poolAdvice(c *measure.Calibration, answer *measure.Answer) *api.Advice {
	a := newAdvice(c)
	from := answer.Advice
	a.Choice, a.Why, a.Workload = string(from.Choice().Pool), from.Why, toAPI(answer.Workload)
	a.Notes = append(a.Notes, from.Notes...)
	for i, p := range from.Alternatives {
		one := api.AdviseAlternative{Chosen: i == from.Chosen, Pool: string(p.Pool), Workers: p.Workers, Chunk: p.Chunk, Seconds: p.Seconds,
			Bound: string(p.Bound), Refused: p.Refused}
		if i < len(answer.Checked) {
			k := answer.Checked[i]
			one.Checked = &api.AdviseCheck{Runs: k.Runs, Seconds: k.Seconds, Median: k.Median, Failed: k.Failed, Others: k.Others,
				Ratio: p.Seconds / k.Seconds}
		}
		a.Alternatives = append(a.Alternatives, one)
	}
	if s := answer.Sample; s != nil {
		a.Sample = &api.AdviseSample{Counted: s.Counted, More: s.More, Items: s.Items, Failed: s.Failed, Error: s.Error, Seconds: s.Seconds,
			Bytes: s.Bytes, Others: s.Others}
	}
	a.Notes = append(a.Notes, sampleNotes(a.Sample, c)...)
	return a
}

// busyShare is from what share of the processors on others' programs are worth a
// word.
const busyShare = 0.25

func sampleNotes(s *api.AdviseSample, c *measure.Calibration) []string {
	var notes []string
	if s != nil && s.More {
		notes = append(notes, fmt.Sprintf("only %d items were counted in a second, and there are more: times are for those", s.Counted))
	}
	if s != nil && s.Failed > 0 && s.Error != "" {
		notes = append(notes, fmt.Sprintf("%d of %d items of the sample failed; the first: %s", s.Failed, s.Items, s.Error))
	}
	if s != nil && s.Others > busyShare {
		notes = append(notes, fmt.Sprintf("other programs took %.0f %% of the processors during the sample: times are for a machine without them", 100*s.Others))
	}
	if c.Busy > busyShare {
		notes = append(notes, fmt.Sprintf("other programs took %.0f %% of the processors while the machine was calibrated", 100*c.Busy))
	}
	return notes
}

func trainingAdvice(t *advise.TrainingAdvice) *api.Advice {
	a := newAdvice(nil)
	a.Why = t.Why
	a.Notes = append(a.Notes, t.Notes...)
	for i, p := range t.Placements {
		if i == t.Chosen {
			a.Choice = p.Device
		}
		a.Placements = append(a.Placements, api.AdvisePlacement{Chosen: i == t.Chosen, Device: p.Device, Name: p.Name, AtOnce: p.AtOnce,
			Alone: p.Alone, Together: p.Together, Speedup: p.Speedup, Source: p.Source, Refused: p.Refused})
	}
	slices.SortStableFunc(a.Placements, func(x, y api.AdvisePlacement) int {
		switch {
		case x.Chosen == y.Chosen:
			return 0
		case x.Chosen:
			return -1
		}
		return 1
	})
	return a
}
