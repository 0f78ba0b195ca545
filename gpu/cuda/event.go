//go:build cuda

package cuda

// #include <cuda.h>
import "C"

import (
	"time"
	"unsafe"

	"gorgonia.org/cu"
)

// Event is a mark in a stream. One that was never recorded counts as passed.
type Event struct {
	handle  cu.Event
	context *Context
}

var _ = [1]struct{}{}[unsafe.Sizeof(cu.Event{})-unsafe.Sizeof(C.CUevent(nil))]

// NewEvent makes an event. Without timing it costs the device less and cannot be
// given to [Elapsed]. Threads that wait for it sleep.
func (c *Context) NewEvent(timing bool) (*Event, error) {
	if c.over.Load() {
		return nil, closed("cuEventCreate")
	}
	flags := cu.BlockingSyncEvent
	if !timing {
		flags |= cu.DisableTiming
	}
	h, err := cu.MakeEvent(flags)
	if err != nil {
		return nil, wrap("cuEventCreate", err)
	}
	c.live[events].Add(1)
	return &Event{h, c}, nil
}

// Close destroys the event once it has passed; a second call does nothing.
func (e *Event) Close() error {
	if e.handle == (cu.Event{}) {
		return nil
	}
	return e.context.release(events, func() error { return wrap("cuEventDestroy", cu.DestroyEvent(&e.handle)) })
}

func (e *Event) open() bool { return e.handle != (cu.Event{}) && !e.context.over.Load() }

// Record puts the event's mark after the work submitted to the stream so far; it
// leaves its earlier place. It does not allocate.
func (s *Stream) Record(e *Event) error {
	if !s.open() || !e.open() {
		return closed("cuEventRecord")
	}
	return wrap("cuEventRecord", e.handle.Record(s.handle))
}

// Wait has what is submitted to the stream from now on wait for the event's mark
// where it is now.
func (s *Stream) Wait(e *Event) error {
	if !s.open() || !e.open() {
		return closed("cuStreamWaitEvent")
	}
	return wrap("cuStreamWaitEvent", s.handle.Wait(e.handle, 0))
}

// Synchronize waits until the mark is passed.
func (e *Event) Synchronize() error {
	if !e.open() {
		return closed("cuEventSynchronize")
	}
	return wrap("cuEventSynchronize", e.handle.Synchronize())
}

// Query says whether the mark is passed. It does not allocate.
func (e *Event) Query() (done bool, err error) {
	if !e.open() {
		return false, closed("cuEventQuery")
	}
	return ready("cuEventQuery", C.cuEventQuery(*(*C.CUevent)(unsafe.Pointer(&e.handle))))
}

// Elapsed is the device's time between two events with timing that are passed.
func Elapsed(from, to *Event) (time.Duration, error) {
	if !from.open() || !to.open() {
		return 0, closed("cuEventElapsedTime")
	}
	ms, err := from.handle.Elapsed(to.handle)
	return time.Duration(ms * float64(time.Millisecond)), wrap("cuEventElapsedTime", err)
}
