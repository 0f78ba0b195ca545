package daemon

import "time"

// How long a device that gave a job back is taken to have no room for it.
const (
	shortFirst = 500 * time.Millisecond
	shortMost  = 30 * time.Second
)

// A shortage is what is known of a device's memory that other processes have.
// The device tells how much that is; a job that it gave back all the same waits
// for a while, twice as long each time.
type shortage struct {
	told  int64         // as the device said last
	floor int64         // at least so much, until
	until time.Time     // then
	pause time.Duration // the last one; 0: since then a job of need started
	need  int64         // of the job that was given back last
}

// bytes is how much of the device's memory is not for jobs now.
func (s *shortage) bytes(now time.Time) int64 {
	if now.Before(s.until) {
		return max(s.told, s.floor)
	}
	return s.told
}

// refused notes that the device had no memory for a job that needs that much,
// though it seemed to have spare bytes besides.
func (s *shortage) refused(now time.Time, need, spare, told int64) {
	s.floor = max(told, s.bytes(now)+spare+1)
	s.told, s.need = told, max(s.need, need)
	if !now.Before(s.until) { // else it is one of several that came at once
		s.pause = min(max(shortFirst, 2*s.pause), shortMost)
		s.until = now.Add(s.pause)
	}
}

// started notes that the device had memory for a job.
func (s *shortage) started(need int64) {
	if need >= s.need {
		s.pause, s.need = 0, 0
	}
}
