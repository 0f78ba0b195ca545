package proc

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func newArena(t testing.TB, size int64) *Arena {
	t.Helper()
	a, err := NewArena("test", size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// dup returns another handle on the arena's file, as a receiver would have.
func dup(t testing.TB, a *Arena) *os.File {
	t.Helper()
	fd, err := unix.FcntlInt(a.File().Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "copy")
}

// TestArenaBothWays: the parent fills an arena, the child changes every byte in
// place, the parent sees it; only a descriptor is sent.
func TestArenaBothWays(t *testing.T) {
	w := supervise(t, "worker", nil)
	get(t, w.ups, "ready frame")
	arena := newArena(t, 5<<20+123)
	if arena.Size() != 5<<20+123 {
		t.Errorf("size is %d", arena.Size())
	}
	want := make([]byte, arena.Size())
	for i := range want {
		want[i] = byte(i * 7)
	}
	copy(arena.Bytes(), want)
	for range 3 {
		if err := w.Send(kindArena, nil, arena.File()); err != nil {
			t.Fatal(err)
		}
		get(t, w.frames, "answer")
		for i := range want {
			want[i]++
		}
		if sha256.Sum256(arena.Bytes()) != sha256.Sum256(want) {
			t.Fatal("the child's bytes are not what they should be")
		}
	}
}

func TestArenaSeal(t *testing.T) {
	a := newArena(t, 10_000)
	before := a.Bytes()
	copy(before, "written")
	if _, err := OpenSealed(dup(t, a)); err == nil || !strings.Contains(err.Error(), "seals 0x9 are missing") {
		t.Errorf("opening an arena that is not sealed: %v", err)
	}
	other, err := OpenArena(dup(t, a))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Seal(); !errors.Is(err, unix.EBUSY) || a.Sealed() {
		t.Errorf("sealing what another maps for writing: %v", err)
	}
	a.Bytes()[7] = '!' // still writable
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(a.Seal(), a.Seal()); err != nil || !a.Sealed() {
		t.Fatalf("seal: %v", err)
	}
	if !bytes.HasPrefix(before, []byte("written!")) || &before[0] != &a.Bytes()[0] {
		t.Error("a slice from before the seal is not valid")
	}
	if _, err := a.File().WriteAt([]byte("x"), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("writing to a sealed arena: %v", err)
	}
	for _, open := range []func(*os.File) (*Arena, error){OpenArena, OpenSealed} {
		b, err := open(dup(t, a))
		if err != nil {
			t.Fatal(err)
		}
		if !b.Sealed() || !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Error("the receiver does not see the sealed bytes")
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestArenaSize: nobody can change an arena's size and thereby make another
// process fault.
func TestArenaSize(t *testing.T) {
	a := newArena(t, 8192)
	for _, size := range []int64{0, 4096, 16384} {
		if err := a.File().Truncate(size); !errors.Is(err, unix.EPERM) {
			t.Errorf("truncating to %d: %v", size, err)
		}
	}
	for _, size := range []int64{0, -1, 1 << 62} {
		if b, err := NewArena("test", size); err == nil {
			t.Errorf("an arena of %d bytes: %v", size, b.Close())
		}
	}
}

func TestOpenArenaRefuses(t *testing.T) {
	plain, err := os.Create(t.TempDir() + "/plain")
	if err != nil {
		t.Fatal(err)
	}
	open, err := memfd("open")
	if err != nil {
		t.Fatal(err)
	}
	if err := open.Truncate(100); err != nil {
		t.Fatal(err)
	}
	empty, err := memfd("empty")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(empty.Fd(), unix.F_ADD_SEALS, sizeSeals); err != nil {
		t.Fatal(err)
	}
	for want, file := range map[string]*os.File{
		"open arena: read seals (it must be a memfd): invalid argument":      plain,
		"open arena: its owner could still change it: seals 0x6 are missing": open,
		"open arena: 0 bytes cannot be mapped":                               empty,
	} {
		if _, err := OpenArena(file); err == nil || err.Error() != want {
			t.Errorf("error is %v, want %q", err, want)
		}
		if err := file.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: the refused file was left open", file.Name())
		}
	}
}

func TestArenaClose(t *testing.T) {
	files := openFiles(t)
	a := newArena(t, 1<<20)
	if err := errors.Join(a.Close(), a.Close()); err != nil {
		t.Error(err)
	}
	if now := openFiles(t); now != files {
		t.Errorf("%d descriptors are open, %d were", now, files)
	}
	for name, use := range map[string]func(){"Bytes": func() { a.Bytes() }, "Seal": func() { _ = a.Seal() }} {
		func() {
			defer func() {
				if r := recover(); r != "proc: arena test used after Close" {
					t.Errorf("%s after Close: %v", name, r)
				}
			}()
			use()
		}()
	}
}
