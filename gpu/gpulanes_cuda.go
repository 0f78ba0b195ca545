//go:build cuda

package gpu

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"weft/gpu/cuda"
	"weft/gpu/lane"
	"weft/gpu/train"
)

// gpuLanes trains the jobs resident on a GPU. A job passes through these hands,
// each a goroutine on a thread of its own with the context bound to it:
//
//	add ─▶ preparer ─▶ lane: joins its gang, quantum after quantum ─▶ writes: files, memory back
//
// Preparers compile the job, copy its data set and lay it out, while lanes
// train. A lane takes jobs in and lets them go between two quanta. What a job
// leaves behind is copied in order of the lane's stream and written in the
// background, so that a lane waits for the device alone.
type gpuLanes struct {
	*roster
	dev     *lane.Device
	memory  *deviceMemory
	status  statusPage
	sharing Sharing
	copies  *copyBudget

	threads sync.WaitGroup // preparers and lanes; they end after drain
	watches sync.WaitGroup // of memory that others have
	dying   sync.Once
	lost    chan<- *lostError // has room for the one that dying sends
	ended   chan struct{}     // closed when the threads have ended

	// Guarded by roster.mu.
	waiting  []*gpuJob  // for a preparer
	queued   *sync.Cond // waiting has grown, or draining began
	seats    map[int64]*gpuJob
	lanes    []*gpuLane // by their place on the status page
	draining bool
	watching bool // a watch of memory is under way
}

var _ engine = (*gpuLanes)(nil)

// preparers is how many jobs are prepared at once: compiling and initial values
// take a processor, copying waits for its turn.
const preparers = 4

func startGPULanes(
	ros *roster, status statusPage, dev *lane.Device, memory *deviceMemory, sharing Sharing, lost chan<- *lostError,
) *gpuLanes {
	g := &gpuLanes{roster: ros, dev: dev, memory: memory, status: status, sharing: sharing, lost: lost,
		copies: newCopyBudget(), seats: map[int64]*gpuJob{}, ended: make(chan struct{})}
	g.queued = sync.NewCond(&ros.mu)
	for i := range preparers {
		g.threads.Go(func() { g.prepareJobs(maxLanes - 1 - i) })
	}
	if memory.takenAtStart > 0 {
		g.mu.Lock()
		g.watchMemory(memory.takenAtStart)
		g.mu.Unlock()
	}
	return g
}

func (g *gpuLanes) add(r *resident) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining || !g.admit(r) {
		r.release(g.roster)
		return
	}
	j := &gpuJob{resident: r, seat: -1, priority: r.job.Priority}
	g.seats[r.job.ID] = j
	g.waiting = append(g.waiting, j)
	g.queued.Signal()
}

func (g *gpuLanes) stop(id int64, mode StopMode) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopLocked(id, mode)
}

func (g *gpuLanes) stopLocked(id int64, mode StopMode) {
	if j := g.seats[id]; j != nil && j.wish(mode) && j.on != nil {
		j.on.ask(j)
	}
}

// prioritize moves a job to the lane of its new class, where lanes have classes.
func (g *gpuLanes) prioritize(id int64, priority int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if j := g.seats[id]; j != nil {
		j.priority = priority
		if j.on != nil && g.sharing == SharingAuto && j.on.class != classOf(priority) {
			j.on.ask(j)
		}
	}
}

func (g *gpuLanes) drain() {
	g.mu.Lock()
	g.draining = true
	for id := range g.seats {
		g.stopLocked(id, StopPreempt)
	}
	g.wakeAll()
	g.mu.Unlock()
	g.threads.Wait()
	close(g.ended)
	g.writes.Wait()
	g.watches.Wait()
}

// wakeAll has everybody look whether the draining is over. It needs mu.
func (g *gpuLanes) wakeAll() {
	g.queued.Broadcast()
	for _, ln := range g.lanes {
		ln.changed.Signal()
	}
}

// over reports whether nothing more comes to a lane or preparer. It needs mu.
func (g *gpuLanes) over() bool { return g.draining && len(g.seats) == 0 }

// depart takes a job off in the background, as roster.leave does, and gives its
// device memory back. It needs mu.
func (g *gpuLanes) depart(j *gpuJob, end ending) {
	delete(g.seats, j.job.ID)
	g.leave(j.resident, end, func() { g.free(j) })
	if g.over() {
		g.wakeAll()
	}
}

// free gives back what prepare took.
func (g *gpuLanes) free(j *gpuJob) {
	if j.laid == nil {
		return
	}
	g.onDevice(func() error { return j.laid.Close() })
	g.memory.add(-j.laid.Program().Bytes)
	j.laid = nil
}

// onDevice runs do on a thread with the context. It cannot fail but with the
// context.
func (g *gpuLanes) onDevice(do func() error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := errors.Join(g.dev.Bind(), do()); err != nil {
		g.die("give memory back", err)
	}
}

// die ends the process: after err the context serves nobody, and jobs go on
// from their checkpoints with the next worker. The status page is left as it
// is, for it says who was at work.
func (g *gpuLanes) die(what string, err error) {
	g.dying.Do(func() {
		f := &train.Fault{Message: fmt.Sprintf("%s: %v", what, err)}
		if why := cuda.FatalReason(err); why != "" {
			f.Message = fmt.Sprintf("%s: %s: %v", what, why, err)
		}
		status := exitOf(err)
		if status == exitBroken {
			f.Hint = "see nvidia-smi -q and the kernel's log (dmesg) for NVRM lines; the GPU may need a reset"
		}
		g.lost <- &lostError{IDOf(g.dev.Info().Index), f, status}
	})
	select {} // whoever else met the error; the process ends
}

// laneFor chooses a prepared job's lane, and starts it if there is none. It
// needs mu.
func (g *gpuLanes) laneFor(j *gpuJob) *gpuLane {
	class := 0
	if g.sharing == SharingAuto {
		class = classOf(j.priority)
	}
	for _, ln := range g.lanes {
		if g.sharing == SharingStreams && ln.jobs > 0 || ln.class != class {
			continue
		}
		return ln
	}
	ln := &gpuLane{gpuLanes: g, index: len(g.lanes), class: class, members: map[*lane.Job]*gpuJob{}}
	ln.changed = sync.NewCond(&g.mu)
	g.lanes = append(g.lanes, ln)
	g.threads.Go(ln.serve)
	return ln
}

// classOf is the class of a job's priority, an index into gpuClasses.
func classOf(priority int) int {
	switch {
	case priority < 0:
		return 0
	case priority > 0:
		return 2
	default:
		return 1
	}
}

// watchMemory has the daemon told how much memory others have, while they have
// any; told is what it knows. It needs mu.
func (g *gpuLanes) watchMemory(told int64) {
	if g.watching {
		return
	}
	g.watching = true
	g.watches.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := g.dev.Bind(); err != nil {
			g.die("watch memory", err)
		}
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-g.ended:
				return
			case <-tick.C:
			}
			taken, err := g.memory.taken()
			if err != nil {
				g.die("watch memory", err)
			}
			if taken != told {
				told = taken
				g.tell(kindMemory, memoryFrame{TakenBytes: taken})
			}
			g.mu.Lock()
			done := taken == 0
			g.watching = !done
			g.mu.Unlock()
			if done {
				return
			}
		}
	})
}
