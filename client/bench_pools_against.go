package client

import (
	"fmt"
	"strings"

	poolbench "weft/bench/pools"
	"weft/cpuwork"
)

// poolsAgainst is a figure of this run beside what is wanted of it.
type poolsAgainst struct {
	Case   string  `json:"case"`
	What   string  `json:"what"`
	Of     string  `json:"of"`             // whose figure it is
	By     string  `json:"by,omitempty"`   // what it is divided by; "": it is no ratio
	Unit   string  `json:"unit,omitempty"` // "": times
	Value  spread  `json:"value"`          // of the rounds
	Wanted string  `json:"wanted"`         // at least or at most the limit
	Limit  float64 `json:"limit"`
	Met    bool    `json:"met"` // by the median
}

const (
	atLeast = "at least"
	atMost  = "at most"
)

// against compares what ran with what is wanted, where both sides ran in this run.
func against(r *poolsResult) []poolsAgainst {
	out := []poolsAgainst{}
	for i := range r.Cases {
		c := &r.Cases[i]
		if c.Skipped != "" {
			continue
		}
		g := &gauge{c: c, cores: r.Machine.Cores}
		switch c.Group {
		case "sha256":
			g.sha256()
		case "jpeg":
			g.jpeg()
		case "fetch":
			g.fetch()
		case "primes":
			g.ratio("Python's process pool", g.wallOf("python-processes"), g.arm(cpuwork.Goroutine), atLeast, 10)
		case "handoff":
			g.handoff()
		}
		out = append(out, g.out...)
	}
	return out
}

// gauge compares within one case.
type gauge struct {
	c     *poolsCase
	cores int
	out   []poolsAgainst
}

// side is one side of a comparison: a figure for each round.
type side struct {
	name   string
	values map[int]float64
}

// arm is an arm with as many workers as there are cores.
func (g *gauge) arm(kind cpuwork.Kind) side {
	workers := g.cores
	if kind == cpuwork.Sequential {
		workers = 1
	}
	return sideOf(g.c.find(kind, workers, ""))
}

func sideOf(a *poolsArm) side {
	if a == nil {
		return side{}
	}
	return side{a.Arm, a.walls()}
}

// wallOf is the fastest, round by round, of the peers whose names begin so. It has
// the name of the one with the least median.
func (g *gauge) wallOf(prefix string) side {
	var s side
	var best *poolsPeer
	for i := range g.c.Peers {
		p := &g.c.Peers[i]
		if len(p.Runs) == 0 || !strings.HasPrefix(p.Peer, prefix) {
			continue
		}
		if s.values == nil {
			s.values = map[int]float64{}
		}
		for round, wall := range p.walls() {
			if old, ok := s.values[round]; !ok || wall < old {
				s.values[round] = wall
			}
		}
		if best == nil || p.Wall.Median < best.Wall.Median {
			best, s.name = p, p.Peer
		}
	}
	return s
}

// ratio tells over by under, round by round, where both ran.
func (g *gauge) ratio(what string, over, under side, wanted string, limit float64) {
	var values []float64
	for round, v := range over.values {
		if u, ok := under.values[round]; ok && u > 0 {
			values = append(values, v/u)
		}
	}
	if len(values) > 0 {
		g.add(poolsAgainst{What: what, Of: over.name, By: under.name, Value: spreadOf(values), Wanted: wanted, Limit: limit})
	}
}

func (g *gauge) add(a poolsAgainst) {
	a.Case = g.c.Case
	a.Met = a.Value.Median >= a.Limit
	if a.Wanted == atMost {
		a.Met = a.Value.Median <= a.Limit
	}
	g.out = append(g.out, a)
}

// mostMemory is what 10,000 x 1 MB may take in all processes together, in MB.
const mostMemory = 200

func (g *gauge) sha256() {
	if g.c.Case != poolbench.SHA256 {
		return
	}
	g.ratio("Python's best over goroutines", g.wallOf("python-"), g.arm(cpuwork.Goroutine), atLeast, 1.6)
	g.ratio("processes over goroutines", g.arm(cpuwork.Process), g.arm(cpuwork.Goroutine), atMost, 1.25)
	var most *poolsArm
	for i := range g.c.Arms {
		if a := &g.c.Arms[i]; a.Peak != nil && (most == nil || a.Peak.Max > most.Peak.Max) {
			most = a
		}
	}
	if most != nil {
		s := *most.Peak
		for _, v := range []*float64{&s.Median, &s.Min, &s.Max, &s.Q1, &s.Q3} {
			*v /= 1e6
		}
		s.Median = s.Max // a peak is not to be passed once
		g.add(poolsAgainst{What: "memory of the largest pool", Of: most.Arm, Unit: "MB", Value: s, Wanted: atMost, Limit: mostMemory})
	}
}

func (g *gauge) jpeg() {
	of := func(variant string) *poolsArm { return g.c.find(cpuwork.Sequential, 1, variant) }
	plain, turbo, jpegn := of(""), of(poolbench.VariantTurbo), of(poolbench.VariantJpegn)
	if turbo != nil {
		g.ratio("C's processor time over ours with libturbojpeg, one core", g.processorTime("c-turbojpeg"), cpuOf(turbo.Arm, turbo.Runs), atLeast, 0.95)
	}
	if plain != nil && jpegn != nil && plain.Runs[0].Digest != jpegn.Runs[0].Digest { // a faster encoder was chosen
		g.ratio("Pillow's best over goroutines", g.wallOf("pillow-"), g.arm(cpuwork.Goroutine), atLeast, 2)
	}
	g.ratio("image/jpeg over jpegn, one core", sideOf(of(poolbench.VariantStd)), sideOf(jpegn), atLeast, 3)
}

func (g *gauge) processorTime(peer string) side {
	for i := range g.c.Peers {
		if p := &g.c.Peers[i]; p.Peer == peer {
			return cpuOf(p.Peer, p.Runs)
		}
	}
	return side{}
}

func cpuOf(name string, runs []poolsRun) side {
	s := side{name, map[int]float64{}}
	for _, run := range runs {
		s.values[run.Round] = run.CPU
	}
	return s
}

func (g *gauge) fetch() {
	best := g.fastest(cpuwork.Event)
	if best == nil {
		return
	}
	if g.c.Case != poolbench.FetchLimited {
		g.ratio("aiohttp over events", g.wallOf("aiohttp"), sideOf(best), atLeast, 3)
		return
	}
	if g.c.Ideal == 0 {
		return
	}
	over := make([]float64, len(best.Runs))
	for i, run := range best.Runs {
		over[i] = 100 * (run.Wall/g.c.Ideal - 1)
	}
	g.add(poolsAgainst{What: "time above the limit's ideal", Of: best.Arm, Unit: "%", Value: spreadOf(over), Wanted: atMost, Limit: 1})
	refused := make([]float64, len(best.Runs))
	for i, run := range best.Runs {
		refused[i] = float64(run.Refused)
	}
	g.add(poolsAgainst{What: "requests refused", Of: best.Arm, Unit: "requests", Value: spreadOf(refused), Wanted: atMost, Limit: 0})
}

// fastest is the arm of a kind of pool with the least median time.
func (g *gauge) fastest(kind cpuwork.Kind) *poolsArm {
	var best *poolsArm
	for i := range g.c.Arms {
		a := &g.c.Arms[i]
		if a.Pool == kind && a.Variant == "" && a.Wall != nil && (best == nil || a.Wall.Median < best.Wall.Median) {
			best = a
		}
	}
	return best
}

func (g *gauge) handoff() {
	for _, w := range []struct {
		kind  cpuwork.Kind
		limit float64 // microseconds
	}{{cpuwork.Process, 15}, {cpuwork.Goroutine, 0.1}} {
		s := g.arm(w.kind)
		if s.values == nil {
			continue
		}
		var each []float64
		for _, wall := range s.values {
			each = append(each, wall/float64(g.c.Items)*1e6)
		}
		g.add(poolsAgainst{What: "handing an item over", Of: s.name, Unit: "us", Value: spreadOf(each), Wanted: atMost, Limit: w.limit})
	}
}

// valueText writes a figure with its unit.
func (a *poolsAgainst) valueText(v float64) string {
	switch a.Unit {
	case "":
		return timesText(v)
	case "us":
		return threeDigits(v) + " us"
	case "%":
		return fmt.Sprintf("%.2f %%", v)
	case "MB":
		return fmt.Sprintf("%.0f MB", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// wantedText writes the limit.
func (a *poolsAgainst) wantedText() string { return a.Wanted + " " + a.limitText() }

func (a *poolsAgainst) limitText() string {
	switch a.Unit {
	case "":
		return fmt.Sprintf("%gx", a.Limit)
	case "us", "MB", "%":
		return fmt.Sprintf("%g %s", a.Limit, a.Unit)
	}
	return fmt.Sprintf("%g", a.Limit)
}
