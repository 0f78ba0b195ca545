//go:build !arm64

package simd

import "math"

// fma32 returns x·y + z rounded once, as the vector instructions do.
//
// The product of two float32 is exact in float64, so rounding the float64 sum
// to float32 is right unless the first rounding landed on a tie of the second:
// the 29 bits that are dropped read 100…0, or the result is subnormal and more
// bits are dropped. Those go the slow way. Zero has no such trouble and is
// common after ReLU, hence the -1 that keeps it out.
func fma32(x, y, z float32) float32 {
	s := float64(x)*float64(y) + float64(z)
	b := math.Float64bits(s)
	if b&(1<<29-1) == 1<<28 || b<<1-1 < 2*minNormal {
		return fmaTie(x, y, z)
	}
	return float32(s)
}

// minNormal is the float64 bit pattern of 2⁻¹²⁶, the smallest normal float32.
const minNormal = (1023 - 126) << 52

// fmaTie rounds the float64 sum to odd first, which cannot create a tie
// (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
func fmaTie(x, y, z float32) float32 {
	p, c := float64(x)*float64(y), float64(z)
	s := p + c
	if math.IsInf(s, 0) || s != s {
		return float32(s)
	}
	// Knuth's TwoSum: p + c = s + e exactly.
	d := s - p
	e := (p - (s - d)) + (c - d)
	b := math.Float64bits(s)
	if e != 0 && b&1 == 0 {
		if (e > 0) == (s > 0) {
			b++
		} else {
			b--
		}
	}
	return float32(math.Float64frombits(b))
}
