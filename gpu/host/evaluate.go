package host

import (
	"maps"
	"math"

	"weft/gpu/train"
	"weft/gpu/train/dataset"
)

// part is a contiguous share of the data set that is evaluated.
type part struct {
	prefix      string // of its metrics' names: "val_" or "test_"
	first, rows int
	spread      []float64 // per target column, Σ(t-mean)²: what R² divides by; nil unless regression
}

func newPart(prefix string, data *dataset.Set, first, rows int) part {
	p := part{prefix: prefix, first: first, rows: rows}
	if data.Task != string(dataset.Regression) || rows == 0 {
		return p
	}
	w := data.TargetWidth
	values := data.Targets[first*w : (first+rows)*w]
	mean := make([]float64, w)
	for i, v := range values {
		mean[i%w] += float64(v) / float64(rows)
	}
	p.spread = make([]float64, w)
	for i, v := range values {
		d := float64(v) - mean[i%w]
		p.spread[i%w] += d * d
	}
	return p
}

// evaluation is a sweep over a part, batch by batch, in evaluation mode. The
// zero value is one that has not begun. It is no part of the job's state.
type evaluation struct {
	next    int // rows done
	loss    float64
	correct int64     // classification and binary: outputs that were right
	squares []float64 // regression: per column, Σ(z-t)²
}

// evaluateBatch takes the next batch of p and reports whether it was the last.
func (t *Trainer) evaluateBatch(p *part) bool {
	e := &t.eval
	if p.rows == 0 {
		return true
	}
	if e.next == 0 {
		*e = evaluation{squares: make([]float64, len(p.spread))}
	}
	rows := min(t.spec.BatchSize, p.rows-e.next)
	x, want := t.slice(p.first+e.next, rows)
	z := t.net.forward(pass{rows: rows}, x)
	e.loss += t.criterion.apply(z, want, t.net.outputGradient()) * float64(rows)
	switch t.data.Task {
	case string(dataset.Classification):
		e.correct += countLabels(z, want.labels)
	case string(dataset.Binary):
		e.correct += countSigns(z, want.values)
	default:
		for i, v := range z {
			d := float64(v) - float64(want.values[i])
			e.squares[i%len(e.squares)] += d * d
		}
	}
	e.next += rows
	return e.next == p.rows
}

// metrics adds a finished evaluation's metrics to m and forgets it.
func (t *Trainer) metrics(p *part, m map[string]float64) {
	if p.rows == 0 {
		return
	}
	e := t.eval
	t.eval = evaluation{}
	rows := float64(p.rows)
	m[p.prefix+"loss"] = e.loss / rows
	switch t.data.Task {
	case string(dataset.Classification):
		m[p.prefix+"accuracy"] = float64(e.correct) / rows
	case string(dataset.Binary):
		m[p.prefix+"accuracy"] = float64(e.correct) / (rows * float64(t.criterion.width))
	default:
		var sum float64
		for _, s := range e.squares {
			sum += s
		}
		m[p.prefix+"rmse"] = math.Sqrt(sum / (rows * float64(len(e.squares))))
		m[p.prefix+"r2"] = r2(e.squares, p.spread)
	}
}

// r2 is the coefficient of determination, 1 - Σ(z-t)²/Σ(t-mean)², averaged
// over the columns; as in scikit-learn, a constant column counts 1 where it is
// met exactly and else 0.
func r2(squares, spread []float64) float64 {
	var sum float64
	for i, s := range squares {
		switch {
		case spread[i] != 0:
			sum += 1 - s/spread[i]
		case s == 0:
			sum++
		}
	}
	return sum / float64(len(squares))
}

// countLabels counts the rows whose greatest output, the first of equals, is
// the label's.
func countLabels(z []float32, labels []int32) (n int64) {
	width := len(z) / len(labels)
	for r, label := range labels {
		row, top := z[r*width:(r+1)*width], 0
		for i, v := range row {
			if v > row[top] {
				top = i
			}
		}
		if top == int(label) {
			n++
		}
	}
	return n
}

// countSigns counts the outputs that are positive where the target is one
// half at least, and only there.
func countSigns(z, want []float32) (n int64) {
	for i, v := range z {
		if (v > 0) == (want[i] >= 0.5) {
			n++
		}
	}
	return n
}

// validate takes the next validation batch and ends the epoch after the last.
func (t *Trainer) validate() error {
	if !t.evaluateBatch(&t.valPart) {
		return nil
	}
	s := &t.state
	t.lastLoss = s.LossSum / float64(s.LossRows)
	m := map[string]float64{"train_loss": t.lastLoss, "lr": t.lr}
	t.metrics(&t.valPart, m)
	if loss, ok := m["val_loss"]; ok && (math.IsNaN(loss) || math.IsInf(loss, 0)) {
		return t.lossFault("val_loss", loss, s.Step)
	}
	s.Epoch++
	s.EpochStep, s.LossSum, s.LossRows, s.EpochEnding = 0, 0, 0, false
	t.ended = append(t.ended, EpochReport{Epoch: s.Epoch, Step: s.Step, Metrics: m})
	stop := t.keepBest(m)
	if stop || s.Step == t.steps {
		t.finish()
	}
	return nil
}

// keepBest copies the model if the epoch was the best so far and reports
// whether patience has run out. Without early stopping the last is the best.
func (t *Trainer) keepBest(m map[string]float64) (stop bool) {
	s, e := &t.state, t.spec.EarlyStopping
	if e == nil {
		s.Metrics = maps.Clone(m)
		return false
	}
	value := m[e.Metric]
	better := value < s.BestMetric-e.MinDelta
	if e.Metric == "val_accuracy" || e.Metric == "val_r2" {
		better = value > s.BestMetric+e.MinDelta
	}
	if s.Best != nil && !better {
		s.BadEpochs++
		return s.BadEpochs >= e.Patience
	}
	n := copy(t.best, s.Params)
	copy(t.best[n:], s.Buffers)
	s.Best, s.BestEpoch, s.BestMetric, s.BadEpochs = t.best, s.Epoch, value, 0
	s.Metrics = maps.Clone(m)
	return false
}

// finish ends training, with the best epoch's model where one was kept.
func (t *Trainer) finish() {
	s := &t.state
	if s.Best != nil {
		n := copy(s.Params, s.Best)
		copy(s.Buffers, s.Best[n:])
	}
	s.Finished = true
}

// test takes the next test batch; after the last the job is done.
func (t *Trainer) test() error {
	if !t.evaluateBatch(&t.testPart) {
		return nil
	}
	t.metrics(&t.testPart, t.state.Metrics)
	t.done = true
	return nil
}

// hasMetric reports whether epochs will have a metric of that name.
func hasMetric(name string, loss train.Loss, validates bool) bool {
	if name == "train_loss" {
		return true
	}
	if !validates {
		return false
	}
	regresses := loss.Task() == dataset.Regression
	switch name {
	case "val_loss":
		return true
	case "val_accuracy":
		return !regresses
	case "val_rmse", "val_r2":
		return regresses
	}
	return false
}
