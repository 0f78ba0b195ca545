package top

import (
	"math"
	"time"

	"weft/daemon/api"
)

// reading is how far a running job was at a moment.
type reading struct {
	at     time.Time
	device float64 // seconds of the device
	step   int64
}

// The window over which rates are measured: long enough for the second between
// two reports of a job that takes turns with others.
const (
	meterSpan     = 10 * time.Second
	meterReadings = 16
)

// A meter measures a running job's rates over the last seconds. Rates are NaN
// until there are two readings.
type meter struct {
	readings []reading // oldest first
	device   float64   // device seconds a second
	steps    float64   // steps a second
	share    float64   // of the device's work, 0 to 1; set by jobs.measure
}

func (m *meter) add(r reading) {
	if n := len(m.readings); n > 0 && (r.step < m.readings[n-1].step || r.device < m.readings[n-1].device) {
		m.readings = m.readings[:0] // it went back to a checkpoint
	}
	switch n := len(m.readings); {
	case n > 1 && r.at.Sub(m.readings[n-1].at) < meterSpan/meterReadings:
		m.readings[n-1] = r // a short refresh keeps the span all the same
	case n == meterReadings:
		copy(m.readings, m.readings[1:])
		m.readings[n-1] = r
	default:
		m.readings = append(m.readings, r)
	}
	for len(m.readings) > 2 && r.at.Sub(m.readings[1].at) >= meterSpan {
		m.readings = m.readings[:copy(m.readings, m.readings[1:])]
	}
	first := m.readings[0]
	m.device, m.steps, m.share = unknown, unknown, unknown
	if dt := r.at.Sub(first.at).Seconds(); dt > 0 {
		m.device, m.steps = (r.device-first.device)/dt, float64(r.step-first.step)/dt
	}
}

// known reports whether rates were measured.
func (m *meter) known() bool { return len(m.readings) > 1 && !math.IsNaN(m.steps) }

// left is the seconds until a running job's last step, at the rate measured;
// where none is yet, at that since the job was started. NaN: not known.
func left(j *job, now time.Time) float64 {
	p := j.Progress
	if j.State != api.Running || p.Steps <= 0 {
		return unknown
	}
	more := float64(max(p.Steps-p.Step, 0))
	if j.meter.known() {
		if j.meter.steps <= 0 {
			return unknown
		}
		return more / j.meter.steps
	}
	if j.StartedAt == nil || p.Step <= 0 {
		return unknown
	}
	return more * now.Sub(*j.StartedAt).Seconds() / float64(p.Step)
}

// seconds is as many, at most some years: a duration cannot hold more.
func seconds(s float64) time.Duration {
	return time.Duration(min(s, 1e9) * float64(time.Second))
}

// elapsed is the time since a job first started, to its end or now.
func elapsed(j *job, now time.Time) (time.Duration, bool) {
	if j.StartedAt == nil {
		return 0, false
	}
	if j.FinishedAt != nil {
		now = *j.FinishedAt
	}
	return now.Sub(*j.StartedAt), true
}
