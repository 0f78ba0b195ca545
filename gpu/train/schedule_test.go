package train

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// The wanted rates are what torch.optim.lr_scheduler (PyTorch 1.13) set before
// each optimizer step, one scheduler step per optimizer step (StepLR: one per
// epoch of three).
func TestLRFollowsTorch(t *testing.T) {
	for _, c := range []struct {
		name     string
		schedule Schedule
		base     float64
		perEpoch int64
		want     []float64
	}{
		{"CosineAnnealingLR(T_max=7, eta_min=0.001)", Schedule{Name: Cosine, MinLR: 0.001}, 0.1, 7,
			[]float64{0.1, 0.09509795896116975, 0.08136274519200731, 0.061514786230837566, 0.03948521376916245,
				0.019637254807992697, 0.005902041038830259}},
		{"LinearLR(1, 0.1, total_iters=8)", Schedule{Name: LinearLR, MinLR: 0.01}, 0.1, 8,
			[]float64{0.1, 0.08875, 0.0775, 0.06625, 0.055, 0.04375, 0.0325, 0.02125}},
		{"StepLR(2, gamma=0.3)", Schedule{Name: StepLR, StepEpochs: 2, Gamma: 0.3}, 0.5, 3,
			[]float64{0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.045, 0.045, 0.045}},
		{"OneCycleLR(0.1, total_steps=10)",
			Schedule{Name: OneCycle, PctStart: 0.3, DivFactor: 25, FinalDiv: 1e4}, 0.1, 10,
			[]float64{0.004, 0.052, 0.1, 0.09504846320134738, 0.0811745653949763, 0.06112620219362893,
				0.03887419780637107, 0.0188258346050237, 0.004951936798652629, 4e-07}},
		{"OneCycleLR(0.2, 7, pct_start=0.5, div_factor=10, final_div_factor=100)",
			Schedule{Name: OneCycle, PctStart: 0.5, DivFactor: 10, FinalDiv: 100}, 0.2, 7,
			[]float64{0.02, 0.08218847050625473, 0.18281152949374527, 0.19010678990345167, 0.12232984130223581,
				0.037813368794312525, 0.0002}},
		{"OneCycleLR(0.1, total_steps=3)",
			Schedule{Name: OneCycle, PctStart: 0.3, DivFactor: 25, FinalDiv: 1e4}, 0.1, 3,
			[]float64{0.09944154354509119, 0.046263710266697504, 4e-07}},
		{"OneCycleLR(0.1, total_steps=4, pct_start=1)",
			Schedule{Name: OneCycle, PctStart: 1, DivFactor: 25, FinalDiv: 1e4}, 0.1, 4,
			[]float64{0.004, 0.028, 0.076, 0.1}},
		{"LambdaLR(i/4), then CosineAnnealingLR(T_max=6, eta_min=0.001)",
			Schedule{Name: Cosine, WarmupSteps: 4, MinLR: 0.001}, 0.1, 10,
			[]float64{0, 0.025, 0.05, 0.075, 0.1, 0.09336825748732973, 0.07525, 0.0505, 0.02575, 0.007631742512670284}},
		{"constant", Schedule{Name: Constant}, 0.1, 2, []float64{0.1, 0.1}},
	} {
		for i, want := range c.want {
			got := c.schedule.LR(c.base, int64(i), int64(len(c.want)), c.perEpoch)
			if math.Abs(got-want) > 1e-15 {
				t.Errorf("%s, step %d: %v, want %v", c.name, i, got, want)
			}
		}
	}
}

// Whatever the job's length, a rate is a number between 0 and the base.
func TestLRStaysInRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.Float64Range(1e-6, 10).Draw(t, "base")
		steps := rapid.Int64Range(1, 50).Draw(t, "steps")
		keys := fmt.Sprintf(`"optimizer":{"lr":%g},"schedule":%s`, base, marshal(t, drawSchedule(t, base)))
		s, err := Parse([]byte(with(keys)))
		if err != nil {
			t.Fatal(err)
		}
		for i := range steps {
			lr := s.Schedule.LR(base, i, steps, 3)
			if !(lr >= 0 && lr <= base*(1+1e-12)) {
				t.Fatalf("%+v: rate %v at step %d of %d with base %v", s.Schedule, lr, i, steps, base)
			}
		}
	})
}

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		keys            string
		rows            int
		perEpoch, steps int64
		epochs          int
	}{
		{`"epochs":20`, 1437, 45, 900, 20},
		{`"epochs":20,"drop_last":true`, 1437, 44, 880, 20},
		{`"epochs":3,"batch_size":64`, 64, 1, 3, 3},
		{`"steps":100`, 1437, 45, 100, 3},
		{`"steps":90`, 1437, 45, 90, 2},
		{`"steps":1`, 1437, 45, 1, 1},
		{`"drop_last":true`, 31, 0, 0, 0},
		{`"epochs":1`, 0, 0, 0, 0},
	} {
		perEpoch, steps, epochs := mustParse(t, with(c.keys)).Plan(c.rows)
		if perEpoch != c.perEpoch || steps != c.steps || epochs != c.epochs {
			t.Errorf("%s on %d rows: %d steps an epoch, %d steps, %d epochs, want %d, %d, %d",
				c.keys, c.rows, perEpoch, steps, epochs, c.perEpoch, c.steps, c.epochs)
		}
	}
}
