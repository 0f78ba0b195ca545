package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Message is one line of the event stream: exactly one of Event and Progress
// is set, or none where Reconnected is.
type Message struct {
	Event    *Event // durable, with an id
	Progress *Job   // a running job's standing, without its specification
	// Reconnected tells that the daemon was away since the last message: what
	// it says now may be more than what the events tell.
	Reconnected bool
}

// Events streams what happens, beginning after the event with the id last (0:
// from the first there is; below 0: from now on), and goes on over broken
// connections from where it was. The sequence ends with an error: the
// context's when it is cancelled, a [*Problem] when the daemon refuses, or
// [CodeUnreachable] when it stays away.
func (c *Client) Events(ctx context.Context, f EventFilter, last int64) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		s := &stream{c: c, filter: f, last: last}
		for {
			err := s.once(ctx, yield)
			if errors.Is(err, errStopped) {
				return
			}
			if ctx.Err() != nil {
				yield(Message{}, ctx.Err())
				return
			}
			if err := s.pause(ctx, err); err != nil {
				yield(Message{}, err)
				return
			}
		}
	}
}

// errStopped tells that whoever ranges over the stream broke out of its loop.
var errStopped = errors.New("stream stopped by its reader")

// stream is the state of Events between two connections.
type stream struct {
	c        *Client
	filter   EventFilter
	last     int64
	opened   bool      // at least once
	failures int       // in a row
	since    time.Time // of the first of them
}

// pause waits before the next connection, or returns the error to end with.
func (s *stream) pause(ctx context.Context, err error) error {
	if p, ok := errors.AsType[*Problem](err); ok && p.Code != CodeUnavailable {
		return err
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Code != CodeUnreachable {
		return err
	}
	if !s.opened {
		return err
	}
	s.failures++
	if s.failures == 1 {
		s.since = time.Now()
	}
	if time.Since(s.since) > s.c.outage {
		return err
	}
	return s.c.retry.Wait(ctx, s.failures)
}

// once opens the stream and hands its messages on until it breaks.
func (s *stream) once(ctx context.Context, yield func(Message, error) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := request{method: http.MethodGet, path: "/v1/events", query: url.Values{},
		header: map[string]string{"Accept": "text/event-stream"}}
	if len(s.filter.Jobs) <= maxIDsPerGet {
		for _, id := range s.filter.Jobs {
			r.query.Add("job", strconv.FormatInt(id, 10))
		}
	}
	if len(s.filter.Types) > 0 {
		r.query.Set("type", s.filter.typesText())
	}
	if s.last >= 0 {
		last := strconv.FormatInt(s.last, 10)
		r.query.Set("after", last)
		r.header["Last-Event-ID"] = last
	}
	res, err := s.c.send(ctx, r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if s.opened && !yield(Message{Reconnected: true}, nil) {
		return errStopped
	}
	s.opened, s.failures = true, 0

	// A half-open connection says nothing for ever; silence closes it.
	watchdog := time.AfterFunc(s.c.silent, cancel)
	defer watchdog.Stop()
	alive := func() { watchdog.Reset(s.c.silent) }
	return readEvents(res.Body, alive, func(e sseEvent) error {
		if e.data == nil {
			return s.passed(e)
		}
		m, ok, err := e.message()
		if err != nil {
			return err
		}
		if m.Event != nil {
			if m.Event.ID <= s.last {
				return nil // seen before the connection broke
			}
			s.last = m.Event.ID
		}
		if ok && s.filter.wants(m) && !yield(m, nil) {
			return errStopped
		}
		return nil
	})
}

// passed takes an id without an event: all up to it have come that are asked
// for. The next connection begins there, whatever the filter has left out.
func (s *stream) passed(e sseEvent) error {
	id, err := strconv.ParseInt(e.id, 10, 64)
	if err != nil {
		return fmt.Errorf("decode an event's id: %w", err)
	}
	s.last = max(s.last, id)
	return nil
}

// message decodes one server-sent event; ok is false for kinds that a newer
// daemon may send and this client does not know.
func (e sseEvent) message() (m Message, ok bool, err error) {
	switch {
	case e.name == ProgressEvent:
		m.Progress = &Job{}
		err = json.Unmarshal(e.data, m.Progress)
	case e.id != "":
		m.Event = &Event{}
		if err = json.Unmarshal(e.data, m.Event); err == nil && strconv.FormatInt(m.Event.ID, 10) != e.id {
			err = fmt.Errorf("its id is %q, its data says %d", e.id, m.Event.ID)
		}
	default:
		return m, false, nil
	}
	if err != nil {
		return Message{}, false, fmt.Errorf("decode event %q: %w", e.name, err)
	}
	return m, true, nil
}

// sseEvent is one event as the HTML standard's section 9.2.6 defines it, save
// that id is this event's own and not the last one seen.
type sseEvent struct {
	id, name string
	data     []byte
}

// maxEventBytes bounds one line, and one event, of a stream.
const maxEventBytes = 1 << 20

// readEvents parses a text/event-stream until it ends, fails, or emit returns
// an error. Lines end in LF, CRLF or CR; alive is called for every line,
// comments included. An event without its closing empty line is dropped; an id
// without data is an event whose data is nil.
func readEvents(r io.Reader, alive func(), emit func(sseEvent) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 16<<10), maxEventBytes)
	lines.Split(sseLines())
	var e sseEvent
	var has bool
	for first := true; lines.Scan(); first = false {
		alive()
		line := lines.Bytes()
		if first {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		if len(line) == 0 {
			if has {
				e.data = bytes.TrimSuffix(e.data, []byte("\n"))
			}
			if has || e.id != "" {
				if err := emit(e); err != nil {
					return err
				}
			}
			e, has = sseEvent{}, false
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "id":
			if !bytes.ContainsRune(value, 0) {
				e.id = string(value)
			}
		case "event":
			e.name = string(value)
		case "data":
			if len(e.data)+len(value) > maxEventBytes {
				return fmt.Errorf("read events: one event is larger than %d bytes", maxEventBytes)
			}
			e.data = append(append(e.data, value...), '\n')
			has = true
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	return io.ErrUnexpectedEOF
}

// sseLines splits at LF, CRLF and CR. A CR at the end of what has arrived ends
// its line at once, and the LF that may follow it is skipped later, so that an
// event is never held back until the next one comes.
func sseLines() bufio.SplitFunc {
	skipLF := false
	return func(data []byte, atEOF bool) (advance int, token []byte, err error) {
		start := 0
		if skipLF && len(data) > 0 {
			if data[0] == '\n' {
				start = 1
			}
			skipLF = false
		}
		if i := bytes.IndexAny(data[start:], "\r\n"); i >= 0 {
			end := start + i
			skipLF = data[end] == '\r'
			return end + 1, data[start:end], nil
		}
		if start == 1 {
			return 1, nil, nil
		}
		if atEOF && len(data) > 0 {
			return len(data), data, nil
		}
		return 0, nil, nil
	}
}
