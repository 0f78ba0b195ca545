package host

import (
	"math"
	"testing"

	"weft/gpu/train"
	"weft/gpu/train/dataset"
	"weft/gpu/train/philox"
)

// normals returns n numbers of the standard normal distribution.
func normals(n int, seed uint64) []float32 {
	s := philox.New(seed, philox.MakeData, 99).Source()
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(s.Normal())
	}
	return x
}

// randomSet makes a data set that fits a specification's loss: rows of that
// shape split as given, targets width wide (classes, for labels) and a
// function of the row.
func randomSet(loss train.Loss, shape []int, trainRows, valRows, testRows, width int) *dataset.Set {
	rows := trainRows + valRows + testRows
	in := size(shape)
	set := &dataset.Set{Info: dataset.Info{
		Rows: rows, TrainRows: trainRows, ValRows: valRows, TestRows: testRows,
		Shape: shape, Task: string(loss.Task()), TargetWidth: width, MaxLabel: -1,
	}}
	set.X = normals(rows*in, 7)
	rule := normals(in*width, 8)
	for r := range rows {
		best, top := 0, math.Inf(-1)
		for j := range width {
			var score float64
			for i, v := range set.X[r*in : (r+1)*in] {
				score += float64(v) * float64(rule[i*width+j])
			}
			if score > top {
				best, top = j, score
			}
			switch loss {
			case train.CrossEntropy:
			case train.BCEWithLogits:
				hit := float32(0)
				if score > 0 {
					hit = 1
				}
				set.Targets = append(set.Targets, hit)
			default:
				set.Targets = append(set.Targets, float32(math.Tanh(score)))
			}
		}
		if loss == train.CrossEntropy {
			set.Labels = append(set.Labels, int32(best))
			set.MaxLabel = max(set.MaxLabel, best)
		}
	}
	if loss == train.CrossEntropy {
		set.TargetWidth = 0
	}
	return set
}

// job parses a specification and composes it on a data set.
func job(t testing.TB, spec string, set *dataset.Set) Config {
	t.Helper()
	s, err := train.Parse([]byte(spec))
	if err != nil {
		t.Fatalf("parse %s: %v", spec, err)
	}
	m, err := train.Compose(s, &set.Info)
	if err != nil {
		t.Fatalf("compose %s: %v", spec, err)
	}
	return Config{Spec: s, Model: m, Data: set}
}

func newTrainer(t testing.TB, c Config) *Trainer {
	t.Helper()
	tr, err := New(c)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return tr
}
