package host

import (
	"testing"

	"weft/gpu/train/traintest"
)

// agreement with PyTorch that is asked for; [traintest.Compare] has its
// meaning. After 20 steps the furthest tensor, a bias before a batch norm, is
// at 2e-6.
const agreement = 1e-5

// TestReference follows PyTorch's own runs, step by step: see
// gpu/train/testdata/make_reference.py.
func TestReference(t *testing.T) {
	for _, ref := range traintest.References(t, "../train/testdata/reference") {
		t.Run(ref.Name, func(t *testing.T) { followReference(t, &ref) })
	}
}

func followReference(t *testing.T, ref *traintest.Reference) {
	tr := newTrainer(t, configOf(ref.Job))
	var losses []float32
	for !tr.done {
		sum, rows, step := tr.state.LossSum, tr.state.LossRows, tr.state.Step
		if err := tr.advance(); err != nil {
			t.Fatal(err)
		}
		if tr.state.Step > step {
			losses = append(losses, float32((tr.state.LossSum-sum)/float64(tr.state.LossRows-rows)))
		}
	}
	traintest.Compare(t, "losses", losses, ref.Floats(t, "losses"), agreement)

	params, buffers, _ := tr.Result()
	ref.CompareFinal(t, params, buffers, agreement)
	out := make([]float32, ref.Set.Rows*size(ref.Model.Output))
	if err := Predict(ref.Model, params, buffers, ref.Set.X, ref.Set.Rows, out); err != nil {
		t.Fatal(err)
	}
	traintest.Compare(t, "output", out, ref.Floats(t, "output"), agreement)
}
