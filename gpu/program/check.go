package program

import (
	"fmt"
	"math"

	"weft/gpu/train"
	"weft/gpu/train/dataset"
)

// refuse says what of a specification the device cannot do, or nobody can.
func refuse(s *train.Spec, info *dataset.Info) error {
	if s.Precision != "" && s.Precision != "float32" {
		return &train.Fault{
			Code:    "invalid",
			Message: fmt.Sprintf("precision %s is not built yet", s.Precision),
			Hint:    "set precision: float32",
		}
	}
	if e := s.EarlyStopping; e != nil && !hasMetric(e.Metric, s.Loss, info.ValRows > 0) {
		return &train.Fault{
			Code:    "invalid",
			Message: fmt.Sprintf("early stopping watches %s, which a job with loss %s does not measure", e.Metric, s.Loss),
			Hint:    "set early_stopping.metric: val_loss, or train_loss without validation rows",
		}
	}
	if perEpoch, steps, _ := s.Plan(info.TrainRows); perEpoch <= 0 || steps <= 0 {
		return fmt.Errorf("check data: %d training rows make no batch of %d", info.TrainRows, s.BatchSize)
	}
	if info.Rows > math.MaxInt32 {
		return &train.Fault{
			Code:    "invalid",
			Message: fmt.Sprintf("the data has %d rows, the GPU's kernels count %d", info.Rows, math.MaxInt32),
			Hint:    "use fewer rows, or set device: cpu",
		}
	}
	return nil
}

// hasMetric reports whether epochs will have a metric of that name.
func hasMetric(name string, loss train.Loss, validates bool) bool {
	m, ok := partMetrics[name]
	switch {
	case !ok || name == "lr":
		return false
	case name == "train_loss":
		return true
	}
	return validates && measures(loss, m.id)
}

// fits records a fault if an array of n numbers is more than the kernels count.
// rows is the batch that it is of; negative: it is of none.
func (c *compiler) fits(what string, rows, n int64) {
	if n <= math.MaxInt32 || c.fault != nil {
		return
	}
	f := &train.Fault{
		Code:    "invalid",
		Message: fmt.Sprintf("%s: %d numbers, the GPU's kernels count %d", what, n, math.MaxInt32),
		Hint:    "make the model smaller, or set device: cpu",
	}
	if rows >= 0 {
		f.Message = fmt.Sprintf("%s has %d numbers for a batch of %d rows, the GPU's kernels count %d", what, n, rows, math.MaxInt32)
		f.Hint = "lower batch_size, or set device: cpu"
	}
	c.fault = f
}

// Check refuses a data set that does not go with the program, before a row of
// it could reach beyond the job's memory.
func (p *Program) Check(set *dataset.Set) error {
	in, out := 1, outputs(p.model)
	for _, d := range p.model.Input {
		in *= d
	}
	if set.TrainRows != p.info.TrainRows || set.ValRows != p.info.ValRows || set.TestRows != p.info.TestRows {
		return fmt.Errorf("check data: parts of %d, %d and %d rows, the job was compiled for %d, %d and %d",
			set.TrainRows, set.ValRows, set.TestRows, p.info.TrainRows, p.info.ValRows, p.info.TestRows)
	}
	if len(set.X) != set.Rows*in || set.TrainRows+set.ValRows+set.TestRows > set.Rows {
		return fmt.Errorf("check data: %d numbers are not %d rows of %d", len(set.X), set.Rows, in)
	}
	if p.spec.Loss != train.CrossEntropy {
		if set.TargetWidth != out || len(set.Targets) != set.Rows*out {
			return fmt.Errorf("check data: %d targets are not %d rows of %d", len(set.Targets), set.Rows, out)
		}
		return nil
	}
	if len(set.Labels) != set.Rows {
		return fmt.Errorf("check data: %d labels for %d rows", len(set.Labels), set.Rows)
	}
	for row, label := range set.Labels {
		if label < 0 || int(label) >= out {
			return fmt.Errorf("check data: label %d in row %d, the model has %d outputs", label, row, out)
		}
	}
	return nil
}
