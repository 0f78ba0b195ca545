package host

import (
	"testing"

	"weft/gpu/train"
	"weft/gpu/train/dataset"
	"weft/gpu/train/traintest"
)

func normals(n int, seed uint64) []float32 { return traintest.Normals(n, seed) }

func randomSet(loss train.Loss, shape []int, trainRows, valRows, testRows, width int) *dataset.Set {
	return traintest.Set(loss, shape, trainRows, valRows, testRows, width)
}

// job parses a specification and composes it on a data set.
func job(t testing.TB, spec string, set *dataset.Set) Config {
	t.Helper()
	return configOf(traintest.Compose(t, spec, set))
}

func configOf(j traintest.Job) Config {
	return Config{Spec: j.Spec, Model: j.Model, Data: j.Set, State: j.State}
}

func newTrainer(t testing.TB, c Config) *Trainer {
	t.Helper()
	tr, err := New(c)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return tr
}
