package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"weft/cpuwork"
	"weft/cpuwork/batch"
)

// A Spec is a CPU job's specification: what all kinds have in common, and the
// kind's own part.
type Spec struct {
	Pool        string          `json:"pool,omitempty"`                 // auto, or one of [cpuwork.Kinds]
	Workers     int             `json:"workers,omitempty"`              // 0: as suits the pool
	ItemRetries int             `json:"item_retries,omitempty"`         // further attempts at an item; -1: none; 0: as suits the kind
	ItemTimeout float64         `json:"item_timeout_seconds,omitempty"` // of one attempt; 0: as suits the kind
	Task        json.RawMessage `json:"task"`
}

// PoolAuto is the pool that suits the kind.
const PoolAuto = "auto"

// Limits of a specification.
const (
	maxWorkers = 4096
	maxRetries = 100
	maxTimeout = 24 * 3600 // seconds
)

// A SpecError says what of a specification cannot be. Path is a JSON pointer.
type SpecError struct{ Path, Message, Hint string }

func (e *SpecError) Error() string {
	if e.Path == "" {
		return e.Message
	}
	return e.Path + ": " + e.Message
}

// A Plan is a specification that can be run.
type Plan struct {
	Spec   json.RawMessage // canonical
	Name   string          // that suits the job, should it have none
	Pool   cpuwork.Kind
	Count  int   // workers
	Memory int64 // bytes, about, that running it takes
	task   task
	spec   Spec
}

// A kind is a workload as jobs know it.
type kind struct {
	// parse reads the kind's own part strictly, and touches no file.
	parse func(task json.RawMessage) (task, error)
	works []cpuwork.Work // for worker processes
}

// A task is a kind's own part of a job.
type task struct {
	spec    any // with defaults filled in
	name    string
	open    func() (batch.Load, error)
	lists   []list                                      // files that have to be there when the job begins
	freeze  func(ctx context.Context, dir string) error // keeps what lists the items, before open; nil: nothing can change
	pool    cpuwork.Kind                                // that suits it
	workers int                                         // of that pool; 0: its own default
	retries int                                         // of an item
	timeout time.Duration                               // of an attempt at an item; 0: none
	perItem int64                                       // memory of a worker, besides its item
	stop    cpuwork.Stop                                // what ends the job early
	// list makes a load whose items are only counted; nil: the load's own count is
	// all there is.
	list func() (batch.Load, error)
	// spread divides the load's limits among worker processes; nil: it has none.
	spread func(processes int)
	// answers is the code of an error that is an answer in the pool's way of
	// speaking and no failure; "": there is none.
	answers string
}

// notPrime is what package primes says of a number that does not end the search
// for the first prime.
const notPrime = "not_prime"

// ItemFailed reports whether a line of a job of that kind is about an item that
// failed, which is not the same as that it is not OK: see notPrime.
func ItemFailed(kind string, line *batch.Line) bool {
	return !line.OK && !(kind == "primes" && line.Error != nil && line.Error.Code == notPrime)
}

// Kinds lists the workloads by name.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// Works are what worker processes can do.
func Works() []cpuwork.Work {
	var all []cpuwork.Work
	for _, name := range Kinds() {
		all = append(all, kinds[name].works...)
	}
	return all
}

// Parse checks a job's specification. An error is a [*SpecError].
func Parse(name string, js []byte) (*Plan, error) {
	k, ok := kinds[name]
	if !ok {
		return nil, &SpecError{"", fmt.Sprintf("there is no kind %q", name), "one of " + strings.Join(Kinds(), ", ")}
	}
	var s Spec
	if err := Strict(js, &s); err != nil {
		return nil, &SpecError{"", err.Error(), `as {"pool": "auto", "task": {…}}`}
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	t, err := k.parse(s.Task)
	if err != nil {
		return nil, taskError(err)
	}
	p := &Plan{Name: t.name, task: t, spec: s}
	p.settle(&t)
	if p.spec.Task, err = json.Marshal(t.spec); err != nil {
		return nil, fmt.Errorf("encode task: %w", err)
	}
	if p.Spec, err = json.Marshal(p.spec); err != nil {
		return nil, fmt.Errorf("encode specification: %w", err)
	}
	return p, nil
}

func (s *Spec) check() error {
	if s.Pool == "" {
		s.Pool = PoolAuto
	}
	if _, known := poolOf(s.Pool); !known && s.Pool != PoolAuto {
		return &SpecError{"/pool", fmt.Sprintf("there is no pool %q", s.Pool), "auto, sequential, goroutine, process or event"}
	}
	switch {
	case s.Workers < 0 || s.Workers > maxWorkers:
		return &SpecError{"/workers", fmt.Sprintf("%d workers are not between 0 and %d", s.Workers, maxWorkers), ""}
	case s.ItemRetries < -1 || s.ItemRetries > maxRetries:
		return &SpecError{"/item_retries", fmt.Sprintf("%d retries are not between -1 and %d", s.ItemRetries, maxRetries), ""}
	case !(s.ItemTimeout >= 0 && s.ItemTimeout <= maxTimeout):
		return &SpecError{"/item_timeout_seconds",
			fmt.Sprintf("%v seconds are not between 0 and %d", s.ItemTimeout, maxTimeout), ""}
	case len(bytes.TrimSpace(s.Task)) == 0:
		return &SpecError{"/task", "task is missing", `what to do, as {"paths": ["/data"]}`}
	}
	return nil
}

func poolOf(name string) (cpuwork.Kind, bool) {
	k := cpuwork.Kind(name)
	return k, slices.Contains(cpuwork.Kinds, k)
}

// settle decides what the specification left open.
func (p *Plan) settle(t *task) {
	p.Pool, p.Count = t.pool, p.spec.Workers
	if pool, chosen := poolOf(p.spec.Pool); chosen {
		p.Pool = pool
	}
	if p.Count == 0 && p.Pool == t.pool {
		p.Count = t.workers
	}
	if p.Pool == cpuwork.Sequential {
		p.Count = 1
	}
	if p.spec.ItemRetries == 0 {
		p.spec.ItemRetries = t.retries
	}
	if p.spec.ItemTimeout == 0 {
		p.spec.ItemTimeout = t.timeout.Seconds()
	}
	p.Memory = baseMemory + int64(p.Workers())*t.perItem
	if p.Pool == cpuwork.Process && t.spread != nil {
		t.spread(p.Workers())
	}
}

// eventWorkers is how many items an event pool has in flight unless it is told.
const eventWorkers = 64

// Workers is how many items are worked on at the same time.
func (p *Plan) Workers() int {
	switch {
	case p.Count > 0:
		return p.Count
	case p.Pool == cpuwork.Event:
		return eventWorkers
	}
	return runtime.NumCPU()
}

// options are those of the batch.
func (p *Plan) options() batch.Options {
	o := batch.Options{Kind: p.Pool}
	o.Workers, o.Retries = p.Count, max(0, p.spec.ItemRetries)
	o.Timeout = time.Duration(p.spec.ItemTimeout * float64(time.Second))
	o.Args = []string{"worker", slotKind}
	o.Stop, o.RecycleBytes = p.task.stop, recycleBytes
	return o
}

// recycleBytes is what a worker process may grow to before it is replaced.
const recycleBytes = 1 << 30

// baseMemory is what running any job takes: its items on the way, its journal's
// index, and the process itself.
const baseMemory = 48 << 20

// taskError places a fault of the kind's own part.
func taskError(err error) error {
	var spec *SpecError
	if errors.As(err, &spec) {
		return &SpecError{"/task" + spec.Path, spec.Message, spec.Hint}
	}
	return &SpecError{"/task", err.Error(), ""}
}

// Strict decodes one JSON object and refuses keys that v does not have.
func Strict(js []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(js))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("read specification: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("read specification: there is more after its end")
	}
	return nil
}
