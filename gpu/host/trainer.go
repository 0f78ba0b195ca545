package host

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"weft/gpu/train"
	"weft/gpu/train/dataset"
)

// Config is one job.
type Config struct {
	Spec  *train.Spec
	Model *train.Model // Spec.Model composed on Data
	Data  *dataset.Set // only read; may be shared
	State *train.State // to go on from; nil: from scratch, by Spec.Init and Spec.Seed
}

// Trainer is a job under way. It belongs to one goroutine at a time, starts
// none, and allocates only at an epoch's end.
type Trainer struct {
	layout
	bytes int64 // allocated for layout
	spec  *train.Spec
	model *train.Model
	data  *dataset.Set

	stepsPerEpoch, steps int64 // what the specification plans
	orderEpoch           int   // the epoch that order is of; -1: none

	// state is where the job stands. Its vectors are those of the layout;
	// Best is nil until an epoch has been the best.
	state    train.State
	lastLoss float64 // the last epoch's mean, shown until the next has one
	lr       float64 // of the last step
	ended    []EpochReport
	eval     evaluation
	valPart  part
	testPart part
	done     bool
}

// Report is what a call of [Trainer.Run] did and where the job stands.
type Report struct {
	Steps  int64         // optimizer steps of this call
	Step   int64         // optimizer steps of the job so far
	Epoch  int           // epochs of the job that have ended
	Loss   float64       // mean over the rows of the current epoch so far
	Epochs []EpochReport // those that ended in this call
	Done   bool          // Result is final
}

// EpochReport has the metrics of one epoch: train_loss and lr, and with a
// validation part val_loss and either val_accuracy (classification, binary)
// or val_rmse and val_r2 (regression).
type EpochReport struct {
	Epoch   int // from 1
	Step    int64
	Metrics map[string]float64
}

// New lays a job out and gives it its initial or its saved state. Its memory
// is allocated here, as [Memory] counts it. A *train.Fault says what is wrong
// with the job; any other error is ours or the init file's.
func New(c Config) (*Trainer, error) {
	if err := check(c); err != nil {
		return nil, err
	}
	stepsPerEpoch, steps, _ := c.Spec.Plan(c.Data.TrainRows)
	block := newArena(measure(c.Spec, c.Model, &c.Data.Info).used)
	l, err := newLayout(block, c.Spec, c.Model, &c.Data.Info)
	if err != nil {
		return nil, fmt.Errorf("lay out model: %w", err)
	}
	t := &Trainer{
		layout: l, bytes: block.bytes(), spec: c.Spec, model: c.Model, data: c.Data,
		stepsPerEpoch: stepsPerEpoch, steps: steps, orderEpoch: -1,
		state: train.State{Params: l.net.params, Buffers: l.net.buffers, Slots: l.slots},
	}
	t.valPart = newPart("val_", c.Data, c.Data.TrainRows, c.Data.ValRows)
	t.testPart = newPart("test_", c.Data, c.Data.TrainRows+c.Data.ValRows, c.Data.TestRows)
	if c.State != nil {
		err = t.restore(c.State)
	} else {
		err = t.initialize()
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Memory returns the bytes of the one block that [New] allocates for a job:
// parameters, gradients, optimizer state, activations, scratch and the best
// epoch's copy. What the job holds besides is a few kilobytes.
func Memory(spec *train.Spec, model *train.Model, info *dataset.Info) int64 {
	count := measure(spec, model, info)
	return count.bytes()
}

// measure counts what a job's layout takes.
func measure(spec *train.Spec, model *train.Model, info *dataset.Info) arena {
	var count arena
	// A model that cannot be laid out is refused by New.
	_, _ = newLayout(&count, spec, model, info)
	return count
}

// Run trains until budget is used up or the job is done; it ends only between
// steps or evaluation batches and does one of them at least. A *train.Fault
// means that the job cannot go on.
func (t *Trainer) Run(budget time.Duration) (Report, error) {
	t.ended = nil
	first := t.state.Step
	for start := time.Now(); ; {
		if err := t.advance(); err != nil {
			return t.report(first), err
		}
		if t.done || time.Since(start) >= budget {
			return t.report(first), nil
		}
	}
}

// advance does the next step or evaluation batch.
func (t *Trainer) advance() error {
	switch {
	case t.done:
		return nil
	case t.state.Finished:
		return t.test()
	case t.state.EpochEnding:
		return t.validate()
	default:
		return t.step()
	}
}

func (t *Trainer) report(first int64) Report {
	r := Report{
		Steps: t.state.Step - first, Step: t.state.Step, Epoch: t.state.Epoch,
		Loss: t.lastLoss, Epochs: t.ended, Done: t.done,
	}
	if t.state.LossRows > 0 {
		r.Loss = t.state.LossSum / float64(t.state.LossRows)
	}
	return r
}

// State returns a copy of where the job stands. A trainer made from it goes on
// with the same bits; an evaluation that was under way starts over.
func (t *Trainer) State() *train.State {
	s := t.state
	s.Params = slices.Clone(s.Params)
	s.Buffers = slices.Clone(s.Buffers)
	s.Best = slices.Clone(s.Best)
	s.Metrics = maps.Clone(s.Metrics)
	s.Slots = make([][]float32, len(t.state.Slots))
	for i, slot := range t.state.Slots {
		s.Slots[i] = slices.Clone(slot)
	}
	return &s
}

// Result returns copies of the trained parameters and buffers, in the model's
// layout, and their metrics: the last epoch's, or with early stopping the
// best's, and those of the test part if there is one. It is final once Run has
// reported Done.
func (t *Trainer) Result() (params, buffers []float32, metrics map[string]float64) {
	return slices.Clone(t.state.Params), slices.Clone(t.state.Buffers), maps.Clone(t.state.Metrics)
}

// layout is a trainer's memory.
type layout struct {
	net       *network[float32]
	criterion criterion[float32]
	optimizer optimizer
	vector    *vectorKernels // what net and criterion compute with
	slots     [][]float32    // optimizer state, each as long as the parameters
	best      []float32      // parameters, then buffers; nil without early stopping
	order     []int32        // the epoch's rows; nil without shuffling
	x         []float32      // a shuffled batch, as are labels and values
	labels    []int32
	values    []float32
}

func newLayout(a *arena, spec *train.Spec, model *train.Model, info *dataset.Info) (layout, error) {
	var l layout
	// Vectors that the optimizer walks together lie together.
	v := takeVectors[float32](a, model)
	for range spec.Optimizer.Slots() {
		l.slots = append(l.slots, take[float32](a, model.ParamSize))
	}
	if spec.EarlyStopping != nil {
		l.best = take[float32](a, model.ParamSize+model.BufferSize)
	}
	l.vector = newVectorKernels(a, model)
	batch := min(spec.BatchSize, max(info.TrainRows, info.ValRows, info.TestRows))
	if spec.Shuffle {
		l.order = take[int32](a, info.TrainRows)
		l.x = take[float32](a, batch*size(model.Input))
		if spec.Loss == train.CrossEntropy {
			l.labels = take[int32](a, batch)
		} else {
			l.values = take[float32](a, batch*info.TargetWidth)
		}
	}
	var err error
	l.net, err = newNetwork(a, l.vector, model, v, batch, spec.Seed, true)
	l.criterion = criterion[float32]{k: l.vector, loss: spec.Loss, width: size(model.Output)}
	l.optimizer = optimizer{Optimizer: spec.Optimizer, k: l.vector.Kernels, clip: spec.ClipGradNorm}
	return l, err
}
