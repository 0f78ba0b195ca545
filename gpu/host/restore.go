package host

import (
	"fmt"
	"maps"

	"weft/gpu/train"
	"weft/gpu/train/safetensors"
)

// check refuses a data set that does not go with the model, before a row of it
// could reach beyond the model's memory, and what Compose cannot know.
func check(c Config) error {
	d, s := c.Data, c.Spec
	in, outputs := size(c.Model.Input), size(c.Model.Output)
	if len(d.X) != d.Rows*in || d.TrainRows+d.ValRows+d.TestRows > d.Rows {
		return fmt.Errorf("check data: %d numbers are not %d rows of %d", len(d.X), d.Rows, in)
	}
	if s.Loss != train.CrossEntropy {
		if d.TargetWidth != outputs || len(d.Targets) != d.Rows*outputs {
			return fmt.Errorf("check data: %d targets are not %d rows of %d", len(d.Targets), d.Rows, outputs)
		}
	} else {
		if len(d.Labels) != d.Rows {
			return fmt.Errorf("check data: %d labels for %d rows", len(d.Labels), d.Rows)
		}
		for row, label := range d.Labels {
			if label < 0 || int(label) >= outputs {
				return fmt.Errorf("check data: label %d in row %d, the model has %d outputs", label, row, outputs)
			}
		}
	}
	if perEpoch, steps, _ := s.Plan(d.TrainRows); perEpoch <= 0 || steps <= 0 {
		return fmt.Errorf("check data: %d training rows make no batch of %d", d.TrainRows, s.BatchSize)
	}
	if e := s.EarlyStopping; e != nil && !hasMetric(e.Metric, s.Loss, d.ValRows > 0) {
		return &train.Fault{
			Code:    "invalid",
			Message: fmt.Sprintf("early stopping watches %s, which a job with loss %s does not measure", e.Metric, s.Loss),
			Hint:    "set early_stopping.metric: val_loss, or train_loss without validation rows",
		}
	}
	return nil
}

// initialize gives the job its first parameters.
func (t *Trainer) initialize() error {
	t.model.InitParams(t.spec.Seed, t.state.Params, t.state.Buffers)
	from := t.spec.Init.From
	if from == "" {
		return nil
	}
	f, err := safetensors.Open(from)
	if err != nil {
		return fmt.Errorf("open init file %s: %w", from, err)
	}
	defer f.Close()
	if err := t.model.InitFrom(f, t.state.Params, t.state.Buffers); err != nil {
		return fmt.Errorf("read init file %s: %w", from, err)
	}
	return nil
}

// restore gives the job a copy of a saved state.
func (t *Trainer) restore(s *train.State) error {
	sizes := []struct {
		what      string
		got, want int
	}{
		{"parameters", len(s.Params), len(t.state.Params)},
		{"buffers", len(s.Buffers), len(t.state.Buffers)},
		{"optimizer slots", len(s.Slots), len(t.slots)},
	}
	if s.Best != nil {
		sizes = append(sizes, struct {
			what      string
			got, want int
		}{"numbers of the best epoch", len(s.Best), len(t.best)})
	}
	for _, z := range sizes {
		if z.got != z.want {
			return fmt.Errorf("restore state: it has %d %s, the job has %d", z.got, z.what, z.want)
		}
	}
	own := t.state
	t.state = *s
	t.state.Params, t.state.Buffers, t.state.Slots = own.Params, own.Buffers, own.Slots
	copy(own.Params, s.Params)
	copy(own.Buffers, s.Buffers)
	for i, slot := range s.Slots {
		if len(slot) != len(own.Slots[i]) {
			return fmt.Errorf("restore state: optimizer slot %d has %d numbers, not %d", i, len(slot), len(own.Slots[i]))
		}
		copy(own.Slots[i], slot)
	}
	if s.Best != nil {
		copy(t.best, s.Best)
		t.state.Best = t.best
	}
	t.state.Metrics = maps.Clone(s.Metrics)
	if t.state.Metrics == nil {
		t.state.Metrics = make(map[string]float64)
	}
	t.lastLoss = t.state.Metrics["train_loss"]
	if !t.reachable() {
		return fmt.Errorf("restore state: step %d, %d of its epoch, is no place in a job of %d steps, %d an epoch",
			s.Step, s.EpochStep, t.steps, t.stepsPerEpoch)
	}
	if s.Step > 0 {
		t.lr = t.spec.Schedule.LR(t.spec.Optimizer.LR, s.Step-1, t.steps, t.stepsPerEpoch)
	}
	return nil
}

// reachable reports whether training can go on from where the state stands.
func (t *Trainer) reachable() bool {
	s := &t.state
	switch {
	case s.Step < 0 || s.Step > t.steps || s.EpochStep < 0 || s.EpochStep > t.stepsPerEpoch || s.Epoch < 0:
		return false
	case s.Finished || s.EpochEnding:
		return true
	}
	return s.Step < t.steps && s.EpochStep < t.stepsPerEpoch
}
