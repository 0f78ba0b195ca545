package simd

import "math"

// The functions here are what the vector kernels compute in every lane. The
// coefficients are minimax fits of relative error, made for these formulas and
// rounded to float32; internal/gen has the same numbers, and tests hold the two
// equal bit for bit and the results near those of package math.

const (
	log2E      = 1.4426950216293335
	ln2Hi      = 0.6931471824645996     // ln 2 as a float32 …
	ln2Lo      = -1.904654323148236e-09 // … and what that lacks
	roundMagic = 3 << 22                // x + this - this rounds to an integer
	expMax     = 89                     // overflows
	expMin     = -104                   // underflows to zero
	tanhSmall  = 0.625
	tanhMax    = 10 // 1 in float32
	normalMax  = 15 // Φ(-15) is zero in float32
	invSqrt2Pi = 0.3989422804014327
)

var (
	// (e^r - 1 - r)/r² for |r| ≤ ln(2)/2, error 2⁻²⁸ of e^r.
	expCoeffs = [...]float32{0.49999993, 0.1666652, 0.041668394, 0.008368781, 0.0013814465}
	// (tanh(x) - x)/x³ in x², |x| ≤ 0.625, error 2⁻³² of tanh.
	tanhCoeffs = [...]float32{-0.33333331, 0.13333206, -0.053946767, 0.0217007, -0.008177395, 0.002142959}
	// Φ(-s)·e^(s²/2)/t in 2t-1, t = 4/(4+s), 0 ≤ s ≤ 14.5, error 2⁻²⁹.
	normalCoeffs = [...]float32{
		0.18882128, 0.15197416, 0.09678433, 0.04663039, 0.015099537, 0.0018857265,
		-0.00087282417, -0.00040927203, 4.2735079e-05, 5.5514525e-05, -1.1579752e-05,
	}
)

// polynomial returns c[0] + c[1]·x + c[2]·x² + …, by Horner's rule.
func polynomial(x float32, c []float32) float32 {
	y := c[len(c)-1]
	for i := len(c) - 2; i >= 0; i-- {
		y = fma32(x, y, c[i])
	}
	return y
}

// expParts returns e^(x + correction), for a correction that is tiny against x,
// as y·2ⁿ with y near 1 and n in the low bits of t. Adding magic, 3·2²² and
// possibly some integer, leaves that integer plus the rounded n in those bits.
func expParts(x, correction, magic float32) (y float32, t uint32) {
	sum := fma32(x, log2E, magic)
	n := sum - magic
	r := fma32(n, -ln2Hi, x)
	r = fma32(n, -ln2Lo, r) + float32(correction)
	return fma32(polynomial(r, expCoeffs[:]), r*r, r) + 1, math.Float32bits(sum)
}

// exp returns e^(x + correction).
//
// The power of two is applied as two factors: 2ⁿ alone may be beyond float32's
// range where the result is not, and a subnormal result is rounded once. The two
// biased exponents add up to n + 254, which is why the magic number has 254 more.
func exp(x, correction float32) float32 {
	x = least(x, expMax)
	if expMin > x {
		x = expMin
	}
	y, t := expParts(x, correction, roundMagic+254)
	power := int32(t - math.Float32bits(roundMagic))
	half := power >> 1
	return y * math.Float32frombits(uint32(half)<<23) * math.Float32frombits(uint32(power-half)<<23)
}

// expNormal returns e^x where neither that nor 2ⁿ leaves the normal range: the
// power of two is added to the exponent. x is not NaN.
func expNormal(x float32) float32 {
	y, t := expParts(x, 0, roundMagic)
	return math.Float32frombits(math.Float32bits(y) + t<<23)
}

// tanh returns tanh(x): an odd polynomial near zero, else 1 - 2/(e^2|x| + 1).
func tanh(x float32) float32 {
	size := abs(x)
	var y float32
	if !(size >= tanhSmall) { // NaN is a case for the polynomial
		z := x * x
		y = fma32(polynomial(z, tanhCoeffs[:]), z*size, size)
	} else {
		large := least(size, tanhMax)
		y = 1 - 2/(expNormal(large+large)+1)
	}
	return math.Float32frombits(math.Float32bits(y) | math.Float32bits(x)&(1<<31))
}

// sigmoid returns 1/(1 + e^-x), for negative x as e^x/(1 + e^x), which neither
// overflows nor cancels.
func sigmoid(x float32) float32 {
	power := exp(-abs(x), 0)
	top := float32(1)
	if x < 0 {
		top = power
	}
	return top / (power + 1)
}

// normal returns the normal distribution function Φ(x) and e^(-x²/2).
//
// Φ(-s) for s ≥ 0 is the exponential times a smooth function of s, so that the
// tail has relative accuracy. s² does not fit a float32: what rounding lost goes
// into the exponential as a correction.
func normal(x float32) (cdf, bell float32) {
	s := least(abs(x), normalMax)
	square := s * s
	rest := fma32(s, s, -square)
	bell = exp(-0.5*square, -0.5*rest)
	t := 4 / (s + 4)
	u := fma32(s*-0.5, t, 1) // 2t - 1, but exact near s = 0
	cdf = float32(t * polynomial(u, normalCoeffs[:]) * bell)
	if !(x < 0) {
		cdf = 1 - cdf
	}
	return cdf, bell
}

// least returns the lesser of x and v, which is not NaN; NaN stays.
func least(x, v float32) float32 {
	if v < x {
		return v
	}
	return x
}

func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// sqrt rounds correctly: float64's square root is accurate enough for that.
func sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }
