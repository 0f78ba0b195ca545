package lane

import "fmt"

// Kernel is a way to run a gang; kernels/train.cu has both.
type Kernel int

// The ways. Auto measures the other two and takes the faster.
const (
	Auto  Kernel = iota
	Block        // one block a job, steps without launches between
	Grid         // many blocks a job, a launch a phase
)

func (k Kernel) String() string { return [...]string{"auto", "block", "grid"}[k] }

// ParseKernel reads what String writes.
func ParseKernel(s string) (Kernel, error) {
	for k := Auto; k <= Grid; k++ {
		if k.String() == s {
			return k, nil
		}
	}
	return Auto, fmt.Errorf("no kernel %q; there are auto, block and grid", s)
}

const (
	trialQuanta = 4   // of each kernel before they are compared
	reignQuanta = 256 // of the faster one before the slower is tried again
)

// A chooser says by which kernel a gang runs its next quantum. It tries each
// for trialQuanta, keeps the one that did more work a second, and from time to
// time tries the other again: sizes of batches, epochs and neighbours change.
// When the gang changes it starts over. The zero chooser is ready.
type chooser struct {
	gang   uint64 // of which the trials are
	trial  [2]trial
	turn   int // quanta since the trials of this gang began, or since the last
	winner Kernel
}

// A trial is what a kernel has done.
type trial struct{ work, seconds float64 }

func (t trial) rate() float64 {
	if t.seconds == 0 {
		return 0
	}
	return t.work / t.seconds
}

// next returns the kernel for a quantum of the gang with that number.
func (c *chooser) next(gang uint64) Kernel {
	if gang != c.gang {
		*c = chooser{gang: gang}
	}
	if c.winner == Auto {
		return c.trying()
	}
	return c.winner
}

// trying alternates, so that what changes with time falls on both.
func (c *chooser) trying() Kernel {
	if c.turn%2 == 0 {
		return Block
	}
	return Grid
}

// observe learns what a quantum came to. Work is in any unit, as long as it is
// one; quanta without work, as at a gang's end, tell nothing.
func (c *chooser) observe(k Kernel, work, seconds float64) {
	if k == Auto || work <= 0 || seconds <= 0 {
		return
	}
	t := &c.trial[k-Block]
	t.work += work
	t.seconds += seconds
	c.turn++
	switch {
	case c.winner == Auto && c.turn >= 2*trialQuanta:
		c.winner = Block
		if c.trial[1].rate() > c.trial[0].rate() {
			c.winner = Grid
		}
		c.turn = 0
	case c.winner != Auto && c.turn >= reignQuanta:
		c.winner, c.turn, c.trial = Auto, 0, [2]trial{}
	}
}

// widths shares blocks among the jobs of a gang by what each can use, useful of
// every job: each gets one, and of what room is left its part, so that all
// together are room at most where there is room for one each.
func widths(useful []int, room int) []uint32 {
	wanted := 0 // beyond the first of each
	for _, n := range useful {
		wanted += max(n-1, 0)
	}
	spare := min(max(room-len(useful), 0), wanted)
	out := make([]uint32, len(useful))
	for i, n := range useful {
		out[i] = 1
		if n > 1 {
			out[i] += uint32((n - 1) * spare / wanted)
		}
	}
	return out
}
