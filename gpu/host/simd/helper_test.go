package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// guard is how many elements lie on either side of a guarded slice.
const guard = 64

// sentinel fills memory that a kernel must leave alone: a NaN that no kernel
// makes, so that reading it shows as well.
var sentinel = math.Float32frombits(0x7fa5a5a5)

// guarded is a slice inside a larger one filled with the sentinel.
type guarded struct {
	whole, x []float32
}

func newGuarded(n int) guarded {
	whole := make([]float32, n+2*guard)
	for i := range whole {
		whole[i] = sentinel
	}
	return guarded{whole, whole[guard : guard+n : guard+n]}
}

// intact reports whether the memory around the slice is as it was.
func (g guarded) intact() bool {
	for i, v := range g.whole {
		inside := i >= guard && i < guard+len(g.x)
		if !inside && math.Float32bits(v) != math.Float32bits(sentinel) {
			return false
		}
	}
	return true
}

// values fills x with numbers of one of several kinds.
func values(r *rand.Rand, kind string, x []float32) {
	for i := range x {
		switch v := float32(r.NormFloat64()); kind {
		case "normal":
			x[i] = v
		case "integer": // ties and exact zeros are common
			x[i] = float32(r.IntN(9) - 4)
		case "bits": // any float32, infinities and NaNs too
			x[i] = math.Float32frombits(r.Uint32())
		case "tiny": // products and results are subnormal
			x[i] = v * 1e-22
		case "special":
			x[i] = specials[r.IntN(len(specials))]
		default:
			panic("unknown kind " + kind)
		}
	}
}

var kinds = []string{"normal", "integer", "bits", "tiny", "special"}

var specials = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
	math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, math.MaxFloat32, -math.MaxFloat32,
}

// drawRand draws a source of values; shrinking it is of no use.
func drawRand(t *rapid.T) *rand.Rand {
	return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
}

// same reports whether two results are equal bit for bit; NaNs are equal.
func same(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

// firstDifference describes where two results differ, or returns "".
func firstDifference(got, want []float32) string {
	for i := range want {
		if !same(got[i], want[i]) {
			return fmt.Sprintf("element %d is %v (%#08x), want %v (%#08x)", i,
				got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
	return ""
}

// mustPanic runs f and requires that it panics with these words.
func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got := recover(); got != want {
			t.Errorf("panic is %v\nwant     %v", got, want)
		}
	}()
	f()
}
