package train

import (
	"fmt"
	"strings"

	"weft/gpu/train/dataset"
)

// checkOutput holds the last layer's outputs against the loss and the target.
func (c *composer) checkOutput(s *Spec, info *dataset.Info, m *Model) {
	if len(m.Output) != 1 {
		c.add("/model", "end the model with flatten and linear",
			"the last layer gives samples of %s, a loss wants one dimension", shapeString(m.Output))
		return
	}
	if task := s.Loss.Task(); info.Task != string(task) {
		c.add("/loss", "", "loss %s is for %s, the data was prepared for %s", s.Loss, task, info.Task)
		return
	}
	path, outputs := outputPath(m), m.Output[0]
	switch classes := len(info.Classes); {
	case s.Loss != CrossEntropy:
		if outputs != info.TargetWidth {
			c.add(path, fmt.Sprintf("make it linear: %d", info.TargetWidth), "the last layer has %s, the target has %s",
				count(outputs, "output"), count(info.TargetWidth, "column"))
		}
	case info.MaxLabel >= outputs && classes == 0:
		c.add(path, fmt.Sprintf("make it linear: %d, or look at that row", info.MaxLabel+1),
			"label %d in row %d is out of range: the last layer has %s",
			info.MaxLabel, info.MaxLabelRow, count(outputs, "output"))
	case classes > 0 && outputs != classes:
		c.add(path, fmt.Sprintf("make it linear: %d", classes), "the last layer has %s, the data has %s",
			count(outputs, "output"), count(classes, "class"))
	}
}

// outputPath points at the layer that decides the number of outputs.
func outputPath(m *Model) string {
	for i := len(m.Stages) - 1; i >= 0; i-- {
		if st := &m.Stages[i]; st.Kind == Linear {
			return layerPath(st)
		}
	}
	return "/model"
}

// count writes "1 class", "2 classes".
func count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "s"):
		return fmt.Sprintf("%d %ses", n, noun)
	default:
		return fmt.Sprintf("%d %ss", n, noun)
	}
}

// checkData refuses splits that leave too few rows for what is asked.
func (c *composer) checkData(s *Spec, info *dataset.Info) {
	if info.TrainRows < 1 {
		c.add("/data/split", "make validation and test smaller", "the split leaves no rows to train on")
	}
	if es := s.EarlyStopping; es != nil && strings.HasPrefix(es.Metric, "val_") && info.ValRows == 0 {
		c.add("/early_stopping/metric", "set validation under data.split, for example 0.2",
			"%s needs validation rows, the split leaves none", es.Metric)
	}
}

// checkSteps refuses jobs without a step, warm-ups that never end, and batches
// that a batch norm cannot take; m may be nil.
func (c *composer) checkSteps(s *Spec, info *dataset.Info, m *Model) {
	if info.TrainRows < 1 {
		return
	}
	perEpoch, steps, _ := s.Plan(info.TrainRows)
	if perEpoch == 0 {
		c.add("/batch_size", fmt.Sprintf("make batch_size at most %d, or set drop_last: false", info.TrainRows),
			"with drop_last an epoch of %s has no batch of %d", count(info.TrainRows, "row"), s.BatchSize)
		return
	}
	if s.Schedule.WarmupSteps >= steps {
		c.add("/schedule/warmup_steps", "fewer warm-up steps, or more epochs",
			"warmup_steps is %d, but the job has only %s", s.Schedule.WarmupSteps, count(int(steps), "step"))
	}
	if m != nil {
		c.checkBatchNorm(s, info, m)
	}
}

// checkBatchNorm refuses batches of one value per channel, which have no
// variance; PyTorch raises "Expected more than 1 value per channel".
func (c *composer) checkBatchNorm(s *Spec, info *dataset.Info, m *Model) {
	lone := s.BatchSize == 1 || (!s.DropLast && info.TrainRows%s.BatchSize == 1)
	if !lone {
		return
	}
	for i := range m.Stages {
		st := &m.Stages[i]
		if len(st.Buffers) == 0 || st.InSize() != st.In[0] {
			continue
		}
		if s.BatchSize == 1 {
			c.add("/batch_size", "a batch_size of at least 2", "%s in layer %d cannot train on batches of one row",
				st.Kind, st.Index)
			return
		}
		c.add("/drop_last", "set drop_last: true, or another batch_size",
			"%s in layer %d cannot train on one row, which is what %s leave for the last batch of %d",
			st.Kind, st.Index, count(info.TrainRows, "row"), s.BatchSize)
		return
	}
}
