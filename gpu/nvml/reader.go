package nvml

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

const (
	openEvery   = 30 * time.Second // a library that is not there is looked for again
	reopenEvery = 10 * time.Second // the library is begun anew for a GPU that is lost
)

// A Reader asks a backend for samples. It is one goroutine's.
type Reader struct {
	open    func() (Backend, error)
	backend Backend // nil: not open
	fault   *Error  // why it is not
	tryAt   time.Time
	renewAt time.Time // for the sake of lost GPUs; zero: none is lost
	known   map[string]Device
}

// NewReader returns a reader of a source, which is opened with the first Read.
func NewReader(source string) *Reader {
	return &Reader{open: opener(source), known: map[string]Device{}}
}

// Read asks every GPU. A GPU that was there before is in every frame that has no
// Fault, lost if need be.
func (r *Reader) Read(now time.Time) Frame {
	f := Frame{At: now, Samples: []Sample{}}
	if f.Fault = r.ready(now); f.Fault != nil {
		return f
	}
	f.Driver = r.backend.Driver()
	devices, err := r.backend.Devices()
	if err != nil {
		f.Fault = errorOf(err)
		r.close()
		r.fault, r.tryAt = f.Fault, now // the next round tries again
		return f
	}
	lost := false
	for _, d := range devices {
		r.known[d.UUID] = d
		s := r.sample(d)
		lost = lost || s.State == StateLost
		f.Samples = append(f.Samples, s)
	}
	for _, d := range r.missing(devices) {
		lost = true
		f.Samples = append(f.Samples, Sample{Device: d, State: StateLost,
			Reason: "the driver does not know the GPU any more", Hint: lostHint})
	}
	r.plan(now, lost)
	return f
}

const lostHint = "see dmesg for NVRM: Xid lines; nvidia-smi --gpu-reset or a restart of the machine brings it back"

// ready opens the backend unless it is.
func (r *Reader) ready(now time.Time) *Error {
	if r.backend != nil && !r.renewAt.IsZero() && !now.Before(r.renewAt) {
		r.close() // the library finds a GPU that is back only when it begins anew
	}
	if r.backend != nil {
		return nil
	}
	if now.Before(r.tryAt) {
		return r.fault
	}
	b, err := r.open()
	if err != nil {
		r.fault, r.tryAt = errorOf(err), now.Add(openEvery)
		return r.fault
	}
	r.backend, r.fault = b, nil
	return nil
}

// plan says when the library is to begin anew.
func (r *Reader) plan(now time.Time, lost bool) {
	if !lost {
		r.renewAt = time.Time{}
	} else if r.renewAt.IsZero() || !now.Before(r.renewAt) {
		r.renewAt = now.Add(reopenEvery)
	}
}

func (r *Reader) sample(d Device) Sample {
	s, err := r.backend.Sample(d)
	if err == nil {
		s.Device = d
		s.State = cmp.Or(s.State, StateOK)
		return s
	}
	e := errorOf(err)
	s = Sample{Device: d, State: StateFailing, Reason: e.Message, Hint: e.Hint}
	if e.Code == CodeLost {
		s.State, s.Hint = StateLost, cmp.Or(e.Hint, lostHint)
	}
	return s
}

// missing returns the GPUs seen before that are not among those here, by UUID.
func (r *Reader) missing(here []Device) []Device {
	var gone []Device
	for uuid, d := range r.known {
		if !slices.ContainsFunc(here, func(h Device) bool { return h.UUID == uuid }) {
			gone = append(gone, d)
		}
	}
	slices.SortFunc(gone, func(a, b Device) int { return cmp.Compare(a.UUID, b.UUID) })
	return gone
}

// Close ends the backend.
func (r *Reader) Close() { r.close() }

func (r *Reader) close() {
	if r.backend != nil {
		_ = r.backend.Close() // it is begun anew, or the process ends
	}
	r.backend = nil
}

// lostError says what a driver's word for it and the last Xid tell.
func lostError(word string, xid *int64) *Error {
	message := "the GPU is lost: " + word
	if xid != nil {
		message = fmt.Sprintf("the GPU is lost: %s, after Xid %d", word, *xid)
	}
	return &Error{Code: CodeLost, Message: message, Hint: lostHint}
}
