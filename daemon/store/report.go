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
		n := news{tx: t, jobs: map[int64]*row{}}
		for i := range reports {
			if err := n.report(&reports[i]); err != nil {
				return err
			}
		}
		events = n.events
		return n.save()
	})
	if err != nil {
		return nil, s.explain("record reports", err)
	}
	return events, nil
}

// news is what one transaction records. Of jobs that end many epochs at once,
// as small ones on a fast device do, rows and accounts are written once.
type news struct {
	*tx
	jobs    map[int64]*row // nil: not running
	order   []*row
	charges []charge // one an owner
	events  []api.Event
}

type charge struct {
	owner   string
	seconds float64
	at      time.Time
}

func (n *news) report(rep *Report) error {
	r, known := n.jobs[rep.ID]
	if !known {
		var err error
		if r, err = n.job(rep.ID); err != nil {
			return err
		}
		if r != nil && r.State != api.Running {
			r = nil
		}
		if n.jobs[rep.ID] = r; r != nil {
			n.order = append(n.order, r)
		}
	}
	if r == nil {
		return nil
	}
	r.countWall(rep.At)
	r.Usage.DeviceSeconds += amount(rep.DeviceSeconds)
	r.advance(rep.Progress, rep.Metrics)
	if rep.Epoch != nil {
		r.advance(nil, rep.Epoch.Metrics)
	}
	r.HasCheckpoint = r.HasCheckpoint || rep.Checkpoint
	n.charge(r.Owner, rep.DeviceSeconds, rep.At)
	return n.tell(r, rep)
}

// tell records a report's events.
func (n *news) tell(r *row, rep *Report) error {
	before := len(n.events)
	tell := func(kind string, epoch *api.Epoch) error {
		ev, err := n.event(&r.Record, rep.At, kind, rep.Message, epoch)
		n.events = append(n.events, ev)
		return err
	}
	if rep.Epoch != nil {
		epoch := &api.Epoch{Epoch: rep.Epoch.Epoch, Step: rep.Epoch.Step, Metrics: finite(rep.Epoch.Metrics)}
		if err := n.saveEpoch(r.ID, epoch); err != nil {
			return err
		}
		if err := tell("epoch", epoch); err != nil {
			return err
		}
	}
	if rep.Checkpoint {
		if err := tell("checkpoint", nil); err != nil {
			return err
		}
	}
	if rep.Message != "" && len(n.events) == before {
		return tell("changed", nil)
	}
	return nil
}

// charge notes device seconds for an owner's account.
func (n *news) charge(owner string, seconds float64, at time.Time) {
	for i := range n.charges {
		if c := &n.charges[i]; c.owner == owner {
			c.seconds += amount(seconds)
			c.at = at
			return
		}
	}
	n.charges = append(n.charges, charge{owner, amount(seconds), at})
}

// save writes what reports changed.
func (n *news) save() error {
	for _, r := range n.order {
		if err := n.tx.save(r); err != nil {
			return err
		}
	}
	for _, c := range n.charges {
		if err := n.tx.charge(c.owner, c.seconds, c.at); err != nil {
			return err
		}
	}
	return nil
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
