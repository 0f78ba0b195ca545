package daemon

import (
	"context"
	"time"

	"weft/daemon/api"
	"weft/daemon/metrics"
	"weft/daemon/store"
	"weft/gpu"
)

// A job is one job that has not ended, in the owner's table.
type job struct {
	rec     store.Record // as last recorded
	res     *residency   // nil: not on a device nor on its way to one
	waiters []waiter     // requests answered when it leaves its device

	suspect     bool          // was being worked on when a worker died: next time it runs alone
	ward        int64         // of the suspects that may run together; 0: really alone
	aloneFaults int           // worker deaths with nobody else to blame
	tries       int           // starts in a row that a loader or device refused
	ran         time.Duration // running time of this attempt before this residency
}

// A waiter is a request for a transition that a device has to make possible.
type waiter struct {
	do   api.Transition
	done func(store.Record, error)
}

// phase is how far a job is on its way onto a device.
type phase int

const (
	loading  phase = iota // its data is being loaded; the job is still queued
	starting              // recorded as started, the device told
	running               // the device said that it runs
)

// wish is why a job is being taken off its device; a stronger one replaces a
// weaker one.
type wish int

const (
	stay wish = iota
	preempt
	pause
	timeout
	cancel
)

func (w wish) mode() gpu.StopMode {
	switch w {
	case preempt:
		return gpu.StopPreempt
	case pause:
		return gpu.StopPause
	default:
		return gpu.StopCancel
	}
}

// patience is how long a device may take to let a job go before its worker is
// killed: writing a checkpoint may take a while on a slow disk.
func (w wish) patience() time.Duration {
	if w == cancel || w == timeout {
		return 10 * time.Second
	}
	return 30 * time.Second
}

// A residency is one stay of a job on a device, from the plan that chose the
// device to the event that ended it. Events that name a job without one are
// echoes of the past and are ignored.
type residency struct {
	job    *job
	seat   *seat
	phase  phase
	alone  bool               // the device takes nobody else but those of the ward
	ward   int64              // of job when the stay began
	cancel context.CancelFunc // stops loading

	wish     wish
	deadline time.Time // the worker is killed when the job is still there; zero: no wish

	since       time.Time // recorded as started
	progress    api.Progress
	metrics     map[string]float64 // the latest of some, as the device told; not changed any more
	seconds     float64            // device seconds of this stay, as the device told
	reported    float64            // of which the store knows
	cpu         float64            // processor seconds of this stay, as the device told
	cpuReported float64            // of which the store knows
	drawn       float64            // of seconds, those that have their part in the device's energy
	base        api.Usage          // of the job before this stay
	news        bool               // to be published
	shown       bool               // its first steps have been published
	unsaved     bool               // to be reported to the store
	metered     metrics.Work       // of this stay, counted for Prometheus
}

// A seat is a device with what the owner knows of it.
type seat struct {
	dev       device
	info      gpu.Info
	ready     bool
	was       bool   // ready, at least once
	gone      bool   // its event channel has closed
	evidence  string // of its worker's last death; "": it lives
	message   string // the same in one line
	hint      string // what the worker said to try
	residents map[int64]*residency
	resumeAt  time.Time // nothing starts before: it just refused a job
	killedFor int64     // the job for whose sake its worker was killed; 0: none
	short     shortage
	account   account
}

// reserves is what a job takes of the device's memory for itself.
func (s *seat) reserves(rec *store.Record) int64 {
	if s.info.Kind == kindGPU {
		return rec.GPUBytes
	}
	return rec.MemoryBytes
}

func (s *seat) view() api.Device {
	d := api.Device{
		ID: s.info.ID, Kind: s.info.Kind, Name: s.info.Name, State: s.state(),
		Lanes: s.info.Lanes, Slots: s.info.Slots,
		MemoryBytes: s.info.MemoryBytes, FreeBytes: s.info.MemoryBytes,
		Running: []int64{}, Restarts: s.info.Restarts, PID: s.info.PID, Message: s.message, Hint: s.hint,
	}
	shared := map[string]bool{}
	for _, r := range s.residents {
		rec := &r.job.rec
		d.FreeBytes -= s.reserves(rec)
		if rec.DataHash == "" || !shared[rec.DataHash] {
			d.FreeBytes -= rec.DataBytes
			shared[rec.DataHash] = true
		}
		if r.phase != loading {
			d.Running = append(d.Running, rec.ID)
		}
	}
	d.FreeBytes = max(0, d.FreeBytes-s.short.bytes(time.Now()))
	activity := s.dev.Activity()
	d.BusySeconds, d.Gangs = activity.BusySeconds, make([]api.Gang, len(activity.Gangs))
	for i, g := range activity.Gangs {
		d.Gangs[i] = api.Gang(g)
	}
	return d
}

func (s *seat) state() string {
	switch {
	case s.ready:
		return api.DeviceReady
	case !s.was && s.evidence != "":
		return api.DeviceFailing
	case s.info.Restarts > 0 || s.evidence != "":
		return api.DeviceRestarting
	default:
		return api.DeviceStarting
	}
}
