package durable_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"weft/cpuwork/files/durable"
	"weft/cpuwork/files/durable/durabletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var content = bytes.Repeat([]byte("content "), 10_000)

// named makes a file as a workload does: content, Settle, name.
func named(t testing.TB, path string, settle func(*os.File) error) {
	t.Helper()
	f, err := os.Create(path + ".temp")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(content)
	if err := errors.Join(err, settle(f), f.Close(), os.Rename(f.Name(), path)); err != nil {
		t.Fatal(err)
	}
}

// A name that became durable by chance, when somebody else's file was synced, is
// that of a whole file.
func TestSettleBeforeName(t *testing.T) {
	disk := durabletest.New(t)
	path := filepath.Join(disk.Dir, "out")
	named(t, path, durable.Settle)
	other, err := os.Create(filepath.Join(disk.Dir, "other"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(other.Sync(), other.Close()); err != nil {
		t.Fatal(err)
	}
	disk.Cut(t)
	disk.Mount(t)
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes of %d: %v", len(got), len(content), err)
	}
}

func TestSettleElsewhere(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); errors.Is(err, unix.EPERM) {
		t.Skip("mounting a file system needs root")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	named(t, filepath.Join(dir, "out"), durable.Settle)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := durable.Settle(w); err == nil {
		t.Error("a pipe was settled")
	}
	if err := errors.Join(r.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
}

// What was noted before a Sync is there after a power cut, on each disk, with the
// directories that were made for it.
func TestSystems(t *testing.T) {
	disks := []*durabletest.Disk{durabletest.New(t), durabletest.New(t)}
	var s durable.Systems
	var paths []string
	for round := range 3 {
		for i := range 10 {
			disk := disks[i%2]
			path := filepath.Join(disk.Dir, fmt.Sprint("d", round), fmt.Sprint(i), "file")
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			named(t, path, func(*os.File) error { return nil })
			s.Note(path)
			paths = append(paths, path)
		}
		if err := s.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, disk := range disks {
		disk.Cut(t)
		disk.Mount(t)
	}
	for _, path := range paths {
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes of %d: %v", path, len(got), len(content), err)
		}
	}
}

// A disk that is gone is told of, by name.
func TestSyncFails(t *testing.T) {
	disk := durabletest.New(t)
	var s durable.Systems
	path := filepath.Join(disk.Dir, "out")
	named(t, path, durable.Settle)
	s.Note(path)
	disk.Cut(t)
	err := s.Sync()
	if e, ok := errors.AsType[*durable.SyncError](err); !ok || e.Dir != disk.Dir || !errors.Is(err, unix.EIO) {
		t.Errorf("error %v", err)
	}
	if err := s.Sync(); err != nil {
		t.Errorf("nothing was noted since: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Directories that are gone, or closed to readers, or none.
func TestNoteOddPlaces(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	shut := filepath.Join(dir, "shut")
	if err := os.Mkdir(shut, 0o711); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"readable", "unreadable"} {
		named(t, filepath.Join(shut, name), durable.Settle)
	}
	if err := errors.Join(os.Chmod(filepath.Join(shut, "readable"), 0o644), os.Chmod(filepath.Join(shut, "unreadable"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gone/file", "shut/readable", "shut/unreadable", "shut/readable/file"} {
		var s durable.Systems
		var err error
		asNobody(t, func() {
			s.Note(filepath.Join(dir, name))
			err = s.Sync()
		})
		if err := errors.Join(err, s.Close()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// asNobody calls f with the rights to files that nobody has, where this process
// may choose.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread is not to be used again
		_, _ = unix.SetfsuidRetUid(65534)
		f()
	}()
	<-done
}

// BenchmarkFiles is 10,000 small files, made durable in the ways there are.
func BenchmarkFiles(b *testing.B) {
	const count, group = 10_000, 1000
	none := func(*os.File) error { return nil }
	for _, c := range []struct {
		name   string
		settle func(*os.File) error
		sync   bool // the system, after each group
	}{
		{"at-the-end", none, false},
		{"system", none, true},
		{"settle+system", durable.Settle, true},
		{"fsync+system", (*os.File).Sync, true},
	} {
		for _, size := range []int{1000, 40_000} {
			b.Run(fmt.Sprintf("%s/%d", c.name, size), func(b *testing.B) {
				whole := content
				content = content[:size]
				defer func() { content = whole }()
				for b.Loop() {
					dir := b.TempDir()
					var s durable.Systems
					for i := range count {
						path := filepath.Join(dir, fmt.Sprint(i))
						named(b, path, c.settle)
						s.Note(path)
						if c.sync && i%group == group-1 {
							if err := s.Sync(); err != nil {
								b.Fatal(err)
							}
						}
					}
					if err := errors.Join(s.Sync(), s.Close()); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(count*float64(b.N)/b.Elapsed().Seconds(), "files/s")
			})
		}
	}
}
