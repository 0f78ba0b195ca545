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
	"weft/kernels"
)

// A gpuLane is a stream and its gang, served by one goroutine.
type gpuLane struct {
	*gpuLanes
	index int // its line on the status page
	class int // of its jobs' priorities, where lanes have classes

	// The goroutine's.
	stream  *lane.Lane
	members map[*lane.Job]*gpuJob
	leaving []*gpuJob // members that are to leave, in order

	// Guarded by roster.mu.
	changed *sync.Cond // something came in, or the draining is over
	jobs    int        // members and those about to be
	joins   []*gpuJob
	asked   []*gpuJob // members that are to leave or to move
}

func isFatal(err error) bool       { return cuda.IsFatal(err) }
func isOutOfMemory(err error) bool { return cuda.IsOutOfMemory(err) }

// take hands a prepared job to the lane. It needs mu.
func (ln *gpuLane) take(j *gpuJob) {
	j.on = ln
	ln.jobs++
	ln.joins = append(ln.joins, j)
	ln.changed.Signal()
}

// ask has the lane look at a member's wishes. It needs mu.
func (ln *gpuLane) ask(j *gpuJob) {
	ln.asked = append(ln.asked, j)
	ln.changed.Signal()
}

// serve is the lane's life.
func (ln *gpuLane) serve() {
	runtime.LockOSThread() // and never unlocked: the thread ends with the lane
	err := ln.dev.Bind()
	if err == nil {
		// The lower, the sooner; 0 is the least that there is.
		ln.stream, err = ln.dev.NewLane(-ln.class)
	}
	if err != nil {
		ln.die("make lane", err)
	}
	for ln.gather() {
		ln.letGo()
		if len(ln.members) > len(ln.leaving) {
			ln.run()
			ln.checkpoints(time.Now())
		}
	}
	if err := ln.stream.Close(); err != nil {
		ln.die("close lane", err)
	}
}

// gather takes in what has come since the last quantum, waits while there is
// nothing to do, and reports whether the lane goes on.
func (ln *gpuLane) gather() bool {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	for len(ln.members)+len(ln.joins) == 0 {
		ln.asked = nil
		if ln.over() {
			return false
		}
		ln.changed.Wait()
	}
	for _, j := range ln.joins {
		ln.stream.Join(j.laid)
		ln.members[j.laid] = j
		j.seat = ln.status.sit(ln.index, j.job.ID)
		if j.resident.stop != "" {
			ln.sendOff(j)
		}
	}
	clear(ln.joins)
	ln.joins = ln.joins[:0]
	ln.hear()
	return true
}

// hear looks at members' wishes. It needs mu.
func (ln *gpuLane) hear() {
	asked := ln.asked
	ln.asked = nil
	for _, j := range asked {
		switch {
		case j.on != ln || j.going:
		case j.resident.stop != "":
			ln.sendOff(j)
		case !ln.moves(j):
		case j.writing():
			ln.asked = append(ln.asked, j) // this stream has a copy to make before another goes on
		default:
			ln.remove(j)
			ln.laneFor(j).take(j)
		}
	}
}

// moves reports whether a job belongs to another lane by now. It needs mu.
func (ln *gpuLane) moves(j *gpuJob) bool {
	return ln.sharing == SharingAuto && classOf(j.priority) != ln.class
}

// sendOff puts a member on the list of those that leave.
func (ln *gpuLane) sendOff(j *gpuJob) {
	if !j.going {
		j.going = true
		ln.leaving = append(ln.leaving, j)
	}
}

// letGo takes off those members that are to leave, as far as there is room for
// copies of what they leave behind. Where nobody else trains it waits for room.
func (ln *gpuLane) letGo() {
	idle := len(ln.members) == len(ln.leaving)
	var stay []*gpuJob
	for _, j := range ln.leaving {
		if !ln.letGoOf(j, idle) {
			stay = append(stay, j)
		}
	}
	ln.leaving = append(ln.leaving[:0], stay...)
}

// letGoOf reports whether j is on the list no more.
func (ln *gpuLane) letGoOf(j *gpuJob, wait bool) bool {
	ln.mu.Lock()
	stop := j.resident.stop
	ln.mu.Unlock()
	status := j.laid.Status()
	switch {
	case stop == StopCancel:
		ln.off(j, stopped(stop))
	case j.done && status.Doing == kernels.DoingFault:
		ln.off(j, failed(j.laid.Program().Fault(status)))
	case j.done:
		bytes := j.laid.Program().Bytes
		return ln.offWith(j, wait, func(r *resident, state *train.State) (byte, endFrame) {
			return r.finish(state.Params, state.Buffers, state.Metrics, bytes)
		}, func(err error) ending { return failed(faultOf(err)) })
	case stop != "":
		return ln.offWith(j, wait, func(r *resident, state *train.State) (byte, endFrame) {
			return ln.savedAndStopped(stop, state)(r)
		}, func(err error) ending {
			ln.tell(kindCheckpointed, checkpointedFrame{Job: j.job.ID, Err: fmt.Sprintf("checkpoint not taken: %v", err)})
			return stopped(stop)
		})
	}
	return true
}

// writing reports whether a checkpoint is under way.
func (j *gpuJob) writing() bool {
	if j.saved == nil {
		return false
	}
	select {
	case <-j.saved:
		return false
	default:
		return true
	}
}

// remove takes a member out of the gang. It needs mu.
func (ln *gpuLane) remove(j *gpuJob) {
	ln.stream.Leave(j.laid)
	ln.status.rise(j.seat)
	delete(ln.members, j.laid)
	j.on, j.seat, j.going = nil, -1, false
	ln.jobs--
}

// off ends a member's stay.
func (ln *gpuLane) off(j *gpuJob, end ending) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.remove(j)
	ln.depart(j, end)
}

// offWith is off for a member whose state is wanted; it reports whether there
// was room for the copy. Without a copy the stay ends as without says.
func (ln *gpuLane) offWith(j *gpuJob, wait bool, with func(*resident, *train.State) (byte, endFrame),
	without func(error) ending,
) bool {
	read, err := ln.copyState(j, wait)
	if err != nil {
		ln.off(j, without(err))
		return true
	}
	if read == nil {
		return false
	}
	ln.off(j, func(r *resident) (byte, endFrame) {
		state, err := read()
		if err != nil {
			return without(err)(r)
		}
		return with(r, state)
	})
	return true
}

// copyState begins a copy of a member's state as it is after the last quantum;
// read, nil when there is no room for the copy, waits for it on any goroutine.
func (ln *gpuLane) copyState(j *gpuJob, wait bool) (read func() (*train.State, error), err error) {
	bytes := j.laid.Program().StateBytes
	if !ln.copies.take(bytes, wait) {
		return nil, nil
	}
	snapshot, err := ln.stream.Snapshot(j.laid)
	if err != nil {
		ln.copies.give(bytes)
		if isFatal(err) {
			ln.die("copy state", err)
		}
		return nil, err
	}
	return func() (*train.State, error) {
		defer ln.copies.give(bytes)
		state, err := snapshot.State()
		if isFatal(err) {
			ln.die("copy state", err)
		}
		return state, err
	}, nil
}

// run gives the gang a quantum.
func (ln *gpuLane) run() {
	ln.status.begin(ln.index, wholeGang)
	cpu := threadCPU()
	did, err := ln.stream.Run()
	if err != nil {
		ln.failed(err)
		return
	}
	cpu = threadCPU() - cpu
	ln.status.end(ln.index)
	ln.status.count(did.Took, did.Charged)
	urgent := false
	ln.mu.Lock()
	for _, o := range did.Outcomes {
		j := ln.members[o.Job]
		urgent = ln.advanced(j, o.Device, part(cpu, o.Device, did.Charged)) || urgent
		if j.done {
			ln.sendOff(j)
		}
	}
	ln.mu.Unlock()
	if urgent {
		ln.hurry()
	}
}

// part is what of the whole belongs to a job that has taken a share of charged.
func part(whole, share, charged time.Duration) time.Duration {
	if charged <= 0 {
		return 0
	}
	return time.Duration(float64(whole) * float64(share) / float64(charged))
}

// failed deals with a quantum that was not run. The gang's table is the only
// thing for which memory may be wanting then: somebody has to leave.
func (ln *gpuLane) failed(err error) {
	if isFatal(err) || !errors.Is(err, lane.ErrNoMemory) && !isOutOfMemory(err) {
		ln.die("run quantum", err)
	}
	ln.status.end(ln.index)
	ln.mu.Lock()
	defer ln.mu.Unlock()
	for _, j := range ln.members {
		if !j.going && j.wish(StopPreempt) {
			ln.sendOff(j)
			return
		}
	}
}

// mostCheckpoints is how many jobs have a checkpoint begun between two quanta,
// at most: the device waits meanwhile.
const mostCheckpoints = 8

func (ln *gpuLane) checkpoints(now time.Time) {
	begun := 0
	for _, j := range ln.members {
		if j.going || !j.checkpointDue(now) {
			continue
		}
		read, err := ln.copyState(j, false)
		switch {
		case err != nil:
			j.lastSave = now
			ln.tell(kindCheckpointed, checkpointedFrame{Job: j.job.ID, Err: fmt.Sprintf("checkpoint not taken: %v", err)})
		case read == nil:
			return // no room for copies now
		default:
			ln.checkpoint(j.resident, now, read)
		}
		if begun++; begun == mostCheckpoints {
			return
		}
	}
}
