package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"weft/cpuwork"
	"weft/cpuwork/advise"
	"weft/cpuwork/jobs"
	"weft/cpuwork/proc"
)

// The kinds of worker processes of this package.
const (
	workerKind = "advise"      // measures
	slotKind   = "advise-slot" // is one slot of a process pool that is measured
)

// Frame kinds between Ask and the process.
const (
	kindAsk    byte = proc.KindUser + iota // Request
	kindAnswer                             // Answer
)

// IsWorker reports whether a kind of `weft worker` is this package's.
func IsWorker(kind string) bool { return kind == workerKind || kind == slotKind }

// WorkerMain is the life of such a process, with its socket as descriptor 3.
func WorkerMain(ctx context.Context, args []string) error {
	// When to end is the parent's word: a service manager may signal everybody.
	ctx = context.WithoutCancel(ctx)
	conn, err := proc.Inherited()
	if err != nil {
		return fmt.Errorf("start worker (weft serve does that, not people): %w", err)
	}
	jobs.Lower() // as what is measured will run
	if args[0] == slotKind {
		return cpuwork.Serve(ctx, conn, []cpuwork.Work{noop})
	}
	handle := func(ctx context.Context, f proc.Frame) error {
		defer f.Close()
		var r Request
		if err := json.Unmarshal(f.Payload, &r); err != nil || f.Kind != kindAsk {
			return fmt.Errorf("frame of kind %d is no request: %w", f.Kind, err)
		}
		a, err := r.answer(ctx)
		if err != nil {
			a = &Answer{Fault: faultOf(err)}
		}
		raw, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("encode answer: %w", err)
		}
		return conn.Send(kindAnswer, raw)
	}
	return proc.Serve(ctx, conn, proc.ServeConfig{Limit: math.MaxInt64, Handle: handle})
}

// A Request is what is to be measured. Dir is needed: an empty directory for what
// is written meanwhile, that the asker removes.
type Request struct {
	Dir       string `json:"dir"`
	Calibrate bool   `json:"calibrate,omitempty"`
	Weft      string `json:"weft,omitempty"` // version, for Identity

	// A workload, with the machine to advise for, unless it is to be calibrated.
	Kind    string          `json:"kind,omitempty"`
	Spec    json.RawMessage `json:"spec,omitempty"` // as jobs.Parse reads it
	Machine *advise.Machine `json:"machine,omitempty"`
	// Told is what is known of the workload: what is not 0 there counts, and not
	// what is measured.
	Told  advise.Workload `json:"told"`
	Check bool            `json:"check,omitempty"` // also run all of it, on every pool
}

// An Answer is what was measured.
type Answer struct {
	Calibration *Calibration     `json:"calibration,omitempty"`
	Workload    *advise.Workload `json:"workload,omitempty"`
	Sample      *Sample          `json:"sample,omitempty"`
	Advice      *advise.Advice   `json:"advice,omitempty"`
	Checked     []Checked        `json:"checked,omitempty"` // as Advice.Alternatives
	Fault       *jobs.Fault      `json:"fault,omitempty"`   // why there is nothing else
}

func (r *Request) answer(ctx context.Context) (*Answer, error) {
	a := &Answer{}
	if r.Calibrate {
		l := readLoad(nil)
		m, err := calibrate(ctx, r.Dir, []string{"worker", slotKind})
		if err != nil {
			return nil, err
		}
		a.Calibration = &Calibration{Machine: m, Identity: Here(r.Weft), At: time.Now(), Busy: l.others()}
		r.Machine = &m
	}
	if r.Kind == "" {
		return a, nil
	}
	if r.Machine == nil {
		return nil, errors.New("measure a workload: there is no machine")
	}
	plan, err := jobs.Parse(r.Kind, r.Spec)
	if err != nil {
		return nil, err
	}
	aside, err := plan.Aside(r.Kind, filepath.Join(r.Dir, "out"))
	if err != nil {
		return nil, err
	}
	w, s, err := sample(ctx, r.Kind, aside, r.Dir, r.Machine)
	if err != nil {
		return nil, err
	}
	if s.Failed == s.Items && !w.First {
		return nil, &jobs.Fault{Code: "items_failed", Message: fmt.Sprintf("all %d items of the sample failed; the first: %s", s.Items, s.Error),
			Hint: "name items that can be done"}
	}
	take(&w, &r.Told)
	m := *r.Machine
	m.Memory = Available()
	a.Workload, a.Sample = &w, &s
	if a.Advice, err = advise.Pools(&m, a.Workload); err != nil || !r.Check {
		return a, err
	}
	a.Checked, err = check(ctx, r.Kind, plan, r.Dir, a.Advice.Alternatives)
	return a, err
}

// take takes over what is told of a workload.
func take(w, told *advise.Workload) {
	keep(&w.Items, told.Items)
	keep(&w.Bytes, told.Bytes)
	keep(&w.CPU, told.CPU)
	if told.CPU > 0 {
		w.Group, w.Together, w.Levels = 0, 0, nil
	}
	keep(&w.IO, told.IO)
	if told.IO > 0 { // it is about another server
		w.FarEnd, w.Server, w.Levels = 0, 0, nil
	}
	keep(&w.Rate, told.Rate)
	keep(&w.Isolation, told.Isolation)
	keep(&w.MemoryPerItem, told.MemoryPerItem)
	w.First = w.First || told.First
}

func keep[T comparable](field *T, told T) {
	var zero T
	if told != zero {
		*field = told
	}
}

// faultOf is why something could not be measured, in words.
func faultOf(err error) *jobs.Fault {
	var fault *jobs.Fault
	if errors.As(err, &fault) {
		return fault
	}
	var spec *jobs.SpecError
	if errors.As(err, &spec) {
		return &jobs.Fault{Code: "invalid", Message: spec.Error(), Hint: spec.Hint}
	}
	var item *cpuwork.ItemError
	if errors.As(err, &item) {
		return &jobs.Fault{Code: item.Code, Message: err.Error(), Hint: item.Hint}
	}
	return &jobs.Fault{Code: "failed", Message: err.Error()}
}
