package daemon

import (
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"

	"weft/daemon/api"
)

// maxBacklog bounds what a slow reader may have waiting, in events. It is
// above the largest burst, the submission of MaxJobsPerPost jobs.
const maxBacklog = 32_768

var errTooSlow = errors.New("reader is too slow")

// An item is one line of a stream: a durable event, or how far a job is.
type item struct {
	job   int64
	id    int64     // 0: progress, which is not kept
	event api.Event // when id is set
	frame []byte    // as server-sent event, shared by all readers
}

// A hub hands what the owner publishes to every open stream. Publishing never
// waits for a reader: one that falls behind by maxBacklog is cut off, and
// goes on from its last id when it comes back.
type hub struct {
	dropped atomic.Int64 // readers cut off

	mu     sync.Mutex // guards everything below and every subscriber's fields
	last   int64      // id of the latest event published
	subs   map[*subscriber]struct{}
	closed bool
}

// A subscriber is one open stream.
type subscriber struct {
	hub    *hub
	signal chan struct{} // there is something to take; one token
	queue  [][]item      // batches, shared between subscribers
	count  int           // items in queue
	slow   bool
}

func newHub(last int64) *hub { return &hub{last: last, subs: map[*subscriber]struct{}{}} }

// subscribe opens a stream of everything published from now on; it returns
// the id of the latest event published before.
func (h *hub) subscribe() (*subscriber, int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &subscriber{hub: h, signal: make(chan struct{}, 1)}
	if h.closed {
		s.wake()
	}
	h.subs[s] = struct{}{}
	return s, h.last
}

func (s *subscriber) close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	delete(s.hub.subs, s)
	s.queue = nil
}

// take returns what has come since the last call, nothing if signal was
// stale; open is false after the hub has closed.
func (s *subscriber) take() (batches [][]item, open bool, err error) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.slow {
		return nil, true, errTooSlow
	}
	batches = s.queue
	s.queue, s.count = nil, 0
	return batches, !s.hub.closed, nil
}

// wake needs the hub's lock.
func (s *subscriber) wake() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// watched reports whether anybody would see what is published.
func (h *hub) watched() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.subs) > 0
}

func (h *hub) lastID() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// skip counts events as published that nobody was there to see.
func (h *hub) skip(last int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = max(h.last, last)
}

// publish announces durable events; only the owner calls it, in order of ids.
func (h *hub) publish(events []api.Event) {
	if len(events) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = max(h.last, events[len(events)-1].ID)
	if len(h.subs) == 0 {
		return
	}
	batch := make([]item, len(events))
	for i, e := range events {
		batch[i] = item{job: e.Job, id: e.ID, event: e, frame: eventFrame(e)}
	}
	h.hand(batch, true)
}

// progress announces standings, which a reader that is behind does not get.
func (h *hub) progress(jobs []api.Job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.subs) == 0 || len(jobs) == 0 {
		return
	}
	batch := make([]item, len(jobs))
	for i := range jobs {
		batch[i] = item{job: jobs[i].ID, frame: progressFrame(&jobs[i])}
	}
	h.hand(batch, false)
}

// hand needs the lock.
func (h *hub) hand(batch []item, durable bool) {
	for s := range h.subs {
		switch {
		case s.slow:
			continue
		case !durable && s.count > 0:
			continue
		case s.count+len(batch) > maxBacklog && s.count > 0:
			s.slow, s.queue, s.count = true, nil, 0
			h.dropped.Add(1)
		default:
			s.queue = append(s.queue, batch)
			s.count += len(batch)
		}
		s.wake()
	}
}

// close ends every stream, after what has been published.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for s := range h.subs {
		s.wake()
	}
}

func eventFrame(e api.Event) []byte {
	b := append([]byte("id: "), strconv.FormatInt(e.ID, 10)...)
	b = append(b, "\nevent: "...)
	b = append(b, e.Type...)
	return appendData(b, e)
}

func progressFrame(j *api.Job) []byte {
	b := append(make([]byte, 0, 640), "event: "+api.ProgressEvent+"\ndata: "...)
	b, err := appendJob(b, j)
	if err != nil { // only a specification can fail, and it has none
		return nil
	}
	return append(b, "\n\n"...)
}

func appendData(b []byte, v any) []byte {
	// Events and jobs hold nothing that JSON refuses: metrics are finite.
	js, err := json.Marshal(v)
	if err != nil {
		js = []byte("null")
	}
	b = append(b, "\ndata: "...)
	b = append(b, js...)
	return append(b, "\n\n"...)
}
