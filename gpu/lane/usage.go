package lane

import (
	"sync"
	"time"
)

// usage shares a device's time among the lanes that use it at the same time:
// each of n is charged the n-th part while there are n, so that the charges of
// all add up to the time in which the device was in use. The zero usage is
// ready.
type usage struct {
	mu    sync.Mutex // guards what follows
	users int
	at    time.Time
	shown time.Duration // what one user would have been charged since the beginning
}

// A use is a lane's, from begin to end.
type use struct {
	at    time.Time
	shown time.Duration
}

func (u *usage) begin(now time.Time) use {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.advance(now)
	u.users++
	return use{now, u.shown}
}

// end returns what part of its time, above 0 and at most 1, the lane is charged.
func (u *usage) end(from use, now time.Time) float64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.advance(now)
	u.users--
	if now.After(from.at) {
		return float64(u.shown-from.shown) / float64(now.Sub(from.at))
	}
	return 1
}

func (u *usage) advance(now time.Time) {
	if u.users > 0 {
		u.shown += now.Sub(u.at) / time.Duration(u.users)
	}
	u.at = now
}
