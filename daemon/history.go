package daemon

import (
	"context"
	"fmt"
	"strings"
	"time"

	"weft/daemon/api"
)

const (
	historySpan   = time.Hour // unless since says otherwise
	historyPoints = 600       // about so many, unless step says otherwise
	mostPoints    = 10_000
)

type historyInput struct {
	ID    string `path:"id" doc:"as in GET /v1/devices"`
	Since string `query:"since" doc:"RFC 3339, or a duration before now such as 15m; default an hour before until"`
	Until string `query:"until" doc:"RFC 3339, or a duration before now; default now"`
	Step  string `query:"step" doc:"a duration such as 10s; default one that makes some hundred points"`
}

type historyOutput struct{ Body api.History }

func (s *server) history(ctx context.Context, in *historyInput) (*historyOutput, error) {
	h, err := s.samples.history(ctx, in, time.Now())
	if err != nil {
		return nil, s.fault(err)
	}
	return &historyOutput{*h}, nil
}

// history answers from memory what is not older than an hour, and the rest from
// the store.
func (s *sampler) history(ctx context.Context, in *historyInput, now time.Time) (*api.History, error) {
	h := &api.History{Device: in.ID}
	step, err := in.read(now, s.every, h)
	if err != nil {
		return nil, err
	}
	recent, complete, known := s.recent(in.ID, h.Since, h.Until)
	if !known {
		return nil, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no device %q", in.ID),
			Hint: "there is " + strings.Join(s.ids(), ", ")}
	}
	var stored []api.Point
	if h.Since.Before(complete) {
		end := h.Until
		if complete.Before(end) {
			end = complete
		}
		if stored, err = s.store.Samples(ctx, in.ID, h.Since, end); err != nil {
			return nil, err
		}
	}
	h.Step, h.Points = step.Seconds(), pointsOf(stored, recent, step)
	return h, nil
}

// read reads the query into h.
func (in *historyInput) read(now time.Time, every time.Duration, h *api.History) (step time.Duration, err error) {
	if h.Until, err = moment("until", in.Until, now, now); err != nil {
		return 0, err
	}
	if h.Since, err = moment("since", in.Since, now, h.Until.Add(-historySpan)); err != nil {
		return 0, err
	}
	span := h.Until.Sub(h.Since)
	if span <= 0 {
		return 0, &api.Error{Code: api.CodeInvalid, Message: "since is not before until", Hint: "since=15m is the last 15 minutes"}
	}
	if in.Step == "" {
		step = max(every, (span / historyPoints).Truncate(time.Second))
		if step > sampleMinute {
			step = step.Truncate(sampleMinute)
		}
		return step, nil
	}
	step, err = time.ParseDuration(in.Step)
	if err != nil || step <= 0 {
		return 0, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("step %q is not a duration", in.Step), Hint: "step=10s"}
	}
	if span/step > mostPoints {
		return 0, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("that would be %d points, more than %d", span/step, mostPoints),
			Hint: "step=" + (span / historyPoints).Round(time.Second).String() + ", or a shorter time"}
	}
	return step, nil
}

// moment reads a time, or a duration before now.
func moment(name, text string, now, otherwise time.Time) (time.Time, error) {
	if text == "" {
		return otherwise.UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t.UTC(), nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d).UTC(), nil
	}
	return time.Time{}, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("%s %q is neither a time nor a duration", name, text),
		Hint: name + "=2026-01-31T12:00:00Z, or " + name + "=15m for so long before now"}
}
