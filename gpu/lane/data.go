//go:build cuda

package lane

import (
	"unsafe"

	"weft/gpu/cuda"
	"weft/gpu/program"
	"weft/gpu/train/dataset"
)

// Data is a data set in the device's memory. Jobs on equal content share it;
// it stays there, for the next job, until memory is wanted.
type Data struct {
	dev   *Device
	at    cuda.Ptr
	bytes int64
	ptrs  program.DataPtrs
	refs  int // guarded by dev.mu
}

// Data returns the set with this content, copied to the device if it is not
// there. Every call wants a Release.
func (d *Device) Data(set *dataset.Set) (*Data, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if have := d.sets[set.Hash]; have != nil {
		have.refs++
		return have, nil
	}
	data := &Data{dev: d, refs: 1, ptrs: program.DataPtrs{Spreads: program.SpreadsOf(set)}}
	x, labels, targets := bytesOf(set.X), bytesOf(set.Labels), bytesOf(set.Targets)
	data.bytes = aligned(len(x)) + aligned(len(labels)) + aligned(len(targets))
	at, err := d.allocLocked(data.bytes)
	if err != nil {
		return nil, err
	}
	data.at = at
	next := at
	for _, array := range []struct {
		src []byte
		to  *uint64
	}{{x, &data.ptrs.X}, {labels, &data.ptrs.Labels}, {targets, &data.ptrs.Targets}} {
		if len(array.src) == 0 {
			continue
		}
		*array.to = uint64(next)
		if err := d.uploadLocked(next, array.src); err != nil {
			return nil, err // the context is lost, and its memory with it
		}
		next += cuda.Ptr(aligned(len(array.src)))
	}
	d.sets[set.Hash] = data
	d.cached.Add(data.bytes)
	return data, nil
}

// Release says that one user of the data set is done.
func (s *Data) Release() {
	s.dev.mu.Lock()
	defer s.dev.mu.Unlock()
	s.refs--
}

// aligned rounds up to what every array begins at a multiple of.
func aligned(n int) int64 { return (int64(n) + 255) &^ 255 }

// bytesOf is the memory of a slice of numbers.
func bytesOf[T float32 | int32](s []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*4)
}
