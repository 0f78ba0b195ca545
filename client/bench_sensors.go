package client

import (
	"context"
	"fmt"
	"math"
	"time"

	"weft/daemon/api"
)

const (
	// benchSample is how often a benchmark's daemons read the device's sensors.
	benchSample = 100 * time.Millisecond
	// leastSamples are the sampling intervals that a run must have for its
	// figures to mean anything.
	leastSamples = 3
	// driverWindow is how long a GPU's driver averages utilization at most, by
	// NVML's documentation. What a shorter run had is mixed with what was before.
	driverWindow = time.Second
	// leastCover is the part of a run that samples must cover.
	leastCover = 0.8
	// mostGap is how long a sample can speak for: beyond it nobody looked.
	mostGap = 10 * benchSample
	// historySteps keeps a question below the daemon's limit of 10,000 points.
	historySteps = 9000
	// sensorPatience is how long the sample after a run's end is waited for.
	sensorPatience = 2 * time.Second
)

// Where a run's energy comes from.
const (
	energyCounter = "counter" // the device's own, read around the run
	energyPower   = "power"   // mean power times time
)

// deviceUse is what the device's sensors said of a run, from its clock's start
// to its end.
type deviceUse struct {
	Utilization       *float64 `json:"utilization"`                  // mean, 0 to 1; on the CPU of all cores, whoever uses them
	UtilizationReason string   `json:"utilization_reason,omitempty"` // why it is null
	EnergyJoules      *float64 `json:"energy_joules"`                // of the whole device
	EnergySource      string   `json:"energy_source,omitempty"`
	EnergyReason      string   `json:"energy_reason,omitempty"` // why it is null
}

// unknownUse is the use of a device in a run of which nothing is known.
func unknownUse(kind, reason string) deviceUse {
	u := deviceUse{UtilizationReason: reason, EnergyReason: reason}
	if kind == "cpu" {
		u.EnergyReason = noCPUEnergy
	}
	return u
}

// armUse is what the runs of one arm or peer came to, those of which it is
// known; null: it is of none.
type armUse struct {
	Utilization  *spread `json:"utilization"`
	EnergyJoules *spread `json:"energy_joules"`
}

func sumUses(runs int, of func(i int) *deviceUse) armUse {
	var utilization, energy []float64
	for i := range runs {
		u := of(i)
		if u.Utilization != nil {
			utilization = append(utilization, *u.Utilization)
		}
		if u.EnergyJoules != nil {
			energy = append(energy, *u.EnergyJoules)
		}
	}
	var a armUse
	if len(utilization) > 0 {
		s := spreadOf(utilization)
		a.Utilization = &s
	}
	if len(energy) > 0 {
		s := spreadOf(energy)
		a.EnergyJoules = &s
	}
	return a
}

// window is a run's time, by the machine's clock.
type window struct{ from, to time.Time }

func (w window) length() time.Duration { return w.to.Sub(w.from) }

// overlap is how many seconds of a time are in the window.
func (w window) overlap(from, to time.Time) float64 {
	if from.Before(w.from) {
		from = w.from
	}
	if to.After(w.to) {
		to = w.to
	}
	return max(0, to.Sub(from).Seconds())
}

// sensorsOf asks a daemon what the device's sensors said in a window. It waits
// until there is a sample after the window's end, which is within it in part.
func (s *sharing) sensorsOf(ctx context.Context, c *api.Client, w window) deviceUse {
	kind := s.result.Device.Kind
	if reason := tooShort(w); reason != "" {
		return unknownUse(kind, reason)
	}
	around := window{w.from.Add(-mostGap), w.to.Add(mostGap)}
	step := max(around.length()/historySteps, time.Millisecond)
	for waited := time.Duration(0); ; waited += benchSample {
		h, err := c.DeviceHistory(ctx, s.result.Device.ID, api.HistoryFilter{Since: around.from, Until: around.to, Step: step})
		if err != nil {
			return unknownUse(kind, fmt.Sprintf("the device's history was not to be had: %v", err))
		}
		samples := samplesFrom(h)
		if n := len(samples); n > 0 && !samples[n-1].at.Before(w.to) || waited >= sensorPatience {
			return useOf(kind, samples, w)
		}
		select {
		case <-ctx.Done():
			return unknownUse(kind, ctx.Err().Error())
		case <-time.After(benchSample):
		}
	}
}

// noCPUEnergy is why the CPU has none, however long the run.
const noCPUEnergy = "weft reads no energy of a CPU"

func tooShort(w window) string {
	if least := leastSamples * benchSample; w.length() < least {
		return fmt.Sprintf("the run was shorter than %s, %d samples of the sensors", least, leastSamples)
	}
	return ""
}

// sensorSample is a sample of a history, or several that the daemon has summed
// up. NaN is what the device does not tell.
type sensorSample struct {
	from, at           time.Time // what it speaks for ends when it was read
	utilization, power float64
	energy             float64 // of a counter
}

// samplesFrom reads a history. A point is told at its step's beginning, and has
// one sample unless the step is longer than the interval between them.
func samplesFrom(h *api.History) []sensorSample {
	out := make([]sensorSample, 0, len(h.Points))
	half := time.Duration(h.Step * float64(time.Second) / 2)
	for _, p := range h.Points {
		s := sensorSample{at: p.At.Add(half + time.Duration(p.Samples-1)*benchSample),
			utilization: reading(p.Mean, "utilization"), power: reading(p.Mean, "power_watts"),
			energy: reading(p.Max, "energy_joules")} // a counter's highest is its last
		s.from = s.at.Add(-time.Duration(p.Samples) * benchSample)
		if n := len(out); n > 0 {
			s.from = out[n-1].at
		}
		if span := max(mostGap, time.Duration(p.Samples)*benchSample); s.at.Sub(s.from) > span {
			s.from = s.at.Add(-span)
		}
		out = append(out, s)
	}
	return out
}

func reading(m map[string]float64, name string) float64 {
	if v, ok := m[name]; ok {
		return v
	}
	return math.NaN()
}

// useOf sums samples up over a window.
func useOf(kind string, samples []sensorSample, w window) deviceUse {
	var u deviceUse
	if reason := tooShort(w); reason != "" {
		return unknownUse(kind, reason)
	}
	if kind == "gpu" && w.length() < driverWindow {
		u.UtilizationReason = fmt.Sprintf("the run was shorter than %s, over which the driver averages", driverWindow)
	} else {
		u.Utilization, u.UtilizationReason = meanOver(samples, w, func(s *sensorSample) float64 { return s.utilization })
	}
	if kind == "cpu" {
		u.EnergyReason = noCPUEnergy
		return u
	}
	if joules, ok := counterOver(samples, w); ok {
		u.EnergyJoules, u.EnergySource = &joules, energyCounter
		return u
	}
	power, reason := meanOver(samples, w, func(s *sensorSample) float64 { return s.power })
	if power == nil {
		u.EnergyReason = reason
		return u
	}
	joules := *power * w.length().Seconds()
	u.EnergyJoules, u.EnergySource = &joules, energyPower
	return u
}

// meanOver is the mean of a reading over a window, each sample weighted by the
// part of the window that it speaks for.
func meanOver(samples []sensorSample, w window, of func(*sensorSample) float64) (mean *float64, reason string) {
	sum, covered, told := 0.0, 0.0, false
	for i := range samples {
		s := &samples[i]
		v := of(s)
		if math.IsNaN(v) {
			continue
		}
		told = true
		part := w.overlap(s.from, s.at)
		sum += v * part
		covered += part
	}
	switch share := covered / w.length().Seconds(); {
	case !told:
		return nil, "the device does not tell"
	case share < leastCover:
		return nil, fmt.Sprintf("the sensors told something of %.0f %% of the run only", 100*share)
	}
	m := sum / covered
	return &m, ""
}

// counterOver is what a counter rose by in a window: between two samples it is
// taken to rise evenly, and where samples leave out an end of the window, as in
// the rest of it. A counter that is missing, that began again, or that samples
// show too little of, says nothing.
func counterOver(samples []sensorSample, w window) (joules float64, ok bool) {
	covered := 0.0
	var last *sensorSample
	for i := range samples {
		s := &samples[i]
		if math.IsNaN(s.energy) {
			continue
		}
		if last != nil {
			rise, span := s.energy-last.energy, s.at.Sub(last.at).Seconds()
			part := w.overlap(last.at, s.at)
			switch {
			case part > 0 && rise < 0:
				return 0, false
			case part > 0:
				joules += rise * part / span
				covered += part
			}
		}
		last = s
	}
	whole := w.length().Seconds()
	if covered < leastCover*whole {
		return 0, false
	}
	return joules * whole / covered, true
}
