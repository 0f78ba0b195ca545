package primes

import "math"

const (
	// spanSize is how many numbers an item of a range has at most: its odd ones,
	// a byte each, stay in the first or second cache.
	spanSize = 1 << 17
	// A span of so many odd numbers for each up to its root is sieved by all primes
	// up to the root. A higher one is sieved by those up to partLimit: then testing
	// the survivors, one number in twenty, is cheaper than finding out where all
	// primes strike.
	rootPerOdd = 64
	partLimit  = 1 << 16
)

// A sieve finds the primes of spans. It keeps its memory between them.
type sieve struct {
	primes    []uint32 // odd ones, up to limit
	limit     uint64
	composite []bool // of the odd numbers of a span
}

// span calls yield for the primes from lo to hi, in order, until that is false.
// There are at most spanSize numbers.
func (s *sieve) span(lo, hi uint64, yield func(uint64) bool) {
	if lo <= 2 && 2 <= hi && !yield(2) {
		return
	}
	lo = max(lo, 3) | 1
	if hi < lo {
		return
	}
	count := (hi-lo)/2 + 1
	root := isqrt(hi)
	limit := root
	if root > rootPerOdd*count {
		limit = min(partLimit, rootPerOdd*count)
	}
	s.prepare(limit)
	if uint64(cap(s.composite)) < count {
		s.composite = make([]bool, count)
	}
	s.composite = s.composite[:count]
	clear(s.composite)
	s.strike(lo, hi, limit)
	for i, composite := range s.composite {
		n := lo + 2*uint64(i) // #nosec G115 -- an index
		if !composite && (limit == root || isStrong(n)) && !yield(n) {
			return
		}
	}
}

// strike marks the multiples of primes up to limit among the odd numbers from lo.
func (s *sieve) strike(lo, hi, limit uint64) {
	count := uint64(len(s.composite))
	for _, p32 := range s.primes {
		p := uint64(p32)
		if p > limit {
			return
		}
		var at uint64 // place of the first odd multiple that is at least p²
		if square := p * p; square > hi {
			return
		} else if square >= lo {
			at = (square - lo) / 2
		} else if r := lo % p; r != 0 {
			// p-r to the next multiple, and another p if that one is even.
			if at = p - r; at&1 != 0 {
				at += p
			}
			at /= 2
		}
		for ; at < count; at += p {
			s.composite[at] = true
		}
	}
}

// prepare makes sure of the primes up to limit.
func (s *sieve) prepare(limit uint64) {
	if s.limit >= limit {
		return
	}
	// Doubling, so that a range walked upwards does not begin again every time.
	limit = max(limit, 2*s.limit, 1<<12)
	composite := make([]bool, limit+1)
	s.primes = s.primes[:0]
	for p := uint64(3); p <= limit; p += 2 {
		if composite[p] {
			continue
		}
		s.primes = append(s.primes, uint32(p)) // #nosec G115 -- below 2^23
		for q := p * p; q <= limit; q += 2 * p {
			composite[q] = true
		}
	}
	s.limit = limit
}

// isqrt returns the largest r with r² <= n.
func isqrt(n uint64) uint64 {
	r := min(uint64(math.Sqrt(float64(n))), 1<<32-1) // off by one at most
	for r*r > n {
		r--
	}
	for r < 1<<32-1 && (r+1)*(r+1) <= n {
		r++
	}
	return r
}
