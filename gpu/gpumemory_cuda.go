//go:build cuda

package gpu

import (
	"sync/atomic"

	"weft/gpu/lane"
)

const (
	// What a context and the kernels take of a device's memory, at most; more
	// that is not free belongs to other processes.
	contextBytes = 2 << 30
	// What is left free: tables of gangs, and the allocator's rounding.
	leastReserve, mostReserve = 32 << 20, 512 << 20
)

// deviceMemory counts what jobs may take of a GPU's memory, and finds out how
// much of that other processes have.
type deviceMemory struct {
	dev          *lane.Device
	capacity     int64 // for jobs and data sets together
	reserve      int64
	takenAtStart int64

	jobs atomic.Int64 // bytes of jobs
}

// newDeviceMemory measures a device that has no jobs yet. limit, if not 0,
// bounds what they may take.
func newDeviceMemory(dev *lane.Device, limit int64) (*deviceMemory, error) {
	free, err := dev.Free()
	if err != nil {
		return nil, err
	}
	total := dev.Info().MemoryBytes
	m := &deviceMemory{dev: dev}
	m.reserve = min(max(total/64, leastReserve), mostReserve, total/8)
	own := min(total-free, contextBytes, total/8)
	m.capacity = max(total-own-m.reserve, 0)
	if limit > 0 {
		m.capacity = min(m.capacity, limit)
	}
	m.takenAtStart = max(m.capacity-max(free-m.reserve, 0), 0)
	return m, nil
}

// taken returns how much of the capacity other processes have now.
func (m *deviceMemory) taken() (int64, error) {
	free, err := m.dev.Free()
	if err != nil {
		return 0, err
	}
	ours := m.jobs.Load() + m.dev.DataBytes()
	taken := m.capacity - max(free+ours-m.reserve, 0)
	if taken < m.reserve/2 { // rounding, as like as not
		return 0, nil
	}
	return taken, nil
}

// add counts a job's bytes in, or out where they are below 0.
func (m *deviceMemory) add(bytes int64) { m.jobs.Add(bytes) }
