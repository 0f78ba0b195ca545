package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"weft/daemon/api"
)

// UsageFilter chooses lines of the ledger. Zero fields do not restrict, but
// for the times.
type UsageFilter struct {
	Since, Until time.Time // hours that begin at or after Since and before Until
	Owner        string
	Labels       map[string]string // that the job has now, or had when it was removed: all of them
}

// JobUse is what one job used of one device, over the hours asked for.
type JobUse struct {
	Job                                    int64
	Device, Name, Owner                    string
	Kind                                   api.Kind
	Labels                                 map[string]string
	DeviceSeconds, WallSeconds, CPUSeconds float64
	EnergyJoules                           *float64 // nil: the device does not say
	PeakMemoryBytes                        int64    // of the job's whole life
}

// DeviceTotal is what a device did over the hours asked for, whoever the jobs'
// owners are.
type DeviceTotal struct {
	Device                   string
	BusySeconds              float64
	JobSeconds               float64 // device seconds of all jobs
	EnergyJoules, IdleJoules *float64
}

// Usage reads the ledger as it is at one moment: jobs by id and device, and
// devices by name.
func (s *Store) Usage(ctx context.Context, f UsageFilter) (jobs []JobUse, devices []DeviceTotal, err error) {
	jobs, devices, err = s.usage(ctx, f)
	if err != nil {
		return nil, nil, s.explain("read ledger", err)
	}
	return jobs, devices, nil
}

func (s *Store) usage(ctx context.Context, f UsageFilter) (jobs []JobUse, devices []DeviceTotal, err error) {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, nil, err
	}
	defer tx.Rollback() // only read
	if jobs, err = readJobUse(ctx, tx, &f); err != nil {
		return nil, nil, err
	}
	devices, err = readDeviceTotals(ctx, tx, &f)
	return jobs, devices, err
}

func readJobUse(ctx context.Context, q querier, f *UsageFilter) ([]JobUse, error) {
	query := `SELECT used.job, used.device, seconds, wall, cpu, joules, coalesce(jobs.name, removed.name, ''),
		coalesce(jobs.owner, removed.owner, '') AS user, coalesce(jobs.kind, removed.kind, ''),
		iif(jobs.id IS NULL, removed.labels, jobs.labels) AS tags,
		coalesce(jobs.peak_bytes, removed.peak_bytes, 0)
		FROM (SELECT job, device, sum(device_seconds) AS seconds, sum(wall_seconds) AS wall, sum(cpu_seconds) AS cpu,
			sum(energy_joules) AS joules FROM ledger WHERE hour >= ? AND hour < ? GROUP BY job, device) AS used
		LEFT JOIN jobs ON jobs.id = used.job LEFT JOIN removed_jobs AS removed ON removed.id = used.job WHERE true`
	args := []any{micros(f.Since), micros(f.Until)}
	if f.Owner != "" {
		query, args = query+` AND user = ?`, append(args, f.Owner)
	}
	for name, value := range f.Labels {
		query += ` AND EXISTS (SELECT 1 FROM json_each(tags) WHERE key = ? AND value = ?)`
		args = append(args, name, value)
	}
	rows, err := q.QueryContext(ctx, query+` ORDER BY used.job, used.device`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []JobUse
	for rows.Next() {
		var u JobUse
		var labels []byte
		if err := rows.Scan(&u.Job, &u.Device, &u.DeviceSeconds, &u.WallSeconds, &u.CPUSeconds, &u.EnergyJoules,
			&u.Name, &u.Owner, &u.Kind, &labels, &u.PeakMemoryBytes); err != nil {
			return nil, err
		}
		if labels != nil {
			if err := json.Unmarshal(labels, &u.Labels); err != nil {
				return nil, err
			}
		}
		all = append(all, u)
	}
	return all, rows.Err()
}

func readDeviceTotals(ctx context.Context, q querier, f *UsageFilter) ([]DeviceTotal, error) {
	since, until := micros(f.Since), micros(f.Until)
	rows, err := q.QueryContext(ctx, `SELECT device, sum(busy), sum(seconds), sum(joules), sum(idle) FROM (
		SELECT device, sum(busy_seconds) AS busy, 0.0 AS seconds, sum(energy_joules) AS joules, sum(idle_joules) AS idle
			FROM device_ledger WHERE hour >= ?1 AND hour < ?2 GROUP BY device
		UNION ALL
		SELECT device, 0.0, sum(device_seconds), NULL, NULL FROM ledger WHERE hour >= ?1 AND hour < ?2 GROUP BY device
		) GROUP BY device ORDER BY device`, since, until)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []DeviceTotal
	for rows.Next() {
		var d DeviceTotal
		if err := rows.Scan(&d.Device, &d.BusySeconds, &d.JobSeconds, &d.EnergyJoules, &d.IdleJoules); err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, rows.Err()
}
