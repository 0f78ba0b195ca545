package store

import (
	"context"
	"fmt"
	"math"
	"time"
)

// LedgerKept is how long the ledger knows what was used.
const LedgerKept = 400 * 24 * time.Hour

// ledgerStep is what the ledger counts by.
const ledgerStep = time.Hour

// DeviceUse is what a device did since the last one of it.
type DeviceUse struct {
	Device      string
	BusySeconds float64 // that the device counted itself, apart from its jobs' shares
	// EnergyJoules is what it drew and IdleJoules what of that no job used; nil:
	// it does not say.
	EnergyJoules, IdleJoules *float64
	At                       time.Time
}

// amounts are a job's line in the ledger.
type amounts struct {
	device, wall, cpu float64 // seconds
	energy            *float64
}

func (a amounts) nothing() bool { return a.device == 0 && a.wall == 0 && a.cpu == 0 && a.energy == nil }

// plus adds b to a.
func (a amounts) plus(b amounts) amounts {
	return amounts{a.device + b.device, a.wall + b.wall, a.cpu + b.cpu, sumOf(a.energy, b.energy)}
}

// sumOf adds what is known.
func sumOf(a, b *float64) *float64 {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return new(*a + *b)
}

// measured is an amount that somebody measured; nil where it is no amount.
func measured(v *float64) *float64 {
	if v == nil || *v < 0 || math.IsNaN(*v) || math.IsInf(*v, 0) {
		return nil
	}
	return v
}

// line names a job's line.
type line struct {
	hour   int64 // microseconds since 1970
	device string
	job    int64
}

func hourOf(at time.Time) time.Time { return stored(at).Truncate(ledgerStep) }

// A ledger collects what one transaction has to add: a job has many reports in
// it and one line.
type ledger struct {
	lines map[line]amounts
	order []line
}

// add adds to a job's line of the hour of at.
func (l *ledger) add(job int64, device string, at time.Time, a amounts) {
	if a.nothing() || device == "" {
		return
	}
	key := line{micros(hourOf(at)), device, job}
	if l.lines == nil {
		l.lines = map[line]amounts{}
	}
	have, known := l.lines[key]
	if !known {
		l.order = append(l.order, key)
	}
	l.lines[key] = have.plus(a)
}

// longestSpan is the longest time that is divided among hours: a clock that was
// set forward by years must not write a line for every hour of them.
const longestSpan = 7 * 24 * time.Hour

// addWall adds the time from since until at, each hour's part to its line.
func (l *ledger) addWall(job int64, device string, since, at time.Time) {
	for at.Sub(since) <= longestSpan {
		end := hourOf(since).Add(ledgerStep)
		if !end.Before(at) {
			break
		}
		l.add(job, device, since, amounts{wall: end.Sub(since).Seconds()})
		since = end
	}
	if at.After(since) {
		l.add(job, device, since, amounts{wall: at.Sub(since).Seconds()})
	}
}

// enter writes what a ledger collected.
func (t *tx) enter(l *ledger) error {
	for _, key := range l.order {
		a := l.lines[key]
		err := t.exec(`INSERT INTO ledger (hour, device, job, device_seconds, wall_seconds, cpu_seconds, energy_joules)
			VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET device_seconds = device_seconds + excluded.device_seconds,
			wall_seconds = wall_seconds + excluded.wall_seconds, cpu_seconds = cpu_seconds + excluded.cpu_seconds,
			energy_joules = iif(excluded.energy_joules IS NULL, energy_joules,
				coalesce(energy_joules, 0) + excluded.energy_joules)`,
			key.hour, key.device, key.job, a.device, a.wall, a.cpu, a.energy)
		if err != nil {
			return fmt.Errorf("enter job %d in the ledger: %w", key.job, err)
		}
	}
	return nil
}

// enterDevice adds to a device's line of the hour.
func (t *tx) enterDevice(d *DeviceUse) error {
	err := t.exec(`INSERT INTO device_ledger (hour, device, busy_seconds, energy_joules, idle_joules)
		VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET busy_seconds = busy_seconds + excluded.busy_seconds,
		energy_joules = iif(excluded.energy_joules IS NULL, energy_joules,
			coalesce(energy_joules, 0) + excluded.energy_joules),
		idle_joules = iif(excluded.idle_joules IS NULL, idle_joules, coalesce(idle_joules, 0) + excluded.idle_joules)`,
		micros(hourOf(d.At)), d.Device, amount(d.BusySeconds), measured(d.EnergyJoules), measured(d.IdleJoules))
	if err != nil {
		return fmt.Errorf("enter device %s in the ledger: %w", d.Device, err)
	}
	return nil
}

// rememberRemoved keeps of a job that is being removed what its lines need.
func (t *tx) rememberRemoved(r *row, now time.Time) error {
	labels, err := text(r.Labels, len(r.Labels) == 0)
	if err != nil {
		return err
	}
	err = t.exec(`INSERT OR REPLACE INTO removed_jobs (id, name, kind, owner, labels, peak_bytes, removed_at)
		VALUES (?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.Name, string(r.Kind), r.Owner, labels, r.Usage.PeakMemoryBytes, micros(now))
	if err != nil {
		return fmt.Errorf("remember removed job %d: %w", r.ID, err)
	}
	return nil
}

// ThinLedger forgets lines that are older than [LedgerKept], one hour's at a
// time, so that it never keeps others from writing for long, and the removed
// jobs that no line can be of any more. It is for every minute or so.
func (s *Store) ThinLedger(ctx context.Context, now time.Time) error {
	oldest := micros(now.Add(-LedgerKept))
	err := s.write.do(ctx, written, func(t *tx) error {
		for _, query := range []string{
			`DELETE FROM ledger WHERE hour = (SELECT min(hour) FROM ledger) AND hour < ?`,
			`DELETE FROM device_ledger WHERE hour = (SELECT min(hour) FROM device_ledger) AND hour < ?`,
			`DELETE FROM removed_jobs WHERE removed_at < ?1 AND NOT EXISTS (SELECT 1 FROM ledger WHERE hour < ?1)`,
		} {
			if err := t.exec(query, oldest); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return s.explain("thin ledger", err)
	}
	return nil
}
