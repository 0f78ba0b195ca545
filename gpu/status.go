package gpu

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// statusSize holds maxLanes lanes, one cache line each.
const (
	maxLanes   = 256
	statusLine = 64
	statusSize = maxLanes * statusLine
)

// A statusPage says which job each lane works on and since when. It lies in
// memory shared by worker and daemon, so that the daemon can read it when the
// worker hangs, and still when it is dead.
type statusPage struct{ bytes []byte }

type laneStatus struct {
	job   atomic.Int64 // 0: idle
	since atomic.Int64 // CLOCK_MONOTONIC nanoseconds, equal in all processes
}

func newStatusPage(bytes []byte) statusPage {
	if len(bytes) < statusSize {
		panic("gpu: status page is too short")
	}
	return statusPage{bytes}
}

func (p statusPage) lane(i int) *laneStatus {
	// A memory file is mapped at a page boundary, so every line is aligned.
	return (*laneStatus)(unsafe.Pointer(&p.bytes[i*statusLine]))
}

func (p statusPage) begin(lane int, job int64) {
	l := p.lane(lane)
	l.since.Store(monotonic())
	l.job.Store(job)
}

func (p statusPage) end(lane int) { p.lane(lane).job.Store(0) }

// busy returns the jobs on lanes and the age of the oldest quantum.
func (p statusPage) busy() (jobs []int64, oldest int64) {
	now := monotonic()
	for i := range maxLanes {
		l := p.lane(i)
		job := l.job.Load()
		if job == 0 {
			continue
		}
		jobs = append(jobs, job)
		oldest = max(oldest, now-l.since.Load())
	}
	return jobs, oldest
}

func (p statusPage) clear() { clear(p.bytes[:statusSize]) }

func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // cannot fail on Linux; an age of 0 accuses nobody
	}
	return ts.Nano()
}
