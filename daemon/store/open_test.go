package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weft/daemon/api"
)

func TestOpenModeAndOddPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a dir?x=1&mode=memory#%41 ü")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(path, "weft.db")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, path)
	submit(t, s, newJob("a"))
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o600 || suffix == "" && info.Size() == 0 {
			t.Error(suffix, info.Mode(), info.Size())
		}
	}
	for pragma, want := range map[string]string{"journal_mode": "wal", "foreign_keys": "1", "busy_timeout": "5000"} {
		var reader, writer string
		if err := s.read.QueryRow("PRAGMA " + pragma).Scan(&reader); err != nil {
			t.Error(err)
		}
		if err := s.write.conn.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(&writer); err != nil {
			t.Error(err)
		}
		if reader != want || writer != want {
			t.Error(pragma, reader, writer)
		}
	}
	if _, err := s.read.Exec(`DELETE FROM jobs`); err == nil {
		t.Error("a reader could write")
	}
}

// TestSynchronous holds each kind of write to the durability it promises.
func TestSynchronous(t *testing.T) {
	s := open(t)
	mode := func() (mode int) {
		if err := s.write.conn.QueryRowContext(ctx, `PRAGMA synchronous`).Scan(&mode); err != nil {
			t.Fatal(err)
		}
		return mode
	}
	const normal, full = 1, 2
	submit(t, s, newJob("a"))
	apply(t, s, Change{ID: 1, Do: api.Start, At: t0})
	if got := mode(); got != full {
		t.Error("after Apply", got)
	}
	if _, err := s.Report(ctx, []Report{{ID: 1, At: t0}}); err != nil || mode() != normal {
		t.Error("after Report", mode(), err)
	}
	if submit(t, s, newJob("b")); mode() != full {
		t.Error("after Submit", mode())
	}
}

// Jobs of a weft that knew no GPU come through with the host's figure.
func TestMigratesJobsFromBeforeGPUs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weft.db")
	s := openAt(t, path)
	want := submit(t, s, newJob("old"))[0]
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(`ALTER TABLE jobs DROP COLUMN gpu_bytes; ALTER TABLE jobs DROP COLUMN cpu_seconds; DROP TABLE samples;
		DROP TABLE ledger; DROP TABLE device_ledger; DROP TABLE removed_jobs;
		DELETE FROM goose_db_version WHERE version_id >= 2`)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path)
	got := get(t, s, want.ID)
	got.Spec, want.GPUBytes = nil, want.MemoryBytes
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after the migration (-want +got) %s", diff)
	}
}

func TestOpenRefuses(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.db")
	s := openAt(t, good)
	submit(t, s, newJobs(200)...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(statement string) func(string) error {
		return func(path string) error {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				return err
			}
			db, err := sql.Open("sqlite", path)
			if err != nil {
				return err
			}
			_, err = db.Exec(statement)
			return errors.Join(err, db.Close())
		}
	}
	write := func(content []byte) func(string) error {
		return func(path string) error { return os.WriteFile(path, content, 0o600) }
	}
	holed := bytes.Clone(content)
	copy(holed[len(holed)/2&^4095:], bytes.Repeat([]byte{0xa5}, 4096))
	for name, c := range map[string]struct {
		make func(string) error
		code api.Code
		want string
	}{
		"text":      {write(bytes.Repeat([]byte("not a database\n"), 500)), api.CodeDisk, "it is damaged"},
		"truncated": {write(content[:len(content)-8192]), api.CodeDisk, "it is damaged"},
		"holed":     {write(holed), api.CodeDisk, "it is damaged"},
		"foreign": {func(path string) error {
			return errors.Join(write(nil)(path), edit(`PRAGMA application_id = 7`)(path))
		}, api.CodeInvalid, "it is another program's database"},
		"newer": {edit(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`), api.CodeInvalid,
			"it was written by a newer weft: its schema is version 99, this one knows 4"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "weft.db")
			if err := c.make(path); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Open(ctx, path)
			if s != nil || isCode(err, c.code, "") != nil || !strings.HasPrefix(err.Error(),
				"open store "+path+": "+c.want) {
				t.Error(err)
			}
			if failure, ok := errors.AsType[*api.Error](err); !ok || failure.Hint == "" {
				t.Error("no hint")
			}
			after, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(before, after) {
				t.Error("the file was changed", err)
			}
		})
	}
	if _, err := Open(ctx, filepath.Join(good, "weft.db")); err == nil || !strings.Contains(err.Error(), good) {
		t.Error(err)
	}
}

func TestDiskFull(t *testing.T) {
	s := open(t)
	id := submit(t, s, newJob("a"))[0].ID
	limit := func(pages string) {
		if _, err := s.write.conn.ExecContext(ctx, `PRAGMA max_page_count = `+pages); err != nil {
			t.Fatal(err)
		}
	}
	limit("1") // SQLite makes it the present size
	_, _, err := s.Submit(ctx, "", "", newJobs(500), t0)
	if err := isCode(err, api.CodeDisk, "submit jobs: no space left for "+s.path); err != nil {
		t.Error(err)
	}
	if jobs, _, err := s.List(ctx, Filter{}); len(jobs) != 1 || err != nil {
		t.Error("part of a submission stayed", len(jobs), err)
	}
	limit("1000000")
	apply(t, s, Change{ID: id, Do: api.Start, At: t0}) // and goes on when there is space again
	submit(t, s, newJobs(500)...)
}

func TestConcurrency(t *testing.T) {
	s := open(t)
	const workers, rounds = 4, 15
	var wg sync.WaitGroup
	work := func(f func(round int) error) {
		wg.Go(func() {
			for round := range rounds {
				if err := f(round); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range workers {
		work(func(int) error {
			recs, _, err := s.Submit(ctx, "", "", newJobs(3), t0)
			if err != nil {
				return err
			}
			_, _, errs, err := s.Apply(ctx, []Change{{ID: recs[0].ID, Do: api.Start, At: t0}, {ID: recs[1].ID,
				Do: api.Cancel, At: t0}})
			if err != nil {
				return err
			}
			if _, err = s.Report(ctx, []Report{{ID: recs[0].ID, DeviceSeconds: 1, Message: "x", At: t0}}); err != nil {
				return err
			}
			return errors.Join(errs...)
		})
		// A reader that resumes sees every event once, in order, without gaps.
		seen := int64(0)
		work(func(int) error {
			events, err := s.Events(ctx, 0, seen, 7)
			for _, ev := range events {
				if ev.ID != seen+1 {
					t.Errorf("event %d after %d", ev.ID, seen)
				}
				seen = ev.ID
			}
			return err
		})
		work(func(int) error { _, _, err := s.List(ctx, Filter{Spec: true}); return err })
	}
	wg.Wait()
	jobs, _, err := s.List(ctx, Filter{States: []api.State{api.Running}})
	if len(jobs) != workers*rounds || err != nil {
		t.Error(len(jobs), err)
	}
	if owners, err := s.OwnerSeconds(ctx); owners["ada"] != workers*rounds || err != nil {
		t.Error(owners, err)
	}
}

func TestWriteWaitsForItsTurn(t *testing.T) {
	s := open(t)
	s.write.turn <- struct{}{} // somebody writes
	short, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := s.Submit(short, "", "", newJobs(1), t0); !errors.Is(err, short.Err()) {
		t.Error(err)
	}
	<-s.write.turn
	submit(t, s, newJob("a"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Submit(ctx, "", "", newJobs(1), time.Now()); !errors.Is(err, errClosed) {
		t.Error(err)
	}
	if _, _, err := s.List(ctx, Filter{}); err == nil {
		t.Error("listed a closed store")
	}
	if _, err := os.Stat(s.path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		t.Error("closing left the log behind", err)
	}
}
