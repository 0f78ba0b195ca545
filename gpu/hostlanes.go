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

	"weft/gpu/host"
	"weft/gpu/train"
)

// laneNice is the nice value of threads that train: about a ninth of the share
// of a normal thread, when both want the core.
const laneNice = 10

// hostLanes trains the jobs resident on the host device. A lane takes the job
// that has been served least, runs it for one quantum and puts it back, so no
// job waits longer for a lane than there are jobs times quanta.
type hostLanes struct {
	*roster
	status  statusPage
	quantum time.Duration
	lanes   sync.WaitGroup // lane goroutines; they end after drain

	// Guarded by roster.mu.
	changed  *sync.Cond // a job became ready, or draining began
	seats    map[int64]*hostJob
	ready    readyQueue
	draining bool
}

var _ engine = (*hostLanes)(nil)

// A hostJob is a resident with its trainer. Between take and put it belongs to
// its lane, which alone touches the trainer.
type hostJob struct {
	*resident
	trainer *host.Trainer // nil until its first quantum

	// Guarded by roster.mu.
	served    time.Duration // lane time for the order of service
	heapIndex int           // -1: not in the ready queue
}

// startHostLanes starts that many lanes.
func startHostLanes(ros *roster, status statusPage, quantum time.Duration, lanes int) *hostLanes {
	h := &hostLanes{roster: ros, status: status, quantum: quantum, seats: map[int64]*hostJob{}}
	h.changed = sync.NewCond(&ros.mu)
	for i := range lanes {
		h.lanes.Go(func() { h.serve(i) })
	}
	return h
}

func (h *hostLanes) add(r *resident) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining || !h.admit(r) {
		r.release(h.roster)
		return
	}
	j := &hostJob{resident: r, heapIndex: -1}
	// A newcomer starts level with the least served, or it would hold a lane
	// until it had caught up with jobs that are hours old.
	if len(h.seats) > 0 {
		j.served = time.Duration(math.MaxInt64)
		for _, other := range h.seats {
			j.served = min(j.served, other.served)
		}
	}
	h.seats[r.job.ID] = j
	heap.Push(&h.ready, j)
	h.changed.Signal()
}

// stop is engine's: the job's next quantum comes first, and is its last.
func (h *hostLanes) stop(id int64, mode StopMode) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopLocked(id, mode)
}

func (h *hostLanes) stopLocked(id int64, mode StopMode) {
	j := h.seats[id]
	if j == nil || !j.wish(mode) {
		return
	}
	if j.heapIndex >= 0 {
		j.served = -1
		heap.Fix(&h.ready, j.heapIndex)
	}
}

// prioritize is engine's: jobs that share the host share it evenly, and the
// scheduler makes room for those that must not.
func (h *hostLanes) prioritize(int64, int) {}

func (h *hostLanes) drain() {
	h.mu.Lock()
	h.draining = true
	for id := range h.seats {
		h.stopLocked(id, StopPreempt)
	}
	h.changed.Broadcast()
	h.mu.Unlock()
	h.lanes.Wait()
	h.writes.Wait()
}

// serve is one lane's life. Its thread takes processor time that others leave,
// so that the daemon, and people's own programs, answer while every core trains.
func (h *hostLanes) serve(lane int) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the lane
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, laneNice); err != nil {
		slog.Warn("lane runs at normal priority", "lane", lane, "error", err)
	}
	for {
		j, stop := h.take()
		if j == nil {
			return
		}
		h.status.begin(lane, j.job.ID)
		began, cpu := time.Now(), threadCPU()
		after := h.advance(j, stop)
		after.took, after.cpu = time.Since(began), threadCPU()-cpu
		h.status.end(lane)
		h.status.count(after.took, after.took)
		h.put(j, after)
	}
}

// take blocks until a job is ready; nil means that all have left.
func (h *hostLanes) take() (*hostJob, StopMode) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.ready) == 0 {
		if h.draining && h.onLanes() == 0 {
			h.changed.Broadcast()
			return nil, ""
		}
		h.changed.Wait()
	}
	j := heap.Pop(&h.ready).(*hostJob)
	return j, j.resident.stop
}

// onLanes counts jobs that may come back to the ready queue.
func (h *hostLanes) onLanes() int {
	n := 0
	for _, j := range h.seats {
		if j.heapIndex < 0 {
			n++
		}
	}
	return n
}

// outcome is what a quantum came to.
type outcome struct {
	tally
	end ending // nil: the job goes on
}

// put takes a job back from its lane.
func (h *hostLanes) put(j *hostJob, after outcome) {
	h.mu.Lock()
	j.served = max(j.served, 0) + after.took
	urgent := h.account(j.resident, after.tally)
	if after.end == nil {
		if j.resident.stop != "" {
			j.served = -1
		}
		heap.Push(&h.ready, j)
		h.changed.Signal()
	} else {
		delete(h.seats, j.job.ID)
		h.leave(j.resident, after.end, func() { j.trainer = nil })
		if h.draining {
			h.changed.Broadcast()
		}
	}
	h.mu.Unlock()
	if urgent {
		h.hurry()
	}
}

// advance gives a job one quantum. A panic in a job's arithmetic is a defect
// of weft that must not take the neighbours down: the job fails with it.
func (h *hostLanes) advance(j *hostJob, stop StopMode) (after outcome) {
	defer func() {
		if p := recover(); p != nil {
			after = outcome{end: failed(panicFault(p))}
		}
	}()
	if stop == StopCancel || (stop != "" && j.trainer == nil) {
		return outcome{tally: tally{progress: j.progress}, end: stopped(stop)}
	}
	if j.trainer == nil {
		return h.prepare(j)
	}
	if stop != "" {
		return outcome{tally: tally{progress: j.progress}, end: h.savedAndStopped(stop, j.trainer.State())}
	}
	return h.train(j)
}

func panicFault(p any) *train.Fault {
	return &train.Fault{
		Code:    "internal",
		Message: fmt.Sprintf("training panicked: %v", p),
		Hint:    "this is a defect of weft; please report it with: " + string(debug.Stack()),
	}
}

// prepare is a job's first quantum: it lays out memory and reads the checkpoint.
func (h *hostLanes) prepare(j *hostJob) outcome {
	state, err := h.compose(j.resident)
	if err == nil {
		j.trainer, err = host.New(host.Config{Spec: j.spec, Model: j.model, Data: j.data.set, State: state})
	}
	if err != nil {
		return outcome{end: failed(faultOf(err))}
	}
	h.tellStarted(j.resident, state)
	return outcome{tally: tally{progress: j.standingAt(state)}}
}

// train is every other quantum.
func (h *hostLanes) train(j *hostJob) outcome {
	report, err := j.trainer.Run(h.quantum)
	after := outcome{tally: tally{progress: j.standing(report.Epoch, report.Step, report.Loss), trained: true}}
	for _, e := range report.Epochs {
		after.epochs = append(after.epochs, EpochEnded{Epoch: e.Epoch, Step: e.Step, Metrics: e.Metrics})
	}
	now := time.Now()
	switch {
	case err != nil:
		after.end = failed(faultOf(err))
	case report.Done:
		after.end = func(r *resident) (byte, endFrame) {
			params, buffers, metrics := j.trainer.Result()
			return r.finish(params, buffers, metrics, host.Memory(r.spec, r.model, &r.data.set.Info))
		}
	case j.checkpointDue(now):
		state := j.trainer.State()
		h.checkpoint(j.resident, now, func() (*train.State, error) { return state, nil })
	}
	return after
}

// readyQueue is a heap of jobs, least served first, then lowest id.
type readyQueue []*hostJob

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
	j := x.(*hostJob)
	j.heapIndex = len(*q)
	*q = append(*q, j)
}

func (q *readyQueue) Pop() any {
	old := *q
	j := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	j.heapIndex = -1
	return j
}
