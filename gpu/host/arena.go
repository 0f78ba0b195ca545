package host

import "unsafe"

// cacheLine is where every piece of an arena begins, so that no vector load
// of a piece's start straddles two lines.
const cacheLine = 64

// arena hands out pieces of one block of memory, in order, none of them ever
// given back. With no block it only counts: the code that lays a trainer out
// is run once to measure and once to allocate, so the two cannot disagree.
type arena struct {
	block []byte // starts on a cache line; nil: count only
	used  int64
}

// newArena allocates a block of size bytes, as counted by an empty arena.
func newArena(size int64) *arena {
	raw := make([]byte, size+cacheLine-1)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(raw))) % cacheLine
	return &arena{block: raw[skip : skip+uintptr(size) : skip+uintptr(size)]}
}

// bytes returns what newArena allocates for as much as a has handed out.
func (a *arena) bytes() int64 { return a.used + cacheLine - 1 }

// take returns the next n elements, zero; nil when a only counts.
func take[E float32 | float64 | int32](a *arena, n int) []E {
	var e E
	size := int64(n) * int64(unsafe.Sizeof(e))
	at := a.used
	a.used += (size + cacheLine - 1) / cacheLine * cacheLine
	if a.block == nil || n == 0 {
		return nil
	}
	piece := a.block[at : at+size : at+size]
	return unsafe.Slice((*E)(unsafe.Pointer(unsafe.SliceData(piece))), n)
}
