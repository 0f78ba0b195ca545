//go:build cuda

package lane

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"weft/gpu/cuda"
	"weft/gpu/program"
	"weft/gpu/train"
	"weft/kernels"
)

// Job is a program in the device's memory, at some state.
type Job struct {
	dev     *Device
	program *program.Program
	data    *Data
	at      cuda.Ptr   // its block
	mapped  *cuda.Host // holds its Status
	status  *kernels.Status
	step    int64 // seen last, by its lane
}

// NewJob lays a job down in state s, to go on from there. It holds data until
// Close. ErrNoMemory says that it found no room.
func (d *Device) NewJob(p *program.Program, data *Data, s *train.State) (*Job, error) {
	j := &Job{dev: d, program: p, data: data, step: s.Step}
	var err error
	if j.mapped, err = d.pinned(int64(unsafe.Sizeof(kernels.Status{}))); err != nil {
		return nil, err
	}
	j.status = (*kernels.Status)(unsafe.Pointer(unsafe.SliceData(j.mapped.Bytes)))
	*j.status = kernels.Status{Step: s.Step, Epoch: int64(s.Epoch), Loss: s.Metrics["train_loss"]}
	if err := j.lay(s); err != nil {
		return nil, errors.Join(err, d.unpin(j.mapped))
	}
	return j, nil
}

func (j *Job) lay(s *train.State) error {
	d := j.dev
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	if j.at, err = d.allocLocked(j.program.Bytes); err != nil {
		return err
	}
	image := make([]byte, j.program.InitBytes)
	if err := j.program.Encode(image, uint64(j.at), j.data.ptrs, uint64(j.mapped.Device)); err != nil {
		return errors.Join(err, d.freeLocked(j.at))
	}
	if err := j.program.PutState(image[j.program.StateOffset:], s); err != nil {
		return errors.Join(err, d.freeLocked(j.at))
	}
	return d.uploadLocked(j.at, image)
}

// Program is what the job runs.
func (j *Job) Program() *program.Program { return j.program }

// Status is what the job's last quantum left. It may be read between two
// quanta only, and is the device's to write.
func (j *Job) Status() *kernels.Status { return j.status }

// Close gives the job's memory back. It must have left its lane, and its
// snapshots must have been taken.
func (j *Job) Close() error {
	j.dev.mu.Lock()
	err := j.dev.freeLocked(j.at)
	j.dev.mu.Unlock()
	j.at = 0
	j.data.Release()
	return errors.Join(err, j.dev.unpin(j.mapped))
}

// A Snapshot is a copy of a job's state, on its way to the host.
type Snapshot struct {
	job    *Job
	memory *cuda.Host
	done   *cuda.Event
}

// Snapshot copies the job's state as it is after the last quantum, in order of
// the lane's stream: quanta that are run afterwards do not show in it, and the
// lane does not wait. Every snapshot wants a call of State, before Close.
func (l *Lane) Snapshot(j *Job) (*Snapshot, error) {
	memory, err := j.dev.pinned(j.program.StateBytes)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{job: j, memory: memory}
	if s.done, err = j.dev.ctx.NewEvent(false); err != nil {
		return nil, errors.Join(err, j.dev.unpin(memory))
	}
	err = l.stream.CopyOut(memory.Bytes[:j.program.StateBytes], j.at+cuda.Ptr(j.program.StateOffset))
	if err == nil {
		err = l.stream.Record(s.done)
	}
	if err != nil {
		return nil, fmt.Errorf("copy state from device: %w", errors.Join(err, s.release()))
	}
	return s, nil
}

// State waits until the copy is done and reads it. It may be called on any
// goroutine, once.
func (s *Snapshot) State() (*train.State, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := s.job.dev.Bind(); err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	err := s.done.Synchronize()
	var state *train.State
	if err == nil {
		state, err = s.job.program.State(s.memory.Bytes[:s.job.program.StateBytes])
	}
	if err = errors.Join(err, s.release()); err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	return state, nil
}

func (s *Snapshot) release() error {
	return errors.Join(s.done.Close(), s.job.dev.unpin(s.memory))
}
