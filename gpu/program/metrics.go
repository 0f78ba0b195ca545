package program

import (
	"fmt"
	"math"
	"strconv"

	"weft/gpu/train"
	"weft/gpu/train/dataset"
	"weft/kernels"
)

// metric is a measure of an epoch, or of a part of the data.
type metric struct {
	id    int32
	rises bool // greater is better
}

// The names of metrics and their places in reports: those of an epoch, which
// early stopping may watch, and those of the finished model on the test part.
var (
	partMetrics = map[string]metric{
		"train_loss":   {id: kernels.MetricTrainLoss},
		"lr":           {id: kernels.MetricLR},
		"val_loss":     {id: kernels.MetricPartLoss},
		"val_accuracy": {id: kernels.MetricAccuracy, rises: true},
		"val_rmse":     {id: kernels.MetricRMSE},
		"val_r2":       {id: kernels.MetricR2, rises: true},
	}
	testMetrics = map[string]int32{
		"test_loss":     kernels.MetricPartLoss,
		"test_accuracy": kernels.MetricAccuracy,
		"test_rmse":     kernels.MetricRMSE,
		"test_r2":       kernels.MetricR2,
	}
)

// Metrics names the values of an epoch's report: train_loss and lr, and with a
// validation part val_loss and either val_accuracy (classification, binary) or
// val_rmse and val_r2 (regression).
func Metrics(r *kernels.Report) map[string]float64 {
	m := make(map[string]float64, len(partMetrics))
	for name, metric := range partMetrics {
		if v := r.Metrics[metric.id]; !math.IsNaN(v) {
			m[name] = v
		}
	}
	return m
}

// Final names what was measured of the model that a job would leave behind: the
// last epoch, or with early stopping the best, and once the job is done the
// test part; nil: nothing was.
func (p *Program) Final(j *kernels.Job) map[string]float64 {
	m := Metrics(&kernels.Report{Metrics: j.State.Metrics})
	// Once it is done, even a NaN was measured.
	done := j.Cursor.Doing == kernels.DoingDone && p.info.TestRows > 0
	for name, id := range testMetrics {
		if v := j.State.Test[id]; !math.IsNaN(v) || done && measures(p.spec.Loss, id) {
			m[name] = v
		}
	}
	if len(m) == 0 {
		return nil
	}
	return m
}

// measures reports whether a part is measured so in a job with that loss.
func measures(loss train.Loss, id int32) bool {
	switch id {
	case kernels.MetricAccuracy:
		return loss.Task() != dataset.Regression
	case kernels.MetricRMSE, kernels.MetricR2:
		return loss.Task() == dataset.Regression
	default:
		return true
	}
}

// putMetrics sets a state's measures from their names.
func putMetrics(s *kernels.State, from map[string]float64) error {
	for i := range s.Metrics {
		s.Metrics[i], s.Test[i] = math.NaN(), math.NaN()
	}
	for name, v := range from {
		if m, ok := partMetrics[name]; ok {
			s.Metrics[m.id] = v
		} else if id, ok := testMetrics[name]; ok {
			s.Test[id] = v
		} else {
			return fmt.Errorf("nothing is known of a metric %q", name)
		}
	}
	return nil
}

// Fault says, in words for the job's owner, why a job ended that is doing
// DoingFault; nil for any other.
func (p *Program) Fault(s *kernels.Status) *train.Fault {
	if s.Doing != kernels.DoingFault {
		return nil
	}
	name, step := "loss", s.Step+1
	if s.Found == kernels.DoingValidate {
		name, step = "val_loss", s.Step
	}
	what := "NaN"
	if math.IsInf(s.Fault, 0) {
		what = "infinite"
	}
	hint := "lower optimizer.lr (" + strconv.FormatFloat(p.spec.Optimizer.LR, 'g', -1, 64) + ")"
	if p.spec.ClipGradNorm == 0 {
		hint += ", set clip_grad_norm: 1"
	}
	if !p.spec.Data.Standardize {
		hint += ", set data.standardize: true"
	}
	return &train.Fault{
		Code:    "nan_loss",
		Message: fmt.Sprintf("%s is %s at step %d (epoch %d)", name, what, step, s.Epoch+1),
		Hint:    hint,
	}
}
