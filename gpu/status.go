package gpu

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The layout of a status page: a cache line for each lane, then a seat for
// each job that may be in a gang, then the counters.
const (
	maxLanes   = 256
	maxSeats   = 4096
	statusLine = 64
	seatSize   = 16
	countersAt = maxLanes*statusLine + maxSeats*seatSize
	statusSize = countersAt + unsafe.Sizeof(counters{})
)

// A statusPage says which job, or which gang, each lane works on and since
// when. It lies in memory shared by worker and daemon, so that the daemon can
// read it when the worker hangs, and still when it is dead.
//
// A lane that serves one job after the other writes the job's id each quantum:
// two stores. A lane that serves a gang seats its members once, when they join.
type statusPage struct{ bytes []byte }

type laneStatus struct {
	job   atomic.Int64 // 0: idle; wholeGang: all that are seated on the lane
	since atomic.Int64 // CLOCK_MONOTONIC nanoseconds, equal in all processes
}

// wholeGang is laneStatus.job of a lane at work on all its members.
const wholeGang = -1

type seatStatus struct {
	job  atomic.Int64 // 0: free
	lane atomic.Int64
}

func newStatusPage(bytes []byte) statusPage {
	if len(bytes) < int(statusSize) {
		panic("gpu: status page is too short")
	}
	return statusPage{bytes}
}

func (p statusPage) lane(i int) *laneStatus {
	// A memory file is mapped at a page boundary, so every line is aligned.
	return (*laneStatus)(unsafe.Pointer(&p.bytes[i*statusLine]))
}

func (p statusPage) seat(i int) *seatStatus {
	return (*seatStatus)(unsafe.Pointer(&p.bytes[maxLanes*statusLine+i*seatSize]))
}

// begin says that a lane works on a job, or on the wholeGang, from now on.
func (p statusPage) begin(lane int, job int64) {
	l := p.lane(lane)
	l.since.Store(monotonic())
	l.job.Store(job)
}

func (p statusPage) end(lane int) { p.lane(lane).job.Store(0) }

// sit makes a job a member of a lane's gang. It returns the seat, for rise, or
// -1 when all are taken: then nobody will suspect the job. One goroutine seats
// the jobs of a worker, or several under a lock.
func (p statusPage) sit(lane int, job int64) int {
	for i := range maxSeats {
		if s := p.seat(i); s.job.Load() == 0 {
			s.lane.Store(int64(lane))
			s.job.Store(job)
			return i
		}
	}
	return -1
}

// rise frees a seat.
func (p statusPage) rise(seat int) {
	if seat >= 0 {
		p.seat(seat).job.Store(0)
	}
}

// busy returns the jobs that lanes are at work on and the age of the oldest
// quantum in nanoseconds.
func (p statusPage) busy() (jobs []int64, oldest int64) {
	now := monotonic()
	for i := range maxLanes {
		l := p.lane(i)
		job := l.job.Load()
		if job == 0 {
			continue
		}
		if job == wholeGang {
			jobs = p.members(jobs, i)
		} else {
			jobs = append(jobs, job)
		}
		oldest = max(oldest, now-l.since.Load())
	}
	return jobs, oldest
}

// members appends the jobs seated on a lane.
func (p statusPage) members(jobs []int64, lane int) []int64 {
	for i := range maxSeats {
		if s := p.seat(i); s.lane.Load() == int64(lane) {
			if job := s.job.Load(); job != 0 {
				jobs = append(jobs, job)
			}
		}
	}
	return jobs
}

// clear makes the page as a new worker should find it. The counters stay: see
// takeCounters.
func (p statusPage) clear() { clear(p.bytes[:countersAt]) }

// monotonic is CLOCK_MONOTONIC, by way of package time, which asks without a
// system call.
func monotonic() int64 { return bootClock + int64(time.Since(bootTime)) }

// One moment on both clocks.
var (
	bootTime  = time.Now()
	bootClock = readClock()
)

func readClock() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // cannot fail on Linux
	}
	return ts.Nano()
}
