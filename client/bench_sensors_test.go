package client

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weft/daemon/api"
)

// sensed is a device's history, sampled every interval from moment on: each
// sample has the use of the interval before it.
type sensed struct {
	utilization, power []float64 // by interval
	counter            bool
	step               time.Duration
}

func (s sensed) history() *api.History {
	h := &api.History{Step: s.step.Seconds()}
	joules := 1e6
	for i := range s.utilization {
		at := moment.Add(time.Duration(i+1) * benchSample)
		values := map[string]float64{"utilization": s.utilization[i]}
		if s.power != nil {
			values["power_watts"] = s.power[i]
		}
		if s.counter {
			joules += s.power[i] * benchSample.Seconds()
			values["energy_joules"] = joules
		}
		h.Points = append(h.Points, api.Point{At: at.Truncate(s.step), Samples: 1, Mean: values, Max: values})
	}
	return h
}

func after(s float64) time.Time { return moment.Add(seconds(s)) }

func near(got *float64, want, by float64) bool { return got != nil && math.Abs(*got-want) <= by }

// A run between two samples gets its part of both, of the time and of the
// counter: a device that works in its window only is told as it was.
func TestUseOfARun(t *testing.T) {
	s := sensed{counter: true, step: time.Millisecond}
	for i := range 40 { // busy from 1 s to 3 s
		busy := i >= 10 && i < 30
		s.utilization = append(s.utilization, map[bool]float64{true: 0.9, false: 0}[busy])
		s.power = append(s.power, map[bool]float64{true: 400, false: 100}[busy])
	}
	for _, c := range []struct{ from, to, utilization, joules float64 }{
		{1, 3, 0.9, 800},
		{1.05, 2.95, 0.9, 760},
		{0.5, 3.5, 0.6, 900},
		{2, 4.2, 0.45, 550}, // nothing is known of the last 0.2 s
		{2.85, 3.95, 0.9 * 0.15 / 1.1, 0.15*400 + 0.95*100},
	} {
		u := useOf("gpu", samplesFrom(s.history()), window{after(c.from), after(c.to)})
		if !near(u.Utilization, c.utilization, 0.002) || !near(u.EnergyJoules, c.joules, 1) || u.EnergySource != energyCounter {
			t.Errorf("%g to %g: utilization %v, %v J by %s; want %g, %g", c.from, c.to, *u.Utilization, *u.EnergyJoules,
				u.EnergySource, c.utilization, c.joules)
		}
	}
	s.counter = false
	u := useOf("gpu", samplesFrom(s.history()), window{after(0.5), after(3.5)})
	if !near(u.EnergyJoules, 900, 1) || u.EnergySource != energyPower {
		t.Errorf("without a counter: %+v", u)
	}
}

// What cannot be known is null, with its reason.
func TestUseThatIsNotKnown(t *testing.T) {
	all := func(v float64) []float64 {
		out := make([]float64, 60)
		for i := range out {
			out[i] = v
		}
		return out
	}
	whole := sensed{utilization: all(0.5), power: all(300), counter: true, step: time.Millisecond}
	noPower := whole
	noPower.power, noPower.counter = nil, false
	gap := whole.history()
	gap.Points = append(gap.Points[:20:20], gap.Points[40:]...) // nothing from 2 s to 4 s
	again := whole.history()
	for i := 30; i < len(again.Points); i++ { // the driver was loaded anew
		again.Points[i].Max = map[string]float64{"energy_joules": float64(i)}
	}
	mute := &api.History{Step: 0.001, Points: []api.Point{{At: moment, Samples: 1}}}
	for name, c := range map[string]struct {
		kind                        string
		h                           *api.History
		w                           window
		utilization, energy, source string // reasons; "": it is known
	}{
		"too short": {"cpu", whole.history(), window{after(1), after(1.29)},
			"the run was shorter than 300ms, 3 samples of the sensors", noCPUEnergy, ""},
		"too short for a GPU": {"gpu", whole.history(), window{after(1), after(1.9)},
			"the run was shorter than 1s, over which the driver averages", "", energyCounter},
		"short": {"cpu", whole.history(), window{after(1), after(1.31)}, "", noCPUEnergy, ""},
		"far too short for a GPU": {"gpu", whole.history(), window{after(1), after(1.2)},
			"the run was shorter than 300ms, 3 samples of the sensors", "the run was shorter than 300ms, 3 samples of the sensors", ""},
		"no power":     {"gpu", noPower.history(), window{after(1), after(3)}, "", "the device does not tell", ""},
		"mute":         {"gpu", mute, window{after(0), after(3)}, "the device does not tell", "the device does not tell", ""},
		"no history":   {"gpu", &api.History{Step: 0.001}, window{after(0), after(3)}, "the device does not tell", "the device does not tell", ""},
		"gap":          {"gpu", gap, window{after(1), after(5)}, "the sensors told something of 73 % of the run only", "", energyCounter},
		"ended early":  {"gpu", whole.history(), window{after(4), after(9)}, "the sensors told something of 40 % of the run only", "the sensors told something of 40 % of the run only", ""},
		"counter anew": {"gpu", again, window{after(1), after(5)}, "", "", energyPower},
	} {
		u := useOf(c.kind, samplesFrom(c.h), c.w)
		if c.kind == "cpu" && c.utilization != "" {
			c.energy = noCPUEnergy
		}
		if u.UtilizationReason != c.utilization || (u.Utilization == nil) != (c.utilization != "") ||
			u.EnergyReason != c.energy || (u.EnergyJoules == nil) != (c.energy != "") || u.EnergySource != c.source {
			t.Errorf("%s: %+v", name, u)
		}
	}
}

// An hour's samples are told by the minute: the counter's highest is its last.
func TestUseOfALongRun(t *testing.T) {
	h := &api.History{Step: 1}
	for i := range 90 {
		joules := float64(i+1) * 60 * 250
		h.Points = append(h.Points, api.Point{At: moment.Add(time.Duration(i) * time.Minute), Samples: 600,
			Mean: map[string]float64{"utilization": 0.7, "energy_joules": joules - 30*250},
			Max:  map[string]float64{"utilization": 1, "energy_joules": joules}})
	}
	u := useOf("gpu", samplesFrom(h), window{after(600), after(4500)})
	if !near(u.Utilization, 0.7, 1e-9) || !near(u.EnergyJoules, 3900*250, 1) {
		t.Errorf("%v, %v J of %v", *u.Utilization, *u.EnergyJoules, 3900*250)
	}
}

// Wherever the samples fall, energy is between the lowest and the highest power
// times the time, and two halves have as much as the whole.
func TestEnergyProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(60, 200).Draw(t, "samples")
		s := sensed{counter: rapid.Bool().Draw(t, "counter"), step: time.Millisecond,
			utilization: rapid.SliceOfN(rapid.Float64Range(0, 1), n, n).Draw(t, "utilization"),
			power:       rapid.SliceOfN(rapid.Float64Range(50, 700), n, n).Draw(t, "power")}
		samples := samplesFrom(s.history())
		end := float64(n) * benchSample.Seconds()
		from := rapid.Float64Range(0.2, 1).Draw(t, "from")
		to := rapid.Float64Range(from+2.2, end-0.2).Draw(t, "to")
		half := (from + to) / 2
		of := func(a, b float64) deviceUse { return useOf("gpu", samples, window{after(a), after(b)}) }
		u, first, second := of(from, to), of(from, half), of(half, to)
		span := to - from
		if e := *u.EnergyJoules; e < 49*span || e > 710*span || math.Abs(e-*first.EnergyJoules-*second.EnergyJoules) > 0.01*e {
			t.Fatalf("%g J in %g s, of halves %g and %g", e, span, *first.EnergyJoules, *second.EnergyJoules)
		}
		if v := *u.Utilization; v < 0 || v > 1 || math.Abs(2*v-*first.Utilization-*second.Utilization) > 0.01 {
			t.Fatalf("utilization %g, of halves %g and %g", v, *first.Utilization, *second.Utilization)
		}
	})
}

// A script that does not say when it ran is not held against the sensors.
func TestPeersMoment(t *testing.T) {
	s := fakePython(t, goodProbe+`echo '{"wall_seconds": 2, "val_loss": [1, 2], "steps": 18000}'`)
	if err := s.preparePeers(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.measurePeer(t.Context(), 0, 0, "torch-eager"); err != nil {
		t.Fatal(err)
	}
	p := &s.result.Peers[0]
	if p.Failed != "" || len(p.Runs) != 1 || !strings.HasPrefix(p.Runs[0].UtilizationReason,
		"the daemon that reads the sensors did not start: start daemon: ") {
		t.Errorf("without a daemon: %q, %+v", p.Failed, p.Runs)
	}
}
