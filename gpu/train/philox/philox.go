package philox

import "math/bits"

// Purpose keeps the numbers of one use apart from those of all others.
type Purpose uint8

// The purposes. Their values are part of every job's result: never renumber.
const (
	InitWeights Purpose = 1 // stream: index of the tensor
	Shuffle     Purpose = 2 // stream: epoch from 0
	Dropout     Purpose = 3 // stream: the layer and step, as the device packs them
	Split       Purpose = 4 // stream: class, or 0
	MakeData    Purpose = 5 // stream: one per made quantity
)

// Multipliers and Weyl constants of Philox4x32, from the paper's table 2.
const (
	mul0  = 0xD2511F53
	mul1  = 0xCD9E8D57
	weyl0 = 0x9E3779B9
	weyl1 = 0xBB67AE85
)

// maxBlock bounds a stream's blocks: 56 bits of the counter count them.
const maxBlock = 1<<56 - 1

// Stream is one sequence of 2^58 random numbers that can be read at any place.
// The zero Stream is valid but belongs to no purpose; use [New].
type Stream struct {
	key     [2]uint32
	purpose uint32
	id      [2]uint32
}

// New returns the stream of that number for a purpose under a seed.
func New(seed uint64, purpose Purpose, stream uint64) Stream {
	return Stream{
		key:     [2]uint32{uint32(seed), uint32(seed >> 32)},
		purpose: uint32(purpose) << 24,
		id:      [2]uint32{uint32(stream), uint32(stream >> 32)},
	}
}

// Block returns numbers 4·block to 4·block+3; block is taken modulo 2^56.
func (s Stream) Block(block uint64) [4]uint32 {
	block &= maxBlock
	return rounds([4]uint32{
		uint32(block), s.purpose | uint32(block>>32), s.id[0], s.id[1],
	}, s.key)
}

// Uint32 returns number i of the stream. Reading many in order is four times
// cheaper through [Source] or [Stream.Block].
func (s Stream) Uint32(i uint64) uint32 { return s.Block(i / 4)[i%4] }

// Float32 returns number i as a float32 in [0, 1), a multiple of 2^-24.
func (s Stream) Float32(i uint64) float32 { return Unit(s.Uint32(i)) }

// Unit maps a random word to a float32 in [0, 1) by its 24 high bits.
func Unit(x uint32) float32 { return float32(x>>8) * 0x1p-24 }

// rounds applies the ten rounds of Philox4x32-10 to counter c under key k.
func rounds(c [4]uint32, k [2]uint32) [4]uint32 {
	c0, c1, c2, c3 := c[0], c[1], c[2], c[3]
	k0, k1 := k[0], k[1]
	for range 10 {
		h0, l0 := bits.Mul32(mul0, c0)
		h1, l1 := bits.Mul32(mul1, c2)
		c0, c1, c2, c3 = h1^c1^k0, l1, h0^c3^k1, l0
		k0 += weyl0
		k1 += weyl1
	}
	return [4]uint32{c0, c1, c2, c3}
}
