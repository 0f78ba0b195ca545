//go:build cuda

package gpu

import (
	"sync"

	"weft/gpu/lane"
	"weft/gpu/train/dataset"
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

	mu   sync.Mutex // guards what follows
	jobs int64      // bytes of jobs
	sets map[string]*cachedSet
}

// A cachedSet is a data set that was put on the device. It may stay there
// without users, until the device is short of memory.
type cachedSet struct {
	bytes int64
	users int
}

// newDeviceMemory measures a device that has no jobs yet. limit, if not 0,
// bounds what they may take.
func newDeviceMemory(dev *lane.Device, limit int64) (*deviceMemory, error) {
	free, err := dev.Free()
	if err != nil {
		return nil, err
	}
	total := dev.Info().MemoryBytes
	m := &deviceMemory{dev: dev, sets: map[string]*cachedSet{}}
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
	m.mu.Lock()
	defer m.mu.Unlock()
	ours := m.jobs
	for _, set := range m.sets {
		ours += set.bytes
	}
	taken := m.capacity - max(free+ours-m.reserve, 0)
	if taken < m.reserve/2 { // rounding, as like as not
		return 0, nil
	}
	return taken, nil
}

func (m *deviceMemory) add(set *dataset.Set, job int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.jobs += job
	have := m.sets[set.Hash]
	if have == nil {
		have = &cachedSet{bytes: 4 * int64(len(set.X)+len(set.Labels)+len(set.Targets))}
		m.sets[set.Hash] = have
	}
	have.users++
}

func (m *deviceMemory) remove(set *dataset.Set, job int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.jobs -= job
	m.sets[set.Hash].users--
}

// exhausted notes that the device gave up all data sets without users before it
// had no memory.
func (m *deviceMemory) exhausted() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for hash, set := range m.sets {
		if set.users == 0 {
			delete(m.sets, hash)
		}
	}
}
