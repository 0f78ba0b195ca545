package jobs

import (
	"testing"
	"time"
)

func TestTicksOf(t *testing.T) {
	for stat, want := range map[string]time.Duration{
		"7 (a) b) (c) S 1 7 7 0 -1 4194560 1 2 3 4 150 25 8 9 20 0 1": 1750 * time.Millisecond,
		"7 (weft) S 1 7":                        0,
		"":                                      0,
		"7 (x) S 1 7 7 0 -1 1 1 2 3 4 nan 25 8": 0,
	} {
		if got := ticksOf([]byte(stat)); got != want {
			t.Errorf("%q: %v, want %v", stat, got, want)
		}
	}
}

// Time that this thread burns is seen.
func TestProcessorTimeGrows(t *testing.T) {
	before := processorTime()
	for deadline := time.Now().Add(10 * time.Second); processorTime()-before < 20*time.Millisecond; {
		if time.Now().After(deadline) {
			t.Fatal("no processor time in ten seconds of work")
		}
	}
}
