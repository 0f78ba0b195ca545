package store

import (
	"context"
	"fmt"
	"math"
	"time"

	"weft/daemon/api"
)

// HalfLife is how long it takes until device time counts half in
// [Store.OwnerShares].
const HalfLife = 24 * time.Hour

// Report records news of running jobs, in one transaction, and returns the
// events it made. The news outlives this process but perhaps not a loss of
// power: a job that goes on from its checkpoint tells it again.
func (s *Store) Report(ctx context.Context, reports []Report) ([]api.Event, error) {
	if len(reports) == 0 {
		return nil, nil
	}
	var events []api.Event
	err := s.write.do(ctx, written, func(t *tx) error {
		for i := range reports {
			evs, err := t.report(&reports[i])
			if err != nil {
				return err
			}
			events = append(events, evs...)
		}
		return nil
	})
	if err != nil {
		return nil, s.explain("record reports", err)
	}
	return events, nil
}

func (t *tx) report(rep *Report) (events []api.Event, err error) {
	r, err := t.job(rep.ID)
	if err != nil || r == nil || r.State != api.Running {
		return nil, err
	}
	r.countWall(rep.At)
	r.Usage.DeviceSeconds += amount(rep.DeviceSeconds)
	r.advance(rep.Progress, rep.Metrics)
	if rep.Epoch != nil {
		r.advance(nil, rep.Epoch.Metrics)
	}
	r.HasCheckpoint = r.HasCheckpoint || rep.Checkpoint
	if err := t.save(r); err != nil {
		return nil, err
	}
	if err := t.charge(r.Owner, rep.DeviceSeconds, rep.At); err != nil {
		return nil, err
	}
	tell := func(kind string, epoch *api.Epoch) error {
		ev, err := t.event(&r.Record, rep.At, kind, rep.Message, epoch)
		events = append(events, ev)
		return err
	}
	if rep.Epoch != nil {
		epoch := &api.Epoch{Epoch: rep.Epoch.Epoch, Step: rep.Epoch.Step, Metrics: finite(rep.Epoch.Metrics)}
		if err := t.saveEpoch(r.ID, epoch); err != nil {
			return nil, err
		}
		if err := tell("epoch", epoch); err != nil {
			return nil, err
		}
	}
	if rep.Checkpoint {
		if err := tell("checkpoint", nil); err != nil {
			return nil, err
		}
	}
	if rep.Message != "" && events == nil {
		return events, tell("changed", nil)
	}
	return events, nil
}

func (t *tx) saveEpoch(job int64, e *api.Epoch) error {
	metrics, err := text(e.Metrics, false)
	if err != nil {
		return err
	}
	err = t.exec(`INSERT INTO epochs (job, epoch, step, metrics) VALUES (?, ?, ?, ?)
		ON CONFLICT (job, epoch) DO UPDATE SET step = excluded.step, metrics = excluded.metrics`,
		job, e.Epoch, e.Step, metrics)
	if err != nil {
		return fmt.Errorf("save epoch %d of job %d: %w", e.Epoch, job, err)
	}
	return nil
}

// charge adds device seconds to an owner's account.
func (t *tx) charge(owner string, seconds float64, at time.Time) error {
	if seconds = amount(seconds); seconds == 0 {
		return nil
	}
	rows, err := t.query(`SELECT share, share_at FROM owners WHERE name = ?`, owner)
	if err != nil {
		return err
	}
	var share float64
	var since int64
	if rows.Next() {
		err = rows.Scan(&share, &since)
	} else {
		since, err = micros(at), rows.Err()
	}
	rows.Close()
	if err != nil {
		return err
	}
	share = decayed(share, fromMicros(since), at) + seconds
	err = t.exec(`INSERT INTO owners (name, device_seconds, share, share_at) VALUES (?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET device_seconds = device_seconds + excluded.device_seconds,
		share = excluded.share, share_at = max(share_at, excluded.share_at)`,
		owner, seconds, share, micros(at))
	if err != nil {
		return fmt.Errorf("charge owner: %w", err)
	}
	return nil
}

// decayed is what seconds counted at since count at now. A clock that went
// back changes nothing.
func decayed(seconds float64, since, now time.Time) float64 {
	if age := now.Sub(since); age > 0 {
		return seconds * math.Exp2(-float64(age)/float64(HalfLife))
	}
	return seconds
}
