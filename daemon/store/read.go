package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"weft/daemon/api"
)

const (
	defaultLimit = 1000
	maxLimit     = 100_000
)

// job reads one job in the transaction; nil when there is none.
func (t *tx) job(id int64) (*row, error) {
	rows, err := t.query(`SELECT `+columns+` FROM jobs WHERE id = ?`, id)
	if err != nil {
		return nil, fmt.Errorf("read job %d: %w", id, err)
	}
	defer rows.Close()
	if !rows.Next() {
		return nil, rows.Err()
	}
	var packed string
	if err := rows.Scan(&id, &packed); err != nil {
		return nil, fmt.Errorf("read job %d: %w", id, err)
	}
	r := &row{}
	return r, new(decoder).row(id, packed, r)
}

func (t *tx) exists(id int64) (bool, error) {
	rows, err := t.query(`SELECT 1 FROM jobs WHERE id = ?`, id)
	if err != nil {
		return false, fmt.Errorf("look for job %d: %w", id, err)
	}
	defer rows.Close()
	return rows.Next(), rows.Err()
}

// records reads the jobs of ids that exist, in that order.
func (t *tx) records(ids []int64) ([]Record, error) {
	var recs []Record
	for _, id := range ids {
		r, err := t.job(id)
		if err != nil {
			return nil, err
		}
		if r != nil {
			recs = append(recs, r.Record)
		}
	}
	return recs, nil
}

// querier is a pool or a transaction of it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// scanJobs gives f every row of a query that selects [columns], with the
// specification behind them if spec. The row is valid until f returns.
func scanJobs(ctx context.Context, q querier, spec bool, f func(*row), query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var id int64
	var packed, js string
	dest := []any{&id, &packed}
	if spec {
		dest = append(dest, &js)
	}
	var decode decoder
	var r row
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		r = row{}
		if err := decode.row(id, packed, &r); err != nil {
			return err
		}
		if spec {
			r.Spec = json.RawMessage(js)
		}
		f(&r)
	}
	return rows.Err()
}

const withSpec = `SELECT ` + columns + `, spec FROM jobs JOIN specs ON specs.job = jobs.id`

// Job returns a job with its specification. An unknown id is an [*api.Error]
// with code not_found.
func (s *Store) Job(ctx context.Context, id int64) (Record, error) {
	rec, err := readJob(ctx, s.read, id)
	if err != nil {
		return Record{}, s.explain("read job", err)
	}
	return rec, nil
}

func readJob(ctx context.Context, q querier, id int64) (Record, error) {
	var rec *Record
	err := scanJobs(ctx, q, true, func(r *row) { rec = new(r.Record) }, withSpec+` WHERE id = ?`, id)
	if err == nil && rec == nil {
		err = notFound(id)
	}
	if err != nil {
		return Record{}, err
	}
	return *rec, nil
}

// Detail returns a job with its epochs and its history, all of one moment.
// Events of type epoch are left out, Epochs has them; see [Store.Events].
func (s *Store) Detail(ctx context.Context, id int64) (api.JobDetail, error) {
	detail, err := s.detail(ctx, id)
	if err != nil {
		return api.JobDetail{}, s.explain("read job", err)
	}
	return detail, nil
}

func (s *Store) detail(ctx context.Context, id int64) (d api.JobDetail, err error) {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return d, err
	}
	defer tx.Rollback() // only read
	rec, err := readJob(ctx, tx, id)
	if err != nil {
		return d, err
	}
	d.Job = rec.Job
	if d.Epochs, err = readEpochs(ctx, tx, id, 0, -1); err != nil {
		return d, err
	}
	d.Events, err = readEvents(ctx, tx, `WHERE job = ? AND type <> 'epoch' ORDER BY id`, id)
	return d, err
}

// Epochs returns a job's epochs after one of them, in their order, or the last
// of these if last is not 0; none for a job that is not there.
func (s *Store) Epochs(ctx context.Context, id int64, after, last int) ([]api.Epoch, error) {
	limit := -1
	if last > 0 {
		limit = last
	}
	epochs, err := readEpochs(ctx, s.read, id, after, limit)
	if err != nil {
		return nil, s.explain("read epochs", err)
	}
	return epochs, nil
}

// readEpochs reads the last epochs after one of them; limit -1: all.
func readEpochs(ctx context.Context, q querier, id int64, after, limit int) ([]api.Epoch, error) {
	rows, err := q.QueryContext(ctx,
		`SELECT epoch, step, metrics FROM epochs WHERE job = ? AND epoch > ? ORDER BY epoch DESC LIMIT ?`, id, after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	epochs := []api.Epoch{}
	for rows.Next() {
		var e api.Epoch
		var metrics []byte
		if err := rows.Scan(&e.Epoch, &e.Step, &metrics); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(metrics, &e.Metrics); err != nil {
			return nil, err
		}
		epochs = append(epochs, e)
	}
	slices.Reverse(epochs)
	return epochs, rows.Err()
}

func readEvents(ctx context.Context, q querier, where string, args ...any) ([]api.Event, error) {
	rows, err := q.QueryContext(ctx, `SELECT id, job, at, type, state, message, epoch FROM events `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	events := []api.Event{}
	for rows.Next() {
		var ev api.Event
		var at int64
		var epoch []byte
		if err := rows.Scan(&ev.ID, &ev.Job, &at, &ev.Type, &ev.State, &ev.Message, &epoch); err != nil {
			return nil, err
		}
		ev.Time = fromMicros(at)
		if epoch != nil {
			if err := json.Unmarshal(epoch, &ev.Epoch); err != nil {
				return nil, err
			}
		}
		events = append(events, ev)
	}
	return events, rows.Err()
}

// List returns the jobs that f chooses, by id, and the cursor for the next
// page: 0 after the last, else the value for [Filter.After].
func (s *Store) List(ctx context.Context, f Filter) ([]api.Job, int64, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	limit = min(limit, maxLimit)
	query, args := f.query(limit + 1) // one more tells whether there is a next page
	jobs := []api.Job{}
	err := scanJobs(ctx, s.read, f.Spec, func(r *row) {
		if len(jobs) == cap(jobs) { // append alone grows slices of large elements in small steps
			jobs = slices.Grow(jobs, max(len(jobs), 64))
		}
		jobs = append(jobs, r.Job)
	}, query, args...)
	if err != nil {
		return nil, 0, s.explain("list jobs", err)
	}
	if len(jobs) <= limit {
		return jobs, 0, nil
	}
	return jobs[:limit], jobs[limit-1].ID, nil
}

// anyOf is the condition that a column is one of some values.
func anyOf[T ~string](column string, values []T) (condition string, args []any) {
	for _, v := range values {
		args = append(args, string(v))
	}
	return column + ` IN (` + strings.TrimSuffix(strings.Repeat("?, ", len(args)), ", ") + `)`, args
}

func (f *Filter) query(limit int) (query string, args []any) {
	var where []string
	add := func(condition string, values ...any) {
		where = append(where, condition)
		args = append(args, values...)
	}
	if f.States != nil {
		condition, values := anyOf("state", f.States)
		add(condition, values...)
	}
	if f.Kinds != nil {
		condition, values := anyOf("kind", f.Kinds)
		add(condition, values...)
	}
	if f.Owner != "" {
		add(`owner = ?`, f.Owner)
	}
	if f.Name != "" {
		add(`name = ?`, f.Name)
	}
	for name, value := range f.Labels {
		add(`EXISTS (SELECT 1 FROM json_each(labels) WHERE key = ? AND value = ?)`, name, value)
	}
	if f.IDs != nil {
		add(`id IN (SELECT value FROM json_each(?))`, idList(f.IDs))
	}
	add(`id > ?`, f.After)
	query = `SELECT ` + columns + ` FROM jobs`
	if f.Spec {
		query = withSpec
	}
	return query + ` WHERE ` + strings.Join(where, ` AND `) + ` ORDER BY id LIMIT ?`, append(args, limit)
}

// Active returns every job that has not ended, by id, without specification.
func (s *Store) Active(ctx context.Context) ([]Record, error) {
	var recs []Record
	err := scanJobs(ctx, s.read, false, func(r *row) { recs = append(recs, r.Record) },
		`SELECT `+columns+` FROM jobs WHERE state IN ('queued', 'running', 'paused') ORDER BY id`)
	if err != nil {
		return nil, s.explain("read active jobs", err)
	}
	return recs, nil
}

// States returns the states of the jobs of ids; one that does not exist is missing.
func (s *Store) States(ctx context.Context, ids []int64) (map[int64]api.State, error) {
	states := make(map[int64]api.State, len(ids))
	err := s.pairs(ctx, func(scan func(...any) error) error {
		var id int64
		var state api.State
		err := scan(&id, &state)
		states[id] = state
		return err
	}, `SELECT id, state FROM jobs WHERE id IN (SELECT value FROM json_each(?))`, idList(ids))
	if err != nil {
		return nil, s.explain("read states", err)
	}
	return states, nil
}

// Events returns, by id, at most limit events with ids greater than after, of
// one job or, with job 0, of all, and of all types or, if some are named, those.
// What one call saw last is where the next goes on: no event appears later with
// a smaller id. limit 0 is 1,000.
func (s *Store) Events(ctx context.Context, job, after int64, limit int, types ...string) ([]api.Event, error) {
	if limit <= 0 {
		limit = defaultLimit
	}
	where, args := `WHERE id > ?`, []any{after}
	if job != 0 {
		where, args = where+` AND job = ?`, append(args, job)
	}
	if len(types) > 0 {
		one, values := anyOf("type", types)
		where, args = where+` AND `+one, append(args, values...)
	}
	events, err := readEvents(ctx, s.read, where+` ORDER BY id LIMIT ?`, append(args, min(limit, maxLimit))...)
	if err != nil {
		return nil, s.explain("read events", err)
	}
	return events, nil
}

// LastEvent returns the id of the newest event; 0 when there is none.
func (s *Store) LastEvent(ctx context.Context) (int64, error) {
	var id int64
	err := s.read.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) FROM events`).Scan(&id)
	if err != nil {
		return 0, s.explain("read last event", err)
	}
	return id, nil
}

// OwnerSeconds returns the device seconds that each owner's jobs used, those
// removed since among them.
func (s *Store) OwnerSeconds(ctx context.Context) (map[string]float64, error) {
	owners := map[string]float64{}
	err := s.pairs(ctx, func(scan func(...any) error) error {
		var name string
		var seconds float64
		err := scan(&name, &seconds)
		owners[name] = seconds
		return err
	}, `SELECT name, device_seconds FROM owners`)
	if err != nil {
		return nil, s.explain("read owners", err)
	}
	return owners, nil
}

// OwnerShares is OwnerSeconds with what is a [HalfLife] old counting half,
// and so on. Fair shares go by it: by plain totals a newcomer would go before
// an owner of long standing until it had used as much.
func (s *Store) OwnerShares(ctx context.Context, now time.Time) (map[string]float64, error) {
	owners := map[string]float64{}
	err := s.pairs(ctx, func(scan func(...any) error) error {
		var name string
		var share float64
		var since int64
		err := scan(&name, &share, &since)
		owners[name] = decayed(share, fromMicros(since), now)
		return err
	}, `SELECT name, share, share_at FROM owners`)
	if err != nil {
		return nil, s.explain("read owners", err)
	}
	return owners, nil
}

// pairs gives each row of a query to f.
func (s *Store) pairs(ctx context.Context, f func(scan func(...any) error) error, query string, args ...any) error {
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
