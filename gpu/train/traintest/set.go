package traintest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"testing"

	"weft/gpu/train"
	"weft/gpu/train/dataset"
	"weft/gpu/train/philox"
)

// Normals returns n numbers of the standard normal distribution.
func Normals(n int, seed uint64) []float32 {
	s := philox.New(seed, philox.MakeData, 99).Source()
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(s.Normal())
	}
	return x
}

// Set makes a data set that fits a specification's loss: rows of that shape
// split as given, targets width wide (classes, for labels) and a function of
// the row.
func Set(loss train.Loss, shape []int, trainRows, valRows, testRows, width int) *dataset.Set {
	rows := trainRows + valRows + testRows
	in := 1
	for _, d := range shape {
		in *= d
	}
	set := &dataset.Set{Info: dataset.Info{
		Rows: rows, TrainRows: trainRows, ValRows: valRows, TestRows: testRows,
		Shape: shape, Task: string(loss.Task()), TargetWidth: width, MaxLabel: -1,
	}}
	set.X = Normals(rows*in, 7)
	rule := Normals(in*width, 8)
	for r := range rows {
		target(set, loss, set.X[r*in:(r+1)*in], rule)
	}
	if loss == train.CrossEntropy {
		set.TargetWidth = 0
	}
	sum := sha256.Sum256(fmt.Append(nil, loss, shape, trainRows, valRows, testRows, width))
	set.Hash = hex.EncodeToString(sum[:])
	return set
}

// target appends what rule (inputs, width) makes of a row.
func target(set *dataset.Set, loss train.Loss, row, rule []float32) {
	width := len(rule) / len(row)
	best, top := 0, math.Inf(-1)
	for j := range width {
		var score float64
		for i, v := range row {
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

// Job is a specification composed on a data set.
type Job struct {
	Spec  *train.Spec
	Model *train.Model
	Set   *dataset.Set
	State *train.State // where it starts; nil: from the specification's seed
}

// Compose parses a specification, JSON, and composes it on a data set.
func Compose(t testing.TB, spec string, set *dataset.Set) Job {
	t.Helper()
	s, err := train.Parse([]byte(spec))
	if err != nil {
		t.Fatalf("parse %s: %v", spec, err)
	}
	m, err := train.Compose(s, &set.Info)
	if err != nil {
		t.Fatalf("compose %s: %v", spec, err)
	}
	return Job{Spec: s, Model: m, Set: set}
}
