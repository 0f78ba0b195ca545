//go:build cuda

package lane

import (
	"errors"
	"fmt"
	"math/bits"

	"weft/gpu/cuda"
)

const (
	stageBytes  = 4 << 20   // uploads pass through pinned memory in pieces of this
	keptBytes   = 256 << 20 // pinned memory kept for later snapshots, at most
	smallPinned = 4 << 10
)

// allocLocked takes device memory in order of the copy stream, so that no other
// stream waits. When there is too little, data sets that nobody uses are given
// up first. It needs d.mu.
func (d *Device) allocLocked(bytes int64) (cuda.Ptr, error) {
	for {
		at, err := d.copies.AllocAsync(bytes)
		if err == nil {
			err = d.copies.Synchronize()
		}
		if err == nil {
			return at, nil
		}
		if !cuda.IsOutOfMemory(err) {
			return 0, fmt.Errorf("take %d bytes of device memory: %w", bytes, err)
		}
		evicted, err := d.evictLocked()
		if err != nil {
			return 0, err
		}
		if !evicted {
			return 0, ErrNoMemory
		}
	}
}

// freeLocked gives memory back that no launch uses any more. It needs d.mu.
func (d *Device) freeLocked(at cuda.Ptr) error {
	if at == 0 {
		return nil
	}
	if err := d.copies.FreeAsync(at); err != nil {
		return fmt.Errorf("give device memory back: %w", err)
	}
	return nil
}

// uploadLocked copies src to the device and returns when that is done. It needs d.mu.
func (d *Device) uploadLocked(to cuda.Ptr, src []byte) error {
	for len(src) > 0 {
		n := copy(d.stage.Bytes, src)
		if err := d.copies.CopyIn(to, d.stage.Bytes[:n]); err != nil {
			return fmt.Errorf("copy to device: %w", err)
		}
		if err := d.copies.Synchronize(); err != nil {
			return fmt.Errorf("copy to device: %w", err)
		}
		to += cuda.Ptr(n)
		src = src[n:]
	}
	return nil
}

// pinned returns pinned memory of at least that size, a power of two.
func (d *Device) pinned(bytes int64) (*cuda.Host, error) {
	size := int64(1) << bits.Len64(uint64(max(bytes, smallPinned)-1))
	if h := d.kept(size); h != nil {
		return h, nil
	}
	h, err := d.ctx.AllocHost(size)
	if err != nil {
		return nil, fmt.Errorf("pin %d bytes of host memory: %w", size, err)
	}
	return h, nil
}

// kept takes pinned memory of that size from what was kept; nil: there is none.
func (d *Device) kept(size int64) *cuda.Host {
	d.pinMu.Lock()
	defer d.pinMu.Unlock()
	for i, h := range d.free {
		if int64(len(h.Bytes)) == size {
			last := len(d.free) - 1
			d.free[i] = d.free[last]
			d.free = d.free[:last]
			d.held -= size
			return h
		}
	}
	return nil
}

// unpin takes pinned memory back.
func (d *Device) unpin(h *cuda.Host) error {
	if d.keep(h) {
		return nil
	}
	if err := h.Free(); err != nil {
		return fmt.Errorf("unpin host memory: %w", err)
	}
	return nil
}

func (d *Device) keep(h *cuda.Host) bool {
	d.pinMu.Lock()
	defer d.pinMu.Unlock()
	bytes := int64(len(h.Bytes))
	if d.held+bytes > keptBytes {
		return false
	}
	d.free = append(d.free, h)
	d.held += bytes
	return true
}

// evictLocked gives up a data set that no job uses and reports whether there
// was one. It needs d.mu.
func (d *Device) evictLocked() (bool, error) {
	for hash, set := range d.sets {
		if set.refs == 0 {
			delete(d.sets, hash)
			d.cached.Add(-set.bytes)
			return true, errors.Join(d.freeLocked(set.at), d.copies.Synchronize())
		}
	}
	return false, nil
}
