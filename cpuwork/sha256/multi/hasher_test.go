package multi

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hashers are all ways of hashing that this machine knows.
func hashers() map[string]*Hasher {
	all := map[string]*Hasher{"standard": {level: standard}}
	if machine >= narrow {
		all["narrow"] = &Hasher{level: narrow}
	}
	if machine >= wide {
		all["wide"] = &Hasher{level: wide}
	}
	return all
}

func randomBytes(r *rand.ChaCha8, n int) []byte {
	b := make([]byte, n)
	_, _ = r.Read(b) // never fails
	return b
}

// check compares the digests of blobs with the standard library's.
func check(t interface{ Errorf(string, ...any) }, name string, h *Hasher, blobs [][]byte) {
	sums := make([][Size]byte, len(blobs))
	h.Sum(sums, blobs)
	for i, b := range blobs {
		if want := sha256.Sum256(b); sums[i] != want {
			t.Errorf("%s: blob %d of %d, %d bytes: %x, want %x", name, i, len(blobs), len(b), sums[i], want)
		}
	}
}

func TestEveryLength(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	for name, h := range hashers() {
		for length := range 301 {
			for count := 1; count <= 18; count++ {
				blobs := make([][]byte, count)
				for i := range blobs {
					blobs[i] = randomBytes(r, length)
				}
				check(t, name, h, blobs)
			}
		}
	}
}

// TestUnequalLengths: lanes end at different times and are given new streams.
func TestUnequalLengths(t *testing.T) {
	data := randomBytes(rand.NewChaCha8([32]byte{2}), 1<<20)
	all := hashers()
	rapid.Check(t, func(t *rapid.T) {
		lengths := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 200), rapid.IntRange(0, 100_000)), 0, 40).Draw(t, "lengths")
		blobs := make([][]byte, len(lengths))
		for i, n := range lengths {
			start := rapid.IntRange(0, len(data)-n).Draw(t, "start")
			blobs[i] = data[start : start+n]
		}
		for name, h := range all {
			check(t, name, h, blobs)
		}
	})
}

// pieces is a source whose pieces have random lengths, some none at all, in
// memory that is overwritten at the next call, and that fails in the end if err
// is set.
type pieces struct {
	id   int
	rest []byte
	r    *rand.Rand
	buf  [333]byte
	err  error
}

func (p *pieces) Next() ([]byte, error) {
	for i := range p.buf {
		p.buf[i] = 0xaa
	}
	if len(p.rest) == 0 {
		if p.err != nil {
			return nil, p.err
		}
		return nil, io.EOF
	}
	n := copy(p.buf[:p.r.IntN(len(p.buf))], p.rest)
	p.rest = p.rest[n:]
	return p.buf[:n], nil
}

func TestPiecesAndErrors(t *testing.T) {
	bad := errors.New("disk on fire")
	for name, h := range hashers() {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			content := map[int][]byte{}
			next := func() Source {
				id := len(content)
				if id == 200 {
					return nil
				}
				content[id] = randomBytes(rand.NewChaCha8([32]byte{byte(id)}), r.IntN(3000))
				p := &pieces{id: id, rest: content[id], r: r}
				if id%7 == 3 {
					p.err = bad
				}
				return p
			}
			ended := map[int]bool{}
			h.Run(next, func(src Source, sum [Size]byte, err error) {
				id := src.(*pieces).id
				if ended[id] {
					t.Errorf("stream %d ended twice", id)
				}
				ended[id] = true
				if id%7 == 3 {
					if !errors.Is(err, bad) {
						t.Errorf("stream %d: error is %v, want %v", id, err, bad)
					}
				} else if err != nil || sum != sha256.Sum256(content[id]) {
					t.Errorf("stream %d of %d bytes: %x, %v", id, len(content[id]), sum, err)
				}
			})
			if len(ended) != 200 {
				t.Errorf("%d streams ended, want 200", len(ended))
			}
		})
	}
}

// TestLanesStayFull: with input left, no stream is asked to wait for another.
func TestLanesStayFull(t *testing.T) {
	for name, h := range hashers() {
		open, given, lanes := 0, 0, h.level.lanes()
		h.Run(func() Source {
			if given == 60 {
				return nil
			}
			given++
			open++
			return &blob{rest: make([]byte, 1000*given)}
		}, func(Source, [Size]byte, error) {
			if open != lanes && given < 60 {
				t.Errorf("%s: %d streams open with %d of 60 given, want %d", name, open, given, lanes)
			}
			open--
		})
	}
}

func TestSumAllocatesOnce(t *testing.T) {
	blobs := make([][]byte, 8)
	sums := make([][Size]byte, len(blobs))
	for name, h := range hashers() {
		if n := testing.AllocsPerRun(10, func() { h.Sum(sums, blobs) }); n > 3 {
			t.Errorf("%s: Sum makes %v allocations, want 3 at most", name, n)
		}
	}
}

// FuzzAgainstStandard cuts the input into streams of lengths that it says itself.
func FuzzAgainstStandard(f *testing.F) {
	f.Add([]byte{}, uint16(0))
	f.Add(bytes.Repeat([]byte{0x80}, 300), uint16(55))
	f.Add(bytes.Repeat([]byte{1}, 1000), uint16(64))
	f.Fuzz(func(t *testing.T, data []byte, step uint16) {
		var blobs [][]byte
		for rest, n := data, int(step); ; n = n*31%511 + 1 {
			n = min(n, len(rest))
			blobs = append(blobs, rest[:n])
			if rest = rest[n:]; len(rest) == 0 {
				break
			}
		}
		for name, h := range hashers() {
			check(t, name, h, blobs)
		}
	})
}

func BenchmarkSum(b *testing.B) {
	const size = 1 << 20
	data := randomBytes(rand.NewChaCha8([32]byte{3}), MaxLanes*size)
	for _, streams := range []int{1, 2, 4, 8, 9, 12, 16} {
		blobs := make([][]byte, streams)
		for i := range blobs {
			blobs[i] = data[i*size : (i+1)*size]
		}
		sums := make([][Size]byte, streams)
		for name, h := range hashers() {
			b.Run(fmt.Sprintf("%s/%d", name, streams), func(b *testing.B) {
				b.SetBytes(int64(streams) * size)
				for b.Loop() {
					h.Sum(sums, blobs)
				}
			})
		}
	}
}
