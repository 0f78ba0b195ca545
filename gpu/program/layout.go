package program

import (
	"unsafe"

	"weft/kernels"
)

// alignment is what every piece of a job's memory and every tensor begins on a
// multiple of: a kernel's vector loads and a memory transaction are shorter.
const alignment = 256

func align(n int64) int64 { return (n + alignment - 1) &^ (alignment - 1) }

// Sizes of what arrays hold.
const (
	sizeFloat  = 4
	sizeInt    = 4
	sizeDouble = 8
)

// place says which part of a job's memory a piece is put in.
type place int

const (
	outside    place = iota // not the job's memory: the data set
	inState                 // what a snapshot copies
	inImage                 // written once, by the host
	lasting                 // kept from section to section
	training                // kept within TRAIN
	evaluating              // kept within VALIDATE and TEST; shares its place with training
	places
)

// piece is one array of a job's memory.
type piece struct {
	name  string
	place place
	bytes int64
	at    int64 // from the start of the job's memory; set by layout.put
}

// region names a piece. Pointers into it are known before its place is.
type region int

// The regions that every layout has.
const (
	null region = iota
	dataX
	dataLabels
	dataTargets
)

// offsetBits of a symbolic pointer are the offset in its region.
const offsetBits = 48

// ptr returns the symbolic pointer to offset bytes into r.
func (r region) ptr(offset int64) kernels.Ptr {
	if r == null {
		return 0
	}
	return kernels.Ptr(r)<<offsetBits | kernels.Ptr(offset)
}

// split takes a symbolic pointer apart.
func split(p kernels.Ptr) (region, int64) {
	return region(p >> offsetBits), int64(p & (1<<offsetBits - 1))
}

// layout is the list of a job's pieces.
type layout struct{ pieces []piece }

func newLayout() layout {
	return layout{[]piece{null: {name: "null"}, dataX: {name: "data.x"}, dataLabels: {name: "data.labels"}, dataTargets: {name: "data.targets"}}}
}

// add appends a piece.
func (l *layout) add(name string, in place, bytes int64) region {
	l.pieces = append(l.pieces, piece{name: name, place: in, bytes: bytes})
	return region(len(l.pieces) - 1)
}

// grow makes r at least so long.
func (l *layout) grow(r region, bytes int64) {
	l.pieces[r].bytes = max(l.pieces[r].bytes, bytes)
}

// total counts the bytes of the pieces of one part.
func (l *layout) total(in place) int64 {
	var total int64
	for i := range l.pieces {
		if l.pieces[i].place == in {
			total += align(l.pieces[i].bytes)
		}
	}
	return total
}

// put gives every piece its place, and returns where each part of the memory
// ends. Training and evaluation never run at the same time and begin at the
// same place.
func (l *layout) put() (ends [places]int64) {
	var at int64
	for in := inState; in < places; in++ {
		if in == evaluating {
			at = ends[lasting]
		}
		for i := range l.pieces {
			if p := &l.pieces[i]; p.place == in {
				p.at = at
				at += align(p.bytes)
			}
		}
		ends[in] = at
	}
	return ends
}

// raw is the memory of a slice, as the device sees it.
func raw[E any](s []E) []byte {
	var e E
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), uintptr(len(s))*unsafe.Sizeof(e))
}
