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

// Report records news of running jobs and of devices, in one transaction, and
// returns the events it made. The news outlives this process but perhaps not a
// loss of power: a job that goes on from its checkpoint tells it again.
func (s *Store) Report(ctx context.Context, reports []Report, devices ...DeviceUse) ([]api.Event, error) {
	if len(reports) == 0 && len(devices) == 0 {
		return nil, nil
	}
	var events []api.Event
	err := s.write.do(ctx, written, func(t *tx) error {
		n := news{tx: t, jobs: map[int64]*row{}, changed: map[int64]bool{}}
		for i := range reports {
			if err := n.report(&reports[i]); err != nil {
				return err
			}
		}
		for i := range devices {
			if err := t.enterDevice(&devices[i]); err != nil {
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
	jobs    map[int64]*row // nil: there is none
	changed map[int64]bool
	order   []*row   // that changed
	charges []charge // one an owner
	used    ledger
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
		n.jobs[rep.ID] = r
	}
	n.energy(r, rep)
	if r == nil || r.State != api.Running {
		return nil
	}
	n.mark(r)
	r.countWall(rep.At, &n.used)
	used := amounts{device: amount(rep.DeviceSeconds), cpu: amount(rep.CPUSeconds)}
	r.Usage.DeviceSeconds += used.device
	r.Usage.CPUSeconds += used.cpu
	n.used.add(r.ID, r.Device, rep.At, used)
	r.advance(rep.Progress, rep.Metrics)
	if rep.Epoch != nil {
		r.advance(nil, rep.Epoch.Metrics)
	}
	r.HasCheckpoint = r.HasCheckpoint || rep.Checkpoint
	n.charge(r.Owner, rep.DeviceSeconds, rep.At)
	return n.tell(r, rep)
}

// energy counts what a job drew, in whatever state it is; r is nil when it was
// removed.
func (n *news) energy(r *row, rep *Report) {
	joules := measured(rep.EnergyJoules)
	if joules == nil {
		return
	}
	n.used.add(rep.ID, rep.Device, rep.At, amounts{energy: joules})
	if r != nil {
		r.Usage.EnergyJoules = sumOf(r.Usage.EnergyJoules, joules)
		n.mark(r)
	}
}

// mark has a row saved.
func (n *news) mark(r *row) {
	if !n.changed[r.ID] {
		n.changed[r.ID] = true
		n.order = append(n.order, r)
	}
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
	return n.enter(&n.used)
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
