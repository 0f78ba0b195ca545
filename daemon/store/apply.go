package store

import (
	"context"
	"fmt"
	"maps"
	"time"

	"weft/daemon/api"
)

// eventTypes are the events that tell of a transition.
var eventTypes = map[api.Transition]string{
	api.Start: "started", api.Requeue: "requeued", api.Pause: "paused", api.Resume: "resumed",
	api.Succeed: "succeeded", api.Fail: "failed", api.Cancel: "cancelled", api.Retry: "retried",
}

// EventType is the type of the event that tells of a transition.
func EventType(do api.Transition) string { return eventTypes[do] }

// Apply makes changes in order, in one transaction that is durable when it
// returns. errs has an entry for each: nil, or why [api.Next] refused it or
// its job was not found, which leaves the job alone and hinders no other
// change. recs are the jobs' records after the change, or as they are when it
// was refused; events are those of the changes made.
func (s *Store) Apply(ctx context.Context, changes []Change) (
	recs []Record, events []api.Event, errs []error, err error,
) {
	return s.each(ctx, "apply changes", len(changes), func(t *tx, i int) (*row, *api.Event, error, error) {
		return t.apply(&changes[i])
	})
}

// each runs f for n items in one durable transaction. f answers a job, maybe
// an event, why the item was refused, and what ends the whole transaction.
func (s *Store) each(ctx context.Context, verb string, n int, f func(*tx, int) (*row, *api.Event, error, error)) (
	recs []Record, events []api.Event, errs []error, err error,
) {
	if n == 0 {
		return nil, nil, nil, nil
	}
	recs, errs = make([]Record, n), make([]error, n)
	err = s.write.do(ctx, synced, func(t *tx) error {
		for i := range n {
			r, ev, refused, err := f(t, i)
			if err != nil {
				return err
			}
			if errs[i] = refused; r != nil {
				recs[i] = r.Record
			}
			if ev != nil {
				events = append(events, *ev)
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, nil, s.explain(verb, err)
	}
	return recs, events, errs, nil
}

func (t *tx) apply(ch *Change) (r *row, ev *api.Event, refused, err error) {
	r, err = t.job(ch.ID)
	if err != nil {
		return nil, nil, nil, err
	}
	if r == nil {
		return nil, nil, notFound(ch.ID), nil
	}
	ev, refused, err = t.change(r, ch)
	return r, ev, refused, err
}

// change makes one change of the job in r. It is the only place where a job's
// state changes.
func (t *tx) change(r *row, ch *Change) (ev *api.Event, refused, err error) {
	to, refused := api.Next(r.State, ch.Do)
	if refused != nil {
		return nil, refused, nil
	}
	var used ledger
	if r.State == api.Running {
		r.countWall(ch.At, &used)
		r.runningSince = time.Time{}
	}
	r.State = to
	r.account(ch)
	used.add(r.ID, r.Device, ch.At, amounts{device: amount(ch.DeviceSeconds), cpu: amount(ch.CPUSeconds)})
	r.enter(ch)
	if err := t.charge(r.Owner, ch.DeviceSeconds, ch.At); err != nil {
		return nil, nil, err
	}
	if ch.FromScratch || ch.Do == api.Retry {
		if err := t.exec(`DELETE FROM epochs WHERE job = ?`, r.ID); err != nil {
			return nil, nil, fmt.Errorf("delete epochs: %w", err)
		}
	}
	if err := t.save(r); err != nil {
		return nil, nil, err
	}
	if err := t.enter(&used); err != nil {
		return nil, nil, err
	}
	message := ch.Message
	if message == "" && ch.Error != nil {
		message = ch.Error.Message
	}
	event, err := t.event(&r.Record, ch.At, eventTypes[ch.Do], message, nil)
	return &event, nil, err
}

// account adds what the change brought to the job's accounts.
func (r *row) account(ch *Change) {
	if ch.FromScratch || ch.Do == api.Retry {
		r.HasCheckpoint, r.nextAttempt = false, true
		r.Progress.Epoch, r.Progress.Step = 0, 0
		r.Metrics = map[string]float64{}
	}
	r.Usage.DeviceSeconds += amount(ch.DeviceSeconds)
	r.Usage.CPUSeconds += amount(ch.CPUSeconds)
	r.Usage.PeakMemoryBytes = max(r.Usage.PeakMemoryBytes, ch.PeakBytes)
	r.advance(ch.Progress, ch.Metrics)
	if ch.Fault {
		r.Faults++
	}
	if ch.Used {
		r.RetriesUsed++
	}
	r.nextAttempt = r.nextAttempt || ch.NewAttempt
}

// enter does what belongs to the state that the change led to.
func (r *row) enter(ch *Change) {
	switch ch.Do {
	case api.Start:
		r.Device = ch.Device
		if r.nextAttempt || !r.HasCheckpoint || r.StartedAt == nil {
			r.Attempt++
			r.StartedAt = storedMoment(ch.At)
		}
		r.nextAttempt = false
		r.runningSince = stored(ch.At)
	case api.Requeue, api.Resume:
		r.Queued = stored(ch.At)
	case api.Retry:
		r.Queued = stored(ch.At)
		r.StartedAt, r.FinishedAt, r.Error = nil, nil, nil
		r.Faults, r.RetriesUsed, r.Held = 0, 0, false
	case api.Succeed, api.Cancel:
		r.FinishedAt = storedMoment(ch.At)
	case api.Fail:
		r.FinishedAt, r.Error = storedMoment(ch.At), ch.Error
	}
}

// countWall adds the running time since it was last counted. Reports count it
// too, so that what a dead daemon did not see is not charged.
func (r *row) countWall(at time.Time, used *ledger) {
	if at = stored(at); at.After(r.runningSince) && !r.runningSince.IsZero() {
		r.Usage.WallSeconds += at.Sub(r.runningSince).Seconds()
		used.addWall(r.ID, r.Device, r.runningSince, at)
		r.runningSince = at
	}
}

// advance takes over progress, whose totals may be left out, and metrics.
func (r *row) advance(p *api.Progress, metrics map[string]float64) {
	if p != nil {
		r.Progress.Epoch, r.Progress.Step = p.Epoch, p.Step
		if p.Epochs > 0 || p.Steps > 0 {
			r.Progress.Epochs, r.Progress.Steps = p.Epochs, p.Steps
		}
	}
	maps.Copy(r.Metrics, finite(metrics))
}

// save writes what a transition, a report or an edit may change.
func (t *tx) save(r *row) error {
	labels, err := text(r.Labels, len(r.Labels) == 0)
	if err != nil {
		return err
	}
	metrics, err := text(r.Metrics, len(r.Metrics) == 0)
	if err != nil {
		return err
	}
	failure, err := text(r.Error, r.Error == nil)
	if err != nil {
		return err
	}
	err = t.exec(`UPDATE jobs SET state = ?, device = ?, priority = ?, held = ?, retries_used = ?, attempt = ?,
		next_attempt = ?, faults = ?, has_checkpoint = ?, queued_at = ?, running_since = ?, started_at = ?,
		finished_at = ?, epoch = ?, epochs = ?, step = ?, steps = ?, device_seconds = ?, wall_seconds = ?,
		cpu_seconds = ?, energy_joules = ?, peak_bytes = ?, labels = ?, metrics = ?, error = ? WHERE id = ?`,
		string(r.State), r.Device, r.Priority, flag(r.Held), r.RetriesUsed, r.Attempt,
		flag(r.nextAttempt), r.Faults, flag(r.HasCheckpoint), micros(r.Queued), micros(r.runningSince),
		microsOf(r.StartedAt), microsOf(r.FinishedAt), r.Progress.Epoch, r.Progress.Epochs, r.Progress.Step,
		r.Progress.Steps, r.Usage.DeviceSeconds, r.Usage.WallSeconds, r.Usage.CPUSeconds, r.Usage.EnergyJoules, r.Usage.PeakMemoryBytes,
		labels, metrics, failure, r.ID)
	if err != nil {
		return fmt.Errorf("update job %d: %w", r.ID, err)
	}
	return nil
}
