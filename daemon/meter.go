package daemon

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"weft/daemon/api"
	"weft/daemon/metrics"
	"weft/daemon/sched"
	"weft/daemon/store"
	"weft/daemon/watchdog"
	"weft/gpu"
)

const (
	diskEvery = 15 * time.Second // sizes of files are looked at
	// recallPatience is how long a scrape waits for all devices' activity: they
	// answer from memory, unless one is stuck in a call to its worker.
	recallPatience = 50 * time.Millisecond

	loadingReason   = "loading"   // the job's data is being read
	unplannedReason = "unplanned" // no plan has seen the job
)

// A meter counts for Prometheus, and gathers what it is told at a scrape.
type meter struct {
	*metrics.Metrics
	disk    atomic.Pointer[metrics.Disk]
	devices []*recaller // as the owner's seats
}

func newMeter() *meter {
	m := &meter{Metrics: metrics.New()}
	m.disk.Store(&metrics.Disk{DatabaseBytes: -1, WALBytes: -1, FreeBytes: -1, SizeBytes: -1})
	return m
}

// watch has scrapes tell of a daemon's parts, none of which they wait for.
func (m *meter) watch(o *owner, s *sampler, h *hub, dog *watchdog.Watchdog, v api.Version) {
	for _, seat := range o.seats {
		m.AddDevice(seat.info.ID)
		m.devices = append(m.devices, &recaller{ask: seat.dev.Activity})
	}
	o.showSeats()
	m.Watch(metrics.Source{
		Devices:        func() []metrics.Device { return m.deviceViews(o.board, s) },
		Jobs:           o.board.jobCounts,
		Loops:          func() []metrics.Loop { return loopsOf(dog) },
		Disk:           func() metrics.Disk { return *m.disk.Load() },
		StreamsDropped: h.dropped.Load,
		Version:        v,
	})
}

func loopsOf(dog *watchdog.Watchdog) []metrics.Loop {
	var loops []metrics.Loop
	for _, l := range dog.Loops() {
		loops = append(loops, metrics.Loop(l))
	}
	return loops
}

// jobCounts counts jobs that have not ended. Its work grows with the queue, but
// takes neither the owner nor the store: a plan's reasons are not changed any more.
func (b *board) jobCounts() metrics.Jobs {
	b.mu.RLock()
	j := metrics.Jobs{Active: make(map[metrics.Class]int, len(b.counts)), Waiting: map[string]int{},
		Failing: b.storeErr != nil, Draining: b.draining}
	queued := 0
	for class, n := range b.counts {
		j.Active[class] = n
		if class.State == api.Queued {
			queued += n
		}
	}
	reasons, loads := b.reasons, len(b.loading)
	b.mu.RUnlock()
	for _, class := range sched.Classes {
		j.Waiting[class] = 0
	}
	for _, r := range reasons {
		j.Waiting[r.Class()]++
	}
	j.Waiting[loadingReason] = loads
	j.Waiting[unplannedReason] = max(0, queued-len(reasons)-loads)
	return j
}

// deviceViews is what the owner last showed, with what the devices count
// themselves and what their sensors said.
func (m *meter) deviceViews(b *board, s *sampler) []metrics.Device {
	b.mu.RLock()
	views := append([]metrics.Device{}, b.seats...)
	b.mu.RUnlock()
	patience, stop := context.WithTimeout(context.Background(), recallPatience)
	defer stop()
	for i := range views {
		views[i].Activity = m.devices[i].recall(patience.Done())
	}
	now := time.Now()
	for i := range views {
		views[i].Sample = s.latest(views[i].ID, now)
	}
	return views
}

// showSeats lets scrapes see the devices as the owner does.
func (o *owner) showSeats() {
	views := make([]metrics.Device, 0, len(o.seats))
	for _, s := range o.seats {
		v := s.view()
		views = append(views, metrics.Device{ID: v.ID, Kind: v.Kind, Name: v.Name, State: v.State, Lanes: v.Lanes,
			Slots: v.Slots, Running: len(v.Running), MemoryBytes: v.MemoryBytes, ReservedBytes: v.MemoryBytes - v.FreeBytes})
	}
	o.board.update(func(b *board) { b.seats = views })
}

// A recaller asks a device what it has done, and answers with what it said last
// if it takes long. One question at a time is asked.
type recaller struct {
	ask func() gpu.Activity

	mu    sync.Mutex // guards what follows
	asked chan struct{}
	last  *metrics.Activity
}

func (r *recaller) recall(patience <-chan struct{}) *metrics.Activity {
	r.mu.Lock()
	asked := r.asked
	if asked == nil {
		asked = make(chan struct{})
		r.asked = asked
		go r.listen(asked)
	}
	r.mu.Unlock()
	select {
	case <-asked:
	case <-patience:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// listen ends with the answer, which closing the device brings about at last.
func (r *recaller) listen(asked chan struct{}) {
	a := r.ask()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = &metrics.Activity{BusySeconds: a.BusySeconds, Bounds: a.Quanta.Bounds, Counts: a.Quanta.Counts, Sum: a.Quanta.Sum}
	r.asked = nil
	close(asked)
}

// worked counts what a job has done on its device since the last call.
func (m *meter) worked(r *residency) {
	if r.phase != running {
		return // it goes on from a step that the device has not told yet
	}
	now := metrics.Work{Steps: r.progress.Step, DeviceSeconds: r.seconds, CPUSeconds: r.cpu}
	m.Worked(r.seat.info.ID, now.Less(r.metered))
	r.metered = now
}

// charged counts the energy in reports that the store has taken.
func (m *meter) charged(reports []store.Report) {
	for i := range reports {
		if joules := reports[i].EnergyJoules; joules != nil {
			m.EnergyUsed(reports[i].Device, *joules)
		}
	}
}

// watchDisk looks at the state directory's files until ctx ends: a disk that
// hangs keeps no scrape waiting.
func (m *meter) watchDisk(ctx context.Context, dir string) {
	tick := time.NewTicker(diskEvery)
	defer tick.Stop()
	for {
		m.disk.Store(lookAtDisk(dir))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func lookAtDisk(dir string) *metrics.Disk {
	file := filepath.Join(dir, storeName)
	d := &metrics.Disk{DatabaseBytes: sizeOf(file), WALBytes: sizeOf(file + "-wal"), FreeBytes: -1, SizeBytes: -1}
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) == nil {
		d.FreeBytes, d.SizeBytes = int64(fs.Bavail)*fs.Bsize, int64(fs.Blocks)*fs.Bsize
	}
	return d
}

// sizeOf is -1 for a file that cannot be looked at.
func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return info.Size()
}
