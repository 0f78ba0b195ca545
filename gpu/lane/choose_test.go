package lane

import (
	"testing"

	"pgregory.net/rapid"
)

func TestChooserKeepsTheFaster(t *testing.T) {
	for _, faster := range []Kernel{Block, Grid} {
		var c chooser
		used := map[Kernel]int{}
		for range 10 * reignQuanta {
			k := c.next(7)
			used[k]++
			work := 1.0
			if k == faster {
				work = 1.5
			}
			c.observe(k, work, 0.005)
		}
		if share := float64(used[faster]) / (10 * reignQuanta); share < 0.97 {
			t.Errorf("%v is faster but ran only %.0f %% of the quanta", faster, 100*share)
		}
	}
}

func TestChooserFollowsAChange(t *testing.T) {
	var c chooser
	run := func(faster Kernel, quanta int) (last Kernel) {
		for range quanta {
			last = c.next(1)
			work := 1.0
			if last == faster {
				work = 2
			}
			c.observe(last, work, 0.005)
		}
		return last
	}
	run(Block, 2*reignQuanta)
	if got := run(Grid, 2*reignQuanta); got != Grid {
		t.Errorf("%v after grid has become the faster", got)
	}
}

func TestChooserStartsOverWithAnotherGang(t *testing.T) {
	var c chooser
	for range 100 {
		k := c.next(1)
		c.observe(k, float64(k), 1) // grid is faster
	}
	if k := c.next(1); k != Grid {
		t.Fatalf("%v, not grid", k)
	}
	if k := c.next(2); k != Block {
		t.Errorf("a new gang's first trial is %v, not block", k)
	}
}

func TestChooserIgnoresQuantaWithoutWork(t *testing.T) {
	var c chooser
	c.next(1)
	for range 100 {
		c.observe(Block, 0, 1)
	}
	if c.winner != Auto || c.turn != 0 {
		t.Errorf("decided by nothing: %+v", c)
	}
}

func TestWidths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		useful := rapid.SliceOfN(rapid.IntRange(-1, 500), 1, 300).Draw(t, "useful")
		room := rapid.IntRange(1, 2000).Draw(t, "room")
		total := 0
		for i, w := range widths(useful, room) {
			if w < 1 || int(w) > max(useful[i], 1) {
				t.Fatalf("job %d can use %d blocks and got %d", i, useful[i], w)
			}
			total += int(w)
		}
		if total > max(room, len(useful)) {
			t.Fatalf("%d blocks for %d jobs, room is %d", total, len(useful), room)
		}
	})
}

func TestParseKernel(t *testing.T) {
	for k := Auto; k <= Grid; k++ {
		if got, err := ParseKernel(k.String()); err != nil || got != k {
			t.Errorf("%v: %v, %v", k, got, err)
		}
	}
	if _, err := ParseKernel("fast"); err == nil {
		t.Error("read a kernel that does not exist")
	}
}
