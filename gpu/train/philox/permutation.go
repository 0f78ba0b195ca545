package philox

import (
	"math"
	"math/bits"
)

const (
	permutationRounds = 8 // even, so that both halves are changed equally often
	permutationBits   = 8 // at least; with fewer some orders of few rows are likelier than others
)

// A permutation maps the numbers below n one to one onto themselves, each for
// itself: a device finds the row at any place of an epoch's order without the
// rest, and many at once.
//
// It is a Feistel network (Luby and Rackoff, "How to construct pseudorandom
// permutations from pseudorandom functions", 1988) over the smallest number of
// bits that holds n, permutationBits at least, cut into a left half of ⌊bits/2⌋ and a right one; results
// that are not below n go through it again. Round i replaces the left half, i
// even, or the right one by itself xor the high bits of a·x + b (mod 2⁶⁴),
// where x is the other half: multiply-shift hashing (Dietzfelbinger, 1996),
// any two of whose values are independent. a and b are words 4i and 4i+1, and
// 4i+2 and 4i+3, of the stream, low one first.
type permutation struct {
	n           uint64
	left, right uint // bits of the halves
	a, b        [permutationRounds]uint64
}

func newPermutation(s Stream, n uint64) permutation {
	width := max(uint(bits.Len64(n-1)), permutationBits)
	p := permutation{n: n, left: width / 2, right: width - width/2}
	for i := range permutationRounds {
		w := s.Block(uint64(i))
		p.a[i] = uint64(w[0]) | uint64(w[1])<<32
		p.b[i] = uint64(w[2]) | uint64(w[3])<<32
	}
	return p
}

// at returns what i, which is below n, is mapped to.
func (p *permutation) at(i uint64) uint64 {
	for {
		l, r := i>>p.right, i&(1<<p.right-1)
		for k := 0; k < permutationRounds; k += 2 {
			l ^= (p.a[k]*r + p.b[k]) >> (64 - p.left)
			r ^= (p.a[k+1]*l + p.b[k+1]) >> (64 - p.right)
		}
		if i = l<<p.right | r; i < p.n {
			return i
		}
	}
}

// Permutation fills dst with the numbers 0 to len(dst)-1 in the order in which
// an epoch, counted from 0, visits its rows. It does not allocate. It panics
// if dst has 2^31 elements or more.
func Permutation(seed, epoch uint64, dst []int32) {
	if uint64(len(dst)) > math.MaxInt32 {
		panic("philox: too many elements to permute")
	}
	if len(dst) == 0 {
		return
	}
	p := newPermutation(New(seed, Shuffle, epoch), uint64(len(dst)))
	for i := range dst {
		dst[i] = int32(p.at(uint64(i)))
	}
}
