package host

import (
	"fmt"
	"math"
	"strconv"

	"weft/gpu/train"
	"weft/gpu/train/philox"
)

// step trains on the epoch's next batch.
//
// Floor, for B rows and a model of N parameters in linear layers: 6·N·B
// operations (2·B less for each weight of the first layer, whose input needs no
// gradient) and 4·N·(3+2·slots) bytes of the optimizer, all of which small
// models have in the cache. 64-64-64-10 with 32 rows and Adam is 1.4 million
// operations and 0.25 MB.
func (t *Trainer) step() error {
	s := &t.state
	rows := t.batchRows(s.EpochStep)
	x, want := t.batch(int(s.EpochStep)*t.spec.BatchSize, rows)
	t.lr = t.spec.Schedule.LR(t.spec.Optimizer.LR, s.Step, t.steps, t.stepsPerEpoch)

	z := t.net.forward(pass{rows: rows, train: true, step: s.Step}, x)
	loss := t.criterion.apply(z, want, t.net.outputGradient())
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return t.lossFault("loss", loss, s.Step+1)
	}
	t.net.backward(x)
	t.optimizer.step(t.net.params, t.net.grads, t.slots, t.lr, s.Step)

	s.LossSum += loss * float64(rows)
	s.LossRows += int64(rows)
	s.Step++
	s.EpochStep++
	s.EpochEnding = s.EpochStep == t.stepsPerEpoch || s.Step == t.steps
	return nil
}

// batchRows returns the rows of an epoch's i-th batch.
func (t *Trainer) batchRows(i int64) int {
	return min(t.spec.BatchSize, t.data.TrainRows-int(i)*t.spec.BatchSize)
}

// batch returns the rows from first in the epoch's order: gathered when it is
// shuffled, else where they lie in the data set.
func (t *Trainer) batch(first, rows int) ([]float32, targets[float32]) {
	if !t.spec.Shuffle {
		return t.slice(first, rows)
	}
	if t.orderEpoch != t.state.Epoch {
		philox.Permutation(t.spec.Seed, uint64(t.state.Epoch), t.order)
		t.orderEpoch = t.state.Epoch
	}
	order := t.order[first : first+rows]
	gather(t.x, t.data.X, t.net.input, order)
	if t.spec.Loss == train.CrossEntropy {
		gather(t.labels, t.data.Labels, 1, order)
	} else {
		gather(t.values, t.data.Targets, t.criterion.width, order)
	}
	return t.x[:rows*t.net.input], t.want(t.labels, t.values, 0, rows)
}

// gather sets the rows of to, width wide, to those of from that order names.
func gather[E any](to, from []E, width int, order []int32) {
	for i, row := range order {
		copy(to[i*width:(i+1)*width], from[int(row)*width:])
	}
}

// slice returns rows of the data set as they lie there.
func (t *Trainer) slice(first, rows int) ([]float32, targets[float32]) {
	x := t.data.X[first*t.net.input : (first+rows)*t.net.input]
	return x, t.want(t.data.Labels, t.data.Targets, first, rows)
}

func (t *Trainer) want(labels []int32, values []float32, first, rows int) targets[float32] {
	if t.spec.Loss == train.CrossEntropy {
		return targets[float32]{labels: labels[first : first+rows]}
	}
	w := t.criterion.width
	return targets[float32]{values: values[first*w : (first+rows)*w]}
}

// lossFault says that a loss is not a number any more and what may help.
func (t *Trainer) lossFault(name string, loss float64, step int64) *train.Fault {
	what := "NaN"
	if math.IsInf(loss, 0) {
		what = "infinite"
	}
	hint := "lower optimizer.lr (" + strconv.FormatFloat(t.spec.Optimizer.LR, 'g', -1, 64) + ")"
	if t.spec.ClipGradNorm == 0 {
		hint += ", set clip_grad_norm: 1"
	}
	if !t.spec.Data.Standardize {
		hint += ", set data.standardize: true"
	}
	return &train.Fault{
		Code:    "nan_loss",
		Message: fmt.Sprintf("%s is %s at step %d (epoch %d)", name, what, step, t.state.Epoch+1),
		Hint:    hint,
	}
}
