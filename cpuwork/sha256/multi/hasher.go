package multi

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
)

const (
	// MaxLanes is how many streams are hashed side by side at most.
	MaxLanes = 16
	// Size is the length of a digest in bytes.
	Size = sha256.Size

	blockSize = sha256.BlockSize
	// maxBlocks bounds one run of assembly, which cannot be preempted, to 16 ×
	// 64 KiB: a third of a millisecond.
	maxBlocks = 1024
	// group is how many streams the SHA extensions are given at once.
	group = 4
	// wideFrom is how many streams it takes for AVX-512, which takes as long for
	// any number up to sixteen, to be faster.
	wideFrom = 10
)

// initial is H(0) of FIPS 180-4, section 5.3.3.
var initial = [8]uint32{
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
}

// A Source is a stream in pieces. Next returns the next one, which stays as it
// is until Next is called again, or io.EOF and no piece. Pieces may have any
// length; multiples of 64 bytes are not copied.
type Source interface {
	Next() ([]byte, error)
}

// A level is a way to hash.
type level int

const (
	best     level = iota // of those below that this machine can
	standard              // one stream after the other with crypto/sha256
	narrow                // groups of four with the SHA extensions
	wide                  // sixteen with AVX-512, fewer as in narrow
)

// A Hasher hashes streams in up to [Lanes] lanes. The zero value is ready; it
// may be used again and again, from one goroutine at a time.
type Hasher struct {
	level  level // tests: not the best one
	states [MaxLanes][8]uint32
	data   [MaxLanes]*byte
	lanes  [MaxLanes]*lane
	blobs  []blob
	std    hash.Hash // standard: what streams are hashed with
	sum    [Size]byte
}

// Lanes returns how many streams this machine hashes side by side: 1, 4 or 16.
func Lanes() int { return machine.lanes() }

func (l level) lanes() int {
	switch l {
	case wide:
		return MaxLanes
	case narrow:
		return group
	}
	return 1
}

// Run hashes one stream after the other that next returns, until that is nil,
// and calls done at each one's end, in the order in which they end: with its
// digest, or with the error of its source other than io.EOF.
func (h *Hasher) Run(next func() Source, done func(src Source, sum [Size]byte, err error)) {
	use := h.level
	if use == best {
		use = machine
	}
	if use == standard {
		h.oneByOne(next, done)
		return
	}
	active := 0
	for ; active < use.lanes(); active++ {
		src := next()
		if src == nil {
			break
		}
		h.begin(active, src)
	}
	for active > 0 {
		for i := 0; i < active; {
			finished, err := h.lanes[i].fill()
			if !finished {
				i++
				continue
			}
			done(h.lanes[i].src, h.digest(i), err)
			h.lanes[i].src = nil // let go of it
			if src := next(); src != nil {
				h.begin(i, src)
				continue
			}
			active--
			h.lanes[i], h.lanes[active] = h.lanes[active], h.lanes[i]
			h.states[i] = h.states[active]
		}
		h.step(use, active)
	}
}

// step hashes blocks of the first n lanes: as many as each lane of a group has.
func (h *Hasher) step(use level, n int) {
	if use == wide && n >= wideFrom {
		count := h.aim(0, n)
		for i := n; i < MaxLanes; i++ {
			h.data[i] = h.data[0] // hashed into a state that nobody looks at
		}
		blocks16(&h.states, &h.data, count)
		h.advance(0, n, count)
		clear(h.data[n:])
		return
	}
	for from := 0; from < n; from += group {
		to := min(from+group, n)
		count := h.aim(from, to)
		blocks(to-from, (*[group][8]uint32)(h.states[from:]), (*[group]*byte)(h.data[from:]), count)
		h.advance(from, to, count)
	}
}

// aim points data at lanes' blocks and returns how many they all have.
func (h *Hasher) aim(from, to int) int {
	count := maxBlocks
	for i := from; i < to; i++ {
		count = min(count, len(h.lanes[i].blocks)/blockSize)
		h.data[i] = &h.lanes[i].blocks[0]
	}
	return count
}

func (h *Hasher) advance(from, to, count int) {
	for i := from; i < to; i++ {
		h.lanes[i].blocks = h.lanes[i].blocks[count*blockSize:]
		h.data[i] = nil
	}
}

func (h *Hasher) begin(i int, src Source) {
	if h.lanes[i] == nil {
		h.lanes[i] = new(lane)
	}
	*h.lanes[i] = lane{src: src}
	h.states[i] = initial
}

func (h *Hasher) digest(i int) (sum [Size]byte) {
	for j, word := range h.states[i] {
		binary.BigEndian.PutUint32(sum[4*j:], word)
	}
	return sum
}

// oneByOne is Run with crypto/sha256.
func (h *Hasher) oneByOne(next func() Source, done func(Source, [Size]byte, error)) {
	if h.std == nil {
		h.std = sha256.New()
	}
	for src := next(); src != nil; src = next() {
		h.std.Reset()
		piece, err := src.Next()
		for ; err == nil; piece, err = src.Next() {
			h.std.Write(piece)
		}
		if errors.Is(err, io.EOF) {
			err = nil
			h.std.Sum(h.sum[:0])
		}
		done(src, h.sum, err)
	}
}

// A lane is one stream on its way: pieces of any length become whole blocks.
type lane struct {
	src     Source
	blocks  []byte // whole blocks, not hashed yet
	piece   []byte // what follows them of the source's last piece
	carry   [2 * blockSize]byte
	carried int // bytes in carry that wait for the rest of their block
	length  uint64
	padded  bool // the last blocks are on their way
}

// fill sees to it that there are blocks. It reports the end of the stream once
// all are hashed, or once the source has failed.
func (l *lane) fill() (finished bool, err error) {
	for len(l.blocks) == 0 {
		if l.padded {
			return true, nil
		}
		if len(l.piece) == 0 {
			l.piece, err = l.src.Next()
			l.length += uint64(len(l.piece))
			if errors.Is(err, io.EOF) {
				l.pad()
				return false, nil
			}
			if err != nil {
				return true, err
			}
		}
		l.cut()
	}
	return false, nil
}

// cut takes what whole blocks there are from the piece.
func (l *lane) cut() {
	if l.carried > 0 {
		n := copy(l.carry[l.carried:blockSize], l.piece)
		l.carried += n
		l.piece = l.piece[n:]
		if l.carried == blockSize {
			l.blocks, l.carried = l.carry[:blockSize], 0
		}
		return
	}
	whole := len(l.piece) / blockSize * blockSize
	l.blocks = l.piece[:whole]
	l.carried = copy(l.carry[:], l.piece[whole:])
	l.piece = nil
}

// pad makes the last blocks: a one, zeros, and the length in bits (FIPS 180-4,
// section 5.1.1).
func (l *lane) pad() {
	end := blockSize
	if l.carried > blockSize-9 {
		end = 2 * blockSize
	}
	clear(l.carry[l.carried:end])
	l.carry[l.carried] = 0x80
	binary.BigEndian.PutUint64(l.carry[end-8:], l.length<<3)
	l.blocks, l.piece, l.padded = l.carry[:end], nil, true
}

// Sum writes the digest of each blob to the same place of sums, which is as long.
func (h *Hasher) Sum(sums [][Size]byte, blobs [][]byte) {
	if len(sums) != len(blobs) {
		panic("multi: Sum needs as many sums as blobs")
	}
	h.blobs = h.blobs[:0]
	for i, b := range blobs {
		h.blobs = append(h.blobs, blob{index: i, rest: b})
	}
	at := 0
	h.Run(func() Source {
		if at == len(h.blobs) {
			return nil
		}
		at++
		return &h.blobs[at-1]
	}, func(src Source, sum [Size]byte, _ error) { sums[src.(*blob).index] = sum })
	clear(h.blobs) // keep no blob alive
}

// A blob is a stream that lies in memory.
type blob struct {
	index int
	rest  []byte
}

func (b *blob) Next() ([]byte, error) {
	if len(b.rest) == 0 {
		return nil, io.EOF
	}
	piece := b.rest
	b.rest = nil
	return piece, nil
}
