package gpu

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"weft/cpuwork/proc"
	"weft/gpu/host"
	"weft/gpu/train"
	"weft/gpu/train/dataset"
)

// The files of a job, in its directory.
const (
	CheckpointFile = "checkpoint.safetensors"
	ModelFile      = "model.safetensors"
)

// A resident is one job on the host device. Between take and put it belongs to
// its lane, which alone touches trainer, model and lastSave.
type resident struct {
	job     Job
	spec    *train.Spec
	model   *train.Model
	data    *sharedSet
	trainer *host.Trainer

	lastSave time.Time
	saved    chan struct{} // closed when the latest background write is done; nil: none yet

	// Guarded by gang.mu.
	served    time.Duration // lane time for the order of service
	seconds   float64       // lane time, charged to the job
	stop      StopMode      // "" to go on
	leaving   bool          // its end is being written
	told      bool          // its first step has been made known
	dirty     bool
	progress  Progress
	heapIndex int // -1: not in the ready queue
}

// outcome is what a quantum came to.
type outcome struct {
	progress Progress
	step     int64
	epochs   []host.EpochReport
	leave    func(*resident) (byte, endFrame) // nil: goes on
}

func failed(f *train.Fault) func(*resident) (byte, endFrame) {
	return func(*resident) (byte, endFrame) { return kindFailed, endFrame{Fault: f} }
}

// advance runs on a lane: the first quantum prepares the job, the others train.
func (r *resident) advance(g *gang, stop StopMode) outcome {
	if stop == StopCancel || (stop != "" && r.trainer == nil) {
		return outcome{progress: r.progress, leave: stopped(stop)}
	}
	if r.trainer == nil {
		return r.prepare(g)
	}
	if stop != "" {
		state := r.trainer.State()
		return outcome{progress: r.progress, leave: func(r *resident) (byte, endFrame) {
			g.tellSaved(r, state, r.write(state))
			return stopped(stop)(r)
		}}
	}
	report, err := r.trainer.Run(g.quantum)
	after := outcome{progress: r.standing(report), step: report.Step, epochs: report.Epochs}
	switch {
	case err != nil:
		after.leave = failed(faultOf(err))
	case report.Done:
		after.leave = finish
	case time.Since(r.lastSave).Seconds() >= r.spec.Checkpoint.EverySeconds:
		r.checkpoint(g)
	}
	return after
}

func stopped(mode StopMode) func(*resident) (byte, endFrame) {
	return func(*resident) (byte, endFrame) { return kindStopped, endFrame{Mode: mode} }
}

// prepare composes the model, lays out memory and reads the checkpoint.
func (r *resident) prepare(g *gang) outcome {
	state, err := r.lay(g)
	if err != nil {
		return outcome{leave: failed(faultOf(err))}
	}
	r.lastSave = time.Now()
	var from host.Report
	if state != nil {
		from.Step, from.Epoch = state.Step, state.Epoch
	}
	g.tell(kindStarted, startedFrame{Job: r.job.ID, Step: from.Step})
	return outcome{progress: r.standing(from)}
}

func (r *resident) lay(g *gang) (*train.State, error) {
	model, err := train.Compose(r.spec, &r.data.set.Info)
	if err != nil {
		return nil, fmt.Errorf("compose model: %w", err)
	}
	r.model = model
	state, err := r.readCheckpoint(g)
	if err != nil {
		return nil, err
	}
	r.trainer, err = host.New(host.Config{Spec: r.spec, Model: model, Data: r.data.set, State: state})
	return state, err
}

// readCheckpoint returns nil to start from the beginning. A checkpoint that
// cannot be read costs the work it held, not the job.
func (r *resident) readCheckpoint(g *gang) (*train.State, error) {
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
		g.tell(kindCheckpointed, checkpointedFrame{Job: r.job.ID, Err: fmt.Sprintf(
			"checkpoint is unusable, starting from the beginning: %v", err)})
		return nil, nil
	}
}

// checkpoint copies the job's state now and writes it while the job goes on.
// At most one write is under way: a slow disk makes checkpoints rarer.
func (r *resident) checkpoint(g *gang) {
	if r.saved != nil {
		select {
		case <-r.saved:
		default:
			return
		}
	}
	r.lastSave = time.Now()
	state := r.trainer.State()
	saved := make(chan struct{})
	r.saved = saved
	g.writes.Go(func() {
		defer close(saved)
		g.tellSaved(r, state, r.write(state))
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

func (g *gang) tellSaved(r *resident, state *train.State, err error) {
	frame := checkpointedFrame{Job: r.job.ID, Step: state.Step}
	if err != nil {
		frame.Err = fmt.Sprintf("checkpoint not written: %v", err)
	}
	g.tell(kindCheckpointed, frame)
}

// finish writes the model; only then is the job done.
func finish(r *resident) (byte, endFrame) {
	params, buffers, metrics := r.trainer.Result()
	path := filepath.Join(r.job.Dir, ModelFile)
	if err := train.WriteModel(path, r.spec, &r.data.set.Info, r.model, params, buffers); err != nil {
		return kindFailed, endFrame{Fault: faultOf(err)}
	}
	return kindFinished, endFrame{
		Metrics:   finite(metrics),
		PeakBytes: host.Memory(r.spec, r.model, &r.data.set.Info),
	}
}

// standing is a report in the daemon's words.
func (r *resident) standing(report host.Report) Progress {
	_, steps, epochs := r.spec.Plan(r.data.set.TrainRows)
	return Progress{
		Epoch: report.Epoch, Epochs: epochs,
		Step: report.Step, Steps: steps,
		TrainLoss: finiteOr(report.Loss, 0),
	}
}

// release gives the job's memory and its share of the data set back; it needs
// gang.mu.
func (r *resident) release(g *gang) {
	r.trainer = nil
	r.data.refs--
	if r.data.refs == 0 {
		delete(g.sets, r.data.set.Hash)
		closeArena(r.data.arena)
	}
}

// A sharedSet is a mapped data set and how many residents use it.
type sharedSet struct {
	set   *dataset.Set
	arena *proc.Arena
	refs  int // guarded by gang.mu
}

// share returns the resident set with this content, mapping file if there is
// none yet. It consumes file.
func (g *gang) share(file *os.File) (*sharedSet, error) {
	arena, err := proc.OpenSealed(file)
	if err != nil {
		return nil, fmt.Errorf("map data set: %w", err)
	}
	set, err := dataset.View(arena.Bytes())
	if err != nil {
		closeArena(arena)
		return nil, fmt.Errorf("read data set: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if have := g.sets[set.Hash]; have != nil {
		closeArena(arena)
		have.refs++
		return have, nil
	}
	shared := &sharedSet{set: set, arena: arena, refs: 1}
	g.sets[set.Hash] = shared
	return shared, nil
}

// closeArena unmaps a data set; it fails only for an arena that is no arena.
func closeArena(a *proc.Arena) { _ = a.Close() }

// faultOf puts any error into words for the job's owner.
func faultOf(err error) *train.Fault {
	var fault *train.Fault
	if errors.As(err, &fault) {
		return fault
	}
	var spec *train.SpecError
	if errors.As(err, &spec) && len(spec.Errors) > 0 {
		return &train.Fault{Code: "invalid", Message: spec.Error(), Hint: spec.Errors[0].Hint}
	}
	return &train.Fault{Code: "internal", Message: err.Error()}
}
