package program

import (
	"fmt"
	"slices"
	"unsafe"

	"weft/gpu/train"
	"weft/gpu/train/safetensors"
	"weft/kernels"
)

// dynamicPart is where kernels.Job's fixed part ends.
const dynamicPart = int64(unsafe.Offsetof(kernels.Job{}.State))

// Initial returns the state that a job begins with: parameters from its seed,
// or from the file that it names.
func (p *Program) Initial() (*train.State, error) {
	s := &train.State{Params: make([]float32, p.model.ParamSize), Buffers: make([]float32, p.model.BufferSize)}
	for range p.known.slots {
		s.Slots = append(s.Slots, make([]float32, p.model.ParamSize))
	}
	p.model.InitParams(p.spec.Seed, s.Params, s.Buffers)
	from := p.spec.Init.From
	if from == "" {
		return s, nil
	}
	f, err := safetensors.Open(from)
	if err != nil {
		return nil, fmt.Errorf("open init file %s: %w", from, err)
	}
	defer f.Close()
	if err := p.model.InitFrom(f, s.Params, s.Buffers); err != nil {
		return nil, fmt.Errorf("read init file %s: %w", from, err)
	}
	return s, nil
}

// PutState writes where a job stands to dst, its memory from StateOffset on, of
// which StateBytes are the state's. The fixed part that [Program.Encode] writes
// there is left alone. The job will go on from s with the bits of one that never
// stopped; an evaluation that was under way starts over.
func (p *Program) PutState(dst []byte, s *train.State) error {
	if int64(len(dst)) < p.StateBytes {
		return fmt.Errorf("restore state: room for %d bytes, it has %d", len(dst), p.StateBytes)
	}
	if err := p.checkState(s); err != nil {
		return fmt.Errorf("restore state: %w", err)
	}
	job := kernels.Job{
		State: kernels.State{
			Step: s.Step, Epoch: int64(s.Epoch), EpochStep: s.EpochStep, LossSum: s.LossSum, LossRows: s.LossRows,
			BestEpoch: int64(s.BestEpoch), BadEpochs: int64(s.BadEpochs), BestMetric: s.BestMetric,
			HasBest: truth(s.Best != nil), EpochEnding: truth(s.EpochEnding), Finished: truth(s.Finished),
		},
		Cursor: kernels.Cursor{Doing: kernels.DoingBegin},
	}
	if err := putMetrics(&job.State, s.Metrics); err != nil {
		return fmt.Errorf("restore state: %w", err)
	}
	if s.Step > 0 {
		job.State.LR = p.spec.Schedule.LR(p.spec.Optimizer.LR, s.Step-1, p.steps, p.stepsPerEpoch)
	}
	copy(p.state(dst, p.known.job)[dynamicPart:], kernels.Bytes(&job)[dynamicPart:])
	p.params.write(p.state(dst, p.known.params), s.Params)
	for i, slot := range p.known.slots {
		p.params.write(p.state(dst, slot), s.Slots[i])
	}
	p.buffers.write(p.state(dst, p.known.buffers), s.Buffers)
	if p.known.best != null {
		params, buffers := p.best(dst)
		if s.Best == nil {
			p.params.write(params, nil)
			p.buffers.write(buffers, nil)
		} else {
			p.params.write(params, s.Best[:p.model.ParamSize])
			p.buffers.write(buffers, s.Best[p.model.ParamSize:])
		}
	}
	return nil
}

// State is PutState's inverse: where the job stands whose StateBytes were
// copied to src between two quanta.
func (p *Program) State(src []byte) (*train.State, error) {
	if int64(len(src)) != p.StateBytes {
		return nil, fmt.Errorf("read state: it has %d bytes, not %d", len(src), p.StateBytes)
	}
	var job kernels.Job
	copy(kernels.Bytes(&job), p.state(src, p.known.job))
	d, c := &job.State, &job.Cursor
	// control.cuh's may_rest: at all other places the vectors do not belong to
	// the counters yet.
	if c.Phase != 0 || c.Doing == kernels.DoingKeep || c.Doing == kernels.DoingTake {
		return nil, fmt.Errorf("read state: the job is in phase %d of %s, where no quantum ends", c.Phase, c.Doing)
	}
	s := &train.State{
		Params: make([]float32, p.model.ParamSize), Slots: make([][]float32, len(p.known.slots)),
		Epoch: int(d.Epoch), Step: d.Step, EpochStep: d.EpochStep, LossSum: d.LossSum, LossRows: d.LossRows,
		BestEpoch: int(d.BestEpoch), BestMetric: d.BestMetric, BadEpochs: int(d.BadEpochs),
		EpochEnding: d.EpochEnding != 0, Finished: d.Finished != 0, Metrics: p.Final(&job),
	}
	p.params.read(s.Params, p.state(src, p.known.params))
	for i, slot := range p.known.slots {
		s.Slots[i] = make([]float32, p.model.ParamSize)
		p.params.read(s.Slots[i], p.state(src, slot))
	}
	if p.model.BufferSize > 0 {
		s.Buffers = make([]float32, p.model.BufferSize)
		p.buffers.read(s.Buffers, p.state(src, p.known.buffers))
	}
	if d.HasBest != 0 && p.known.best != null {
		params, buffers := p.best(src)
		s.Best = make([]float32, p.model.ParamSize+p.model.BufferSize)
		p.params.read(s.Best[:p.model.ParamSize], params)
		p.buffers.read(s.Best[p.model.ParamSize:], buffers)
	}
	return s, nil
}

// state returns a piece's bytes in memory from StateOffset.
func (p *Program) state(of []byte, r region) []byte {
	at := p.pieces[r].at - p.StateOffset
	return of[at : at+p.pieces[r].bytes]
}

// best returns the best epoch's parameters and buffers.
func (p *Program) best(of []byte) (params, buffers []byte) {
	b := p.state(of, p.known.best)
	return b[:p.params.bytes], b[p.params.bytes:]
}

// checkState refuses a state that is not this job's.
func (p *Program) checkState(s *train.State) error {
	best := p.model.ParamSize + p.model.BufferSize
	if p.known.best == null {
		best = 0
	}
	type size struct {
		what      string
		got, want int
	}
	sizes := []size{
		{"parameters", len(s.Params), p.model.ParamSize},
		{"buffers", len(s.Buffers), p.model.BufferSize},
		{"optimizer slots", len(s.Slots), len(p.known.slots)},
	}
	if s.Best != nil {
		sizes = append(sizes, size{"numbers of the best epoch", len(s.Best), best})
	}
	for _, z := range sizes {
		if z.got != z.want {
			return fmt.Errorf("it has %d %s, the job has %d", z.got, z.what, z.want)
		}
	}
	if i := slices.IndexFunc(s.Slots, func(v []float32) bool { return len(v) != p.model.ParamSize }); i >= 0 {
		return fmt.Errorf("optimizer slot %d has %d numbers, not %d", i, len(s.Slots[i]), p.model.ParamSize)
	}
	if !p.reachable(s) {
		return fmt.Errorf("step %d, %d of its epoch, is no place in a job of %d steps, %d an epoch",
			s.Step, s.EpochStep, p.steps, p.stepsPerEpoch)
	}
	return nil
}

// reachable reports whether training can go on from where the state stands.
func (p *Program) reachable(s *train.State) bool {
	switch {
	case s.Step < 0 || s.Step > p.steps || s.EpochStep < 0 || s.EpochStep > p.stepsPerEpoch || s.Epoch < 0:
		return false
	case s.Finished || s.EpochEnding:
		return true
	}
	return s.Step < p.steps && s.EpochStep < p.stepsPerEpoch
}
