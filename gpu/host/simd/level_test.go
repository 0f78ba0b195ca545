package simd

import (
	"slices"
	"testing"
)

func TestLevels(t *testing.T) {
	levels := Levels()
	if levels[0] != Portable || levels[len(levels)-1] != Best() || !slices.IsSorted(levels) {
		t.Errorf("levels are %v, want portable to %v in order", levels, Best())
	}
	for _, level := range levels {
		if got := For(level).Level(); got != level {
			t.Errorf("For(%v) uses %v", level, got)
		}
	}
	if got := For(AVX512 + 1).Level(); got != Best() {
		t.Errorf("For an unknown level uses %v, want %v", got, Best())
	}
	if got := For(-1).Level(); got != Portable {
		t.Errorf("For a negative level uses %v, want portable", got)
	}
}

func TestLevelNames(t *testing.T) {
	for level, want := range map[Level]string{Portable: "portable", AVX2: "avx2", AVX512: "avx512", 7: "level(7)"} {
		if got := level.String(); got != want {
			t.Errorf("level %d is called %q, want %q", int(level), got, want)
		}
	}
}
