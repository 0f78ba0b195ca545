package primes

import "math/bits"

// small are the primes below 100, by which numbers are divided first: that
// settles three quarters of them.
var small = [...]uint64{
	2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
}

// witnesses says how many of the first primes are bases enough: no composite
// below the limit is a strong pseudoprime to all of them. The limit is the least
// that is. From
//
//   - C. Pomerance, J. L. Selfridge, S. S. Wagstaff, "The pseudoprimes to 25·10⁹",
//     Mathematics of Computation 35 (1980): 2 to 4 bases
//   - G. Jaeschke, "On strong pseudoprimes to several bases", Mathematics of
//     Computation 61 (1993): 5 to 8 bases (8 bases have the limit of 7)
//   - Y. Jiang, Y. Deng, "Strong pseudoprimes to the first eight prime bases",
//     Mathematics of Computation 83 (2014): 9 bases (10 and 11 have the same)
//   - J. Sorenson, J. Webster, "Strong pseudoprimes to twelve prime bases",
//     Mathematics of Computation 86 (2017): 12 bases, up to 318665857834031151167461,
//     which is beyond 2⁶⁴
var witnesses = [...]struct {
	limit uint64
	bases int
}{
	{1_373_653, 2},
	{25_326_001, 3},
	{3_215_031_751, 4},
	{2_152_302_898_747, 5},
	{3_474_749_660_383, 6},
	{341_550_071_728_321, 7},
	{3_825_123_056_546_413_051, 9},
	{1<<64 - 1, 12},
}

// Is says whether n is prime.
func Is(n uint64) bool {
	for _, p := range small {
		if n%p == 0 {
			return n == p
		}
	}
	const next = 101
	if n < next*next {
		return n > 1
	}
	return isStrong(n)
}

// isStrong is Is for odd numbers that no small prime divides.
func isStrong(n uint64) bool {
	m := newModulus(n)
	if !m.passes(small[0]) {
		return false // nearly every composite ends here
	}
	bases := len(witnesses) - 1
	for i, w := range witnesses {
		if n < w.limit {
			bases = i
			break
		}
	}
	rest := small[1:witnesses[bases].bases]
	for len(rest) >= 2 {
		if !m.bothPass(rest[0], rest[1]) {
			return false
		}
		rest = rest[2:]
	}
	return len(rest) == 0 || m.passes(rest[0])
}

// A modulus is what Montgomery's arithmetic needs to know of an odd n: numbers x
// stand for x/R mod n, with R = 2⁶⁴. See P. L. Montgomery, "Modular
// multiplication without trial division", Mathematics of Computation 44 (1985).
type modulus struct {
	n        uint64
	inverse  uint64 // 1/n mod R
	one      uint64 // R mod n
	minusOne uint64
	square   uint64 // R² mod n
	odd      uint64 // n-1 = odd·2^twos
	twos     int
}

func newModulus(n uint64) *modulus {
	m := &modulus{n: n, inverse: n} // right in the lowest three bits
	for range 5 {                   // each step doubles them
		m.inverse *= 2 - n*m.inverse
	}
	m.one = -n % n
	m.minusOne = n - m.one
	_, m.square = bits.Div64(m.one, 0, n) // R·(R mod n) mod n
	m.twos = bits.TrailingZeros64(n - 1)
	m.odd = (n - 1) >> m.twos
	return m
}

// mul returns x·y/R mod n, for x and y below n.
func (m *modulus) mul(x, y uint64) uint64 {
	hi, lo := bits.Mul64(x, y)
	q, _ := bits.Mul64(lo*m.inverse, m.n)
	r, borrow := bits.Sub64(hi, q, 0)
	return r + m.n&-borrow
}

// passes says whether n is prime or a strong pseudoprime to the base a, which
// is smaller.
func (m *modulus) passes(a uint64) bool {
	base := m.mul(a, m.square)
	x := m.one
	for i := bits.Len64(m.odd) - 1; i >= 0; i-- {
		x = m.mul(x, x)
		if m.odd>>i&1 != 0 {
			x = m.mul(x, base)
		}
	}
	return m.settles(x)
}

// bothPass is passes for two bases, whose powers a processor computes side by
// side: each waits for its own products only.
func (m *modulus) bothPass(a, b uint64) bool {
	baseA, baseB := m.mul(a, m.square), m.mul(b, m.square)
	x, y := m.one, m.one
	for i := bits.Len64(m.odd) - 1; i >= 0; i-- {
		x, y = m.mul(x, x), m.mul(y, y)
		if m.odd>>i&1 != 0 {
			x, y = m.mul(x, baseA), m.mul(y, baseB)
		}
	}
	return m.settles(x) && m.settles(y)
}

// settles finishes a test: x, the base's power by n-1's odd part, is 1 or becomes
// -1 when it is squared fewer than twos times.
func (m *modulus) settles(x uint64) bool {
	if x == m.one || x == m.minusOne {
		return true
	}
	for range m.twos - 1 {
		x = m.mul(x, x)
		if x == m.minusOne {
			return true
		}
	}
	return false
}
