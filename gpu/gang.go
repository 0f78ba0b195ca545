package gpu

import (
	"container/heap"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"weft/gpu/train"
)

// laneNice is the nice value of threads that train: about a ninth of the share
// of a normal thread, when both want the core.
const laneNice = 10

// A gang is the set of jobs resident on the host device and the lanes that
// serve them. A lane takes the job that has been served least, runs it for one
// quantum and puts it back, so no job waits longer for a lane than there are
// jobs times quanta.
//
// Lock order: newsMu before mu.
type gang struct {
	send    func(kind byte, payload []byte) error
	status  statusPage
	quantum time.Duration
	lanes   sync.WaitGroup // lane goroutines; they end after drain
	writes  sync.WaitGroup // background file writes, each ends a job or a checkpoint

	newsMu sync.Mutex    // held while news and endings are sent, so that they keep their order
	wake   chan struct{} // asks for news before the next tick

	mu       sync.Mutex // guards everything below
	changed  *sync.Cond // a job became ready, or draining began
	jobs     map[int64]*resident
	ready    readyQueue
	sets     map[string]*sharedSet
	epochs   []EpochEnded
	draining bool
}

func newGang(send func(byte, []byte) error, status statusPage, quantum time.Duration) *gang {
	g := &gang{
		send:    send,
		status:  status,
		quantum: quantum,
		wake:    make(chan struct{}, 1),
		jobs:    map[int64]*resident{},
		sets:    map[string]*sharedSet{},
	}
	g.changed = sync.NewCond(&g.mu)
	return g
}

// run starts the lanes.
func (g *gang) run(lanes int) {
	for i := range lanes {
		g.lanes.Go(func() { g.serve(i) })
	}
}

// add makes a job resident. A job that is already there is left alone: the
// daemon asks again only after it was told of an end.
func (g *gang) add(r *resident) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining || g.jobs[r.job.ID] != nil {
		r.release(g)
		return
	}
	// A newcomer starts level with the least served, or it would hold a lane
	// until it had caught up with jobs that are hours old.
	if len(g.jobs) > 0 {
		r.served = time.Duration(math.MaxInt64)
		for _, other := range g.jobs {
			r.served = min(r.served, other.served)
		}
	}
	g.jobs[r.job.ID] = r
	heap.Push(&g.ready, r)
	g.changed.Signal()
}

// stop asks a job to leave; it does at its next quantum, which comes first.
func (g *gang) stop(id int64, mode StopMode) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopLocked(id, mode)
}

func (g *gang) stopLocked(id int64, mode StopMode) {
	r := g.jobs[id]
	if r == nil || r.stop == StopCancel {
		return
	}
	r.stop = mode
	if r.heapIndex >= 0 {
		r.served = -1
		heap.Fix(&g.ready, r.heapIndex)
	}
}

// drain preempts every job and returns when all have been told of.
func (g *gang) drain() {
	g.mu.Lock()
	g.draining = true
	for id := range g.jobs {
		g.stopLocked(id, StopPreempt)
	}
	g.changed.Broadcast()
	g.mu.Unlock()
	g.lanes.Wait()
	g.writes.Wait()
}

// serve is one lane's life. Its thread takes processor time that others leave,
// so that the daemon, and people's own programs, answer while every core trains.
func (g *gang) serve(lane int) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the lane
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, laneNice); err != nil {
		slog.Warn("lane runs at normal priority", "lane", lane, "error", err)
	}
	for {
		r, stop := g.take()
		if r == nil {
			return
		}
		g.status.begin(lane, r.job.ID)
		began := time.Now()
		after := g.advance(r, stop)
		took := time.Since(began)
		g.status.end(lane)
		g.put(r, took, after)
	}
}

// take blocks until a job is ready; nil means that the gang has drained.
func (g *gang) take() (*resident, StopMode) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.ready) == 0 {
		if g.draining && g.onLanes() == 0 {
			g.changed.Broadcast()
			return nil, ""
		}
		g.changed.Wait()
	}
	r := heap.Pop(&g.ready).(*resident)
	return r, r.stop
}

// onLanes counts jobs that may come back to the ready queue.
func (g *gang) onLanes() int {
	n := 0
	for _, r := range g.jobs {
		if !r.leaving && r.heapIndex < 0 {
			n++
		}
	}
	return n
}

// put takes a job back from its lane.
func (g *gang) put(r *resident, took time.Duration, after outcome) {
	g.mu.Lock()
	r.served = max(r.served, 0) + took
	r.seconds += took.Seconds()
	first := !r.told && after.step > 0
	r.told = r.told || first
	r.progress = after.progress
	r.progress.Job = r.job.ID
	r.progress.DeviceSeconds = r.seconds
	r.dirty = true
	for _, e := range after.epochs {
		g.epochs = append(g.epochs, EpochEnded{
			Job: r.job.ID, Epoch: e.Epoch, Step: e.Step, Metrics: finite(e.Metrics)})
	}
	urgent := first || len(g.epochs) >= 256
	if after.leave == nil {
		if r.stop != "" {
			r.served = -1
		}
		heap.Push(&g.ready, r)
		g.changed.Signal()
	} else {
		r.leaving = true
		g.writes.Go(func() { g.leave(r, after.leave) })
		if g.draining {
			g.changed.Broadcast()
		}
	}
	g.mu.Unlock()
	if urgent {
		select {
		case g.wake <- struct{}{}:
		default:
		}
	}
}

// advance gives a job one quantum. A panic in a job's arithmetic is a defect
// of weft that must not take the neighbours down: the job fails with it.
func (g *gang) advance(r *resident, stop StopMode) (after outcome) {
	defer func() {
		if p := recover(); p != nil {
			after = outcome{leave: failed(&train.Fault{
				Code:    "internal",
				Message: fmt.Sprintf("training panicked: %v", p),
				Hint:    "this is a defect of weft; please report it with: " + string(debug.Stack()),
			})}
		}
	}()
	return r.advance(g, stop)
}

// leave writes what an ending job leaves behind, then tells its end.
func (g *gang) leave(r *resident, finish func(*resident) (byte, endFrame)) {
	r.awaitWrite()
	kind, end := finish(r)
	g.newsMu.Lock()
	defer g.newsMu.Unlock()
	g.sendNewsLocked() // its last progress among them
	g.mu.Lock()
	delete(g.jobs, r.job.ID)
	r.release(g)
	end.Job, end.DeviceSeconds = r.job.ID, r.seconds
	g.mu.Unlock()
	g.tell(kind, end)
}

// newsLoop sends what changed, ten times a second, until done is closed.
func (g *gang) newsLoop(done <-chan struct{}) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		case <-g.wake:
		}
		g.newsMu.Lock()
		g.sendNewsLocked()
		g.newsMu.Unlock()
	}
}

// sendNewsLocked needs newsMu.
func (g *gang) sendNewsLocked() {
	var news newsFrame
	g.mu.Lock()
	for _, r := range g.jobs {
		if r.dirty {
			news.Jobs = append(news.Jobs, r.progress)
			r.dirty = false
		}
	}
	news.Epochs, g.epochs = g.epochs, nil
	g.mu.Unlock()
	if len(news.Jobs)+len(news.Epochs) > 0 {
		g.tell(kindNews, news)
	}
}

// tell sends a frame. A frame that cannot be sent has no reader any more: the
// daemon is gone, and the worker's receive loop ends the process.
func (g *gang) tell(kind byte, v any) {
	_ = g.send(kind, encode(v))
}

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

// readyQueue is a heap of residents, least served first, then lowest id.
type readyQueue []*resident

func (q readyQueue) Len() int { return len(q) }

func (q readyQueue) Less(i, j int) bool {
	if q[i].served != q[j].served {
		return q[i].served < q[j].served
	}
	return q[i].job.ID < q[j].job.ID
}

func (q readyQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].heapIndex, q[j].heapIndex = i, j
}

func (q *readyQueue) Push(x any) {
	r := x.(*resident)
	r.heapIndex = len(*q)
	*q = append(*q, r)
}

func (q *readyQueue) Pop() any {
	old := *q
	r := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	r.heapIndex = -1
	return r
}
