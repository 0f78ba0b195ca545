package philox

import (
	"math"
	"math/bits"
)

// Source reads a stream in order. It is not safe for concurrent use; two
// sources of one stream give the same numbers.
type Source struct {
	stream Stream
	next   uint64 // place of the next number
	block  [4]uint32
}

// Source returns a reader at the stream's beginning.
func (s Stream) Source() *Source { return &Source{stream: s} }

// Uint32 returns the next number.
func (s *Source) Uint32() uint32 {
	i := s.next % 4
	if i == 0 {
		s.block = s.stream.Block(s.next / 4)
	}
	s.next++
	return s.block[i]
}

// Uint64 returns the next two numbers, the first in the low half.
func (s *Source) Uint64() uint64 {
	low := uint64(s.Uint32())
	return low | uint64(s.Uint32())<<32
}

// Float32 returns the next number as a float32 in [0, 1), a multiple of 2^-24.
func (s *Source) Float32() float32 { return Unit(s.Uint32()) }

// Float64 returns the next two numbers as a float64 in [0, 1), a multiple of 2^-53.
func (s *Source) Float64() float64 { return float64(s.Uint64()>>11) * 0x1p-53 }

// Normal returns a number of the standard normal distribution by Box and
// Muller's transform; it consumes four numbers.
func (s *Source) Normal() float64 {
	u := 1 - s.Float64() // (0, 1]: its logarithm is finite
	v := s.Float64()
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*v)
}

// Uint32n returns a number in [0, n), every one equally likely, by Lemire's
// method ("Fast random integer generation in an interval", 2019). It panics
// if n is 0.
func (s *Source) Uint32n(n uint32) uint32 {
	if n == 0 {
		panic("philox: Uint32n of 0")
	}
	high, low := bits.Mul32(s.Uint32(), n)
	if low < n {
		// The low words under 2^32 mod n belong to intervals with one value
		// too many; drawing again makes all intervals equal.
		for reject := -n % n; low < reject; {
			high, low = bits.Mul32(s.Uint32(), n)
		}
	}
	return high
}

// Shuffle puts dst in random order by Fisher and Yates's method, from the end
// to the start. It panics if dst has 2^32 elements or more.
func (s *Source) Shuffle(dst []int32) {
	if uint64(len(dst)) > math.MaxUint32 {
		panic("philox: too many elements to shuffle")
	}
	for i := len(dst) - 1; i > 0; i-- {
		j := s.Uint32n(uint32(i) + 1)
		dst[i], dst[j] = dst[j], dst[i]
	}
}
