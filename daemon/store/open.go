package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"weft/daemon/api"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// applicationID marks a database file as weft's ("weft" in ASCII).
	applicationID = 0x77656674
	readers       = 4
	// checkLimit is the largest file that Open reads as a whole to see whether
	// it is damaged, which takes about a second per 100 MB.
	checkLimit = 64 << 20
)

// Store is the durable set of jobs. Its methods are safe for concurrent use:
// writes take turns on one connection, reads run beside them on others and
// see the last committed state.
type Store struct {
	path  string
	write *writer
	read  *sql.DB
}

// Open opens the database file at path, whose directory exists, and brings
// its schema up to date; a missing file is created. It refuses, with an
// [*api.Error] that names the file, one that is damaged, belongs to another
// program, or was written by a newer weft.
func Open(ctx context.Context, path string) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := createFile(path); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{path: path}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(s.explainOpen(err), s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	// The writer's page cache holds what a burst of changes touches. Nothing is
	// memory-mapped: a failing disk would then be a SIGBUS instead of an error.
	db, err := openPool(s.path, 1, "cache_size(-8192)", "wal_autocheckpoint(1000)", "journal_size_limit(16777216)")
	if err != nil {
		return err
	}
	s.write = &writer{db: db, turn: make(chan struct{}, 1), stmts: map[string]*sql.Stmt{}}
	if err := checkFile(ctx, db, s.path); err != nil {
		return err
	}
	if err := migrate(ctx, db); err != nil {
		return err
	}
	if s.write.conn, err = db.Conn(ctx); err != nil {
		return err
	}
	s.read, err = openPool(s.path, readers, "cache_size(-2048)", "query_only(1)")
	return err
}

// OnCommit has f told of every transaction that writes: what its commit
// promises, synced or written; how long it took, the wait for its turn left out;
// and whether the database failed. It is called before the first of them, and f
// keeps the store waiting.
func (s *Store) OnCommit(f func(durability string, took time.Duration, failed bool)) {
	s.write.told = f
}

// Close waits for the write in progress, ends the connections and folds the
// write-ahead log into the database file. A closed store's methods fail.
func (s *Store) Close() error {
	var errs []error
	if s.read != nil { // first, so that the writer is the last and checkpoints
		errs = append(errs, s.read.Close())
	}
	if s.write != nil {
		errs = append(errs, s.write.close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close store %s: %w", s.path, err)
	}
	return nil
}

// createFile makes sure that the file exists, durably, for its owner only. It
// never opens a file that exists: closing that would drop SQLite's locks.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return os.Chmod(path, 0o600)
	}
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func openPool(path string, size int, pragmas ...string) (*sql.DB, error) {
	query := url.Values{
		// busy_timeout comes first: the others may have to wait for a lock.
		"_pragma": append([]string{"busy_timeout(5000)", "journal_mode(WAL)", "foreign_keys(1)", "synchronous(FULL)",
			"trusted_schema(0)"}, pragmas...),
		"_txlock": {"immediate"},
	}
	name := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// checkFile refuses a file that is not weft's, and one that is damaged.
func checkFile(ctx context.Context, db *sql.DB, path string) error {
	var id, tables int64
	if err := db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id); err != nil {
		return err
	}
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return err
	}
	if id == applicationID {
		info, err := os.Stat(path)
		if err != nil || info.Size() > checkLimit {
			return err
		}
		return quickCheck(ctx, db)
	}
	if tables > 0 {
		return &api.Error{Code: api.CodeInvalid, Message: "it is another program's database",
			Hint: "choose another state directory"}
	}
	_, err := db.ExecContext(ctx, fmt.Sprintf(`PRAGMA application_id = %d`, applicationID))
	return err
}

// quickCheck reads every page once. Without it SQLite finds damage only when
// it comes across it, which may be after jobs were acknowledged.
func quickCheck(ctx context.Context, db *sql.DB) error {
	var found string
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return damaged(found)
	}
	return nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	found, known, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if found > known {
		return &api.Error{Code: api.CodeInvalid,
			Message: fmt.Sprintf("it was written by a newer weft: its schema is version %d, this one knows %d", found, known),
			Hint:    "run the newer weft, or choose another state directory"}
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate schema: %w", err)
	}
	return nil
}
