package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"weft/cpuwork/files"
)

// A job's items are known by their places. So what lists them is copied into the
// job's directory when it first runs: directories and lists may change while it
// waits to go on.
const (
	frozenFiles = "inputs.jsonl"
	frozenList  = "inputs-%s.list"
	frozenAll   = "inputs*"
)

// freezing returns the task.freeze of a kind that reads files.
func freezing(s *files.Spec) func(context.Context, string) error {
	return func(ctx context.Context, dir string) error {
		return s.Freeze(ctx, filepath.Join(dir, frozenFiles))
	}
}

// freezingLists returns the task.freeze of a kind that reads lists itself: it
// makes their paths those of the copies.
func freezingLists(lists []string) func(context.Context, string) error {
	return func(ctx context.Context, dir string) error {
		for i, path := range lists {
			to := filepath.Join(dir, fmt.Sprintf(frozenList, strconv.Itoa(i)))
			if err := copyOnce(ctx, path, to); err != nil {
				return fmt.Errorf("keep list %s: %w", path, err)
			}
			lists[i] = to
		}
		return nil
	}
}

// copyOnce copies a regular file unless the copy is there already.
func copyOnce(ctx context.Context, from, to string) (err error) {
	if _, err := os.Lstat(to); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	in, problem := files.Open(from)
	if problem != nil {
		return problem
	}
	defer func() { _ = in.Close() }() // only read
	out, err := os.CreateTemp(filepath.Dir(to), ".inputs-")
	if err != nil {
		return err
	}
	_, err = io.Copy(out, &stoppable{ctx, in})
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(out.Name(), to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(out.Name()))
	}
	return nil
}

// stoppable is a reader that ends with ctx.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s *stoppable) Read(b []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.r.Read(b)
}

// thaw forgets what was frozen: a job that begins anew looks anew.
func thaw(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, frozenAll))
	for _, name := range names {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}
