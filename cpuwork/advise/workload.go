package advise

import (
	"fmt"
	"math"
	"slices"

	"weft/cpuwork"
)

// A Machine is what things cost on it. Times are in seconds, rates in bytes a
// second.
type Machine struct {
	Cores    int     `json:"cores"`
	Slowdown float64 `json:"slowdown"` // how many times as long a core takes when all are busy; 1: cores share nothing
	// MemoryRate is what all cores together read of memory.
	MemoryRate float64 `json:"memory_bytes_per_second"`
	CopyRate   float64 `json:"copy_bytes_per_second"` // into a worker process's arena, one core

	// What a job takes for an item of which nothing is made, by pool: to hand it
	// over, take its answer and note that in the journal.
	Sequential float64 `json:"sequential_seconds"`
	Goroutine  float64 `json:"goroutine_seconds"`
	Event      float64 `json:"event_seconds"`
	Process    float64 `json:"process_seconds"`    // in chunks
	RoundTrip  float64 `json:"round_trip_seconds"` // to a process and back, what each chunk adds

	Spawn float64 `json:"spawn_seconds"` // a worker process, until it has done its first item
	Job   float64 `json:"job_seconds"`   // a job without items: its files made, synced and closed

	Memory int64 `json:"memory_bytes"` // that can be had now; 0: not known
}

// Isolation says what items must not be able to harm.
type Isolation string

// The isolations.
const (
	None    Isolation = "none"    // items are trusted
	Crash   Isolation = "crash"   // an item may take its process down, leak or hang
	Hostile Isolation = "hostile" // an item may try to
)

// Isolations lists them.
var Isolations = []Isolation{None, Crash, Hostile}

// A Workload is a batch of like items. Only Items is needed. Times are in
// seconds, for one item.
type Workload struct {
	Items int64 `json:"items"`
	Bytes int64 `json:"bytes_per_item"` // handed to the worker with it
	// CPU is its processor time. Group, if not 0, is the same where a worker does
	// several at once.
	CPU   float64 `json:"cpu_seconds"`
	Group float64 `json:"group_cpu_seconds,omitempty"`
	// Together, if not 0, is the same where many wait in one process.
	Together float64 `json:"together_cpu_seconds,omitempty"`
	IO       float64 `json:"io_seconds"` // waiting for others
	// Order is what is done for each item in order besides, when they come one
	// after the other: reading the input, the journal. 0: [Machine].Sequential.
	Order float64 `json:"order_seconds,omitempty"`
	// FarEnd is what the other side takes for an item at best, however many are in
	// flight; 0: not known.
	FarEnd float64 `json:"far_end_seconds,omitempty"`
	// Server is the processor time of the other side where that is on this machine,
	// and so on the same cores.
	Server float64 `json:"server_cpu_seconds,omitempty"`
	// Levels are what more in flight brought, as far as it was tried, rising.
	Levels   []Level `json:"levels,omitempty"`
	Rate     float64 `json:"rate_limit"`          // items a second at most; 0: no limit
	InFlight int     `json:"in_flight,omitempty"` // that wait at the same time at most; 0: no limit

	Isolation     Isolation `json:"isolation"` // "" is [None]
	MemoryPerItem int64     `json:"memory_per_item,omitempty"`
	First         bool      `json:"first,omitempty"` // ends at the first item that succeeds
	Batch         int       `json:"batch,omitempty"` // items that a worker does at once, for Group
}

// A Level is the throughput with so many items in flight in an event pool.
type Level struct {
	InFlight int     `json:"in_flight"`
	Seconds  float64 `json:"seconds"` // between one that ends and the next
}

// Limits of a description.
const (
	maxItems   = 1e12
	maxBytes   = 1 << 50
	maxSeconds = 1e7
	maxRate    = 1e9
)

// Check returns what cannot be, and fills in the isolation. Errors name the
// field as JSON does.
func (w *Workload) Check() error {
	if w.Isolation == "" {
		w.Isolation = None
	}
	if !slices.Contains(Isolations, w.Isolation) {
		return fmt.Errorf("isolation %q is none of %v", w.Isolation, Isolations)
	}
	for _, f := range []struct {
		name       string
		value      float64
		least, top float64
	}{
		{"items", float64(w.Items), 1, maxItems},
		{"bytes_per_item", float64(w.Bytes), 0, maxBytes},
		{"cpu_seconds", w.CPU, 0, maxSeconds},
		{"group_cpu_seconds", w.Group, 0, maxSeconds},
		{"together_cpu_seconds", w.Together, 0, maxSeconds},
		{"io_seconds", w.IO, 0, maxSeconds},
		{"order_seconds", w.Order, 0, maxSeconds},
		{"far_end_seconds", w.FarEnd, 0, maxSeconds},
		{"server_cpu_seconds", w.Server, 0, maxSeconds},
		{"rate_limit", w.Rate, 0, maxRate},
		{"in_flight", float64(w.InFlight), 0, math.MaxInt32},
		{"memory_per_item", float64(w.MemoryPerItem), 0, maxBytes},
		{"batch", float64(w.Batch), 0, math.MaxInt32},
	} {
		if !(f.value >= f.least && f.value <= f.top) { // so that NaN is refused too
			return fmt.Errorf("%s %v is not between %v and %v", f.name, f.value, f.least, f.top)
		}
	}
	before := 1
	for _, l := range w.Levels {
		if l.InFlight <= before || !(l.Seconds > 0 && l.Seconds <= maxSeconds) {
			return fmt.Errorf("levels: %d in flight after %d, %v s each, cannot be", l.InFlight, before, l.Seconds)
		}
		before = l.InFlight
	}
	return nil
}

// between is the time between two items that end when so many are in flight, if
// one alone takes so long. By Little's law it is what an item takes with so many,
// over their number. What an item takes rises with the number: on straight lines
// through what was seen, of which the last goes on. It is convex where requests
// queue (Lazowska et al., chapter 5), so that the lines are a little slow between
// levels and a little fast beyond them. Without levels it is the same with any
// number.
func (w *Workload) between(abreast, alone float64) float64 {
	at, took, rise := 1.0, alone, 0.0
	for _, l := range w.Levels {
		n := float64(l.InFlight)
		// Less with more is chance: of what an item takes, and of how many end.
		seen := min(max(took, n*l.Seconds), took*n/at)
		rise = (seen - took) / (n - at)
		if abreast <= n {
			break
		}
		at, took = n, seen
	}
	return (took + rise*(abreast-at)) / abreast
}

// queueing is the same where nothing was seen and the server has the same cores:
// exact mean value analysis (Reiser and Lavenberg 1980) of the cores as one queue
// and a delay (Seidmann et al. 1987). An item alone takes so long, of which it
// computes here or at its server for a part.
func queueing(abreast int, alone, computing, cores float64) float64 {
	queue, delay := computing/cores, max(alone, computing)-computing/cores
	waiting, took := 0.0, 0.0
	for n := 1; n <= abreast; n++ {
		at := queue * (1 + waiting)
		took = at + delay
		waiting = float64(n) / took * at
	}
	return took / float64(abreast)
}

// waits reports whether an item mostly waits for others, or may: what is paced is
// asked of somebody who may take any time.
func (w *Workload) waits() bool { return w.IO > w.CPU || w.Rate > 0 || w.InFlight > 0 }

// Check returns what cannot be of a machine.
func (m *Machine) Check() error {
	if m.Cores < 1 || m.Cores > 1<<16 {
		return fmt.Errorf("%d cores are not between 1 and %d", m.Cores, 1<<16)
	}
	for _, f := range []struct {
		name       string
		value      float64
		least, top float64
	}{
		{"slowdown", m.Slowdown, 1, 100},
		{"memory rate", m.MemoryRate, 1e6, 1e15},
		{"copy rate", m.CopyRate, 1e6, 1e15},
		{"sequential pool", m.Sequential, 0, 1},
		{"goroutine pool", m.Goroutine, 0, 1},
		{"event pool", m.Event, 0, 1},
		{"process pool", m.Process, 0, 1},
		{"round trip", m.RoundTrip, 0, 1},
		{"spawn", m.Spawn, 0, 60},
		{"job", m.Job, 0, 60},
	} {
		if !(f.value >= f.least && f.value <= f.top) {
			return fmt.Errorf("%s: %v is not between %v and %v", f.name, f.value, f.least, f.top)
		}
	}
	return nil
}

// Order is what a pool's job takes for an item besides its work, which one
// goroutine after the other does.
func (m *Machine) Order(w *Workload, kind cpuwork.Kind) float64 {
	order := w.Order
	if order == 0 {
		order = m.Sequential
	}
	pool := m.Sequential
	switch kind {
	case cpuwork.Goroutine:
		pool = m.Goroutine
	case cpuwork.Event:
		pool = m.Event
	case cpuwork.Process:
		pool = m.Process
	case cpuwork.Sequential:
	}
	return order + max(0, pool-m.Sequential)
}
