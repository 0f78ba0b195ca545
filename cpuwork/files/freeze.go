package files

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"weft/cpuwork"
)

// frozenEntry is a line of a frozen list, as JSON.
type frozenEntry struct {
	Name Name               `json:"name"`
	Path Name               `json:"path"`
	Err  *cpuwork.ItemError `json:"error,omitempty"`
}

// Freeze has All yield the list as it is now, also in later lives of a job: it is
// kept in the file named by path, and read from there if that exists already. So
// a place in the list stays the same file's, whatever becomes of directories,
// among them those that the job itself writes into.
func (s *Spec) Freeze(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); err == nil {
		s.frozen = path
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for list of files: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return fmt.Errorf("make list of files: %w", err)
	}
	err = s.write(ctx, f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write list of files: %w", err), os.Remove(f.Name()))
	}
	s.frozen = path
	return nil
}

func (s *Spec) write(ctx context.Context, w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	lines := json.NewEncoder(out)
	for e := range s.All(ctx) {
		if err := lines.Encode(frozenEntry{Name(e.Name), Name(e.Path), e.Err}); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return out.Flush()
}

// thaw yields a frozen list.
func (w *walk) thaw(path string) {
	f, err := os.Open(path)
	if err != nil {
		w.yield(Entry{Name: path, Path: path, Err: Error("open list of files", err)})
		return
	}
	defer func() { _ = f.Close() }() // only read
	lines := json.NewDecoder(bufio.NewReaderSize(f, 64<<10))
	for {
		var e frozenEntry
		err := lines.Decode(&e)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			w.yield(Entry{Name: path, Path: path, Err: Error("read list of files", err)})
			return
		}
		if !w.yield(Entry{string(e.Name), string(e.Path), e.Err}) {
			return
		}
	}
}
