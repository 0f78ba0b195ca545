package sha256

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// verdict is what became of an item.
type verdict byte

const (
	unknown verdict = iota // a hole in the file: a run that stopped early has some
	digested
	failed // could not be read
	matched
	mismatched
	ignored // check: missing, and that was to be ignored; or malformed
)

const recordSize = 48 // verdict, name's length (4 bytes at 4) and place (8 at 8), digest at 16

// A spill keeps what became of items in two files without a name, so that it can
// be had in the items' order. Each item is kept once.
type spill struct {
	records, names *os.File
	end            int64 // of names
	count          int64 // records, holes included
	kept           int64 // without
}

func newSpill(dir string) (*spill, error) {
	records, err := unnamedFile(dir)
	if err != nil {
		return nil, err
	}
	names, err := unnamedFile(dir)
	if err != nil {
		return nil, errors.Join(err, records.Close())
	}
	return &spill{records: records, names: names}, nil
}

// unnamedFile makes a file that is gone when it is closed, or when we are.
func unnamedFile(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600)
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return f, err
	}
	// The file system cannot; a name for a moment is next best.
	if f, err = os.CreateTemp(dir, ".weft-sha256-*"); err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (s *spill) put(index int64, v verdict, name string, sum [Size]byte) error {
	if index < 0 || index >= math.MaxInt64/recordSize || len(name) > math.MaxUint32 {
		return fmt.Errorf("keep digest: no place for item %d", index)
	}
	var record [recordSize]byte
	record[0] = byte(v)
	binary.LittleEndian.PutUint32(record[4:], uint32(len(name))) // #nosec G115 -- checked above
	binary.LittleEndian.PutUint64(record[8:], uint64(s.end))     // #nosec G115 -- a place in a file
	copy(record[16:], sum[:])
	if _, err := s.names.WriteAt([]byte(name), s.end); err != nil {
		return fmt.Errorf("keep digest: %w", err)
	}
	s.end += int64(len(name))
	if _, err := s.records.WriteAt(record[:], index*recordSize); err != nil {
		return fmt.Errorf("keep digest: %w", err)
	}
	s.count = max(s.count, index+1)
	s.kept++
	return nil
}

// all calls yield for every item kept, in order.
func (s *spill) all(yield func(v verdict, name string, sum [Size]byte) error) error {
	in := bufio.NewReaderSize(io.NewSectionReader(s.records, 0, s.count*recordSize), 64<<10)
	var record [recordSize]byte
	var name []byte
	for range s.count {
		if _, err := io.ReadFull(in, record[:]); err != nil {
			return fmt.Errorf("read kept digests: %w", err)
		}
		if verdict(record[0]) == unknown {
			continue
		}
		n := int(binary.LittleEndian.Uint32(record[4:]))
		name = append(name[:0], make([]byte, n)...)
		if _, err := s.names.ReadAt(name, int64(binary.LittleEndian.Uint64(record[8:]))); err != nil { // #nosec G115 -- ours
			return fmt.Errorf("read kept names: %w", err)
		}
		if err := yield(verdict(record[0]), string(name), [Size]byte(record[16:])); err != nil {
			return err
		}
	}
	return nil
}

func (s *spill) close() error { return errors.Join(s.records.Close(), s.names.Close()) }

// writeFile writes a file whole or not at all: under a temporary name beside it,
// synced, then renamed.
func writeFile(path string, write func(*bufio.Writer) error) (err error) {
	dir := filepath.Dir(path)
	f, err := temporary(path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()           // the first error is told
			_ = os.Remove(f.Name()) // likewise
		}
	}()
	out := bufio.NewWriterSize(f, 64<<10)
	if err := errors.Join(write(out), out.Flush()); err != nil {
		return err
	}
	// #nosec G302 -- digests are for everybody to read, as those of sha256sum
	if err := errors.Join(f.Chmod(0o644), f.Sync()); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// temporary opens the file that is to become path, empty. Its name follows from
// path, so that what a killed process left there is used by the next, and not left
// for ever; a lock keeps two jobs with one output apart.
func temporary(path string) (*os.File, error) {
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".weft-sha256")
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600) // #nosec G304 -- beside the output
		if err != nil {
			return nil, err
		}
		switch ours, err := lock(f, name); {
		case err != nil:
			return nil, errors.Join(err, f.Close())
		case ours:
			if err := f.Truncate(0); err != nil {
				return nil, errors.Join(err, f.Close())
			}
			return f, nil
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
}

// lock locks a file, and reports whether it still has the name: another may have
// finished with it meanwhile.
func lock(f *os.File, name string) (bool, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) // #nosec G115 -- a descriptor
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, errors.New("another job is writing it")
	}
	if err != nil {
		return false, fmt.Errorf("lock temporary file: %w", err)
	}
	held, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(held, named), err
}
