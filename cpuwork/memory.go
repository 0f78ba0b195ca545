package cpuwork

import (
	"fmt"
	"slices"
	"sort"

	"golang.org/x/sys/unix"
)

// grain is the unit in which memory is handed out: a cache line, so that two
// items never share one.
const grain = 64

// span is a piece of a region, in bytes.
type span struct{ offset, size int64 }

// region hands out pieces of one block of memory, always from the lowest offset
// where there is room: what is used over and over stays small, and in the cache.
// It is not for concurrent use.
type region struct {
	mem  []byte
	free []span // sorted by offset; neighbours are merged
}

func newRegion(mem []byte) *region {
	return &region{mem: mem, free: []span{{0, int64(len(mem))}}}
}

// rounded returns what a piece of size bytes takes of a region.
func rounded(size int64) int64 { return (size + grain - 1) / grain * grain }

// take returns the offset of room for size bytes, if there is.
func (r *region) take(size int64) (int64, bool) {
	size = rounded(size)
	for i := range r.free {
		f := &r.free[i]
		if f.size < size {
			continue
		}
		at := f.offset
		if f.offset, f.size = f.offset+size, f.size-size; f.size == 0 {
			r.free = slices.Delete(r.free, i, i+1)
		}
		return at, true
	}
	return 0, false
}

// give takes room for size bytes back.
func (r *region) give(at, size int64) {
	s := span{at, rounded(size)}
	i := sort.Search(len(r.free), func(i int) bool { return r.free[i].offset > s.offset })
	before := i > 0 && r.free[i-1].offset+r.free[i-1].size == s.offset
	after := i < len(r.free) && s.offset+s.size == r.free[i].offset
	switch {
	case before && after:
		r.free[i-1].size += s.size + r.free[i].size
		r.free = slices.Delete(r.free, i, i+1)
	case before:
		r.free[i-1].size += s.size
	case after:
		r.free[i] = span{s.offset, s.size + r.free[i].size}
	default:
		r.free = slices.Insert(r.free, i, s)
	}
}

// openSlab makes memory for items, unless it is there: of this process alone, and
// outside of the heap, so that it makes no work for the garbage collector, and
// that only pages which are used take room.
func openSlab(slab *[]byte, size int64) (err error) {
	if *slab != nil {
		return nil
	}
	*slab, err = unix.Mmap(-1, 0, int(rounded(size)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("map %d bytes for items: %w", size, err)
	}
	return nil
}

// closeSlab gives the memory back, if there is any.
func closeSlab(slab *[]byte) error {
	if *slab == nil {
		return nil
	}
	mem := *slab
	*slab = nil
	if err := unix.Munmap(mem); err != nil {
		return fmt.Errorf("unmap the memory of items: %w", err)
	}
	return nil
}
