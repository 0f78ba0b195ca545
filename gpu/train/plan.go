package train

// Plan returns how long a job on trainRows training rows is. An epoch has
// ceil(rows/batch) optimizer steps, or floor with drop_last, as PyTorch's
// DataLoader has batches. A job given in steps ends within its last epoch.
// All three are 0 when an epoch has no step, which [Compose] refuses.
func (s *Spec) Plan(trainRows int) (stepsPerEpoch, steps int64, epochs int) {
	if trainRows <= 0 || s.BatchSize <= 0 {
		return 0, 0, 0
	}
	rows, batch := int64(trainRows), int64(s.BatchSize)
	stepsPerEpoch = rows / batch
	if !s.DropLast && rows%batch != 0 {
		stepsPerEpoch++
	}
	if stepsPerEpoch == 0 {
		return 0, 0, 0
	}
	if s.Steps > 0 {
		return stepsPerEpoch, s.Steps, int((s.Steps-1)/stepsPerEpoch) + 1
	}
	return stepsPerEpoch, int64(s.Epochs) * stepsPerEpoch, s.Epochs
}
