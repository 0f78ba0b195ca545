package program

import (
	"math"

	"weft/gpu/train"
	"weft/kernels"
)

// This file is kernels/control.cuh in Go: what happens between sections.

// advance runs the section at hand and moves the job on; false: it has ended.
func (m *machine) advance() bool {
	c, s := &m.h.Cursor, &m.h.State
	if c.Doing >= kernels.DoingDone {
		return false
	}
	m.section()
	switch c.Doing {
	case kernels.DoingBegin:
		switch {
		case s.Finished != 0:
			m.beginTest()
		case s.EpochEnding != 0:
			m.endSteps()
		default:
			m.beginEpoch()
		}
	case kernels.DoingShuffle:
		m.beginBatch()
	case kernels.DoingTrain:
		m.endBatch()
	case kernels.DoingValidate, kernels.DoingTest:
		m.endEvaluationBatch()
	case kernels.DoingKeep:
		if m.h.Stops != 0 {
			m.finish()
		} else {
			m.beginEpoch()
		}
	case kernels.DoingTake:
		m.beginTest()
	default:
		m.Fatalf("advance: %v", c.Doing)
	}
	return c.Doing < kernels.DoingDone
}

// rests is may_rest.
func (m *machine) rests() bool {
	return m.h.Cursor.Doing != kernels.DoingKeep && m.h.Cursor.Doing != kernels.DoingTake
}

func (m *machine) run() {
	for m.advance() {
	}
}

func (m *machine) schedule() train.Schedule {
	s := &m.h.Schedule
	return train.Schedule{
		Name:        [...]train.ScheduleName{train.Constant, train.Cosine, train.StepLR, train.LinearLR, train.OneCycle}[s.Kind],
		WarmupSteps: s.WarmupSteps, MinLR: s.MinLR, StepEpochs: int(s.StepEpochs), Gamma: s.Gamma,
		PctStart: s.PctStart, DivFactor: s.DivFactor, FinalDiv: s.FinalDiv,
	}
}

func (m *machine) beginBatch() {
	h := m.h
	c, s := &h.Cursor, &h.State
	c.Doing = kernels.DoingTrain
	c.First = s.EpochStep * int64(h.BatchSize)
	c.Rows = int32(min(int64(h.BatchSize), h.TrainRows-c.First))
	s.LR = m.schedule().LR(h.Optimizer.LR, s.Step, h.Steps, h.StepsPerEpoch)
	h.Hyper.GradScale = 1
}

func (m *machine) beginEpoch() {
	if m.h.Order != 0 {
		m.h.Cursor.Doing = kernels.DoingShuffle
	} else {
		m.beginBatch()
	}
}

func (m *machine) part() *kernels.Part {
	if m.h.Cursor.Doing == kernels.DoingTest {
		return &m.h.Test
	}
	return &m.h.Validation
}

func (m *machine) beginEvaluationBatch() {
	c, p := &m.h.Cursor, m.part()
	c.First = p.First + c.Next
	c.Rows = int32(min(int64(m.h.EvalRows), p.Rows-c.Next))
}

func (m *machine) beginEvaluation(doing kernels.Doing) {
	m.h.Cursor.Doing, m.h.Cursor.Next = doing, 0
	m.h.Evaluation = kernels.Evaluation{}
	if m.h.Squares != 0 {
		clear(at[float64](m, m.h.Squares, int(m.h.Width)))
	}
	m.beginEvaluationBatch()
}

func (m *machine) measure(p *kernels.Part, to *[kernels.Metrics]float64) {
	rows, width := float64(p.Rows), float64(m.h.Width)
	to[kernels.MetricPartLoss] = m.h.Evaluation.Loss / rows
	switch m.h.Task {
	case kernels.LossCrossEntropy:
		to[kernels.MetricAccuracy] = float64(m.h.Evaluation.Right) / rows
	case kernels.LossBCEWithLogits:
		to[kernels.MetricAccuracy] = float64(m.h.Evaluation.Right) / (rows * width)
	default:
		var sum, r2 float64
		spread := at[float64](m, p.Spread, int(m.h.Width))
		for i, s := range at[float64](m, m.h.Squares, int(m.h.Width)) {
			sum += s
			switch {
			case spread[i] != 0:
				r2 += 1 - s/spread[i]
			case s == 0:
				r2++
			}
		}
		to[kernels.MetricRMSE] = math.Sqrt(sum / (rows * width))
		to[kernels.MetricR2] = r2 / width
	}
}

func (m *machine) beginTest() {
	m.h.State.Finished = 1
	if m.h.Test.Rows > 0 {
		m.beginEvaluation(kernels.DoingTest)
	} else {
		m.h.Cursor.Doing = kernels.DoingDone
	}
}

func (m *machine) finish() {
	if m.h.State.HasBest != 0 {
		m.h.Cursor.Doing = kernels.DoingTake
	} else {
		m.beginTest()
	}
}

func (m *machine) fail(loss float64) {
	m.status.Fault, m.status.Found = loss, m.h.Cursor.Doing
	m.status.Doing, m.status.Step, m.status.Epoch = kernels.DoingFault, m.h.State.Step, m.h.State.Epoch
	m.h.Cursor.Doing = kernels.DoingFault
}

func finite(v float64) bool { return v-v == 0 }

func unmeasured() (a [kernels.Metrics]float64) {
	for i := range a {
		a[i] = math.NaN()
	}
	return a
}

func (m *machine) endEpoch() {
	h := m.h
	s, measured := &h.State, unmeasured()
	measured[kernels.MetricTrainLoss] = s.LossSum / float64(s.LossRows)
	measured[kernels.MetricLR] = s.LR
	if h.Validation.Rows > 0 {
		m.measure(&h.Validation, &measured)
		if loss := measured[kernels.MetricPartLoss]; !finite(loss) {
			m.fail(loss)
			return
		}
	}
	s.Epoch++
	s.EpochStep, s.LossSum, s.LossRows, s.EpochEnding = 0, 0, 0, 0
	m.reports = append(m.reports, kernels.Report{Epoch: s.Epoch, Step: s.Step, Metrics: measured})
	last := s.Step == h.Steps
	if h.EarlyMetric != kernels.MetricNone {
		value := measured[h.EarlyMetric]
		better := value < s.BestMetric-h.MinDelta
		if h.EarlyRises != 0 {
			better = value > s.BestMetric+h.MinDelta
		}
		if s.HasBest != 0 && !better {
			s.BadEpochs++
			if last || s.BadEpochs >= h.Patience {
				m.finish()
			} else {
				m.beginEpoch()
			}
			return
		}
		s.HasBest, s.BestEpoch, s.BestMetric, s.BadEpochs = 1, s.Epoch, value, 0
	}
	s.Metrics = measured
	switch {
	case s.HasBest != 0:
		h.Stops = truth(last)
		h.Cursor.Doing = kernels.DoingKeep
	case last:
		m.finish()
	default:
		m.beginEpoch()
	}
}

func (m *machine) endSteps() {
	if m.h.Validation.Rows > 0 {
		m.beginEvaluation(kernels.DoingValidate)
	} else {
		m.endEpoch()
	}
}

func (m *machine) endBatch() {
	h := m.h
	s, loss := &h.State, h.Batch.Loss
	if !finite(loss) {
		m.fail(loss)
		return
	}
	s.LossSum += loss * float64(h.Cursor.Rows)
	s.LossRows += int64(h.Cursor.Rows)
	s.Step++
	s.EpochStep++
	s.EpochEnding = truth(s.EpochStep == h.StepsPerEpoch || s.Step == h.Steps)
	if s.EpochEnding != 0 {
		m.endSteps()
	} else {
		m.beginBatch()
	}
}

func (m *machine) endEvaluationBatch() {
	h := m.h
	c, p := &h.Cursor, m.part()
	h.Evaluation.Loss += h.Batch.Loss * float64(c.Rows)
	h.Evaluation.Right += h.Batch.Right
	c.Next += int64(c.Rows)
	switch {
	case c.Next < p.Rows:
		m.beginEvaluationBatch()
	case c.Doing == kernels.DoingValidate:
		m.endEpoch()
	default:
		h.State.Test = unmeasured()
		m.measure(p, &h.State.Test)
		c.Doing = kernels.DoingDone
	}
}
