package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"weft/daemon/api"
)

// durability is what a transaction's commit promises.
type durability string

const (
	// synced commits survive a loss of power: the write-ahead log is fsynced
	// before the commit returns, with all unsynced commits before it.
	synced durability = "FULL"
	// written commits survive the death of this process, not a loss of power,
	// which takes the last of them, in order, and harms nothing else. They
	// are for news that a resumed job tells again.
	written durability = "NORMAL"
)

var errClosed = errors.New("the store is closed")

// writer is the only connection that writes. A second one would add nothing:
// SQLite has one writer at a time, and waiting in Go is fair and cancellable.
type writer struct {
	db   *sql.DB
	turn chan struct{} // holds one token while a write runs; guards the fields below
	conn *sql.Conn
	// stmts are prepared on conn, by their text.
	stmts  map[string]*sql.Stmt
	sync   durability // in force on conn; "": as opened
	told   func(durability string, took time.Duration, failed bool)
	closed bool
}

func (w *writer) close() error {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	if w.closed {
		return nil
	}
	w.closed = true
	var errs []error
	for _, stmt := range w.stmts {
		errs = append(errs, stmt.Close())
	}
	if w.conn != nil {
		errs = append(errs, w.conn.Close())
	}
	return errors.Join(append(errs, w.db.Close())...)
}

// tx is a transaction of the writer, valid until the function it was given to
// returns. Its statements run on the writer's connection, which is inside it.
type tx struct{ w *writer }

// do runs f in one transaction, committed when f returns nil. It gives up when
// ctx ends before its turn comes, or between f and the commit. Once begun, a
// statement is not interrupted: batches are bounded, and a commit that was cut
// short would leave its caller guessing.
func (w *writer) do(ctx context.Context, mode durability, f func(*tx) error) (err error) {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if w.closed {
		return errClosed
	}
	defer w.tell(ctx, mode, time.Now(), &err)
	t := &tx{w}
	if w.sync != mode { // not allowed inside a transaction
		if err := t.exec("PRAGMA synchronous = " + string(mode)); err != nil {
			return err
		}
		w.sync = mode
	}
	// Not ctx: database/sql would roll back, from a goroutine, when it ends.
	begun, err := w.conn.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	if err = f(t); err == nil {
		err = ctx.Err()
	}
	if err != nil {
		// SQLite may have rolled back itself, as it does when the disk is full;
		// a transaction that survived would refuse the next one.
		_ = begun.Rollback()
		return err
	}
	return begun.Commit()
}

// tell reports a transaction that was committed or that the database refused.
// One that was given up, or that found its request wrong, is neither.
func (w *writer) tell(ctx context.Context, mode durability, began time.Time, err *error) {
	var refusal *api.Error
	if w.told == nil || *err != nil && (ctx.Err() != nil || errors.As(*err, &refusal)) {
		return
	}
	name := "synced"
	if mode == written {
		name = "written"
	}
	w.told(name, time.Since(began), *err != nil)
}

func (t *tx) stmt(query string) (*sql.Stmt, error) {
	if stmt, ok := t.w.stmts[query]; ok {
		return stmt, nil
	}
	stmt, err := t.w.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", query, err)
	}
	t.w.stmts[query] = stmt
	return stmt, nil
}

func (t *tx) exec(query string, args ...any) error {
	_, err := t.insert(query, args...)
	return err
}

// insert is exec that returns the new row's id.
func (t *tx) insert(query string, args ...any) (int64, error) {
	stmt, err := t.stmt(query)
	if err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

func (t *tx) query(query string, args ...any) (*sql.Rows, error) {
	stmt, err := t.stmt(query)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(context.Background(), args...)
}
