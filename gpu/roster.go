package gpu

import (
	"fmt"
	"math"
	"os"
	"sync"
	"time"

	"weft/cpuwork/proc"
	"weft/gpu/train/dataset"
)

// A roster is the set of jobs resident in a device's worker and everything
// about them that does not depend on how they are trained: what the daemon is
// told of them, the data sets they share, the files they leave, their ends.
// An [engine] trains them.
//
// Lock order: newsMu before mu.
type roster struct {
	send   func(kind byte, payload []byte) error
	writes sync.WaitGroup // background file writes, each ends a job or a checkpoint

	newsMu sync.Mutex    // held while news and endings are sent, so that they keep their order
	wake   chan struct{} // asks for news before the next tick

	mu     sync.Mutex // guards everything below, and the fields of residents that say so
	jobs   map[int64]*resident
	sets   map[string]*sharedSet
	epochs []EpochEnded
}

// An engine trains the residents of a roster on lanes of its own.
type engine interface {
	// add takes a new resident over; it trains from the next quantum on.
	add(r *resident)
	// stop asks a job to leave; it does at its next quantum, which comes soon.
	stop(id int64, mode StopMode)
	// prioritize tells of a job's new priority.
	prioritize(id int64, priority int)
	// drain preempts every job and returns when the lanes have ended and all
	// jobs have been told of.
	drain()
}

func newRoster(send func(byte, []byte) error) *roster {
	return &roster{
		send: send,
		wake: make(chan struct{}, 1),
		jobs: map[int64]*resident{},
		sets: map[string]*sharedSet{},
	}
}

// admit enters a job and reports whether it is new here: the daemon asks again
// only after it was told of an end. It needs mu.
func (ros *roster) admit(r *resident) bool {
	if ros.jobs[r.job.ID] != nil {
		return false
	}
	ros.jobs[r.job.ID] = r
	return true
}

// wish notes that a job shall leave and reports whether that is news; nothing
// outdoes a cancel. It needs mu.
func (r *resident) wish(mode StopMode) bool {
	if r.stop == StopCancel || r.leaving {
		return false
	}
	r.stop = mode
	return true
}

// A tally is what a quantum came to, as far as the daemon cares.
type tally struct {
	progress Progress
	epochs   []EpochEnded
	took     time.Duration // of the lane, charged to the job
	cpu      time.Duration // of the processor, likewise
	trained  bool          // rather than only prepared
}

// account enters what a quantum did and reports whether the daemon should know
// at once. It needs mu.
func (ros *roster) account(r *resident, t tally) (urgent bool) {
	r.spent.DeviceSeconds += t.took.Seconds()
	r.spent.CPUSeconds += t.cpu.Seconds()
	first := !r.told && t.trained && t.progress.Step > 0
	r.told = r.told || first
	r.progress = t.progress
	r.progress.Job = r.job.ID
	r.progress.Spent = r.spent
	r.dirty = true
	for _, e := range t.epochs {
		e.Job, e.Metrics = r.job.ID, finite(e.Metrics)
		ros.epochs = append(ros.epochs, e)
	}
	return first || len(ros.epochs) >= 256
}

// hurry asks for news before the next tick.
func (ros *roster) hurry() {
	select {
	case ros.wake <- struct{}{}:
	default:
	}
}

// leave takes a job off in the background: end writes what it leaves behind
// and says how it ended; then the job is forgotten, free gives its memory
// back, and the daemon is told. It needs mu.
func (ros *roster) leave(r *resident, end ending, free func()) {
	r.leaving = true
	ros.writes.Go(func() {
		r.awaitWrite()
		kind, frame := end(r)
		free() // before the daemon hears that there is room
		ros.newsMu.Lock()
		defer ros.newsMu.Unlock()
		ros.sendNewsLocked() // its last progress among them
		ros.mu.Lock()
		delete(ros.jobs, r.job.ID)
		r.release(ros)
		frame.Job, frame.Spent = r.job.ID, r.spent
		ros.mu.Unlock()
		ros.tell(kind, frame)
	})
}

// newsLoop sends what changed, ten times a second, until done is closed.
func (ros *roster) newsLoop(done <-chan struct{}) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		case <-ros.wake:
		}
		ros.newsMu.Lock()
		ros.sendNewsLocked()
		ros.newsMu.Unlock()
	}
}

// epochsAFrame keeps frames within proc's limit: a gang of thousands of small
// jobs ends many epochs in a tenth of a second.
const epochsAFrame = 8192

// sendNewsLocked needs newsMu.
func (ros *roster) sendNewsLocked() {
	var news newsFrame
	ros.mu.Lock()
	for _, r := range ros.jobs {
		if r.dirty {
			news.Jobs = append(news.Jobs, r.progress)
			r.dirty = false
		}
	}
	news.Epochs, ros.epochs = ros.epochs, nil
	ros.mu.Unlock()
	for len(news.Epochs) > epochsAFrame {
		ros.tell(kindNews, newsFrame{Epochs: news.Epochs[:epochsAFrame]})
		news.Epochs = news.Epochs[epochsAFrame:]
	}
	if len(news.Jobs)+len(news.Epochs) > 0 {
		ros.tell(kindNews, news)
	}
}

// tell sends a frame. A frame that cannot be sent has no reader any more: the
// daemon is gone, and the worker's receive loop ends the process.
func (ros *roster) tell(kind byte, v any) {
	_ = ros.send(kind, encode(v))
}

// A sharedSet is a mapped data set and how many residents use it.
type sharedSet struct {
	set   *dataset.Set
	arena *proc.Arena
	refs  int // guarded by roster.mu
}

// share returns the resident set with this content, mapping file if there is
// none yet. It consumes file.
func (ros *roster) share(file *os.File) (*sharedSet, error) {
	arena, err := proc.OpenSealed(file)
	if err != nil {
		return nil, fmt.Errorf("map data set: %w", err)
	}
	set, err := dataset.View(arena.Bytes())
	if err != nil {
		closeArena(arena)
		return nil, fmt.Errorf("read data set: %w", err)
	}
	ros.mu.Lock()
	defer ros.mu.Unlock()
	if have := ros.sets[set.Hash]; have != nil {
		closeArena(arena)
		have.refs++
		return have, nil
	}
	shared := &sharedSet{set: set, arena: arena, refs: 1}
	ros.sets[set.Hash] = shared
	return shared, nil
}

// closeArena unmaps a data set; it fails only for an arena that is no arena.
func closeArena(a *proc.Arena) { _ = a.Close() }

// finite drops metrics that JSON cannot carry, as r2 of a constant target.
func finite(metrics map[string]float64) map[string]float64 {
	for name, v := range metrics {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			delete(metrics, name)
		}
	}
	return metrics
}

// finiteOr returns v, or instead where JSON could not carry it.
func finiteOr(v, instead float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return instead
	}
	return v
}
