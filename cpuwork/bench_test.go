package cpuwork

import (
	"fmt"
	"iter"
	"testing"
)

// repeat is n times the same item.
func repeat(item Item, n int) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for range n {
			if !yield(item, nil) {
				return
			}
		}
	}
}

func nothing(Result) error { return nil }

// BenchmarkHandOff is what a pool adds to an item: 16 bytes, of which nothing is
// made. Chunk 1 hands them over one by one.
func BenchmarkHandOff(b *testing.B) {
	for _, chunk := range []int{0, 1} {
		for _, kind := range Kinds {
			if chunk == 1 && kind == Sequential || chunk == 0 && kind == Event {
				continue
			}
			b.Run(fmt.Sprintf("%s/chunk=%d", kind, chunk), func(b *testing.B) {
				o := options(noop)
				o.Chunk = chunk
				p := open(b, kind, o)
				if _, err := p.Run(b.Context(), repeat(Item{}, 100), nothing); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				b.ResetTimer()
				s, err := p.Run(b.Context(), repeat(Item{Data: make([]byte, 16)}, b.N), nothing)
				if err != nil || s.OK != int64(b.N) {
					b.Fatal(s, err)
				}
			})
		}
	}
}

// BenchmarkSHA256 is 1 MB items, filled by copying, through the standard
// library's sha256.
func BenchmarkSHA256(b *testing.B) {
	source := make([]byte, 1e6)
	item := Item{Size: len(source), Fill: func(dst []byte) (int, error) { return copy(dst, source), nil }}
	for _, kind := range Kinds {
		b.Run(string(kind), func(b *testing.B) {
			o := options(hash)
			o.Memory = DefaultMemory
			p := open(b, kind, o)
			if _, err := p.Run(b.Context(), repeat(item, 20), nothing); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(source)))
			b.ResetTimer()
			s, err := p.Run(b.Context(), repeat(item, b.N), nothing)
			if err != nil || s.OK != int64(b.N) {
				b.Fatal(s, err)
			}
		})
	}
}
