package advise

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"weft/cpuwork"
)

// machine is what was measured on two cores of a Xeon in a quiet minute.
func machine() *Machine {
	return &Machine{Cores: 2, Slowdown: 1.01, MemoryRate: 20e9, CopyRate: 16e9, Sequential: 0.8e-6, Goroutine: 2e-6, Event: 2.6e-6,
		Process: 2.5e-6, RoundTrip: 11e-6, Spawn: 6e-3, Job: 0.5e-3, Memory: 4 << 30}
}

func advised(t *testing.T, m *Machine, w Workload) *Advice {
	t.Helper()
	a, err := Pools(m, &w)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// The classic questions of docs/parallelism.md, each with its right answer; the
// fourth is in train_test.go.
func TestClassics(t *testing.T) {
	for _, c := range []struct {
		name       string
		w          Workload
		pool       cpuwork.Kind
		workers    int
		bound      Bound
		least, top float64 // seconds
	}{
		{"10,000 JPEGs by a C library", Workload{Items: 10_000, CPU: 5e-3, Isolation: Crash}, cpuwork.Process, 2, ByCores, 25, 26},
		{"10,000 JPEGs by Go", Workload{Items: 10_000, CPU: 8.6e-3}, cpuwork.Goroutine, 2, ByCores, 43, 45},
		{"10,000 requests, rate-limited", Workload{Items: 10_000, CPU: 0.1e-3, IO: 80e-3, Rate: 2000}, cpuwork.Event, 512, ByRate, 5, 5.1},
		{"10,000 requests to a slow API", Workload{Items: 10_000, CPU: 0.2e-3, IO: 80e-3, Rate: 50}, cpuwork.Event, 8, ByRate, 200, 201},
		{"10,000 requests without a limit", Workload{Items: 10_000, CPU: 0.1e-3, IO: 80e-3, InFlight: 64}, cpuwork.Event, 64, ByWorkers, 12, 13},
		{"SHA-256 of 10,000 x 1 MB", Workload{Items: 10_000, Bytes: 1e6, CPU: 0.55e-3}, cpuwork.Goroutine, 2, ByCores, 2.7, 2.9},
		{"more than memory moves", Workload{Items: 10_000, Bytes: 60 << 20, CPU: 1e-3}, cpuwork.Sequential, 1, ByMemory, 31, 32},
		{"one item", Workload{Items: 1, CPU: 1}, cpuwork.Sequential, 1, ByWorkers, 1, 1.1},
		{"hostile pictures", Workload{Items: 10_000, CPU: 5e-3, Isolation: Hostile}, cpuwork.Process, 2, ByCores, 25, 26},
		{"100,000 primality tests", Workload{Items: 100_000, CPU: 0.6e-6}, cpuwork.Sequential, 1, ByWorkers, 0.1, 0.2},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := advised(t, machine(), c.w)
			p := a.Choice()
			if p.Pool != c.pool || p.Workers != c.workers || p.Bound != c.bound || p.Seconds < c.least || p.Seconds > c.top {
				t.Errorf("advised %s with %d workers by %s, %.3f s; want %s with %d by %s, %.3f to %.3f s", p.Pool, p.Workers, p.Bound,
					p.Seconds, c.pool, c.workers, c.bound, c.least, c.top)
			}
			if n := strings.Count(a.Why, ". ") + 1; n != 2 || !strings.HasSuffix(a.Why, ".") {
				t.Errorf("the reason has %d sentences: %s", n, a.Why)
			}
		})
	}
}

func TestWords(t *testing.T) {
	for _, c := range []struct {
		w    Workload
		want string
	}{
		{Workload{Items: 10_000, Bytes: 1e6, CPU: 0.55e-3}, "10,000 items of 550 µs of processor time each are 5.5 s of work, which " +
			"2 goroutines divide among 2 cores: 2.0 times as fast as one after the other. Worker processes would take 1.2 times as long " +
			"(starting one costs 6 ms and an item 75 µs) and pay only for items that may crash, leak or hang."},
		{Workload{Items: 10_000, CPU: 0.2e-3, IO: 80e-3, Rate: 50}, "10,000 items at 50 a second take 3.3 min however they are run, and " +
			"8 in flight are enough to keep up, as an item takes 80 ms. One goroutine a core would take 2.0 times as long, as it sits idle " +
			"while its item waits."},
		{Workload{Items: 10_000, CPU: 5e-3, Isolation: Crash}, "10,000 items of 5 ms of processor time each are 50 s of work, which 2 " +
			"processes divide among 2 cores: 2.0 times as fast as one after the other. An item that crashes, leaks or hangs costs its worker " +
			"process, which is replaced, and in any other pool it would cost all of them."},
		{Workload{Items: 10_000, CPU: 30e-6, IO: 50e-6, FarEnd: 60e-6, InFlight: 16}, "The other side takes 60 µs for an item whatever " +
			"is asked of it at once, so 10,000 items take 600 ms, and 8 in flight keep it busy. One goroutine a core would take as long, " +
			"but would sit idle when its item is slow to be answered."},
	} {
		if got := advised(t, machine(), c.w).Why; got != c.want {
			t.Errorf("%+v:\n%s\nwant\n%s", c.w, got, c.want)
		}
	}
}

func TestNotes(t *testing.T) {
	m := machine()
	for _, c := range []struct {
		w    Workload
		want string
	}{
		{Workload{Items: 10, CPU: 1, First: true}, "it ends at the first success: these are the longest times it can take"},
		{Workload{Items: 10, CPU: 1, Bytes: 100 << 20}, "an item of 100 MiB is more than the 64 MiB that a pool has in memory at once: " +
			"hand over paths and read in the worker"},
		{Workload{Items: 10, CPU: 1, MemoryPerItem: 8 << 30}, "one item's 8.0 GiB is more than the 4.0 GiB that are free"},
		{Workload{Items: 10, CPU: 1, MemoryPerItem: 3 << 30}, "memory allows no more workers: 4.0 GiB of 3.0 GiB for each"},
		{Workload{Items: 10}, "nothing is known of the items' own time: only what pools add is predicted"},
	} {
		if a := advised(t, m, c.w); len(a.Notes) != 1 || a.Notes[0] != c.want {
			t.Errorf("%+v: %q, want %q", c.w, a.Notes, c.want)
		}
	}
	if a := advised(t, m, Workload{Items: 10, CPU: 1, MemoryPerItem: 3 << 30}); a.Choice().Workers != 1 {
		t.Errorf("%d workers of 3 GiB in 4 GiB", a.Choice().Workers)
	}
}

// The third item waits until one of two workers has ended its first.
func TestListScheduling(t *testing.T) {
	p := machine().Predict(&Workload{Items: 3, CPU: 1}, cpuwork.Goroutine, 2)
	if p.Bound != ByWorkers || math.Abs(p.Seconds-2*1.01) > 0.01 {
		t.Errorf("three items of a second on two workers: %g s by %s", p.Seconds, p.Bound)
	}
}

// What is grouped counts where workers get many items, and there alone.
func TestGroup(t *testing.T) {
	a := advised(t, machine(), Workload{Items: 2000, CPU: 0.9e-3, Group: 0.45e-3, Batch: 64})
	want := map[cpuwork.Kind]float64{cpuwork.Sequential: 1.8, cpuwork.Goroutine: 0.45, cpuwork.Process: 0.45, cpuwork.Event: 0.9}
	for _, p := range a.Alternatives {
		if math.Abs(p.Seconds/want[p.Pool]-1) > 0.05 {
			t.Errorf("%s: %.3f s, want about %.3f", p.Pool, p.Seconds, want[p.Pool])
		}
	}
	if a.Choice().Chunk != 64 {
		t.Errorf("chunks of %d, want a batch", a.Choice().Chunk)
	}
}

func TestRefused(t *testing.T) {
	for want, w := range map[string]Workload{
		"items 0 is not between 1 and 1e+12":                           {},
		`isolation "jail" is none of [none crash hostile]`:             {Items: 1, Isolation: "jail"},
		"cpu_seconds NaN is not between 0 and 1e+07":                   {Items: 1, CPU: math.NaN()},
		"io_seconds -1 is not between 0 and 1e+07":                     {Items: 1, IO: -1},
		"rate_limit +Inf is not between 0 and 1e+09":                   {Items: 1, Rate: math.Inf(1)},
		"bytes_per_item -1 is not between 0 and 1.125899906842624e+15": {Items: 1, Bytes: -1},
	} {
		if _, err := Pools(machine(), &w); err == nil || err.Error() != "advise for this workload: "+want {
			t.Errorf("%+v: %v, want %s", w, err, want)
		}
	}
	if _, err := Pools(&Machine{}, &Workload{Items: 1}); err == nil {
		t.Error("a machine without cores is advised for")
	}
}

func seconds(least, top float64) *rapid.Generator[float64] {
	return rapid.Custom(func(t *rapid.T) float64 {
		return math.Exp(rapid.Float64Range(math.Log(least), math.Log(top)).Draw(t, "log"))
	})
}

func drawMachine(t *rapid.T) *Machine {
	m := &Machine{Cores: rapid.IntRange(1, 128).Draw(t, "cores"), MemoryRate: 20e9, CopyRate: 10e9}
	m.Slowdown = rapid.Float64Range(1, 1.5).Draw(t, "slowdown")
	for _, f := range []*float64{&m.Sequential, &m.Goroutine, &m.Event, &m.Process, &m.RoundTrip} {
		*f = seconds(1e-8, 1e-4).Draw(t, "cost")
	}
	m.Spawn, m.Job = seconds(1e-4, 1).Draw(t, "spawn"), seconds(1e-4, 1).Draw(t, "job")
	m.Memory = rapid.Int64Range(0, 1<<40).Draw(t, "memory")
	return m
}

func drawWorkload(t *rapid.T) Workload {
	maybe := func(name string, least, top float64) float64 {
		if rapid.Bool().Draw(t, name+" there") {
			return seconds(least, top).Draw(t, name)
		}
		return 0
	}
	var levels []Level
	for k := 2; k <= 128 && rapid.Bool().Draw(t, "level there"); k *= rapid.IntRange(2, 5).Draw(t, "times as many") {
		levels = append(levels, Level{k, seconds(1e-6, 10).Draw(t, "level")})
	}
	return Workload{
		Levels: levels, Together: maybe("together", 1e-7, 10), Server: maybe("server", 1e-6, 1),
		Items: rapid.Int64Range(1, 1e7).Draw(t, "items"), Bytes: rapid.Int64Range(0, 1<<30).Draw(t, "bytes"),
		CPU: maybe("cpu", 1e-7, 10), IO: maybe("io", 1e-6, 100), Order: maybe("order", 1e-7, 1e-3), FarEnd: maybe("far end", 1e-6, 1),
		Rate: maybe("rate", 0.01, 1e6), Group: maybe("group", 1e-7, 10), Batch: rapid.IntRange(0, 64).Draw(t, "batch"),
		InFlight:  rapid.IntRange(0, 100).Draw(t, "in flight"),
		Isolation: rapid.SampledFrom(Isolations).Draw(t, "isolation"), MemoryPerItem: rapid.Int64Range(0, 1<<36).Draw(t, "memory"),
	}
}

func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, w := drawMachine(t), drawWorkload(t)
		a, err := Pools(m, &w)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Pools(m, &w)
		if err != nil || !reflect.DeepEqual(a, again) {
			t.Fatalf("the same question has two answers (%v)", err)
		}
		least := math.Inf(1)
		for i := range a.Alternatives {
			p := &a.Alternatives[i]
			switch {
			case int64(p.Workers) > w.Items || p.Workers < 1:
				t.Errorf("%s: %d workers for %d items", p.Pool, p.Workers, w.Items)
			case int64(p.Chunk) > max(w.Items, int64(w.Batch)) || p.Chunk < 1:
				t.Errorf("%s: chunks of %d for %d items", p.Pool, p.Chunk, w.Items)
			case w.Rate > 0 && p.Seconds < float64(w.Items)/w.Rate:
				t.Errorf("%s: %g s is faster than the rate", p.Pool, p.Seconds)
			case p.Pool == cpuwork.Goroutine && p.Workers > m.Cores:
				t.Errorf("%d goroutines on %d cores", p.Workers, m.Cores)
			case w.InFlight > 0 && p.Workers > max(1, w.InFlight):
				t.Errorf("%d in flight where %d may be", p.Workers, w.InFlight)
			case !(p.Seconds > 0):
				t.Errorf("%s takes %g s", p.Pool, p.Seconds)
			case m.Memory > 0 && p.Workers > 1 && int64(p.Workers)*w.MemoryPerItem > m.Memory:
				t.Errorf("%s: %d workers of %d bytes in %d", p.Pool, p.Workers, w.MemoryPerItem, m.Memory)
			}
			if p.Refused == "" && (p.Pool != cpuwork.Event || w.waits()) {
				least = min(least, w.cost(p))
			}
		}
		c := a.Choice()
		if w.Isolation != None && c.Pool != cpuwork.Process {
			t.Errorf("isolation %s, and %s is advised", w.Isolation, c.Pool)
		}
		if c.Pool == cpuwork.Event && !w.waits() {
			t.Error("an event pool is advised for what does not wait")
		}
		if c.Refused != "" || w.cost(c) > alike*least {
			t.Errorf("%s takes %g s where %g can be had (%s)", c.Pool, c.Seconds, least, c.Refused)
		}
	})
}

// More items never take less, in any pool.
func TestMoreItemsTakeLonger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, w := drawMachine(t), drawWorkload(t)
		kind := rapid.SampledFrom(cpuwork.Kinds).Draw(t, "pool")
		workers := rapid.IntRange(1, 64).Draw(t, "workers")
		before := m.Predict(&w, kind, workers).Seconds
		w.Items += rapid.Int64Range(1, 1e6).Draw(t, "more")
		if after := m.Predict(&w, kind, workers).Seconds; after < before*(1-1e-12) {
			t.Errorf("%d workers of %s: %g s, and %g with more items", workers, kind, before, after)
		}
	})
}

// Work that only computes is never slower with more workers, while there are
// cores for them.
func TestMoreWorkersAreNoSlower(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMachine(t)
		w := Workload{Items: rapid.Int64Range(1, 1e6).Draw(t, "items"), CPU: seconds(1e-3, 10).Draw(t, "cpu"), Isolation: None}
		workers := rapid.IntRange(1, min(m.Cores, int(w.Items))).Draw(t, "workers")
		one, more := m.Predict(&w, cpuwork.Goroutine, 1), m.Predict(&w, cpuwork.Goroutine, workers)
		if more.Seconds > one.Seconds*(1+1e-9) {
			t.Errorf("%d workers take %g s, one %g s", workers, more.Seconds, one.Seconds)
		}
	})
}
