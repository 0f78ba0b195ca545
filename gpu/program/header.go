package program

import (
	"fmt"

	"weft/gpu/train"
	"weft/gpu/train/dataset"
	"weft/kernels"
)

// DataPtrs is where a data set lies on the device, and what of its numbers the
// job's own memory wants.
type DataPtrs struct {
	X       kernels.Ptr // (Rows, prod(Shape)) float32
	Labels  kernels.Ptr // (Rows) int32; 0 where the set has none
	Targets kernels.Ptr // (Rows, TargetWidth) float32; 0 where the set has none

	Spreads Spreads
}

// Spreads are what R² divides by: Σ(t-mean)² of each target column over a part;
// nil unless regression. They belong to the data set: see [SpreadsOf].
type Spreads struct{ Validation, Test []float64 }

// SpreadsOf measures a data set's targets.
func SpreadsOf(set *dataset.Set) Spreads {
	return Spreads{
		Validation: spread(set, set.TrainRows, set.ValRows),
		Test:       spread(set, set.TrainRows+set.ValRows, set.TestRows),
	}
}

func spread(set *dataset.Set, first, rows int) []float64 {
	if set.Task != string(dataset.Regression) || rows == 0 {
		return nil
	}
	w := set.TargetWidth
	values := set.Targets[first*w : (first+rows)*w]
	mean := make([]float64, w)
	for i, v := range values {
		mean[i%w] += float64(v) / float64(rows)
	}
	spread := make([]float64, w)
	for i, v := range values {
		d := float64(v) - mean[i%w]
		spread[i%w] += d * d
	}
	return spread
}

// Encode writes all that never changes of the first InitBytes of a job's memory
// to dst: the job's fixed part and its operations, with pointers for a block
// at base and a kernels.Status that the device sees at status. What is left
// out, the state, [Program.PutState] writes.
func (p *Program) Encode(dst []byte, base kernels.Ptr, data DataPtrs, status kernels.Ptr) error {
	if int64(len(dst)) != p.InitBytes {
		return fmt.Errorf("encode program: room for %d bytes, it has %d", len(dst), p.InitBytes)
	}
	if base%alignment != 0 {
		return fmt.Errorf("encode program: memory at %#x is not aligned to %d bytes", base, alignment)
	}
	r := resolver{p: p, base: base, data: data}
	job := p.header(&r, status)
	copy(p.part(dst, p.known.job)[:dynamicPart], kernels.Bytes(&job))
	clear(dst[p.StateOffset+p.StateBytes:])
	ops := make([]kernels.Op, len(p.ops))
	for i, op := range p.ops {
		r.op(&op)
		ops[i] = op
	}
	copy(p.part(dst, p.known.ops), raw(ops))
	copy(p.part(dst, p.known.phases), raw(p.phases))
	for _, s := range []struct {
		to   region
		from []float64
		what string
	}{{p.known.validationSpread, data.Spreads.Validation, "validation"}, {p.known.testSpread, data.Spreads.Test, "test"}} {
		if s.to == null {
			continue
		}
		if len(s.from) != outputs(p.model) {
			return fmt.Errorf("encode program: %d spreads of the %s targets, the model has %d outputs",
				len(s.from), s.what, outputs(p.model))
		}
		copy(p.part(dst, s.to), raw(s.from))
	}
	if r.missing != null {
		return fmt.Errorf("encode program: the job needs %s, which the data does not have", p.pieces[r.missing].name)
	}
	return nil
}

// part returns a piece's bytes in memory from the block's start.
func (p *Program) part(block []byte, r region) []byte {
	at := p.pieces[r].at
	return block[at : at+p.pieces[r].bytes]
}

// header is the job's fixed part.
func (p *Program) header(r *resolver, status kernels.Ptr) kernels.Job {
	k, spec := &p.known, p.spec
	j := kernels.Job{
		Ops: r.region(k.ops), Phases: r.region(k.phases), Sections: p.sections,
		Order: r.region(k.order), Status: status, Squares: r.region(k.squares), Seed: spec.Seed,
		Steps: p.steps, StepsPerEpoch: p.stepsPerEpoch, TrainRows: int64(p.info.TrainRows),
		BatchSize: int32(min(spec.BatchSize, p.info.TrainRows)), EvalRows: int32(p.EvalRows),
		Width: int32(outputs(p.model)), Task: lossKind[spec.Loss],
		Validation: kernels.Part{
			First: int64(p.info.TrainRows), Rows: int64(p.info.ValRows), Spread: r.region(k.validationSpread),
		},
		Test: kernels.Part{
			First: int64(p.info.TrainRows + p.info.ValRows), Rows: int64(p.info.TestRows), Spread: r.region(k.testSpread),
		},
		Optimizer: optimizerSpec(spec), Schedule: scheduleSpec(&spec.Schedule),
		EarlyMetric: kernels.MetricNone,
	}
	if e := spec.EarlyStopping; e != nil {
		m := partMetrics[e.Metric]
		j.EarlyMetric, j.EarlyRises = m.id, truth(m.rises)
		j.Patience, j.MinDelta = int64(e.Patience), e.MinDelta
	}
	return j
}

func optimizerSpec(s *train.Spec) kernels.OptimizerSpec {
	o := &s.Optimizer
	return kernels.OptimizerSpec{
		LR: o.LR, Beta1: o.Betas[0], Beta2: o.Betas[1], Eps: o.Eps, WeightDecay: o.WeightDecay,
		Momentum: o.Momentum, Dampening: o.Dampening, Alpha: o.Alpha,
		Kind: optimizerKind[o.Name], Nesterov: truth(o.Nesterov), Centered: truth(o.Centered),
		Clips: truth(s.ClipGradNorm > 0),
	}
}

func scheduleSpec(s *train.Schedule) kernels.ScheduleSpec {
	return kernels.ScheduleSpec{
		MinLR: s.MinLR, Gamma: s.Gamma, PctStart: s.PctStart, DivFactor: s.DivFactor, FinalDiv: s.FinalDiv,
		WarmupSteps: s.WarmupSteps, StepEpochs: int64(s.StepEpochs), Kind: scheduleKind[s.Name],
	}
}

func truth(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

// resolver makes addresses of symbolic pointers.
type resolver struct {
	p       *Program
	base    kernels.Ptr
	data    DataPtrs
	missing region // a data region that is wanted and not there
}

func (r *resolver) region(of region) kernels.Ptr { return r.pointer(of.ptr(0)) }

func (r *resolver) pointer(symbolic kernels.Ptr) kernels.Ptr {
	of, offset := split(symbolic)
	start := r.base + kernels.Ptr(r.p.pieces[of].at)
	switch of {
	case null:
		return 0
	case dataX:
		start = r.data.X
	case dataLabels:
		start = r.data.Labels
	case dataTargets:
		start = r.data.Targets
	}
	if start == 0 {
		r.missing = of
	}
	return start + kernels.Ptr(offset)
}

// op resolves an operation's pointers.
func (r *resolver) op(op *kernels.Op) {
	for i := range forms[op.Kind].pointers {
		op.Args[i] = r.pointer(op.Args[i])
	}
}
