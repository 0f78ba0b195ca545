package daemon

import (
	"math"
	"time"

	"weft/daemon/api"
)

// series are the readings of which a history is kept.
var series = [...]struct {
	name  string
	value func(r *api.Readings) float64 // NaN: none
}{
	{"utilization", func(r *api.Readings) float64 { return numberOf(r.Utilization) }},
	{"memory_utilization", func(r *api.Readings) float64 { return numberOf(r.MemoryUtilization) }},
	{"memory_used_bytes", func(r *api.Readings) float64 { return numberOf(r.MemoryUsed) }},
	{"power_watts", func(r *api.Readings) float64 { return numberOf(r.Power) }},
	{"temperature_celsius", func(r *api.Readings) float64 { return numberOf(r.Temperature) }},
	{"sm_clock_hertz", func(r *api.Readings) float64 { return numberOf(r.SMClock) }},
	{"memory_clock_hertz", func(r *api.Readings) float64 { return numberOf(r.MemoryClock) }},
	{"pcie_sent_bytes_per_second", func(r *api.Readings) float64 { return numberOf(r.PCIeSent) }},
	{"pcie_received_bytes_per_second", func(r *api.Readings) float64 { return numberOf(r.PCIeReceived) }},
	{"energy_joules", func(r *api.Readings) float64 { return numberOf(r.Energy) }},
	{"load1", func(r *api.Readings) float64 { return numberOf(r.Load1) }},
}

func numberOf[T int64 | float64](v *T) float64 {
	if v == nil {
		return math.NaN()
	}
	return float64(*v)
}

// A reading is a sample's part that a history is made of: small, for there are
// thousands.
type reading struct {
	at     int64 // nanoseconds since 1970
	values [len(series)]float64
}

func (r *reading) time() time.Time { return time.Unix(0, r.at).UTC() }

func readingOf(s *api.Sample) reading {
	r := reading{at: s.At.UnixNano()}
	for i := range series {
		r.values[i] = series[i].value(&s.Readings)
	}
	return r
}

// A ring holds the latest readings.
type ring struct {
	all  []reading
	next int  // where the next one goes
	full bool // the next one replaces the oldest
	size int
}

func newRing(size int) *ring { return &ring{size: size} }

func (r *ring) add(one reading) {
	if len(r.all) < r.size {
		r.all = append(r.all, one)
		return
	}
	r.full = true
	r.all[r.next] = one
	r.next = (r.next + 1) % r.size
}

// complete is the moment from which on nothing is missing, or otherwise if the
// ring is empty. Before it, the store knows more: minutes that the ring has in
// part are left to it.
func (r *ring) complete(otherwise time.Time) time.Time {
	if len(r.all) == 0 {
		return otherwise
	}
	oldest := r.all[r.next%len(r.all)].time()
	if !r.full {
		return oldest
	}
	return oldest.Truncate(sampleMinute).Add(sampleMinute)
}

func (r *ring) between(since, until time.Time) []reading {
	var found []reading
	for i := range r.all {
		one := &r.all[(r.next+i)%len(r.all)]
		if one.at >= since.UnixNano() && one.at < until.UnixNano() {
			found = append(found, *one)
		}
	}
	return found
}

// A tally sums up samples.
type tally struct {
	begins time.Time
	first  time.Time // sample's; for those that the store is to keep
	n      int64
	parts  [len(series)]part
}

type part struct {
	n   int64
	sum float64
	max float64
}

func newTally(begins time.Time) *tally { return &tally{begins: begins} }

func (t *tally) add(r reading) {
	t.n++
	for i, v := range r.values {
		if !math.IsNaN(v) {
			t.parts[i].add(1, v, v)
		}
	}
}

// addPoint adds what was summed up before.
func (t *tally) addPoint(p *api.Point) {
	t.n += p.Samples
	for i := range series {
		if mean, ok := p.Mean[series[i].name]; ok {
			t.parts[i].add(p.Samples, mean, p.Max[series[i].name])
		}
	}
}

func (p *part) add(n int64, mean, most float64) {
	if p.n == 0 || most > p.max {
		p.max = most
	}
	p.n += n
	p.sum += mean * float64(n)
}

func (t *tally) point() api.Point {
	p := api.Point{At: t.begins, Samples: t.n, Mean: map[string]float64{}, Max: map[string]float64{}}
	for i := range t.parts {
		if one := &t.parts[i]; one.n > 0 {
			p.Mean[series[i].name], p.Max[series[i].name] = one.sum/float64(one.n), one.max
		}
	}
	return p
}

// pointsOf sums what the store and the memory have up into steps. Both are in
// order, and the store's come first.
func pointsOf(stored []api.Point, recent []reading, step time.Duration) []api.Point {
	points := []api.Point{}
	var now *tally
	at := func(moment time.Time) *tally {
		begins := moment.UTC().Truncate(step)
		if now != nil && !now.begins.Equal(begins) {
			points = append(points, now.point())
			now = nil
		}
		if now == nil {
			now = newTally(begins)
		}
		return now
	}
	for i := range stored {
		at(stored[i].At).addPoint(&stored[i])
	}
	for _, r := range recent {
		at(r.time()).add(r)
	}
	if now != nil {
		points = append(points, now.point())
	}
	return points
}
