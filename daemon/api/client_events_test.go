package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// parse returns the events of a stream as "id/name/data" and how it ended.
func parse(r io.Reader) (events []string, err error) {
	err = readEvents(r, func() {}, func(e sseEvent) error {
		events = append(events, fmt.Sprintf("%s/%s/%s", e.id, e.name, e.data))
		return nil
	})
	return events, err
}

func TestReadEvents(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want []string
	}{
		"one":                     {"id: 1\nevent: epoch\ndata: {}\n\n", []string{"1/epoch/{}"}},
		"two":                     {"data: a\n\nid: 2\ndata: b\n\n", []string{"//a", "2//b"}},
		"comment and blank lines": {": keep-alive\n\n\n\ndata: a\n\n", []string{"//a"}},
		"carriage returns":        {"data: a\r\rdata: b\r\n\r\n", []string{"//a", "//b"}},
		"lines of data":           {"data: a\ndata:\ndata:  b\n\n", []string{"//a\n\n b"}},
		"no data":                 {"event: x\n\ndata: a\n\n", []string{"//a"}},
		"an id alone":             {": keep-alive\nid: 4\n\ndata: a\n\n", []string{"4//", "//a"}},
		"unknown fields":          {"retry: 5\nfoo\ndata\n\n", []string{"//"}},
		"an id with a zero":       {"id: 1\x002\ndata: a\n\n", []string{"//a"}},
		"byte order mark":         {"\ufeffdata: a\n\n", []string{"//a"}},
		"cut off":                 {"data: a\n\ndata: b\n", []string{"//a"}},
	} {
		for _, r := range []io.Reader{strings.NewReader(tc.in), iotest.OneByteReader(strings.NewReader(tc.in))} {
			got, err := parse(r)
			if !slices.Equal(got, tc.want) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: %q, %v; want %q", name, got, err, tc.want)
			}
		}
	}
}

func TestReadEventsRefusesEndlessOnes(t *testing.T) {
	for name, in := range map[string]string{
		"a line":   "data: " + strings.Repeat("x", maxEventBytes+1) + "\n\n",
		"an event": strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", maxEventBytes/1000+2) + "\n",
	} {
		if got, err := parse(strings.NewReader(in)); len(got) > 0 || err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %d events, %v", name, len(got), err)
		}
	}
}

// The parser takes any bytes, in pieces of any size, with the same result.
func FuzzReadEvents(f *testing.F) {
	for _, s := range []string{"id: 1\nevent: e\ndata: {}\n\n", "data: a\r\rdata\r\n\r\n", ":\n\n",
		"\ufeffdata:\n\n", "data: \r\n\n\r"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, errWhole := parse(bytes.NewReader(in))
		pieces, errPieces := parse(iotest.OneByteReader(bytes.NewReader(in)))
		if !slices.Equal(whole, pieces) || (errWhole == nil) != (errPieces == nil) {
			t.Fatalf("whole %q %v, in pieces %q %v", whole, errWhole, pieces, errPieces)
		}
		if errWhole == nil {
			t.Fatal("a stream that ends ended without an error")
		}
		_ = readEvents(bytes.NewReader(in), func() {}, func(e sseEvent) error {
			if e.data == nil {
				return (&stream{}).passed(e)
			}
			_, _, err := e.message()
			return err
		})
	})
}

// scripted serves one body after the other as event streams and records where
// each began.
type scripted struct {
	bodies []string
	after  []string
	hold   chan struct{} // keeps the last one open; nil: all are closed
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := len(s.after)
	s.after = append(s.after, r.Header.Get("Last-Event-ID"))
	if n >= len(s.bodies) {
		w.WriteHeader(http.StatusGone)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, s.bodies[n])
	if s.hold != nil && n == len(s.bodies)-1 {
		w.(http.Flusher).Flush()
		select {
		case <-s.hold:
		case <-r.Context().Done():
		}
	}
}

func eventText(id int64) string {
	return fmt.Sprintf("id: %d\nevent: started\ndata: {\"id\":%d,\"job\":1,\"type\":\"started\"}\n\n", id, id)
}

func TestEventsResumesWhereItWas(t *testing.T) {
	s := &scripted{bodies: []string{
		eventText(4) + "event: progress\ndata: {\"id\":1}\n\n" + "event: news\ndata: ?\n\n",
		eventText(4) + eventText(5) + "id: 6\ndata: {\"id\"", // told again, and cut off
		eventText(6) + "id: 9\n\n" + "id: 8\n\n",             // nothing that is asked for came since
		eventText(9) + eventText(10),
	}}
	c := listen(t, s, Options{})
	var got []string
	var last error
	for m, err := range c.Events(t.Context(), EventFilter{}, 3) {
		switch {
		case err != nil:
			last = err
		case m.Reconnected:
			got = append(got, "again")
		case m.Progress != nil:
			got = append(got, "progress")
		default:
			got = append(got, fmt.Sprint(m.Event.ID))
		}
	}
	if want := []string{"4", "progress", "again", "5", "again", "6", "again", "10"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if want := []string{"3", "4", "5", "9", "10"}; !slices.Equal(s.after, want) {
		t.Errorf("began after %v, want %v", s.after, want)
	}
	var p *Problem
	if !errors.As(last, &p) || p.Status != http.StatusGone {
		t.Errorf("ended with %v", last)
	}
}

func TestEventsEndsWithItsReader(t *testing.T) {
	s := &scripted{bodies: []string{eventText(1)}, hold: make(chan struct{})}
	defer close(s.hold)
	c := listen(t, s, Options{})
	for m := range c.Events(t.Context(), EventFilter{}, -1) {
		if m.Event.ID != 1 {
			t.Errorf("got %+v", m)
		}
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.after = nil
	var last error
	for _, err := range c.Events(ctx, EventFilter{}, -1) {
		last = err
		cancel()
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("cancelled, ended with %v", last)
	}
	if s.after[0] != "" {
		t.Errorf("from now on, but began after %q", s.after[0])
	}
}

func TestEventsLeavesASilentConnection(t *testing.T) {
	s := &scripted{bodies: []string{eventText(1)}, hold: make(chan struct{})}
	defer close(s.hold)
	c := listen(t, s, Options{Silence: 20 * time.Millisecond})
	var last error
	for _, err := range c.Events(t.Context(), EventFilter{}, 0) {
		last = err
	}
	var p *Problem
	if !errors.As(last, &p) || len(s.after) != 2 || s.after[1] != "1" {
		t.Errorf("after silence: %v, connections after %v", last, s.after)
	}
}

func TestEventsFiltersALongListItself(t *testing.T) {
	ids := make([]int64, maxIDsPerGet+1)
	for i := range ids {
		ids[i] = int64(i) + 2 // all but job 1, which the events are of
	}
	asked := 0
	c := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked += len(r.URL.Query()["job"])
		(&scripted{bodies: []string{eventText(1) + "event: progress\ndata: {\"id\":2}\n\n"}}).ServeHTTP(w, r)
	}), Options{})
	for m, err := range c.Events(t.Context(), EventFilter{Jobs: ids}, 0) {
		if err != nil || m.Event != nil || m.Progress.ID != 2 {
			t.Errorf("got %+v, %v", m, err)
		}
		break
	}
	if asked != 0 {
		t.Errorf("%d jobs in the query", asked)
	}
}

// Types go with the question, and what comes all the same is not handed on.
func TestEventsOfSomeTypes(t *testing.T) {
	asked := make(chan string, 1)
	c := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Query().Get("type")
		(&scripted{bodies: []string{"event: progress\ndata: {\"id\":1}\n\n" + eventText(1) +
			"id: 2\nevent: failed\ndata: {\"id\":2,\"job\":1,\"type\":\"failed\"}\n\n"}}).ServeHTTP(w, r)
	}), Options{})
	for m, err := range c.Events(t.Context(), EventFilter{Types: []string{"failed", "cancelled"}}, -1) {
		if err != nil || m.Event == nil || m.Event.Type != "failed" {
			t.Errorf("got %+v, %v", m, err)
		}
		break
	}
	if got := <-asked; got != "failed,cancelled" {
		t.Errorf("asked for %q", got)
	}
	most := EventTypesBut(EventEpoch, EventCheckpoint)
	if len(most) != len(EventTypes)-2 || slices.Contains(most, EventEpoch) || !slices.Contains(most, ProgressEvent) {
		t.Errorf("all but two are %v", most)
	}
}

// From now on is from where the daemon was then, also when the connection
// breaks before anything came.
func TestEventsFromNowOnStayThere(t *testing.T) {
	s := &scripted{bodies: []string{"id: 7\n\n", eventText(8)}}
	c := listen(t, s, Options{})
	var got []int64
	for m, err := range c.Events(t.Context(), EventFilter{}, -1) {
		if err == nil && m.Event != nil {
			got = append(got, m.Event.ID)
		}
	}
	if !slices.Equal(got, []int64{8}) || !slices.Equal(s.after[:2], []string{"", "7"}) {
		t.Errorf("got %v, connections after %q", got, s.after)
	}
}
