package advise

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"weft/cpuwork"
)

// asking is somebody's own little world of requests: each computes on cores that
// it shares with its server, and is elsewhere for the rest of its time.
type asking struct {
	cores, cpu, server, away float64
	one                      float64 // what a far end takes that answers one at a time
}

// throughputs are those with 1 to n in flight: exact mean value analysis (Reiser
// and Lavenberg 1980), the cores as one queue and a delay (Seidmann et al. 1987).
// It shares no formula with what is tested.
func (a asking) throughputs(n int) []float64 {
	both := a.cpu + a.server
	queued, delay := both/a.cores, both*(a.cores-1)/a.cores+a.away
	atCores, atOne := 0.0, 0.0
	out := make([]float64, n+1)
	for k := 1; k <= n; k++ {
		cores, one := queued*(1+atCores), a.one*(1+atOne)
		out[k] = float64(k) / (cores + one + delay)
		atCores, atOne = out[k]*cores, out[k]*one
	}
	return out
}

// What was seen of some numbers in flight tells of those between, and of twice as
// many.
func TestLevelsTellTheRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := asking{cores: float64(rapid.IntRange(1, 16).Draw(t, "cores")), cpu: seconds(1e-5, 1e-3).Draw(t, "cpu"),
			server: seconds(1e-6, 1e-3).Draw(t, "server"), away: seconds(1e-6, 0.1).Draw(t, "away")}
		if rapid.Bool().Draw(t, "one at a time") {
			a.one = seconds(1e-4, 1e-2).Draw(t, "one")
		}
		truth := a.throughputs(128)
		m := &Machine{Cores: int(a.cores), Slowdown: 1, MemoryRate: 1e12, CopyRate: 1e12}
		w := Workload{Items: 1e6, CPU: a.cpu, IO: 1/truth[1] - a.cpu, Server: a.server, Order: 1e-9}
		for k := 2; k <= 64; k *= 2 {
			w.Levels = append(w.Levels, Level{k, 1 / truth[k]})
		}
		if truth[64] < 1.25*truth[32] && a.one > (a.cpu+a.server)/a.cores {
			w.FarEnd = 1 / truth[64]
		}
		if err := w.Check(); err != nil {
			t.Fatal(err)
		}
		for k := 2; k < len(truth); k++ {
			p := m.Predict(&w, cpuwork.Event, k)
			got := float64(w.Items) / p.Seconds
			most := 1.05
			if k > 64 {
				most *= float64(k) / 64 // that it would rise no more was not to be seen
			}
			if off := got / truth[k]; off < 0.8 || off > most {
				t.Fatalf("%d in flight: %.4g a second are predicted, it is %.4g (%.2f) of %.4g", k, got, truth[k], off, truth[1])
			}
		}
	})
}

// Nothing is predicted to be faster than what the far end, the cores or what was
// seen can give, and more in flight are never slower.
func TestCeilings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, w := drawMachine(t), drawWorkload(t)
		m.Slowdown = 1 // with more, cores that are busy are slower
		kind := rapid.SampledFrom([]cpuwork.Kind{cpuwork.Event, cpuwork.Goroutine}).Draw(t, "pool")
		n := float64(w.Items)
		before := math.Inf(1)
		for k := 1; k <= 300; k++ {
			p := m.Predict(&w, kind, k)
			if p.Seconds > before*(1+1e-9) {
				t.Errorf("%d in flight take %g s, one less %g", k, p.Seconds, before)
			}
			before = p.Seconds
			if p.Seconds < n*w.FarEnd || p.Seconds < n*(w.cpuIn(kind)+w.Server)/float64(m.Cores)*(1-1e-9) {
				t.Errorf("%d in flight take %g s, less than the far end's or the cores' %g or %g", k, p.Seconds, n*w.FarEnd,
					n*(w.cpuIn(kind)+w.Server)/float64(m.Cores))
			}
			least := w.cpuIn(kind) + w.IO // alone
			for _, l := range w.Levels {
				if k <= l.InFlight {
					if least = min(least, l.Seconds); p.Seconds < n*least*(1-1e-9) {
						t.Errorf("%d in flight take %g s, and %d took %g", k, p.Seconds, l.InFlight, n*least)
					}
					break
				}
				least = min(least, l.Seconds)
			}
		}
	})
}

func TestLevelsRefused(t *testing.T) {
	for want, levels := range map[string][]Level{
		"levels: 1 in flight after 1, 1 s each, cannot be":   {{1, 1}},
		"levels: 4 in flight after 4, 1 s each, cannot be":   {{4, 1}, {4, 1}},
		"levels: 4 in flight after 1, 0 s each, cannot be":   {{4, 0}},
		"levels: 4 in flight after 1, NaN s each, cannot be": {{4, math.NaN()}},
	} {
		w := Workload{Items: 1, Levels: levels}
		if err := w.Check(); err == nil || err.Error() != want {
			t.Errorf("%v: %v, want %s", levels, err, want)
		}
	}
}

// A server on this machine has the cores that its client needs.
func TestServerOnThisMachine(t *testing.T) {
	w := Workload{Items: 10_000, CPU: 30e-6, IO: 45e-6, Server: 30e-6, Order: 6e-6, InFlight: 16}
	a := advised(t, machine(), w)
	c := a.Choice()
	if c.Pool != cpuwork.Event || c.Bound != ByCores || math.Abs(c.Seconds/0.339-1) > 0.02 {
		t.Errorf("advised %+v", c)
	}
	const want = "An item takes 30 µs of processor time here and 30 µs of its server's, which has the same 2 cores, so 8 in flight at the " +
		"same time bring 10,000 items down from 810 ms to 343 ms. One goroutine a core would take 1.3 times as long, as it sits idle while its item waits."
	if a.Why != want {
		t.Errorf("%s\nwant\n%s", a.Why, want)
	}
	// Of two in flight one waits for the other at times, though there are two cores.
	world := asking{cores: 2, cpu: 30e-6, server: 30e-6, away: 15e-6}
	if got, want := a.Alternatives[1].Seconds, 10_000/world.throughputs(2)[2]; a.Alternatives[1].Pool != cpuwork.Goroutine || math.Abs(got/want-1) > 0.02 {
		t.Errorf("%+v, want %g s", a.Alternatives[1], want)
	}
	w.Together = 20e-6 // many in flight share what one alone needs
	if less := advised(t, machine(), w).Choice(); less.Pool != cpuwork.Event || math.Abs(less.Seconds/0.290-1) > 0.02 {
		t.Errorf("together %+v", less)
	}
	w.Server, w.Together = 0, 0 // it is elsewhere
	if faster := advised(t, machine(), w).Choice(); faster.Seconds > 0.6*c.Seconds {
		t.Errorf("with cores of its own %.3f s, without %.3f", faster.Seconds, c.Seconds)
	}
}
