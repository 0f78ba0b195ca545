package program

import (
	"fmt"
	"unsafe"

	"weft/gpu/train"
	"weft/gpu/train/dataset"
	"weft/kernels"
)

// Program is a job compiled for the device. It is immutable.
type Program struct {
	Bytes     int64 // device memory of the job, in one block; the data set is not counted
	InitBytes int64 // the block's first part, which the host lays down: Encode and PutState
	// StateOffset and StateBytes are the part of the block that a snapshot
	// copies. It starts with the kernels.Job, so that a job's address is its
	// block's plus StateOffset.
	StateOffset, StateBytes int64

	Phases    [kernels.Doings]int // of each section: the launches that it takes where each does one phase
	Tiles     int                 // blocks that the busiest phase of a step keeps busy; an estimate
	StepFlops int64               // floating-point operations of a step's matrix products
	EvalRows  int                 // rows of an evaluation batch

	spec  *train.Spec
	model *train.Model
	info  *dataset.Info

	layout
	known    regions
	params   vector
	buffers  vector
	ops      []kernels.Op // with symbolic pointers
	phases   []kernels.Phase
	sections [kernels.Doings]kernels.Section

	stepsPerEpoch, steps int64
}

// regions are the pieces that more than one file speaks of; null where a job
// has none.
type regions struct {
	job, params, buffers, best       region
	slots                            []region
	ops, phases, zeros               region
	validationSpread, testSpread     region
	grads, order, squares            region
	loss, right, evalLoss, evalRight region
}

// Compile turns a job into a program. A *train.Fault says why a job cannot run
// on the device.
func Compile(spec *train.Spec, model *train.Model, info *dataset.Info) (*Program, error) {
	if err := refuse(spec, info); err != nil {
		return nil, err
	}
	c := newCompiler(spec, model, info)
	c.sectionsInOrder()
	if c.fault != nil {
		return nil, c.fault
	}
	return c.finish(), nil
}

// Memory returns the bytes of device memory that a job takes beside its data
// set, exactly.
func Memory(spec *train.Spec, model *train.Model, info *dataset.Info) (int64, error) {
	p, err := Compile(spec, model, info)
	if err != nil {
		return 0, fmt.Errorf("measure job: %w", err)
	}
	return p.Bytes, nil
}

// compiler is a program in the making.
type compiler struct {
	*Program
	fault *train.Fault // the first thing that does not fit

	rows    int64        // of a training batch, at most
	joining []kernels.Op // operations that the next phase takes along
}

func newCompiler(spec *train.Spec, model *train.Model, info *dataset.Info) *compiler {
	p := &Program{spec: spec, model: model, info: info, layout: newLayout()}
	p.stepsPerEpoch, p.steps, _ = spec.Plan(info.TrainRows)
	p.params, p.buffers = newVector(model.Params), newVector(model.Buffers)
	c := &compiler{Program: p, rows: int64(min(spec.BatchSize, info.TrainRows))}

	k := &p.known
	k.job = p.add("job", inState, int64(unsafe.Sizeof(kernels.Job{})))
	k.params = p.add("params", inState, p.params.bytes)
	for i := range spec.Optimizer.Slots() {
		k.slots = append(k.slots, p.add(fmt.Sprintf("slot%d", i), inState, p.params.bytes))
	}
	k.buffers = p.add("buffers", inState, p.buffers.bytes)
	if spec.EarlyStopping != nil {
		k.best = p.add("best", inState, p.params.bytes+p.buffers.bytes)
	}
	k.ops = p.add("ops", inImage, 0)
	k.phases = p.add("phases", inImage, 0)
	k.zeros = p.add("zeros", inImage, alignment)
	k.grads = p.add("grads", lasting, p.params.bytes)
	if spec.Shuffle {
		k.order = p.add("order", lasting, int64(info.TrainRows)*sizeInt)
	}
	if spec.Loss.Task() == dataset.Regression && info.ValRows+info.TestRows > 0 {
		bytes := int64(outputs(model)) * sizeDouble
		k.squares = p.add("squares", lasting, bytes)
		if info.ValRows > 0 {
			k.validationSpread = p.add("validation.spread", inImage, bytes)
		}
		if info.TestRows > 0 {
			k.testSpread = p.add("test.spread", inImage, bytes)
		}
	}
	c.fits("parameters", -1, p.params.elements()+p.buffers.elements())
	return c
}

// finish places everything and counts.
func (c *compiler) finish() *Program {
	p := c.Program
	p.grow(p.known.ops, int64(len(p.ops))*int64(unsafe.Sizeof(kernels.Op{})))
	p.grow(p.known.phases, int64(len(p.phases))*int64(unsafe.Sizeof(kernels.Phase{})))
	ends := p.put()
	p.StateOffset, p.StateBytes = 0, ends[inState]
	p.InitBytes = ends[inImage]
	p.Bytes = max(ends[training], ends[evaluating])
	for d, s := range p.sections {
		p.Phases[d] = int(s.Count)
	}
	p.Tiles = p.usefulBlocks(c.rows)
	return p
}

// section compiles one section; emit adds its phases.
func (c *compiler) section(emit func(), doings ...kernels.Doing) {
	first := len(c.phases)
	emit()
	c.flush()
	if len(c.phases) == first {
		c.phase()
	}
	s := kernels.Section{First: uint32(first), Count: uint32(len(c.phases) - first)}
	for _, d := range doings {
		c.sections[d] = s
	}
}

// phase adds a phase of ops, and of those that were to join it.
func (c *compiler) phase(ops ...kernels.Op) {
	first := len(c.ops)
	c.ops = append(append(c.ops, ops...), c.joining...)
	c.joining = c.joining[:0]
	c.phases = append(c.phases, kernels.Phase{First: uint32(first), Count: uint32(len(c.ops) - first)})
}

// later puts an operation into the next phase: what it reads is there after
// this one, and nothing else waits for it.
func (c *compiler) later(op kernels.Op) { c.joining = append(c.joining, op) }

// flush makes a phase of what had none to join.
func (c *compiler) flush() {
	if len(c.joining) > 0 {
		c.phase()
	}
}

// param returns a stage's i-th parameter, 0 where it has none; grad returns the
// place of its gradient.
func (c *compiler) param(s *train.Stage, i int) kernels.Ptr { return c.tensor(c.known.params, s, i) }
func (c *compiler) grad(s *train.Stage, i int) kernels.Ptr  { return c.tensor(c.known.grads, s, i) }

func (c *compiler) tensor(in region, s *train.Stage, i int) kernels.Ptr {
	if i >= len(s.Params) {
		return 0
	}
	return in.ptr(c.params.at[s.Params[i]])
}

func (c *compiler) buffer(s *train.Stage, i int) kernels.Ptr {
	return c.known.buffers.ptr(c.buffers.at[s.Buffers[i]])
}

func outputs(m *train.Model) int {
	n := 1
	for _, d := range m.Output {
		n *= d
	}
	return n
}
