package advise

import (
	"math"

	"weft/cpuwork"
)

// A Bound is what a run's time comes from.
type Bound string

// The bounds of the package's model.
const (
	ByWorkers Bound = "workers" // each has so many items after each other
	ByCores   Bound = "cores"
	ByOrder   Bound = "order"
	ByRate    Bound = "rate"
	ByFarEnd  Bound = "far_end"
	ByMemory  Bound = "memory"
	ByStart   Bound = "start" // what comes once takes longer than all items
)

// A Prediction is one alternative: a pool with so many workers.
type Prediction struct {
	Pool    cpuwork.Kind `json:"pool"`
	Workers int          `json:"workers"`
	Chunk   int          `json:"chunk"` // items handed over together
	Seconds float64      `json:"seconds"`
	Bound   Bound        `json:"bound"`
	Refused string       `json:"refused,omitempty"` // why it cannot be taken, however fast

	once float64 // of Seconds, what comes once
	work float64 // what the items would take without a rate
}

// What a pool hands over together: as cpuwork does it (run.go there).
const (
	chunkTime = 1e-3 // seconds
	mostChunk = 512
)

// chunkOf is the chunk that a pool settles at, given enough items.
func (w *Workload) chunkOf(kind cpuwork.Kind) int {
	cpu := w.cpuIn(kind)
	switch {
	case kind == cpuwork.Sequential || kind == cpuwork.Event:
		return 1
	case kind == cpuwork.Process && w.Isolation == Hostile:
		return 1 // what dies with a worker is the item alone
	}
	chunk := mostChunk
	if took := cpu + w.IO; took > 0 {
		chunk = int(min(max(chunkTime/took, 1), mostChunk))
	}
	if w.Batch > 1 {
		chunk = (chunk + w.Batch - 1) / w.Batch * w.Batch
	}
	return chunk
}

// cpuIn is an item's processor time in a pool: those that hand over many let a
// worker do them at once.
func (w *Workload) cpuIn(kind cpuwork.Kind) float64 {
	if w.Group > 0 && (kind == cpuwork.Goroutine || kind == cpuwork.Process) {
		return w.Group
	}
	if w.Together > 0 && kind == cpuwork.Event {
		return w.Together
	}
	return w.CPU
}

// Predict says how long a pool with so many workers would take.
func (m *Machine) Predict(w *Workload, kind cpuwork.Kind, workers int) Prediction {
	p := Prediction{Pool: kind, Workers: workers, Chunk: int(min(int64(w.chunkOf(kind)), w.Items)), once: m.Job}
	n, cores := float64(w.Items), float64(m.Cores)
	cpu, order := w.cpuIn(kind), m.Order(w, kind)
	if kind == cpuwork.Process {
		p.once += m.Spawn * math.Ceil(float64(workers)/cores)
		cpu += m.RoundTrip / float64(w.chunkOf(kind))
		order += float64(w.Bytes) / m.CopyRate / float64(workers) // each worker's items are filled by a goroutine of its own
	}
	var bounds []bounded
	if kind == cpuwork.Sequential {
		bounds = []bounded{{ByWorkers, n * (cpu + order + w.IO)}}
	} else {
		abreast := float64(workers)
		if w.InFlight > 0 {
			abreast = min(abreast, float64(w.InFlight))
		}
		slow := m.slowdown(abreast * (cpu + w.Server) / (cpu + w.IO + math.SmallestNonzeroFloat64))
		alone := slow*cpu + w.IO
		between := w.between(abreast, alone)
		if w.Server > 0 && len(w.Levels) == 0 {
			between = queueing(int(abreast), alone, slow*(cpu+w.Server), cores)
		}
		copying := 0.0
		if kind == cpuwork.Process {
			copying = float64(w.Bytes) / m.CopyRate
		}
		bounds = []bounded{
			{ByWorkers, max(math.Ceil(n/abreast)*alone, n*between)},
			// One goroutine more keeps the order. An item in flight is here or at its
			// server, never at both.
			{ByCores, n * slow * (cpu + order + copying + w.Server) / min(cores, abreast+1)},
			{ByOrder, n * order},
		}
	}
	bounds = append(bounds, bounded{ByFarEnd, n * w.FarEnd}, bounded{ByMemory, n * float64(w.Bytes) / m.MemoryRate})
	p.Bound, p.work = longest(bounds)
	items := p.work
	if w.Rate > 0 && n/w.Rate >= items {
		p.Bound, items = ByRate, n/w.Rate
	}
	if p.once > items {
		p.Bound = ByStart
	}
	p.Seconds = p.once + items
	return p
}

type bounded struct {
	by      Bound
	seconds float64
}

func longest(bounds []bounded) (Bound, float64) {
	best := bounds[0]
	for _, b := range bounds[1:] {
		if b.seconds > best.seconds {
			best = b
		}
	}
	return best.by, best.seconds
}

// slowdown is how many times as long processor time takes when so many cores are
// busy: between none and [Machine].Slowdown in a straight line.
func (m *Machine) slowdown(busy float64) float64 {
	busy = min(busy, float64(m.Cores))
	if m.Cores == 1 || busy <= 1 {
		return 1
	}
	return 1 + (m.Slowdown-1)*(busy-1)/float64(m.Cores-1)
}
