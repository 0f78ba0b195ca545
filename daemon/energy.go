package daemon

import (
	"math"
	"slices"
	"time"
)

// Energy is measured by the device and divided among jobs afterwards. What is
// here is arithmetic alone: the sampler feeds an energyCount, the owner takes
// its readings and divides what came between two of them by a window.

const (
	// mostWatts is more than any device draws: a counter that grows faster was
	// not the same counter before.
	mostWatts = 10_000
	// longestGap is how long a power reading may stand for the time after it.
	longestGap = 10 * time.Second
)

// drawn is what a device drew up to a moment.
type drawn struct {
	joules float64   // since sampling began
	at     time.Time // zero: the device does not say
	gaps   int       // how many times something is missing from joules
}

// An energyCount adds up what a device draws: the growth of its own counter,
// or where it has none, or has begun again from 0, power times time.
type energyCount struct {
	sum            drawn
	counter, power *float64 // as last told
}

// add takes in a sample, whose readings are nil where there is none.
func (e *energyCount) add(at time.Time, counter, power *float64) {
	counter, power = sane(counter), sane(power)
	if counter == nil && power == nil {
		return
	}
	if !e.sum.at.IsZero() {
		if joules, known := e.since(at, counter, power); known {
			e.sum.joules += joules
		} else {
			e.sum.gaps++
		}
	}
	e.sum.at, e.counter, e.power = at, counter, power
}

// since is what was drawn between the last sample and one at a moment.
func (e *energyCount) since(at time.Time, counter, power *float64) (joules float64, known bool) {
	span := at.Sub(e.sum.at)
	if span <= 0 {
		return 0, false // the clock was set
	}
	if counter != nil && e.counter != nil {
		if grown := *counter - *e.counter; grown >= 0 && grown <= mostWatts*span.Seconds() {
			return grown, true
		}
	}
	if power == nil || span > longestGap {
		return 0, false
	}
	before := power
	if e.power != nil {
		before = e.power
	}
	return (*before + *power) / 2 * span.Seconds(), true
}

// sane is a reading that can be one; else nil.
func sane(v *float64) *float64 {
	if v == nil || *v < 0 || math.IsNaN(*v) || math.IsInf(*v, 0) {
		return nil
	}
	return v
}

// A window is the time between two readings of a device's energy.
type window struct {
	from  drawn
	since time.Time         // when it began, by the owner's clock
	busy  float64           // seconds that the device worked
	used  map[int64]float64 // device seconds of its jobs, also of those that have left
}

func newWindow(from drawn, now time.Time, busy float64) window {
	return window{from: from, since: now, busy: busy, used: map[int64]float64{}}
}

// close divides what the device drew since the window began, and begins the
// next one. Of the energy, the part of the time that the device was busy is the
// jobs', by their device seconds; the rest is idle. lanes is how many seconds
// of work the device can do in one second. Without a new reading the window
// stays open; one with something missing divides nothing.
func (w *window) close(to drawn, now time.Time, lanes int) (total, idle float64, jobs map[int64]float64, ok bool) {
	if to.at.Equal(w.from.at) && to.gaps == w.from.gaps {
		if to.at.IsZero() {
			*w = newWindow(to, now, 0) // a device that does not say gathers nothing
		}
		return 0, 0, nil, false
	}
	if w.from.at.IsZero() || to.gaps != w.from.gaps {
		*w = newWindow(to, now, 0)
		return 0, 0, nil, false
	}
	room := float64(lanes) * max(0, now.Sub(w.since).Seconds())
	busy := min(w.busy, room)
	total = max(0, to.joules-w.from.joules)
	share := 0.0
	if room > 0 {
		share = busy / room
	}
	jobs, idle = divide(total, share, w.used)
	// News of work comes in pieces, some of it a moment after its window.
	*w = newWindow(to, now, min(w.busy-busy, room))
	return total, idle, jobs, true
}

// divide gives jobs the share of the energy that the device's busy time was, by
// what each used, and what is left to nobody.
func divide(joules, share float64, used map[int64]float64) (jobs map[int64]float64, idle float64) {
	ids, sum := make([]int64, 0, len(used)), 0.0
	for id, seconds := range used {
		if seconds > 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids) // sums do not depend on the map's order
	for _, id := range ids {
		sum += used[id]
	}
	if sum <= 0 || share <= 0 {
		return nil, joules
	}
	jobs = make(map[int64]float64, len(ids))
	theirs := joules * min(1, share)
	for _, id := range ids {
		jobs[id] = theirs * (used[id] / sum)
	}
	return jobs, joules - theirs
}
