package gpu

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"weft/gpu/cuda"
	"weft/gpu/train"
)

// The files of a job, in its directory.
const (
	CheckpointFile = "checkpoint.safetensors"
	ModelFile      = "model.safetensors"
)

// A resident is one job in a device's worker, as every kind of device has it.
// Engines wrap it in what their lanes need.
type resident struct {
	job  Job
	spec *train.Spec
	data *sharedSet

	// Its lane's, or whoever has it from its lane.
	model    *train.Model
	lastSave time.Time
	saved    chan struct{} // closed when the latest background write is done; nil: none yet

	// Guarded by roster.mu.
	spent    Spent
	stop     StopMode // "" to go on
	leaving  bool     // its end is being written
	told     bool     // its first step has been made known
	dirty    bool
	progress Progress
}

// An ending writes what a job leaves behind and says how it ended.
type ending func(*resident) (kind byte, end endFrame)

func failed(f *train.Fault) ending {
	return func(*resident) (byte, endFrame) { return kindFailed, endFrame{Fault: f} }
}

func stopped(mode StopMode) ending {
	return func(*resident) (byte, endFrame) { return kindStopped, endFrame{Mode: mode} }
}

// savedAndStopped writes a last checkpoint first.
func (ros *roster) savedAndStopped(mode StopMode, state *train.State) ending {
	return func(r *resident) (byte, endFrame) {
		ros.tellSaved(r, state, r.write(state))
		return kindStopped, endFrame{Mode: mode}
	}
}

// finish writes the model; only then is the job done.
func (r *resident) finish(params, buffers []float32, metrics map[string]float64, peak int64) (byte, endFrame) {
	path := filepath.Join(r.job.Dir, ModelFile)
	if err := train.WriteModel(path, r.spec, &r.data.set.Info, r.model, params, buffers); err != nil {
		return kindFailed, endFrame{Fault: faultOf(err)}
	}
	return kindFinished, endFrame{Metrics: finite(metrics), PeakBytes: peak}
}

// compose makes the job's model and reads its checkpoint; no state means that
// the job starts from its beginning.
func (ros *roster) compose(r *resident) (*train.State, error) {
	model, err := train.Compose(r.spec, &r.data.set.Info)
	if err != nil {
		return nil, fmt.Errorf("compose model: %w", err)
	}
	r.model = model
	return ros.readCheckpoint(r)
}

// tellStarted tells that the job is laid out and will train from state.
func (ros *roster) tellStarted(r *resident, state *train.State) {
	r.lastSave = time.Now()
	var step int64
	if state != nil {
		step = state.Step
	}
	ros.tell(kindStarted, startedFrame{Job: r.job.ID, Step: step})
}

// readCheckpoint returns nil to start from the beginning. A checkpoint that
// cannot be read costs the work it held, not the job.
func (ros *roster) readCheckpoint(r *resident) (*train.State, error) {
	path := filepath.Join(r.job.Dir, CheckpointFile)
	if r.job.Restart {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("remove checkpoint of an earlier attempt: %w", err)
		}
		return nil, nil
	}
	state, err := train.ReadCheckpoint(path, r.identity(), r.model, r.spec.Optimizer.Slots())
	switch {
	case err == nil:
		return state, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	default:
		ros.tell(kindCheckpointed, checkpointedFrame{Job: r.job.ID, Err: fmt.Sprintf(
			"checkpoint is unusable, starting from the beginning: %v", err)})
		return nil, nil
	}
}

// checkpointDue reports whether it is time for a checkpoint and none is being
// written: a slow disk makes checkpoints rarer. It is asked once a quantum.
func (r *resident) checkpointDue(now time.Time) bool {
	if now.Sub(r.lastSave).Seconds() < r.spec.Checkpoint.EverySeconds {
		return false
	}
	if r.saved == nil {
		return true
	}
	select {
	case <-r.saved:
		return true
	default:
		return false
	}
}

// checkpoint writes a state that was copied while the job goes on. The copy
// may still be under way: read waits for it.
func (ros *roster) checkpoint(r *resident, now time.Time, read func() (*train.State, error)) {
	r.lastSave = now
	saved := make(chan struct{})
	r.saved = saved
	ros.writes.Go(func() {
		defer close(saved)
		state, err := read()
		if err != nil {
			ros.tell(kindCheckpointed, checkpointedFrame{Job: r.job.ID, Err: fmt.Sprintf(
				"checkpoint not taken: %v", err)})
			return
		}
		ros.tellSaved(r, state, r.write(state))
	})
}

// awaitWrite returns when no earlier checkpoint can overtake what is written next.
func (r *resident) awaitWrite() {
	if r.saved != nil {
		<-r.saved
	}
}

func (r *resident) write(state *train.State) error {
	return train.WriteCheckpoint(filepath.Join(r.job.Dir, CheckpointFile), r.identity(), state, r.model)
}

// identity is what must be the same for a checkpoint to be this job's.
func (r *resident) identity() string { return r.spec.Hash() + " " + r.data.set.Hash }

func (ros *roster) tellSaved(r *resident, state *train.State, err error) {
	frame := checkpointedFrame{Job: r.job.ID, Step: state.Step}
	if err != nil {
		frame.Err = fmt.Sprintf("checkpoint not written: %v", err)
	}
	ros.tell(kindCheckpointed, frame)
}

// standing is how far the job is, in the daemon's words.
func (r *resident) standing(epoch int, step int64, loss float64) Progress {
	_, steps, epochs := r.spec.Plan(r.data.set.TrainRows)
	return Progress{Epoch: epoch, Epochs: epochs, Step: step, Steps: steps, TrainLoss: finiteOr(loss, 0)}
}

// standingAt is standing of a job that is about to go on from state.
func (r *resident) standingAt(state *train.State) Progress {
	if state == nil {
		return r.standing(0, 0, 0)
	}
	return r.standing(state.Epoch, state.Step, 0)
}

// release gives the job's share of the data set back; it needs roster.mu.
func (r *resident) release(ros *roster) {
	r.data.refs--
	if r.data.refs == 0 {
		delete(ros.sets, r.data.set.Hash)
		closeArena(r.data.arena)
	}
}

// faultOf puts any error into words for the job's owner.
func faultOf(err error) *train.Fault {
	var fault *train.Fault
	if errors.As(err, &fault) {
		return fault
	}
	var probe *cuda.ProbeError
	if errors.As(err, &probe) {
		return &train.Fault{Code: probe.Code, Message: probe.Message, Hint: probe.Hint}
	}
	var spec *train.SpecError
	if errors.As(err, &spec) && len(spec.Errors) > 0 {
		return &train.Fault{Code: "invalid", Message: spec.Error(), Hint: spec.Errors[0].Hint}
	}
	return &train.Fault{Code: "internal", Message: err.Error()}
}
