package batch

import (
	"context"
	"sync"
	"time"
)

// Progress is how far a job is.
type Progress struct {
	Items, Total int64 // done, earlier lives included; Total -1: not known yet
	OK, Failed   int64
	Bytes        int64
	ItemsPerS    float64       // over the last seconds
	BytesPerS    float64       // the same
	Left         time.Duration // until the end at this rate; -1: not known
	Elapsed      time.Duration // over all lives
	LastError    string        // of an item, with its name; empty if none failed
}

// SyncEvery is how often results are brought to the disk.
const SyncEvery = 200 * time.Millisecond

// timeEvery is how often the running time is noted, in turns of SyncEvery.
const timeEvery = 5

// keep brings the journal to the disk and tells the progress, in goroutines of
// its own, until the function it returns is called. What goes wrong cancels the
// job.
func (j *job) keep(cancel context.CancelCauseFunc) (end func()) {
	quit := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() { // apart from the telling, as a disk may take its time
		turn := 0
		every(SyncEvery, quit, func(time.Time) bool {
			err := j.journal.sync()
			if turn++; err != nil {
				err = diskError("write the results", j.o.Dir, err)
			} else if turn%timeEvery == 0 {
				err = j.noteTime()
			}
			if err != nil {
				cancel(err)
			}
			return err == nil
		})
	})
	group.Go(func() {
		every(j.o.Every, quit, func(now time.Time) bool {
			j.tell(now)
			return true
		})
	})
	return func() {
		close(quit)
		group.Wait()
		j.tell(time.Now())
	}
}

// every calls f again and again, until it returns false or quit is closed.
func every(pause time.Duration, quit <-chan struct{}, f func(now time.Time) bool) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-quit:
			return
		case now := <-tick.C:
			if !f(now) {
				return
			}
		}
	}
}

// tell tells the progress.
func (j *job) tell(now time.Time) {
	if j.o.Progress == nil {
		return
	}
	j.mu.Lock()
	p := Progress{
		Items: j.sum.Items, OK: j.sum.OK, Failed: j.sum.Failed, Bytes: j.sum.Bytes, LastError: j.last,
	}
	j.mu.Unlock()
	p.Total = j.load.Count()
	p.Elapsed = time.Duration(j.before*float64(time.Second)) + now.Sub(j.begin)
	p.ItemsPerS, p.BytesPerS = j.meter.add(now, p.Items, p.Bytes)
	p.Left = left(p)
	j.o.Progress(p)
}

// left returns the time until the end at the present rate; -1: not known.
func left(p Progress) time.Duration {
	switch {
	case p.Total < 0:
		return -1
	case p.Items >= p.Total:
		return 0
	case p.ItemsPerS <= 0:
		return -1
	}
	seconds := float64(p.Total-p.Items) / p.ItemsPerS
	if seconds > float64(1<<62)/float64(time.Second) {
		return -1
	}
	return time.Duration(seconds * float64(time.Second))
}

// meterWindow is the time over which rates are averaged.
const meterWindow = 10 * time.Second

// meter measures rates over a window that slides.
type meter struct{ samples []sample }

type sample struct {
	at           time.Time
	items, bytes int64
}

func newMeter(at time.Time, items, bytes int64) *meter {
	return &meter{samples: []sample{{at, items, bytes}}}
}

// add takes a sample and returns the rates a second since the window's begin.
func (m *meter) add(at time.Time, items, bytes int64) (itemsPerS, bytesPerS float64) {
	m.samples = append(m.samples, sample{at, items, bytes})
	old := 0
	for old+2 < len(m.samples) && at.Sub(m.samples[old+1].at) >= meterWindow {
		old++
	}
	m.samples = m.samples[:copy(m.samples, m.samples[old:])]
	first := m.samples[0]
	seconds := at.Sub(first.at).Seconds()
	if seconds <= 0 {
		return 0, 0
	}
	return float64(items-first.items) / seconds, float64(bytes-first.bytes) / seconds
}
