package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"weft/cpuwork/jobs"
	"weft/daemon/api"
	"weft/daemon/sched"
	"weft/gpu"
	"weft/gpu/train"
	"weft/gpu/train/dataset"
)

// poolSlots is how many CPU jobs run at once. Each has workers for all cores
// unless told otherwise, so more of them would only slow each other down; but
// one that waits for servers must not keep one that computes from running.
const poolSlots = 4

// A poolDevice is the device that CPU jobs run on: the process that cpuwork/jobs
// supervises, in the owner's words.
type poolDevice struct {
	runner *jobs.Runner
	events chan gpu.Event
	ended  sync.Once

	mu   sync.Mutex // guards what follows
	info gpu.Info
	busy float64                 // processor seconds of jobs that have left
	jobs map[int64]jobs.Progress // that run, as last told
}

var _ device = (*poolDevice)(nil)

// An order is what a CPU job has for data: what it is to do.
type order struct {
	kind api.Kind
	spec json.RawMessage
}

var _ data = order{}

func (order) About() *dataset.Info { return &dataset.Info{} }
func (order) Release()             {}

// openPools starts the process that runs CPU jobs.
func openPools(ctx context.Context, cfg Config) (*poolDevice, error) {
	d := &poolDevice{events: make(chan gpu.Event, 256), jobs: map[int64]jobs.Progress{}, info: gpu.Info{
		ID: sched.KindPools, Kind: sched.KindPools, Name: "CPU jobs", Lanes: runtime.NumCPU(), Slots: poolSlots,
		MemoryBytes: gpu.DefaultMemory() / 4,
	}}
	var err error
	d.runner, err = jobs.Open(ctx, jobs.Config{Program: cfg.Program, OnEvent: d.on, Log: cfg.Log})
	if err != nil {
		return nil, err
	}
	return d, nil
}

func (d *poolDevice) Info() gpu.Info {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.info
}

func (d *poolDevice) Events() <-chan gpu.Event { return d.events }

func (d *poolDevice) Start(job gpu.Job, what data) error {
	o := what.(order)
	return d.runner.Start(jobs.Job{ID: job.ID, Kind: string(o.kind), Spec: o.spec, Dir: job.Dir, Fresh: job.Restart})
}

// Stop is the same in every mode: a job's journal is always up to date.
func (d *poolDevice) Stop(id int64, _ gpu.StopMode) error { return d.runner.Stop(id) }

// Prioritize has nothing to do: CPU jobs share the processors evenly.
func (d *poolDevice) Prioritize(int64, int) error { return nil }

func (d *poolDevice) Restart(reason string) { d.runner.Restart(reason) }

func (d *poolDevice) Close(ctx context.Context) error {
	err := d.runner.Close(ctx)
	d.end()
	return err
}

func (d *poolDevice) Kill() {
	d.runner.Kill()
	d.end()
}

func (d *poolDevice) end() { d.ended.Do(func() { close(d.events) }) }

// Activity counts processor seconds, which are all that a CPU job takes of the
// device. It has no lanes that jobs would share.
func (d *poolDevice) Activity() gpu.Activity {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := gpu.Activity{BusySeconds: d.busy}
	for _, p := range d.jobs {
		a.BusySeconds += p.CPUSeconds
	}
	return a
}

// on puts what the runner tells into the owner's words.
func (d *poolDevice) on(e jobs.Event) {
	switch e := e.(type) {
	case jobs.Up:
		d.mu.Lock()
		d.info.PID, d.info.Restarts = e.PID, e.Restarts
		info := d.info
		d.mu.Unlock()
		d.events <- gpu.Up{Info: info}
	case jobs.Down:
		d.mu.Lock()
		d.info.PID = 0
		for id := range d.jobs {
			d.leftLocked(id)
		}
		d.mu.Unlock()
		down := gpu.Down{Lost: e.Lost, Evidence: e.Evidence}
		if !e.Killed {
			down.Suspects = e.Lost
		}
		d.events <- down
	case jobs.Started:
		d.events <- gpu.Started{Job: e.Job, Step: e.Done}
		// The journal is its checkpoint, and is there from the first item on.
		d.events <- gpu.Checkpointed{Job: e.Job, Step: e.Done}
	case jobs.Progressed:
		d.progressed(e.Jobs...)
	case jobs.Stopped:
		d.progressed(e.Progress)
		d.left(e.Job)
		d.events <- gpu.Stopped{Job: e.Job, Spent: spentOf(&e.Progress)}
	case jobs.Finished:
		d.progressed(e.Progress)
		d.left(e.Job)
		d.finished(&e)
	case jobs.Failed:
		d.progressed(e.Progress)
		d.left(e.Job)
		d.events <- gpu.Failed{Job: e.Job, Fault: train.Fault(e.Fault), Spent: spentOf(&e.Progress)}
	}
}

func (d *poolDevice) progressed(news ...jobs.Progress) {
	told := gpu.Progressed{Jobs: make([]gpu.Progress, len(news))}
	d.mu.Lock()
	for i, p := range news {
		d.jobs[p.ID] = p
		told.Jobs[i] = gpu.Progress{Job: p.ID, Step: p.Done, Steps: max(p.Items, 0), Spent: spentOf(&p), Metrics: metricsOf(&p)}
	}
	d.mu.Unlock()
	d.events <- told
}

func (d *poolDevice) left(id int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leftLocked(id)
}

func (d *poolDevice) leftLocked(id int64) {
	d.busy += d.jobs[id].CPUSeconds
	delete(d.jobs, id)
}

// finished ends a job whose items have all ended: it failed if one of them did,
// as sha256sum does.
func (d *poolDevice) finished(e *jobs.Finished) {
	s := &e.Summary
	if s.Failed == 0 {
		d.events <- gpu.Finished{Job: e.Job, Metrics: metricsOf(&e.Progress), Spent: spentOf(&e.Progress)}
		return
	}
	f := train.Fault{Code: string(api.CodeItemsFailed),
		Message: fmt.Sprintf("%s of %s failed", humanize.Comma(s.Failed), english.Plural(int(s.Items), "item", "")),
		Hint:    fmt.Sprintf("weft results %d --failed lists them", e.Job)}
	if len(s.FirstFailed) > 0 && s.FirstFailed[0].Error != nil {
		first := &s.FirstFailed[0]
		f.Message += fmt.Sprintf("; the first, %s: %s", first.Item, first.Error.Message)
	}
	d.events <- gpu.Failed{Job: e.Job, Fault: f, Spent: spentOf(&e.Progress)}
}

func spentOf(p *jobs.Progress) gpu.Spent {
	// The device is the processors: an item that waits for a server takes nothing of it.
	return gpu.Spent{DeviceSeconds: p.CPUSeconds, CPUSeconds: p.CPUSeconds}
}

// metricsOf is what a CPU job has for metrics.
func metricsOf(p *jobs.Progress) map[string]float64 {
	return map[string]float64{"ok": float64(p.Done - p.Failed), "failed": float64(p.Failed), "bytes": float64(p.Bytes),
		"items_per_second": p.ItemsPerS, "bytes_per_second": p.BytesPerS, "left_seconds": p.LeftSeconds}
}
