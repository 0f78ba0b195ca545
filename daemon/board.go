package daemon

import (
	"maps"
	"sync"
	"time"

	"weft/daemon/api"
	"weft/daemon/metrics"
	"weft/daemon/sched"
)

// A board shows readers what the store does not know: why a queued job waits
// and how far a running one is. The owner writes it, requests read it.
type board struct {
	mu        sync.RWMutex           // guards fields below
	reasons   map[int64]sched.Reason // of the last plan, which is not changed any more
	loading   map[int64]string       // device by job
	standings map[int64]standing
	counts    map[metrics.Class]int // jobs that have not ended
	seats     []metrics.Device      // as the owner last showed them, which are not changed any more
	storeErr  error                 // the store does not take changes
	draining  bool
	starved   []string // devices that jobs wait for and that have no worker
}

// A standing is how far a running job is.
type standing struct {
	progress api.Progress
	metrics  map[string]float64 // the latest of some; not changed any more
	seconds  float64            // device seconds over all attempts
	cpu      float64            // processor seconds likewise
	wall     float64            // seconds in state running before since
	since    time.Time
}

func newBoard() *board {
	return &board{
		loading:   map[int64]string{},
		standings: map[int64]standing{},
		counts:    map[metrics.Class]int{},
	}
}

func (b *board) update(f func(*board)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(b)
}

// complete fills in what the store left open. jobs' metrics may be changed.
func (b *board) complete(jobs []api.Job, now time.Time) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for i := range jobs {
		b.completeLocked(&jobs[i], now)
	}
}

func (b *board) completeLocked(j *api.Job, now time.Time) {
	switch j.State {
	case api.Queued:
		j.Reason = b.reason(j)
	case api.Running:
		if s, ok := b.standings[j.ID]; ok {
			s.apply(j, now)
		}
	default:
	}
}

// unplanned is the reason of a queued job that the scheduler has not seen yet.
const unplanned = "about to be planned"

func (b *board) reason(j *api.Job) string {
	if dev, ok := b.loading[j.ID]; ok {
		if dev == sched.KindPools {
			return "starting" // it has no data to load
		}
		return "loading its data for " + dev
	}
	if r, ok := b.reasons[j.ID]; ok {
		return r.String()
	}
	switch {
	case b.draining:
		return "daemon is draining"
	case b.storeErr != nil:
		return "the daemon cannot write its state"
	default:
		return unplanned
	}
}

// apply makes j show s, and leaves alone what the store knows better.
func (s standing) apply(j *api.Job, now time.Time) {
	if s.progress.Step >= j.Progress.Step && s.progress.Steps > 0 {
		j.Progress = s.progress
	}
	j.Usage.DeviceSeconds = max(j.Usage.DeviceSeconds, s.seconds)
	j.Usage.CPUSeconds = max(j.Usage.CPUSeconds, s.cpu)
	if !s.since.IsZero() {
		j.Usage.WallSeconds = max(j.Usage.WallSeconds, s.wall+now.Sub(s.since).Seconds())
	}
	if len(s.metrics) == 0 {
		return
	}
	j.Metrics = maps.Clone(j.Metrics)
	if j.Metrics == nil {
		j.Metrics = map[string]float64{}
	}
	maps.Copy(j.Metrics, s.metrics)
}
