//go:build cuda

package gpu

import (
	"errors"
	"runtime"
	"sync"
	"time"

	"weft/gpu/lane"
	"weft/gpu/program"
	"weft/gpu/train"
	"weft/kernels"
)

// A gpuJob is a resident with its place on the device. Until it has joined a
// lane it belongs to its preparer, then to the lane, then to who writes its end.
type gpuJob struct {
	*resident
	laid    *lane.Job // nil before and after
	steps   int64     // planned
	epochs  int
	quantum int64 // that the device last told of
	done    bool  // the device has nothing more to do for it
	seat    int   // on the status page
	going   bool  // is on the lane's list of those that leave

	// Guarded by roster.mu.
	on       *gpuLane // whose it is
	priority int
}

// prepareJobs is one preparer's life.
func (g *gpuLanes) prepareJobs(line int) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the preparer
	if err := g.dev.Bind(); err != nil {
		g.die("prepare jobs", err)
	}
	for {
		j := g.nextWaiting()
		if j == nil {
			return
		}
		g.status.begin(line, j.job.ID)
		cpu := threadCPU()
		state, err := g.prepare(j)
		cpu = threadCPU() - cpu
		g.status.end(line)
		g.mu.Lock()
		j.spent.CPUSeconds += cpu.Seconds()
		g.mu.Unlock()
		g.handOver(j, state, err)
	}
}

// nextWaiting blocks until a job wants to be prepared; nil: none will.
func (g *gpuLanes) nextWaiting() *gpuJob {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		for len(g.waiting) == 0 {
			if g.over() {
				return nil
			}
			g.queued.Wait()
		}
		j := g.waiting[0]
		g.waiting[0] = nil
		g.waiting = g.waiting[1:]
		if j.resident.stop == "" {
			return j
		}
		g.depart(j, stopped(j.resident.stop))
	}
}

// prepare lays a job out on the device, in the state of its checkpoint.
func (g *gpuLanes) prepare(j *gpuJob) (state *train.State, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicFault(p)
		}
	}()
	set := j.data.set
	state, err = g.compose(j.resident)
	if err != nil {
		return nil, err
	}
	p, err := program.Compile(j.spec, j.model, &set.Info)
	if err == nil {
		err = p.Check(set)
	}
	if err != nil {
		return nil, err
	}
	from := state
	if from == nil {
		if from, err = p.Initial(); err != nil {
			return nil, err
		}
	}
	data, err := g.dev.Data(set)
	if err != nil {
		return nil, err
	}
	if j.laid, err = g.dev.NewJob(p, data, from); err != nil {
		data.Release()
		return nil, err
	}
	g.memory.add(p.Bytes)
	_, j.steps, j.epochs = j.spec.Plan(set.TrainRows)
	return state, nil
}

// handOver gives a prepared job to its lane, or says why there is none.
func (g *gpuLanes) handOver(j *gpuJob, state *train.State, err error) {
	switch {
	case err == nil:
	case errors.Is(err, lane.ErrNoMemory) || isOutOfMemory(err):
		g.giveBack(j)
		return
	case isFatal(err):
		g.die("prepare job", err)
	default:
		g.mu.Lock()
		g.depart(j, failed(faultOf(err)))
		g.mu.Unlock()
		return
	}
	g.tellStarted(j.resident, state)
	g.mu.Lock()
	defer g.mu.Unlock()
	if stop := j.resident.stop; stop != "" {
		g.depart(j, stopped(stop)) // as it came
		return
	}
	j.progress = j.standingAt(state)
	g.laneFor(j).take(j)
}

// giveBack returns a job that the device has no memory for.
func (g *gpuLanes) giveBack(j *gpuJob) {
	taken, err := g.memory.taken()
	if err != nil {
		g.die("look for memory", err)
	}
	need := j.job.Memory
	g.mu.Lock()
	defer g.mu.Unlock()
	g.depart(j, func(r *resident) (byte, endFrame) {
		return kindReturned, endFrame{NeedBytes: need, TakenBytes: taken}
	})
	if taken > 0 {
		g.watchMemory(taken)
	}
}

// advanced enters what a quantum did for the job. It needs mu.
func (g *gpuLanes) advanced(j *gpuJob, took, cpu time.Duration) (urgent bool) {
	s := j.laid.Status()
	t := tally{took: took, cpu: cpu, trained: true, progress: Progress{
		Epoch: int(s.Epoch), Epochs: j.epochs, Step: s.Step, Steps: j.steps, TrainLoss: finiteOr(s.Loss, 0)}}
	if s.Quantum != j.quantum {
		j.quantum = s.Quantum
		for i := range min(max(s.Reports, 0), kernels.MaxReports) {
			r := &s.Report[i]
			t.epochs = append(t.epochs, EpochEnded{Epoch: int(r.Epoch), Step: r.Step, Metrics: program.Metrics(r)})
		}
	}
	j.done = s.Doing == kernels.DoingDone || s.Doing == kernels.DoingFault
	return g.account(j.resident, t)
}

// copyBudget bounds the copies of jobs' states that are on their way to files:
// each holds pinned memory of the host.
type copyBudget struct {
	mu    sync.Mutex // guards what follows
	freed *sync.Cond
	n     int
	bytes int64
}

const (
	mostCopies    = 64
	mostCopyBytes = 2 << 30
)

func newCopyBudget() *copyBudget {
	b := &copyBudget{}
	b.freed = sync.NewCond(&b.mu)
	return b
}

// take reserves one copy and reports whether that was possible; one copy always
// is. With wait it waits until it is.
func (b *copyBudget) take(bytes int64, wait bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.n > 0 && (b.n >= mostCopies || b.bytes+bytes > mostCopyBytes) {
		if !wait {
			return false
		}
		b.freed.Wait()
	}
	b.n++
	b.bytes += bytes
	return true
}

func (b *copyBudget) give(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n--
	b.bytes -= bytes
	b.freed.Broadcast()
}
