package daemon

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// near reports whether two sums are equal but for the order of additions.
func near(a, b float64) bool {
	return math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b))
}

// An energyCount makes the best of what a device tells, and nothing of nonsense.
func TestEnergyIsCounted(t *testing.T) {
	type sample struct {
		second         float64
		counter, power *float64
	}
	for name, c := range map[string]struct {
		samples []sample
		joules  float64
		gaps    int
		at      float64 // second
	}{
		"a counter":              {[]sample{{0, num(5000.), num(90.)}, {1, num(5100.), num(1.)}, {30, num(8000.), nil}}, 3000, 0, 30},
		"power alone":            {[]sample{{0, nil, num(100.)}, {1, nil, num(300.)}, {3, nil, num(300.)}}, 800, 0, 3},
		"a counter that begins":  {[]sample{{0, nil, num(100.)}, {1, num(7e6), num(100.)}, {2, num(7e6 + 50), num(100.)}}, 150, 0, 2},
		"begun again, power":     {[]sample{{0, num(9e9), num(100.)}, {1, num(20.), num(200.)}, {2, num(220.), num(200.)}}, 350, 0, 2},
		"begun again, no power":  {[]sample{{0, num(9e9), nil}, {1, num(20.), nil}, {2, num(220.), nil}}, 200, 1, 2},
		"lost for a minute":      {[]sample{{0, num(100.), nil}, {60, num(6100.), nil}}, 6000, 0, 60},
		"lost, begun again":      {[]sample{{0, num(100.), num(50.)}, {60, num(10.), num(50.)}, {61, num(60.), num(50.)}}, 50, 1, 61},
		"silent between":         {[]sample{{0, nil, num(50.)}, {1, nil, nil}, {2, nil, num(50.)}}, 100, 0, 2},
		"power, silent for long": {[]sample{{0, nil, num(50.)}, {60, nil, num(50.)}, {61, nil, num(50.)}}, 50, 1, 61},
		"another counter":        {[]sample{{0, num(0.), nil}, {1, num(1e12), nil}, {2, num(1e12 + 70), nil}}, 70, 1, 2},
		"the clock is set back":  {[]sample{{100, num(10.), num(5.)}, {50, num(20.), num(5.)}, {51, num(25.), num(5.)}}, 5, 1, 51},
		"not numbers":            {[]sample{{0, num(math.NaN()), num(-4.)}, {1, num(math.Inf(1)), nil}}, 0, 0, math.NaN()},
		"says nothing":           {[]sample{{0, nil, nil}, {1, nil, nil}}, 0, 0, math.NaN()},
	} {
		var e energyCount
		for _, s := range c.samples {
			e.add(t0.Add(time.Duration(s.second*float64(time.Second))), s.counter, s.power)
		}
		if !near(e.sum.joules, c.joules) || e.sum.gaps != c.gaps {
			t.Errorf("%s: %g J, %d gaps; want %g, %d", name, e.sum.joules, e.sum.gaps, c.joules, c.gaps)
		}
		if want := t0.Add(time.Duration(c.at * float64(time.Second))); math.IsNaN(c.at) != e.sum.at.IsZero() ||
			!math.IsNaN(c.at) && !e.sum.at.Equal(want) {
			t.Errorf("%s: known up to %v", name, e.sum.at)
		}
	}
}

// However often a counter is read, the sum is what it grew by.
func TestEnergyDoesNotDependOnSampling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var every, some energyCount
		counter, at := rapid.Float64Range(0, 1e9).Draw(t, "counter"), t0
		every.add(at, num(counter), nil)
		some.add(at, num(counter), nil)
		for range rapid.IntRange(1, 30).Draw(t, "samples") {
			at = at.Add(time.Duration(rapid.IntRange(1, 20_000).Draw(t, "ms")) * time.Millisecond)
			counter += rapid.Float64Range(0, 9).Draw(t, "joules")
			every.add(at, num(counter), num(1e4))
			if rapid.Bool().Draw(t, "seen") {
				some.add(at, num(counter), nil)
			}
		}
		at = at.Add(time.Second)
		every.add(at, num(counter), nil)
		some.add(at, num(counter), nil)
		if math.Abs(every.sum.joules-some.sum.joules) > 1e-5 || every.sum.gaps+some.sum.gaps != 0 {
			t.Fatalf("%+v, %+v", every.sum, some.sum)
		}
	})
}

// The jobs' parts and the idle part are the whole, the jobs' together the busy
// share of it, and each one's as large as its device seconds.
func TestDivisionAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		joules := rapid.Float64Range(0, 1e6).Draw(t, "joules")
		share := rapid.Float64Range(0, 1.5).Draw(t, "share")
		used := rapid.MapOf(rapid.Int64Range(1, 50), rapid.Float64Range(-1, 10)).Draw(t, "used")
		jobs, idle := divide(joules, share, used)
		sum, seconds := 0.0, 0.0
		for id, part := range jobs {
			if part < 0 || used[id] <= 0 {
				t.Fatalf("job %d gets %g J for %g s", id, part, used[id])
			}
			sum += part
			seconds += used[id]
		}
		if !near(sum+idle, joules) || idle < -1e-9 {
			t.Fatalf("%g J of jobs and %g idle are not %g", sum, idle, joules)
		}
		if jobs != nil && !near(sum, joules*min(1, share)) {
			t.Fatalf("jobs get %g J of %g, not a share of %g", sum, joules, share)
		}
		for id, part := range jobs {
			if !near(part*seconds, sum*used[id]) {
				t.Fatalf("job %d gets %g J of %g for %g s of %g", id, part, sum, used[id], seconds)
			}
		}
	})
}

// Whenever samples come and windows close, every joule is somebody's or idle,
// and a device that was always busy has no idle energy but at the edges.
func TestWindowsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lanes := rapid.IntRange(1, 4).Draw(t, "lanes")
		var w window
		reading, now := drawn{at: t0}, t0
		w.close(reading, now, lanes)
		var total, idle, theirs float64
		for range rapid.IntRange(1, 40).Draw(t, "ticks") {
			now = now.Add(time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond)
			w.busy += rapid.Float64Range(0, 5).Draw(t, "busy")
			for range rapid.IntRange(0, 3).Draw(t, "jobs") {
				w.use(rapid.Int64Range(1, 5).Draw(t, "job"), rapid.Float64Range(0, 2).Draw(t, "seconds"))
			}
			if rapid.Bool().Draw(t, "sampled") {
				reading.at = now
				reading.joules += rapid.Float64Range(0, 500).Draw(t, "joules")
			}
			all, rest, jobs, ok := w.close(reading, now, lanes)
			if !ok {
				continue
			}
			total, idle = total+all, idle+rest
			for _, j := range jobs {
				theirs += j
			}
		}
		now = now.Add(time.Second)
		reading.at = now
		all, rest, jobs, _ := w.close(reading, now, lanes)
		total, idle = total+all, idle+rest
		for _, j := range jobs {
			theirs += j
		}
		if !near(total, reading.joules) || !near(theirs+idle, total) {
			t.Fatalf("%g J drawn, %g divided, %g of jobs, %g idle", reading.joules, total, theirs, idle)
		}
	})
}

// Work that is told late is not lost on the energy: what did not fit into its
// window counts in the next.
func TestWindowCarriesBusyTimeOver(t *testing.T) {
	var w window
	at := func(seconds int) (drawn, time.Time) {
		now := t0.Add(time.Duration(seconds) * time.Second)
		return drawn{joules: 100 * float64(seconds), at: now}, now
	}
	step := func(second int, busy float64) (theirs float64) {
		w.busy += busy
		w.use(1, 1)
		reading, now := at(second)
		_, _, jobs, _ := w.close(reading, now, 1)
		return jobs[1]
	}
	step(0, 0)
	if a, b := step(1, 1.25), step(2, 0.75); a != 100 || b != 100 {
		t.Errorf("%g and %g J for two seconds of work told as 1.25 and 0.75", a, b)
	}
	// Nonsense is not carried for ever.
	if step(3, 100); step(4, 0) != 100 || step(5, 0) != 0 {
		t.Error("a device cannot have been busy for 100 seconds in one")
	}
}

// What is not known is nobody's.
func TestWindowSkipsGaps(t *testing.T) {
	var w window
	now := t0
	next := func(d drawn) (float64, bool) {
		w.busy, now = w.busy+1, now.Add(time.Second)
		w.use(1, 1)
		total, _, _, ok := w.close(d, now, 1)
		return total, ok
	}
	if _, ok := next(drawn{}); ok || len(w.used) != 0 || w.busy != 0 {
		t.Errorf("a device that says nothing gathers %+v", w)
	}
	first := drawn{joules: 0, at: now}
	if _, ok := next(first); ok {
		t.Error("the first reading divides something")
	}
	if _, ok := next(first); ok || w.used[1] != 1 {
		t.Errorf("no new reading: %+v", w)
	}
	if total, ok := next(drawn{joules: 30, at: now}); !ok || total != 30 {
		t.Errorf("%g J", total)
	}
	if _, ok := next(drawn{joules: 40, at: now, gaps: 1}); ok || len(w.used) != 0 {
		t.Error("a gap divides something")
	}
	if total, ok := next(drawn{joules: 45, at: now, gaps: 1}); !ok || total != 5 {
		t.Errorf("%g J after the gap", total)
	}
}
