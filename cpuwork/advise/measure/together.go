package measure

import (
	"context"
	"runtime"

	"weft/cpuwork"
	"weft/cpuwork/advise"
)

// What many requests in flight are taken to show.
const (
	perLevel = 32   // requests of a level for each that is in flight; with fewer there is one level
	flat     = 1.25 // twice as many in flight that bring less than this: there is a ceiling
	short    = 0.5  // part of what Little's law promises that is less than this: so there is with one level
	fullIdle = 0.2  // part of the cores' time: with less of it idle they are what there is too little of
)

// levels are how many requests are to be in flight, one pass after the other:
// doubling, up to most; with few items only the last of them.
func levels(most, items int) []int {
	most = min(most, items/3)
	if most < 2 {
		return nil
	}
	var all []int
	sum := 0
	for k := 2; k < most; k *= 2 {
		all, sum = append(all, k), sum+k
	}
	if all = append(all, most); perLevel*(sum+most) > items {
		return all[len(all)-1:]
	}
	return all
}

// seen is what requests in flight showed.
type seen struct {
	levels []advise.Level
	cpu    float64 // seconds of an item in this process at the last level
	server float64 // seconds of it in servers on this machine
	found  bool    // those
	cores  int     // that this process may use
	shared share   // of the machine's, while they were in flight
	others float64 // that others had of them during the sample
}

// together finds out what comes of more requests in flight. An item alone took
// so long.
func (m *sampling) together(ctx context.Context, w *advise.Workload, took float64) error {
	most := cpuwork.DefaultInFlight
	if w.InFlight > 0 {
		most = min(most, w.InFlight)
	}
	counts := levels(most, len(m.picked))
	if w.Rate > 0 && len(counts) > 0 {
		counts = counts[len(counts)-1:] // the rate is all that the others would show
	}
	s := seen{found: len(m.servers) > 0, cores: runtime.GOMAXPROCS(0)}
	began := readLoad(m.servers)
	left := 0
	for _, k := range counts {
		left += k
	}
	for _, k := range counts {
		served := m.servers.processorTime()
		p, err := m.pass(ctx, cpuwork.Event, k, len(m.picked)*k/left)
		if err != nil {
			return err
		}
		if p.n == 0 {
			break // there are none left
		}
		s.levels = append(s.levels, advise.Level{InFlight: k, Seconds: p.between(k)})
		s.cpu, s.server = max(0, p.cpu/p.n-m.machine.Order(w, cpuwork.Event)), (m.servers.processorTime()-served)/p.n
		left -= k
	}
	now := readLoad(m.servers)
	s.shared, s.others = began.until(now), m.began.until(now).others
	s.judge(w, took)
	return nil
}

// judge takes over into a workload what was seen.
func (s *seen) judge(w *advise.Workload, took float64) {
	if len(s.levels) == 0 {
		return
	}
	if s.cpu < w.CPU {
		w.Together = s.cpu
	}
	w.Server = s.server
	last := s.levels[len(s.levels)-1]
	if w.Rate > 0 && last.Seconds >= 0.7/w.Rate {
		return // it is the rate that was seen
	}
	full := s.full(w, last.Seconds)
	if full && s.found && s.others > busy {
		return // others had cores that it would have: what it computes says more than how long that took
	}
	w.Levels = s.levels
	// What the cores were too few for, the model knows from what is computed on them,
	// if it is known.
	if s.ceiling(took) && !(full && s.found) {
		w.FarEnd = last.Seconds
	}
}

// full reports whether the cores were busy all the time: the machine's, or by what
// was computed on them those that this process may use, which may be fewer.
func (s *seen) full(w *advise.Workload, each float64) bool {
	if s.shared.known && s.shared.idle < fullIdle {
		return true
	}
	return s.cpu+w.Order+s.server > (1-fullIdle)*float64(s.cores)*each
}

// ceiling reports whether more in flight brought no more.
func (s *seen) ceiling(took float64) bool {
	last := s.levels[len(s.levels)-1]
	if len(s.levels) > 1 {
		before := s.levels[len(s.levels)-2]
		grown := before.Seconds / last.Seconds
		return grown < 1+(flat-1)*float64(last.InFlight-before.InFlight)/float64(before.InFlight)
	}
	return took/last.Seconds < short*float64(last.InFlight)
}
