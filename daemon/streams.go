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
	Job  []int64  `query:"job,explode" doc:"of these jobs only; default: all"`
	Type []string `query:"type,explode" doc:"of these types only, repeated or with commas between them; default: all. There are submitted, started, epoch, checkpoint, requeued, paused, resumed, succeeded, failed, cancelled, retried, held, released, changed, progress"`

	After       int64  `query:"after" minimum:"-1" doc:"from the first event after this id; -1: from now on"`
	LastEventID string `header:"Last-Event-ID" doc:"as after, and before it"`
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
	types, err := typesOf(in.Type)
	if err != nil {
		return nil, err
	}
	if err := s.mustExist(ctx, in.Job); err != nil {
		return nil, err
	}
	return &streamOutput{func(c huma.Context) {
		out := openStream(c, "text/event-stream")
		err := s.follow(c.Context(), interest{newSelection(in.Job), types}, after, true, func(items []*item) (bool, error) {
			var b bytes.Buffer
			for _, it := range items {
				b.Write(it.bytes())
			}
			return true, out.write(b.Bytes())
		}, func(upTo int64) error {
			// An id without data is no event, and yet where a reader goes on:
			// past all that its filter leaves out.
			return out.write(fmt.Appendf(nil, ": keep-alive\nid: %d\n\n", upTo))
		})
		s.log.Debug("event stream ended", "error", err)
	}}, nil
}

// typesOf reads the types of events that a query asks for; nil: all.
func typesOf(query []string) ([]string, error) {
	var types []string
	for _, text := range query {
		for _, t := range strings.Split(text, ",") {
			if !slices.Contains(api.EventTypes, t) {
				return nil, invalid(api.CodeInvalid, []api.FieldError{{Location: "query.type",
					Message: fmt.Sprintf("unknown event type %q", clip(t)),
					Hint:    "there are " + strings.Join(api.EventTypes, ", ")}})
			}
			types = append(types, t)
		}
	}
	return types, nil
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

// An interest is what a stream is to tell.
type interest struct {
	jobs  selection
	types []string // none: all
}

func (w *interest) kinds() kinds {
	if len(w.types) == 0 {
		return everyKind
	}
	all := kinds(0)
	for _, t := range w.types {
		all |= kindOf(t)
	}
	return all
}

// follow sends every event that is wanted after an id, first from the store,
// then as it happens: it subscribes before it reads, and skips what it has sent.
// send answers whether to go on. idle is told, when there has been nothing to
// send for long, up to which id everything has been; and once at the beginning
// if that is now. It returns when ctx or the daemon ends, or why it cannot go on.
func (s *server) follow(ctx context.Context, want interest, after int64, live bool,
	send func([]*item) (bool, error), idle func(upTo int64) error) error {
	sub, now := s.hub.subscribe(want.kinds())
	defer sub.close()
	if after < 0 {
		after = now
		if err := idle(now); err != nil {
			return err
		}
	}
	after, more, err := s.replay(ctx, &want, after, send)
	if err != nil || !more || !live {
		return err
	}
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		ticked := false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			ticked = true
		case <-sub.signal:
		}
		got, err := sub.take()
		if err != nil {
			return err
		}
		if items := choose(got.batches, &want, after); len(items) > 0 {
			after = lastID(items, after)
			if more, err := send(items); err != nil || !more {
				return err
			}
		}
		if !got.open {
			return nil
		}
		if ticked {
			if err := idle(max(after, got.upTo)); err != nil {
				return err
			}
		}
	}
}

// replay sends what the store has and returns the id it came to.
func (s *server) replay(ctx context.Context, want *interest, after int64,
	send func([]*item) (bool, error)) (last int64, more bool, err error) {
	one, first := want.jobs.bounds()
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
		events, err := s.store.Events(ctx, one, after, pageSize, want.types...)
		if err != nil {
			return after, false, fmt.Errorf("read events: %w", err)
		}
		page, _ := itemsOf(events)
		if items := choose([][]item{page}, want, after); len(items) > 0 {
			if more, err := send(items); err != nil || !more {
				return after, false, err
			}
		}
		if len(events) < pageSize {
			return max(after, lastEvent(events)), true, nil
		}
		after = lastEvent(events)
	}
}

func lastEvent(events []api.Event) int64 {
	if len(events) == 0 {
		return 0
	}
	return events[len(events)-1].ID
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
func choose(batches [][]item, want *interest, after int64) []*item {
	var items []*item
	all := want.kinds()
	for _, batch := range batches {
		for i := range batch {
			it := &batch[i]
			if it.kind&all != 0 && want.jobs.has(it.job) && (it.id == 0 || it.id > after) {
				items = append(items, it)
			}
		}
	}
	return items
}

func lastID(items []*item, after int64) int64 {
	for _, it := range items {
		after = max(after, it.id)
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
		err := s.follow(c.Context(), interest{jobs: newSelection([]int64{in.ID})}, in.After, in.Follow && !s.over(ctx, in),
			func(items []*item) (bool, error) {
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
			}, func(int64) error { return nil })
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
