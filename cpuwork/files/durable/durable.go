package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Settle brings f's content to the disk ahead of the name that it is given next:
// after a power cut the name is there with all of the content, or not there.
//
// On ext4 and XFS it writes the pages back and waits for them, which does not wait
// for the disk's own cache to be flushed: both log the size and place of what was
// written before they log the name, and flush that cache before a log entry counts
// (an ext4 that was made without a journal promises nothing without fsync). Other
// file systems are asked with fdatasync(2), whatever they make of it.
func Settle(f *os.File) error {
	fd := int(f.Fd()) // #nosec G115 -- a descriptor
	var system unix.Statfs_t
	if err := unix.Fstatfs(fd, &system); err != nil {
		return fmt.Errorf("look at file system: %w", err)
	}
	switch system.Type {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC:
		const wait = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
		if err := unix.SyncFileRange(fd, 0, 0, wait); err != nil {
			return fmt.Errorf("write back file: %w", err)
		}
		return nil
	}
	if err := unix.Fdatasync(fd); err != nil {
		return fmt.Errorf("sync file: %w", err)
	}
	return nil
}

// Systems are the file systems that outputs went to. Its zero value is ready; its
// methods may be called from any goroutine.
type Systems struct {
	mu    sync.Mutex // guards the fields below
	known map[uint64]*system
	all   bool // something was noted that none of known is the system of
}

// A system is open from its first output on: syncfs(2) tells of what could not be
// written since then, and not only of what it writes itself.
type system struct {
	dir   *os.File
	dirty bool // noted since the last Sync
}

// A SyncError says which file system could not be synced.
type SyncError struct {
	Dir string // a directory on it
	Err error
}

func (e *SyncError) Error() string { return fmt.Sprintf("sync file system of %s: %v", e.Dir, e.Err) }

// Unwrap returns Err.
func (e *SyncError) Unwrap() error { return e.Err }

// Note says that there is a file at path for the next Sync to make durable, with
// its name and the directories that were made for it.
func (s *Systems) Note(path string) {
	dir := filepath.Dir(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	var st unix.Stat_t
	err := unix.Stat(dir, &st)
	if errors.Is(err, fs.ErrNotExist) {
		return // removed meanwhile, with all that was in it
	}
	if err != nil {
		s.all = true
		return
	}
	known := s.known[st.Dev]
	if known == nil {
		f, err := openOn(dir, path)
		if err != nil {
			s.all = true
			return
		}
		if s.known == nil {
			s.known = map[uint64]*system{}
		}
		known = &system{dir: f}
		s.known[st.Dev] = known
	}
	known.dirty = true
}

// openOn opens something on dir's file system: dir itself or, as a directory may
// be closed to readers, the file in it.
func openOn(dir, path string) (*os.File, error) {
	f, err := os.Open(dir) // #nosec G304 -- a job's own output
	if err == nil {
		return f, nil
	}
	return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0) // #nosec G304 -- likewise
}

// Sync makes durable what was noted before it was called. Its error is a
// [*SyncError].
func (s *Systems) Sync() error {
	s.mu.Lock()
	all := s.all
	s.all = false
	var dirs []*os.File
	for _, known := range s.known {
		if known.dirty {
			known.dirty = false
			dirs = append(dirs, known.dir)
		}
	}
	s.mu.Unlock()
	if all {
		unix.Sync() // waits on Linux, and tells of no error
	}
	for _, dir := range dirs {
		if err := unix.Syncfs(int(dir.Fd())); err != nil { // #nosec G115 -- a descriptor
			return &SyncError{dir.Name(), err}
		}
	}
	return nil
}

// Close forgets everything. What was noted since the last Sync is not made
// durable.
func (s *Systems) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, known := range s.known {
		errs = append(errs, known.dir.Close())
	}
	s.known, s.all = nil, false
	return errors.Join(errs...)
}
