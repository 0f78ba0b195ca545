package daemon

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"weft/daemon/api"
)

const (
	keepAlive = 15 * time.Second
	pageSize  = 1000 // events read from the store at once
)

func (s *server) registerStreams(doc huma.API) {
	op := operation(doc, "stream-events", http.MethodGet, "/v1/events",
		"Follow jobs as server-sent events; resumable by Last-Event-ID")
	op.Responses["200"] = textResponse("text/event-stream",
		"Events with ids, and lines named progress without: a Job without its specification")
	huma.Register(doc, op, s.events)
	op = operation(doc, "get-logs", http.MethodGet, "/v1/jobs/{id}/logs", "A job's output, a line per event")
	op.Responses["200"] = textResponse("text/plain", "Lines")
	huma.Register(doc, op, s.logs)
}

func textResponse(contentType, description string) *huma.Response {
	return &huma.Response{Description: description, Content: map[string]*huma.MediaType{
		contentType: {Schema: &huma.Schema{Type: huma.TypeString}},
	}}
}

type eventsInput struct {
	Job         []int64 `query:"job,explode" doc:"of these jobs only; default: all"`
	After       int64   `query:"after" minimum:"-1" doc:"from the first event after this id; -1: from now on"`
	LastEventID string  `header:"Last-Event-ID" doc:"as after, and before it"`
}

func (s *server) events(ctx context.Context, in *eventsInput) (*streamOutput, error) {
	after := in.After
	if in.LastEventID != "" {
		id, err := strconv.ParseInt(in.LastEventID, 10, 64)
		if err != nil || id < 0 {
			return nil, newProblem(&api.Error{Code: api.CodeInvalid,
				Message: fmt.Sprintf("Last-Event-ID %q is not a number", clip(in.LastEventID))})
		}
		after = id
	}
	if err := s.mustExist(ctx, in.Job); err != nil {
		return nil, err
	}
	return &streamOutput{func(c huma.Context) {
		out := openStream(c, "text/event-stream")
		err := s.follow(c.Context(), newSelection(in.Job), after, true, func(items []item) (bool, error) {
			var b bytes.Buffer
			for i := range items {
				b.Write(items[i].frame)
			}
			return true, out.write(b.Bytes())
		}, func() error { return out.write([]byte(": keep-alive\n\n")) })
		s.log.Debug("event stream ended", "error", err)
	}}, nil
}

// A stream writes to a client that may stop reading.
type stream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func openStream(c huma.Context, contentType string) *stream {
	_, w := unwrap(c)
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies would hold events back
	out := &stream{w, http.NewResponseController(w)}
	w.WriteHeader(http.StatusOK)
	_ = out.write(nil) // the next write says why
	return out
}

// write sends b at once, or fails when the client does not take it in time.
func (o *stream) write(b []byte) error {
	_ = o.rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // not supported by a test's recorder
	if len(b) > 0 {
		if _, err := o.w.Write(b); err != nil {
			return fmt.Errorf("write stream: %w", err)
		}
	}
	if err := o.rc.Flush(); err != nil {
		return fmt.Errorf("flush stream: %w", err)
	}
	return nil
}

// follow sends every event of jobs after an id, first from the store, then as
// it happens: it subscribes before it reads, and skips what it has sent. send
// answers whether to go on. It returns when ctx or the daemon ends, or why it
// cannot go on.
func (s *server) follow(ctx context.Context, jobs selection, after int64, live bool,
	send func([]item) (bool, error), idle func() error) error {
	sub, now := s.hub.subscribe()
	defer sub.close()
	if after < 0 {
		after = now
	}
	after, more, err := s.replay(ctx, jobs, after, send)
	if err != nil || !more || !live {
		return err
	}
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if err := idle(); err != nil {
				return err
			}
		case <-sub.signal:
			batches, open, err := sub.take()
			if err != nil {
				return err
			}
			items := choose(batches, jobs, after)
			if len(items) > 0 {
				after = lastID(items, after)
				if more, err := send(items); err != nil || !more {
					return err
				}
			}
			if !open {
				return nil
			}
		}
	}
}

// replay sends what the store has and returns the id it came to.
func (s *server) replay(ctx context.Context, jobs selection, after int64,
	send func([]item) (bool, error)) (last int64, more bool, err error) {
	one, first := jobs.bounds()
	if one == 0 && first != 0 {
		// The oldest job's first event: nothing before it can be asked for.
		events, err := s.store.Events(ctx, first, 0, 1)
		if err != nil {
			return after, false, fmt.Errorf("read events: %w", err)
		}
		if len(events) > 0 {
			after = max(after, events[0].ID-1)
		}
	}
	for {
		events, err := s.store.Events(ctx, one, after, pageSize)
		if err != nil {
			return after, false, fmt.Errorf("read events: %w", err)
		}
		items := make([]item, 0, len(events))
		for _, e := range events {
			after = e.ID
			if jobs.has(e.Job) {
				items = append(items, item{job: e.Job, id: e.ID, event: e, frame: eventFrame(e)})
			}
		}
		if len(items) > 0 {
			if more, err := send(items); err != nil || !more {
				return after, false, err
			}
		}
		if len(events) < pageSize {
			return after, true, nil
		}
	}
}

// A selection is the set of jobs a stream is about; empty, all.
type selection map[int64]struct{}

func newSelection(ids []int64) selection {
	s := make(selection, len(ids))
	for _, id := range ids {
		s[id] = struct{}{}
	}
	return s
}

func (s selection) has(id int64) bool {
	if len(s) == 0 {
		return true
	}
	_, ok := s[id]
	return ok
}

// bounds returns the job if it is one, and the lowest of several.
func (s selection) bounds() (one, first int64) {
	for id := range s {
		if first == 0 || id < first {
			first = id
		}
	}
	if len(s) == 1 {
		one = first
	}
	return one, first
}

// choose picks what a stream has asked for and has not seen.
func choose(batches [][]item, jobs selection, after int64) []item {
	var items []item
	for _, batch := range batches {
		for _, it := range batch {
			if jobs.has(it.job) && (it.id == 0 || it.id > after) {
				items = append(items, it)
			}
		}
	}
	return items
}

func lastID(items []item, after int64) int64 {
	for i := range items {
		after = max(after, items[i].id)
	}
	return after
}

type logsInput struct {
	ID     int64 `path:"id" minimum:"1"`
	Follow bool  `query:"follow" doc:"until the job has ended"`
	After  int64 `query:"after" minimum:"0" doc:"from the first event after this id"`
}

func (s *server) logs(ctx context.Context, in *logsInput) (*streamOutput, error) {
	d, err := s.store.Job(ctx, in.ID)
	if err != nil {
		return nil, s.fault(err)
	}
	return &streamOutput{func(c huma.Context) {
		out := openStream(c, "text/plain; charset=utf-8")
		failures := &failureLog{s: s, id: in.ID, none: d.Kind == api.KindTrain}
		err := s.follow(c.Context(), newSelection([]int64{in.ID}), in.After, in.Follow && !s.over(ctx, in),
			func(items []item) (bool, error) {
				var b bytes.Buffer
				ended := false
				for i := range items {
					durable := items[i].id != 0
					if durable {
						ended = items[i].event.State.Final()
					}
					if ended || !durable { // progress, or before the end is told
						failed, err := failures.next(ctx)
						if err != nil {
							return false, err
						}
						b.Write(failed)
					}
					if durable {
						b.WriteString(logLine(items[i].event, d.Progress.Epochs))
					}
				}
				return !(ended && s.over(ctx, in)), out.write(b.Bytes())
			}, func() error { return nil })
		if err == nil && !in.Follow { // one that runs has failures, and no end yet
			var failed []byte
			if failed, err = failures.next(ctx); err == nil {
				err = out.write(failed)
			}
		}
		s.log.Debug("log stream ended", "job", in.ID, "error", err)
	}}, nil
}

// over reports whether a job has ended and nothing more will be said of it.
func (s *server) over(ctx context.Context, in *logsInput) bool {
	rec, err := s.store.Job(ctx, in.ID)
	return err != nil || rec.State.Final()
}

// logLine is one event as text: a training job's output.
func logLine(e api.Event, epochs int) string {
	var b strings.Builder
	if e.Epoch == nil {
		b.WriteString(e.Type)
		if e.Message != "" {
			b.WriteString(": ")
			b.WriteString(strings.ReplaceAll(e.Message, "\n", "\n  "))
		}
		b.WriteByte('\n')
		return b.String()
	}
	fmt.Fprintf(&b, "epoch %d/%d step %d", e.Epoch.Epoch, epochs, e.Epoch.Step)
	for _, k := range metricOrder(e.Epoch.Metrics) {
		v := e.Epoch.Metrics[k]
		if v != 0 && math.Abs(v) < 1e-3 { // a learning rate
			fmt.Fprintf(&b, " %s %.4g", k, v)
		} else {
			fmt.Fprintf(&b, " %s %.4f", k, v)
		}
	}
	b.WriteByte('\n')
	return b.String()
}

// metricOrder puts training before validation, the loss before the rest.
func metricOrder(m map[string]float64) []string {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	rank := func(k string) int {
		return slices.Index([]string{"train_loss", "val_loss", "val_accuracy", "val_rmse", "val_r2"}, k)
	}
	slices.SortFunc(names, func(a, b string) int {
		ra, rb := rank(a), rank(b)
		switch {
		case ra >= 0 && rb >= 0:
			return ra - rb
		case ra >= 0:
			return -1
		case rb >= 0:
			return 1
		default:
			return strings.Compare(a, b)
		}
	})
	return names
}
