package gpu

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Activity is what a device has done since it was opened, over all lives of its
// worker, and who is on its lanes at this moment.
type Activity struct {
	// BusySeconds is how long lanes were at work: on the host the sum over
	// lanes, on a GPU the time in which the device had something to do. It is
	// counted by the quantum, apart from what jobs are charged, which adds up to
	// the same.
	BusySeconds float64
	Quanta      Histogram
	Gangs       []Gang
}

// A Histogram counts durations.
type Histogram struct {
	Bounds []float64 // upper ones, in seconds, growing
	Counts []uint64  // by bound, not summed up; the last, one more, are above all
	Sum    float64   // seconds
}

// A Gang is the jobs that a lane has at one moment.
type Gang struct {
	Lane    int
	Jobs    []int64
	Working bool // on a quantum
}

// A quantum's bounds: quantumBound << i, for quantumBounds of them, which is
// from a sixteenth of a millisecond to half a minute.
const (
	quantumBound  = 62500 * time.Nanosecond
	quantumBounds = 20
)

// counters are the part of a status page that only grows.
type counters struct {
	busy   atomic.Int64 // nanoseconds
	took   atomic.Int64 // nanoseconds, the sum of all quanta
	quanta [quantumBounds + 1]atomic.Int64
}

func (p statusPage) counters() *counters {
	// Lines and seats before it keep it aligned.
	return (*counters)(unsafe.Pointer(&p.bytes[countersAt]))
}

// count enters a quantum that took so long, charged of which were the lane's
// where lanes share the device.
func (p statusPage) count(took, charged time.Duration) {
	c := p.counters()
	c.busy.Add(int64(charged))
	c.took.Add(int64(took))
	i := 0
	for i < quantumBounds && took > quantumBound<<i {
		i++
	}
	c.quanta[i].Add(1)
}

// takeCounters moves the page's counters into sum, when its worker has ended.
func (p statusPage) takeCounters(sum *Activity) {
	c := p.counters()
	sum.add(c)
	c.busy.Store(0)
	c.took.Store(0)
	for i := range c.quanta {
		c.quanta[i].Store(0)
	}
}

func newActivity() Activity {
	a := Activity{Quanta: Histogram{Counts: make([]uint64, quantumBounds+1)}}
	for i := range quantumBounds {
		a.Quanta.Bounds = append(a.Quanta.Bounds, (quantumBound << i).Seconds())
	}
	return a
}

func (a *Activity) add(c *counters) {
	a.BusySeconds += time.Duration(c.busy.Load()).Seconds()
	a.Quanta.Sum += time.Duration(c.took.Load()).Seconds()
	for i := range c.quanta {
		a.Quanta.Counts[i] += uint64(c.quanta[i].Load())
	}
}

// gangs lists the lanes that have jobs: of a device whose lanes serve gangs those
// that jobs are seated on, else those at work.
func (p statusPage) gangs(seated bool) []Gang {
	if !seated {
		var found []Gang
		for i := range maxLanes {
			if job := p.lane(i).job.Load(); job != 0 {
				found = append(found, Gang{Lane: i, Jobs: []int64{job}, Working: true})
			}
		}
		return found
	}
	members := map[int][]int64{}
	for i := range maxSeats {
		s := p.seat(i)
		lane := int(s.lane.Load())
		if job := s.job.Load(); job != 0 && lane >= 0 && lane < maxLanes {
			members[lane] = append(members[lane], job)
		}
	}
	var found []Gang
	for _, lane := range slices.Sorted(maps.Keys(members)) {
		slices.Sort(members[lane])
		found = append(found, Gang{Lane: lane, Jobs: members[lane], Working: p.lane(lane).job.Load() != 0})
	}
	return found
}

// Activity tells what the device has done; it may be asked at any time.
func (d *Device) Activity() Activity {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.past
	a.Quanta.Counts = slices.Clone(a.Quanta.Counts)
	if d.ended {
		return a
	}
	a.add(d.status.counters())
	if d.up {
		a.Gangs = d.status.gangs(d.info.Kind != KindHost)
	}
	return a
}

// threadCPU is the processor time of the calling thread, to which a lane is
// locked.
func threadCPU() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0 // cannot fail on Linux
	}
	return time.Duration(ts.Nano())
}
