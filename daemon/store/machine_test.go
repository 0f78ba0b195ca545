package store

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"weft/daemon/api"
)

// model is what a job must be after the changes so far, by rules of its own.
type model struct {
	state    api.State
	attempts int // outcomes asked for: submitted, and retried
	finals   int // outcomes told
	starts   int
	wall     time.Duration
	since    time.Time
	device   float64
}

// TestStateMachine makes random changes to random jobs and holds the store to
// a model: a state changes only as api.Next says, an attempt never has two
// outcomes, and every outcome is exactly one event.
func TestStateMachine(t *testing.T) {
	s := open(t)
	do := []api.Transition{api.Start, api.Requeue, api.Pause, api.Resume, api.Succeed, api.Fail, api.Cancel, api.Retry}
	rapid.Check(t, func(rt *rapid.T) {
		recs, _, err := s.Submit(ctx, "", "", newJobs(3), t0)
		if err != nil {
			rt.Fatal(err)
		}
		models, now := map[int64]*model{}, t0
		for _, rec := range recs {
			models[rec.ID] = &model{state: api.Queued, attempts: 1}
		}
		for range rapid.IntRange(1, 8).Draw(rt, "batches") {
			changes := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) Change {
				return Change{
					ID:            recs[rapid.IntRange(0, 2).Draw(rt, "job")].ID,
					Do:            rapid.SampledFrom(do).Draw(rt, "do"),
					DeviceSeconds: float64(rapid.IntRange(0, 8).Draw(rt, "seconds")),
					Fault:         rapid.Bool().Draw(rt, "fault"), FromScratch: rapid.Bool().Draw(rt, "scratch"),
				}
			}), 1, 12).Draw(rt, "changes")
			for i := range changes {
				now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(rt, "ms")) * time.Millisecond)
				changes[i].At = now
			}
			applyToModels(rt, s, models, changes)
		}
		for id, m := range models {
			checkModel(rt, s, id, m)
		}
	})
}

func applyToModels(t *rapid.T, s *Store, models map[int64]*model, changes []Change) {
	recs, events, errs, err := s.Apply(ctx, changes)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for i, ch := range changes {
		m := models[ch.ID]
		to, refused := api.Next(m.state, ch.Do)
		if (refused == nil) != (errs[i] == nil) {
			t.Fatalf("%s of a job that is %s: %v, api.Next says %v", ch.Do, m.state, errs[i], refused)
		}
		if refused == nil {
			m.change(ch, to)
			if ev := events[told]; ev.Job != ch.ID || ev.State != to {
				t.Fatalf("event %+v for %+v", ev, ch)
			}
			told++
		}
		if recs[i].State != m.state || recs[i].ID != ch.ID {
			t.Fatalf("record is %s, want %s", recs[i].State, m.state)
		}
	}
	if told != len(events) {
		t.Fatalf("%d events for %d changes", len(events), told)
	}
}

func (m *model) change(ch Change, to api.State) {
	m.device += ch.DeviceSeconds
	if m.state == api.Running {
		m.wall += ch.At.Sub(m.since)
	}
	switch {
	case ch.Do == api.Retry:
		m.attempts++
	case to == api.Running:
		m.starts, m.since = m.starts+1, ch.At
	case to.Final():
		m.finals++
	}
	m.state = to
}

func checkModel(t *rapid.T, s *Store, id int64, m *model) {
	rec, err := s.Job(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	events, err := s.Events(ctx, id, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	finals, open := 0, false
	for i, ev := range events {
		if i > 0 && ev.ID <= events[i-1].ID {
			t.Fatal("event ids do not grow")
		}
		switch {
		case ev.Type == "submitted" || ev.Type == "retried":
			open = true
		case ev.State.Final():
			if !open {
				t.Fatalf("job %d has two outcomes in one attempt", id)
			}
			finals, open = finals+1, false
		}
	}
	if open == rec.State.Final() || finals != m.finals || m.finals > m.attempts {
		t.Fatalf("job %d is %s after %d outcomes, want %d of %d", id, rec.State, finals, m.finals, m.attempts)
	}
	if (rec.FinishedAt != nil) != rec.State.Final() || rec.State == api.Running && rec.StartedAt == nil {
		t.Fatalf("%s with times %v %v", rec.State, rec.StartedAt, rec.FinishedAt)
	}
	// Nothing checkpoints here, so each start is an attempt.
	if rec.Attempt != m.starts || rec.Usage.DeviceSeconds != m.device {
		t.Fatalf("attempt %d, %g s; want %d, %g s", rec.Attempt, rec.Usage.DeviceSeconds, m.starts, m.device)
	}
	if d := rec.Usage.WallSeconds - m.wall.Seconds(); d > 1e-9 || d < -1e-9 {
		t.Fatalf("wall %g s, want %g s", rec.Usage.WallSeconds, m.wall.Seconds())
	}
}
