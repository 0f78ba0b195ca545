package cpuwork

import (
	"sync/atomic"
	"unsafe"
)

// stateBytes is what each worker has of the arena of states: a cache line.
const stateBytes = 64

// held says which items a worker process has in its hands: count of them, from
// place first of a chunk. The worker writes it before it begins with them, so
// that it is known whatever happens then. A count of 0: none.
type held struct {
	chunk uint32
	first uint16
	count uint16
}

func (h held) word() uint64 {
	return uint64(h.chunk)<<32 | uint64(h.first)<<16 | uint64(h.count)
}

func heldOf(word uint64) held {
	return held{chunk: uint32(word >> 32), first: uint16(word >> 16), count: uint16(word)}
}

// has reports whether the place of the chunk is in the worker's hands.
func (h held) has(chunk uint32, place int) bool {
	return h.chunk == chunk && place >= int(h.first) && place < int(h.first)+int(h.count)
}

// state is a worker's word in the arena of states, which both processes map.
func state(mem []byte, line int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&mem[line*stateBytes])) // #nosec G103 -- aligned, and within mem
}
