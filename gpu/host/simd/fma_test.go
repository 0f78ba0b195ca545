package simd

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// exactFMA rounds x·y + z once, by arithmetic without rounding.
func exactFMA(x, y, z float32) float32 {
	wide := func(v float32) *big.Float { return new(big.Float).SetPrec(2000).SetFloat64(float64(v)) }
	sum := wide(x)
	sum.Mul(sum, wide(y))
	sum.Add(sum, wide(z))
	r, _ := sum.Float32()
	return r
}

// TestFMA32RoundsOnce draws what is hard: sums that lie next to the middle of two
// float32, and results that are subnormal.
func TestFMA32RoundsOnce(t *testing.T) {
	finite := rapid.Custom(func(t *rapid.T) float32 {
		// Few significant bits and close exponents make ties.
		mantissa := rapid.Uint32Range(1, 1<<24-1).Draw(t, "mantissa")
		mantissa &= ^uint32(0) << rapid.IntRange(0, 23).Draw(t, "zeros")
		v := float32(math.Ldexp(float64(mantissa), rapid.IntRange(-100, -50).Draw(t, "exponent")))
		if rapid.Bool().Draw(t, "negative") {
			v = -v
		}
		return v
	})
	rapid.Check(t, func(t *rapid.T) {
		x, y, z := finite.Draw(t, "x"), finite.Draw(t, "y"), finite.Draw(t, "z")
		if rapid.Bool().Draw(t, "next to a tie") {
			// x·y becomes half of z's last place, give or take a little.
			x, y = 1+float32(math.Ldexp(float64(rapid.IntRange(-1, 1).Draw(t, "nudge")), -23)), ulp(z)/2
		}
		if got, want := fma32(x, y, z), exactFMA(x, y, z); want != 0 && got != want {
			t.Fatalf("fma32(%g, %g, %g) = %g, want %g", x, y, z, got, want)
		}
	})
}

func TestFMA32Tables(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	tiny, negative := float32(math.SmallestNonzeroFloat32), float32(math.Copysign(0, -1))
	tests := []struct{ x, y, z, want float32 }{
		{0, 0, 0, 0},
		{negative, 1, negative, negative},
		{negative, 1, 0, 0},
		{1, 1, -1, 0},
		{1 + 1.0/(1<<23), 1 + 1.0/(1<<23), -1, 1.0/(1<<22) + 1.0/(1<<46)},
		{inf, 1, 1, inf},
		{math.MaxFloat32, 2, 0, inf},
		{math.MaxFloat32, 2, -math.MaxFloat32, math.MaxFloat32},
		{inf, 0, 1, nan},
		{inf, 1, -inf, nan},
		{nan, 1, 1, nan},
		{0, 0, tiny, tiny},
		{tiny, 0.5, 0, 0}, // ties to even
		{tiny, 1.5, 0, 2 * tiny},
		{tiny, 0.5, tiny, 2 * tiny},
		// Just below the middle of two subnormals; the float64 sum is the middle.
		{float32(math.Ldexp(1+1.0/(1<<23), -75)), float32(math.Ldexp(1-1.0/(1<<23), -75)),
			float32(math.Ldexp(1, -140)) + tiny, float32(math.Ldexp(1, -140)) + tiny},
	}
	for _, test := range tests {
		if got := fma32(test.x, test.y, test.z); !same(got, test.want) {
			t.Errorf("fma32(%g, %g, %g) = %g, want %g", test.x, test.y, test.z, got, test.want)
		}
	}
}

// ulp returns the distance from |x| to the next float32.
func ulp(x float32) float32 {
	x = abs(x)
	return math.Float32frombits(math.Float32bits(x)+1) - x
}
