package daemon

import (
	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"

	"weft/daemon/api"
)

// A hostMeter reads the host's processors and memory, out of /proc. What cannot
// be read stays nil. It is one goroutine's.
type hostMeter struct {
	busy, all float64 // processor seconds since the machine started, at the last reading
}

func (m *hostMeter) read() api.Readings {
	var r api.Readings
	if times, err := cpu.Times(false); err == nil && len(times) == 1 {
		r.Utilization = m.share(&times[0])
	}
	if v, err := mem.VirtualMemory(); err == nil {
		used, total := whole(v.Used), whole(v.Total)
		r.MemoryUsed, r.MemoryTotal = &used, &total
	}
	if l, err := load.Avg(); err == nil {
		r.Load1, r.Load5, r.Load15 = &l.Load1, &l.Load5, &l.Load15
	}
	return r
}

// share is what part of the processors' time since the last reading was used;
// nil at the first one.
func (m *hostMeter) share(t *cpu.TimesStat) *float64 {
	busy := t.User + t.Nice + t.System + t.Irq + t.Softirq + t.Steal
	all := busy + t.Idle + t.Iowait
	part, span := busy-m.busy, all-m.all
	first := m.all == 0
	m.busy, m.all = busy, all
	if first || span <= 0 {
		return nil
	}
	share := min(1, max(0, part/span))
	return &share
}

func whole(v uint64) int64 { return int64(min(v, 1<<62)) } // #nosec G115 -- bounded
