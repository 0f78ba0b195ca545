package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"weft/daemon/api"
)

// keyLifetime is how long an idempotency key is remembered.
const keyLifetime = 24 * time.Hour

// Submit stores jobs, all or none, and returns their records in order. They
// are durable when it returns.
//
// A key that was used within the last 24 hours by the same owner, that of the
// first job, answers that submission's jobs, less those removed since, with
// replayed true and stores nothing, if fingerprint is the same; otherwise it
// is an [*api.Error] with code invalid. An empty key is no key. Waiting for a
// job that does not exist is an [*api.Error] with code not_found.
func (s *Store) Submit(ctx context.Context, key, fingerprint string, jobs []NewJob, now time.Time) (
	recs []Record, replayed bool, err error,
) {
	err = s.write.do(ctx, synced, func(t *tx) error {
		if key != "" && len(jobs) > 0 {
			ids, found, err := t.replay(jobs[0].Owner, key, fingerprint, now)
			if err != nil {
				return err
			}
			if replayed = found; found {
				recs, err = t.records(ids)
				return err
			}
		}
		recs = make([]Record, len(jobs))
		for i := range jobs {
			if recs[i], err = t.submit(&jobs[i], now); err != nil {
				return err
			}
		}
		if key == "" || len(jobs) == 0 {
			return nil
		}
		return t.remember(key, fingerprint, recs, now)
	})
	if err != nil {
		return nil, false, s.explain("submit jobs", err)
	}
	return recs, replayed, nil
}

// replay looks a key up, after forgetting those that are too old.
func (t *tx) replay(owner, key, fingerprint string, now time.Time) (ids []int64, found bool, err error) {
	if err := t.exec(`DELETE FROM idempotency_keys WHERE at <= ?`, micros(now.Add(-keyLifetime))); err != nil {
		return nil, false, err
	}
	rows, err := t.query(`SELECT fingerprint, jobs FROM idempotency_keys WHERE owner = ? AND key = ?`, owner, key)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	if !rows.Next() {
		return nil, false, rows.Err()
	}
	var known, list string
	if err := rows.Scan(&known, &list); err != nil {
		return nil, false, err
	}
	if known != fingerprint {
		return nil, false, &api.Error{Code: api.CodeInvalid,
			Message: fmt.Sprintf("idempotency key %q was used for another submission", key),
			Hint:    "use a new key for every submission, and the same only to repeat one"}
	}
	return ids, true, json.Unmarshal([]byte(list), &ids)
}

func (t *tx) remember(key, fingerprint string, recs []Record, now time.Time) error {
	ids := make([]int64, len(recs))
	for i := range recs {
		ids[i] = recs[i].ID
	}
	return t.exec(`INSERT INTO idempotency_keys (owner, key, fingerprint, jobs, at) VALUES (?, ?, ?, ?, ?)`,
		recs[0].Owner, key, fingerprint, idList(ids), micros(now))
}

func (t *tx) submit(job *NewJob, now time.Time) (Record, error) {
	for _, id := range job.After {
		if ok, err := t.exists(id); err != nil {
			return Record{}, err
		} else if !ok {
			return Record{}, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no job %d to wait for", id),
				Hint: "weft ls -a lists all jobs"}
		}
	}
	rec := newRecord(job, now)
	if err := t.insertJob(&rec, job.Spec); err != nil {
		return Record{}, err
	}
	_, err := t.event(&rec, now, "submitted", "", nil)
	return rec, err
}

func newRecord(job *NewJob, now time.Time) Record {
	rec := Record{
		Job: api.Job{
			Node: job.Node, Name: job.Name, Kind: job.Kind, State: api.Queued, Owner: job.Owner,
			Priority: job.Priority, Labels: map[string]string{}, After: job.After, Held: job.Hold,
			Retries: job.Retries, Timeout: job.Timeout, SubmittedAt: stored(now),
			Progress: api.Progress{Epochs: job.Totals.Epochs, Steps: job.Totals.Steps},
			Metrics:  map[string]float64{},
		},
		MemoryBytes: job.MemoryBytes, GPUBytes: job.GPUBytes, DataBytes: job.DataBytes, DataHash: job.DataHash,
		WantDevice: job.Device, Queued: stored(now),
	}
	for name, value := range job.Labels {
		rec.Labels[name] = value
	}
	if job.At != nil {
		rec.At = storedMoment(*job.At)
	}
	return rec
}

func (t *tx) insertJob(rec *Record, spec json.RawMessage) error {
	labels, err := text(rec.Labels, len(rec.Labels) == 0)
	if err != nil {
		return err
	}
	after, err := text(rec.After, len(rec.After) == 0)
	if err != nil {
		return err
	}
	rec.ID, err = t.insert(`INSERT INTO jobs (node, name, kind, owner, state, want_device, priority, held, retries,
		timeout, memory_bytes, gpu_bytes, data_bytes, data_hash, not_before, submitted_at, queued_at, epochs, steps,
		labels, after)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		rec.Node, rec.Name, string(rec.Kind), rec.Owner, string(rec.State), rec.WantDevice, rec.Priority,
		flag(rec.Held), rec.Retries, rec.Timeout, rec.MemoryBytes, rec.GPUBytes, rec.DataBytes, rec.DataHash,
		microsOf(rec.At), micros(rec.SubmittedAt), micros(rec.Queued), rec.Progress.Epochs, rec.Progress.Steps, labels, after)
	if err != nil {
		return fmt.Errorf("insert job: %w", err)
	}
	if err := t.exec(`INSERT INTO specs (job, spec) VALUES (?, ?)`, rec.ID, string(spec)); err != nil {
		return fmt.Errorf("insert specification: %w", err)
	}
	for _, id := range rec.After {
		err := t.exec(`INSERT OR IGNORE INTO dependencies (needs, job) VALUES (?, ?)`, id, rec.ID)
		if err != nil {
			return fmt.Errorf("insert dependency: %w", err)
		}
	}
	return nil
}

// event appends to the history of rec's job. Ids are given out inside the
// only writing transaction, so readers never see one before a smaller one.
func (t *tx) event(rec *Record, at time.Time, kind, message string, epoch *api.Epoch) (api.Event, error) {
	ev := api.Event{Time: stored(at), Job: rec.ID, Type: kind, State: rec.State, Message: message, Epoch: epoch}
	js, err := text(epoch, epoch == nil)
	if err != nil {
		return ev, err
	}
	ev.ID, err = t.insert(`INSERT INTO events (job, at, type, state, message, epoch) VALUES (?, ?, ?, ?, ?, ?)`,
		ev.Job, micros(at), ev.Type, string(ev.State), ev.Message, js)
	if err != nil {
		return ev, fmt.Errorf("insert event: %w", err)
	}
	return ev, nil
}
