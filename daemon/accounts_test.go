package daemon

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"weft/daemon/api"
	"weft/daemon/store"
	"weft/gpu"
)

// works is a GPU in a bubble that draws 100 W and tells so every second.
type works struct {
	*bubble
	begun time.Time
	spent map[int64]gpu.Spent
}

func inWorks(t *testing.T, f func(*works)) {
	t.Helper()
	bubbled(t, func(t *testing.T) *bubble {
		return &bubble{t: t, dev: newMemDevice("cpu", 1), gpu: newMemDevice("gpu0", 4), loader: newMemLoader()}
	}, func(b *bubble) {
		w := &works{b, time.Now(), map[int64]gpu.Spent{}}
		onOwner(b.o, func() { b.o.drawn = w.drawn })
		b.pass(2 * time.Second) // the first reading is behind
		f(w)
	})
}

func (w *works) drawn(id string) drawn {
	if id != "gpu0" {
		return drawn{}
	}
	seconds := time.Since(w.begun).Truncate(time.Second)
	return drawn{joules: 100 * seconds.Seconds(), at: w.begun.Add(seconds)}
}

// begin submits a job for the GPU, which takes it.
func (w *works) begin(change ...func(*store.NewJob)) int64 {
	w.t.Helper()
	id := w.submit(append(change, func(j *store.NewJob) { j.Device = "gpu" })...)
	w.state(id, api.Running)
	w.gpu.emit(gpu.Started{Job: id})
	return id
}

// work lets the GPU work on jobs for so long, in pieces of a tenth of a second,
// of which busy is the share that it works. Each job has an even part of it.
func (w *works) work(d time.Duration, busy float64, jobs ...int64) {
	const piece = 100 * time.Millisecond
	for range d / piece {
		w.gpu.mu.Lock()
		w.gpu.activity.BusySeconds += busy * piece.Seconds()
		w.gpu.mu.Unlock()
		var news []gpu.Progress
		for _, id := range jobs {
			s := w.spent[id]
			s.DeviceSeconds += busy * piece.Seconds() / float64(len(jobs))
			s.CPUSeconds += 0.01
			w.spent[id] = s
			news = append(news, gpu.Progress{Job: id, Epoch: 1, Epochs: 9, Step: 1, Steps: 900, Spent: s})
		}
		w.gpu.emit(gpu.Progressed{Jobs: news})
		<-time.After(piece) // fake time
	}
	w.settle()
}

func (w *works) finish(id int64) {
	w.gpu.emit(gpu.Finished{Job: id, Spent: w.spent[id], PeakBytes: 4096})
	delete(w.spent, id)
	w.settle()
}

// books reads the ledger.
func (w *works) books() (jobs map[int64]store.JobUse, devices map[string]store.DeviceTotal) {
	w.t.Helper()
	now := time.Now()
	list, totals, err := w.o.store.Usage(w.t.Context(), store.UsageFilter{Since: now.AddDate(-1, 0, 0), Until: now.AddDate(1, 0, 0)})
	if err != nil {
		w.t.Fatal(err)
	}
	jobs, devices = map[int64]store.JobUse{}, map[string]store.DeviceTotal{}
	for _, u := range list {
		jobs[u.Job] = u
	}
	for _, d := range totals {
		devices[d.Device] = d
	}
	return jobs, devices
}

// balance holds the books to what they promise.
func (w *works) balance() (jobs map[int64]store.JobUse, card store.DeviceTotal) {
	w.t.Helper()
	jobs, devices := w.books()
	card = devices["gpu0"]
	var joules, seconds float64
	for id, u := range jobs {
		seconds += u.DeviceSeconds
		if u.EnergyJoules != nil {
			joules += *u.EnergyJoules
		}
		rec, err := w.o.store.Job(w.t.Context(), id)
		if err != nil {
			continue // it was removed
		}
		own := rec.Usage
		if !near(own.DeviceSeconds, u.DeviceSeconds) || !near(own.CPUSeconds, u.CPUSeconds) || !near(own.WallSeconds, u.WallSeconds) ||
			(own.EnergyJoules == nil) != (u.EnergyJoules == nil) || own.EnergyJoules != nil && !near(*own.EnergyJoules, *u.EnergyJoules) {
			w.t.Errorf("job %d has %+v, its line %+v", id, own, u)
		}
	}
	if card.EnergyJoules == nil || card.IdleJoules == nil {
		w.t.Fatalf("the GPU's energy is not known: %+v", card)
	}
	if !near(joules+*card.IdleJoules, *card.EnergyJoules) {
		w.t.Errorf("%g J of jobs and %g idle, the GPU drew %g", joules, *card.IdleJoules, *card.EnergyJoules)
	}
	if !near(card.JobSeconds, card.BusySeconds) || !near(card.JobSeconds, seconds) {
		w.t.Errorf("jobs were charged %g s (%g), the GPU worked for %g", card.JobSeconds, seconds, card.BusySeconds)
	}
	return jobs, card
}

func within(got *float64, want, tolerance float64) bool {
	return got != nil && *got >= want-tolerance && *got <= want+tolerance
}

// A device's energy is divided among the jobs that it worked on, by their parts
// of its time; jobs that end, fail, pause or are lost between two readings have
// theirs.
func TestEnergyIsDividedAmongJobs(t *testing.T) {
	inWorks(t, func(w *works) {
		a, b := w.begin(), w.begin()
		w.work(10*time.Second, 0.5, a)    // a: 500 J
		w.work(10*time.Second, 0.8, a, b) // 400 J each
		w.work(300*time.Millisecond, 1, b)
		w.finish(b) // 30 J more, between two readings
		w.work(5*time.Second, 1, a)
		if _, err := w.move(a, api.Pause); err != nil {
			t.Fatal(err)
		}
		w.pass(2 * time.Minute) // idle
		jobs, card := w.balance()
		if !within(jobs[a].EnergyJoules, 500+400+500, 60) || !within(jobs[b].EnergyJoules, 430, 60) ||
			!within(card.EnergyJoules, 100*time.Since(w.begun).Seconds(), 200) {
			t.Errorf("a %v, b %v, gpu %v", *jobs[a].EnergyJoules, *jobs[b].EnergyJoules, *card.EnergyJoules)
		}
		// Its own fault, and its worker's death, cost what they cost.
		c := w.begin()
		w.work(2700*time.Millisecond, 1, c)
		w.gpu.emit(gpu.Failed{Job: c, Spent: w.spent[c]})
		w.settle()
		d := w.begin()
		w.work(2700*time.Millisecond, 1, d)
		w.gpu.crash("signal: killed")
		w.settle()
		w.state(d, api.Running) // again
		w.pass(2 * time.Minute)
		jobs, _ = w.balance()
		if !within(jobs[c].EnergyJoules, 270, 60) || !within(jobs[d].EnergyJoules, 270, 60) {
			t.Errorf("c %v, d %v", *jobs[c].EnergyJoules, *jobs[d].EnergyJoules)
		}
	})
}

// A job that was removed at once still gets the energy that is measured then.
func TestEnergyOfARemovedJob(t *testing.T) {
	inWorks(t, func(w *works) {
		id := w.begin()
		w.work(300*time.Millisecond, 1, id)
		w.finish(id)
		if err := w.o.remove(w.t.Context(), id, anyone); err != nil {
			t.Fatal(err)
		}
		w.pass(3 * time.Second)
		jobs, _ := w.balance()
		if u := jobs[id]; u.Owner != "alice" || u.EnergyJoules == nil || *u.EnergyJoules <= 0 || u.PeakMemoryBytes != 4096 {
			t.Errorf("%+v", u)
		}
	})
}

// A store that fails for a while loses no second and no joule.
func TestFailingStoreKeepsTheBooks(t *testing.T) {
	inWorks(t, func(w *works) {
		a, b := w.begin(), w.begin()
		w.work(3*time.Second, 1, a, b)
		good := w.o.store
		broken, err := store.Open(context.Background(), filepath.Join(w.o.cfg.StateDir, "other.db"))
		if err != nil {
			t.Fatal(err)
		}
		if err := broken.Close(); err != nil {
			t.Fatal(err)
		}
		onOwner(w.o, func() { w.o.store = broken })
		w.work(5*time.Second, 1, a, b)
		w.finish(a)
		w.work(5*time.Second, 1, b)
		onOwner(w.o, func() { w.o.store = good })
		w.work(2*time.Second, 1, b)
		w.finish(b)
		w.pass(3 * time.Second)
		jobs, card := w.balance()
		if !near(card.BusySeconds, 15) || !near(jobs[a].DeviceSeconds, 4) || !near(jobs[b].DeviceSeconds, 11) ||
			!near(jobs[b].CPUSeconds, 1.5) || !within(jobs[b].EnergyJoules, 1100, 60) {
			t.Errorf("a %+v, b %+v, gpu %+v", jobs[a], jobs[b], card)
		}
	})
}

// So does one that fails at the moment when a job leaves, with a report of it
// under way.
func TestFailingStoreKeepsTheLastReport(t *testing.T) {
	inWorks(t, func(w *works) {
		id := w.begin()
		w.work(3*time.Second, 1, id)
		good := w.o.store
		broken, err := store.Open(context.Background(), filepath.Join(w.o.cfg.StateDir, "other.db"))
		if err != nil {
			t.Fatal(err)
		}
		if err := broken.Close(); err != nil {
			t.Fatal(err)
		}
		onOwner(w.o, func() {
			s := w.o.seat("gpu0")
			s.residents[id].spent(gpu.Spent{DeviceSeconds: 7, CPUSeconds: 5})
			s.residents[id].unsaved = true
			w.o.store = broken
			w.o.reportAll()
			w.o.onEvent(s, gpu.Finished{Job: id, Spent: gpu.Spent{DeviceSeconds: 8, CPUSeconds: 6}})
		})
		w.settle()
		onOwner(w.o, func() { w.o.store = good })
		w.gpu.mu.Lock()
		delete(w.gpu.resident, id) // it told nothing itself
		w.gpu.mu.Unlock()
		w.pass(3 * time.Second)
		jobs, _ := w.books()
		if u := jobs[id]; !near(u.DeviceSeconds, 8) || !near(u.CPUSeconds, 6) {
			t.Errorf("%+v", u)
		}
		w.state(id, api.Succeeded)
	})
}

// An idle device is not written about every second.
func TestIdleDeviceIsQuiet(t *testing.T) {
	inWorks(t, func(w *works) {
		_, before := w.books()
		w.pass(50 * time.Second)
		_, middle := w.books()
		w.pass(70 * time.Second)
		_, after := w.books()
		joules := func(d map[string]store.DeviceTotal) float64 {
			if e := d["gpu0"].EnergyJoules; e != nil {
				return *e
			}
			return 0
		}
		if joules(middle) != joules(before) || joules(after) < joules(before)+5000 {
			t.Errorf("%g J, %g after 50 s, %g after two minutes", joules(before), joules(middle), joules(after))
		}
		if d := after["cpu"]; d.EnergyJoules != nil || d.BusySeconds != 0 {
			t.Errorf("the CPU said nothing: %+v", d)
		}
		// Who asks gets it at once.
		if err := w.o.book(w.t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, now := w.books(); !within(now["gpu0"].EnergyJoules, 100*time.Since(w.begun).Seconds(), 250) {
			t.Errorf("%+v", now["gpu0"])
		}
	})
}

// What a drain ends is in the books when the daemon has ended.
func TestDrainClosesTheBooks(t *testing.T) {
	cfg, err := testConfig(t).complete()
	if err != nil {
		t.Fatal(err)
	}
	if err := makeStateDir(cfg.StateDir); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, dev: newMemDevice("cpu", 1), loader: newMemLoader()}
		b.open(cfg)
		id := b.submit()
		b.dev.emit(gpu.Started{Job: id})
		b.dev.mu.Lock()
		b.dev.activity.BusySeconds = 0.5 // as the memory device says of a job that leaves
		b.dev.mu.Unlock()
		b.settle()
		b.o.drain(t.Context())
		jobs, devices, err := b.o.store.Usage(t.Context(), store.UsageFilter{Since: time.Now().Add(-24 * time.Hour), Until: time.Now().Add(time.Hour)})
		if err != nil || len(jobs) != 1 || jobs[0].DeviceSeconds != 0.5 || len(devices) != 1 || devices[0].BusySeconds != 0.5 {
			t.Errorf("%+v, %+v, %v", jobs, devices, err)
		}
		b.closeStore()
	})
}
