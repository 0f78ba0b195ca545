package daemon

import (
	"encoding/json"
	"errors"
	"slices"
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
	job      int64
	id       int64     // 0: progress, which is not kept
	kind     kinds     // one
	event    api.Event // when id is set
	standing *api.Job  // else

	encoding sync.Once // guards frame
	frame    []byte
}

// bytes is the item as server-sent event, which all readers share. It is made
// when the first one wants it: of what nobody asked for there is none.
func (it *item) bytes() []byte {
	it.encoding.Do(func() {
		if it.standing != nil {
			it.frame = progressFrame(it.standing)
		} else {
			it.frame = eventFrame(it.event)
		}
	})
	return it.frame
}

// itemsOf are events as items of a stream, and all their kinds.
func itemsOf(events []api.Event) ([]item, kinds) {
	batch, all := make([]item, len(events)), kinds(0)
	for i, e := range events {
		it := &batch[i]
		it.job, it.id, it.event, it.kind = e.Job, e.ID, e, kindOf(e.Type)
		all |= it.kind
	}
	return batch, all
}

// kinds is a set of types of events.
type kinds uint32

const everyKind = ^kinds(0)

// kindOf is the set of one type; those that api.EventTypes lacks share the last
// place, so that only who wants everything gets them.
func kindOf(name string) kinds {
	if i := slices.Index(api.EventTypes, name); i >= 0 {
		return 1 << i
	}
	return 1 << 31
}

var progressKind = kindOf(api.ProgressEvent)

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
	wants  kinds
	signal chan struct{} // there is something to take; one token
	queue  [][]item      // batches, shared between subscribers
	count  int           // items in queue
	slow   bool
}

func newHub(last int64) *hub { return &hub{last: last, subs: map[*subscriber]struct{}{}} }

// subscribe opens a stream of what is published of some kinds from now on; it
// returns the id of the latest event published before.
func (h *hub) subscribe(wants kinds) (*subscriber, int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &subscriber{hub: h, wants: wants, signal: make(chan struct{}, 1)}
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

// taken is what a subscriber has not had before.
type taken struct {
	batches [][]item // nothing if signal was stale
	upTo    int64    // all events up to this id have been taken that are wanted
	open    bool     // false after the hub has closed
}

// take returns what has come since the last call.
func (s *subscriber) take() (taken, error) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	t := taken{batches: s.queue, upTo: s.hub.last, open: !s.hub.closed}
	if s.slow {
		return taken{open: true}, errTooSlow
	}
	s.queue, s.count = nil, 0
	return t, nil
}

// wake needs the hub's lock.
func (s *subscriber) wake() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// watched reports whether anybody would see what is published of these kinds.
func (h *hub) watched(of kinds) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.wanted()&of != 0
}

// wanted is what the subscribers want between them; it needs the lock.
func (h *hub) wanted() kinds {
	all := kinds(0)
	for s := range h.subs {
		all |= s.wants
	}
	return all
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
	wanted := h.wanted()
	if !slices.ContainsFunc(events, func(e api.Event) bool { return kindOf(e.Type)&wanted != 0 }) {
		return
	}
	batch, all := itemsOf(events)
	h.hand(batch, all, true)
}

// progress announces standings, which a reader that is behind does not get. The
// jobs are the hub's from then on.
func (h *hub) progress(jobs []api.Job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(jobs) == 0 || h.wanted()&progressKind == 0 {
		return
	}
	batch := make([]item, len(jobs))
	for i := range jobs {
		it := &batch[i]
		it.job, it.kind, it.standing = jobs[i].ID, progressKind, &jobs[i]
	}
	h.hand(batch, progressKind, false)
}

// hand needs the lock; all are the kinds in the batch.
func (h *hub) hand(batch []item, all kinds, durable bool) {
	for s := range h.subs {
		switch {
		case s.slow, s.wants&all == 0:
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
