package store

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"weft/daemon/api"
)

// Recover queues every job again that was running when the daemon before this
// one ended. It is for the start, before anything runs.
func (s *Store) Recover(ctx context.Context, now time.Time) (recs []Record, events []api.Event, err error) {
	err = s.write.do(ctx, synced, func(t *tx) error {
		ids, err := t.ids(`SELECT id FROM jobs WHERE state = 'running' ORDER BY id`)
		if err != nil {
			return err
		}
		for _, id := range ids {
			r, err := t.job(id)
			if err != nil {
				return err
			}
			r.runningSince = time.Time{} // nobody saw it run since its last report
			ev, refused, err := t.change(r, &Change{Do: api.Requeue, At: now, Message: "the daemon was restarted"})
			if err = cmp.Or(err, refused); err != nil {
				return fmt.Errorf("requeue job %d: %w", id, err)
			}
			recs, events = append(recs, r.Record), append(events, *ev)
		}
		return nil
	})
	if err != nil {
		return nil, nil, s.explain("recover jobs", err)
	}
	return recs, events, nil
}

func (t *tx) ids(query string, args ...any) ([]int64, error) {
	rows, err := t.query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// Delete removes a job that has ended, with its epochs and events. It is an
// [*api.Error] with code wrong_state while the job has not ended, or while one
// that has not ended waits for it and would then wait for nothing. The ledger
// keeps what it used, and whose it was.
func (s *Store) Delete(ctx context.Context, id int64, now time.Time) error {
	err := s.write.do(ctx, synced, func(t *tx) error {
		r, err := t.job(id)
		if err != nil {
			return err
		}
		if r == nil {
			return notFound(id)
		}
		if !r.State.Final() {
			return &api.Error{Code: api.CodeWrongState, Message: fmt.Sprintf("cannot remove a job that is %s", r.State),
				Hint: "weft cancel it first"}
		}
		waiting, err := t.ids(`SELECT job FROM dependencies JOIN jobs ON jobs.id = job
			WHERE needs = ? AND state IN ('queued', 'running', 'paused') ORDER BY job LIMIT 1`, id)
		if err != nil {
			return err
		}
		if len(waiting) > 0 {
			return &api.Error{Code: api.CodeWrongState, Message: fmt.Sprintf("job %d waits for job %d", waiting[0], id),
				Hint: fmt.Sprintf("remove it when job %d has ended", waiting[0])}
		}
		if err := t.rememberRemoved(r, now); err != nil {
			return err
		}
		return t.exec(`DELETE FROM jobs WHERE id = ?`, id)
	})
	if err != nil {
		return s.explain("remove job", err)
	}
	return nil
}
