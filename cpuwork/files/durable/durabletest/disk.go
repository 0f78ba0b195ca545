// Package durabletest is a disk whose power can be cut: an ext4 file system in a
// file, which is stopped as it is and mounted again.
//
//	d := durabletest.New(t)      // skips the test without root
//	… files are written below d.Dir …
//	d.Cut(t)                     // from here on nothing reaches it
//	d.Mount(t)                   // what is there now was durable
//
// The kernel does the cutting (the ioctl by which xfstests does it, too): what is
// in the page cache and in ext4's running transaction is gone. A disk that loses
// or reorders what it has in its own cache is not imitated.
package durabletest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// A Disk is a file system with a power switch. Its methods are for one goroutine.
type Disk struct {
	Dir     string // where it is mounted
	device  string
	mounted bool
	before  bool // it was mounted once
}

const (
	shutdown   = 0x8004587d // EXT4_IOC_SHUTDOWN: _IOR('X', 125, __u32)
	noLogFlush = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH
	size       = 256 << 20  // of the disk; the file is sparse
)

// New makes a disk and mounts it. It is gone when the test ends.
func New(t testing.TB) *Disk {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("a disk of its own needs root and mkfs.ext4")
	}
	base := t.TempDir()
	d := &Disk{Dir: filepath.Join(base, "disk")}
	if err := os.Mkdir(d.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	image, err := os.Create(filepath.Join(base, "image"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = image.Close() })
	if err := image.Truncate(size); err != nil {
		t.Fatal(err)
	}
	// #nosec G204 -- found above, and a file of the test's
	if out, err := exec.CommandContext(t.Context(), mkfs, "-q", image.Name()).CombinedOutput(); err != nil {
		t.Fatalf("make file system: %v: %s", err, out)
	}
	d.attach(t, image)
	t.Cleanup(func() { d.unmount(t) })
	d.Mount(t)
	return d
}

// attach makes the image a block device until the test ends.
func (d *Disk) attach(t testing.TB, image *os.File) {
	t.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no loop devices: ", err)
	}
	defer func() { _ = control.Close() }() // only asked
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Skip("no loop device is free: ", err)
		}
		d.device = filepath.Join("/dev", "loop"+strconv.Itoa(n))
		loop, err := os.OpenFile(d.device, os.O_RDWR, 0)
		if err != nil {
			t.Skip("no loop device: ", err)
		}
		config := unix.LoopConfig{Fd: uint32(image.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}} // #nosec G115 -- a descriptor
		err = unix.IoctlLoopConfigure(int(loop.Fd()), &config)
		if err == nil {
			t.Cleanup(func() { _ = loop.Close() }) // the last: the device is free again
			return
		}
		_ = loop.Close() // another took it
		if !errors.Is(err, unix.EBUSY) {
			t.Skipf("this kernel attaches no file to %s: %v", d.device, err)
		}
	}
}

// Mount mounts the disk, after its power was cut, too: with what it has.
func (d *Disk) Mount(t testing.TB) {
	t.Helper()
	d.unmount(t)
	switch err := unix.Mount(d.device, d.Dir, "ext4", 0, ""); {
	case err == nil:
	case !d.before:
		t.Skip("mounting an ext4 file system is not possible here: ", err)
	default:
		t.Fatalf("mount again: %v", err)
	}
	d.mounted, d.before = true, true
}

// Cut cuts the power: what is not on the disk is lost.
func (d *Disk) Cut(t testing.TB) {
	t.Helper()
	if err := Cut(d.Dir); errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("this kernel stops no ext4: ", err)
	} else if err != nil {
		t.Error(err)
	}
}

// Cut cuts the power of the file system that a directory is on; from another
// process than the test's, too.
func Cut(dir string) error {
	f, err := os.Open(dir) // #nosec G304 -- the test's own
	if err != nil {
		return fmt.Errorf("cut the power: %w", err)
	}
	defer func() { _ = f.Close() }() // only opened
	if err := unix.IoctlSetPointerInt(int(f.Fd()), shutdown, noLogFlush); err != nil {
		return fmt.Errorf("cut the power: %w", err)
	}
	return nil
}

func (d *Disk) unmount(t testing.TB) {
	t.Helper()
	if !d.mounted {
		return
	}
	if err := unix.Unmount(d.Dir, 0); err != nil {
		t.Errorf("unmount (is a file on it still open?): %v", err)
		_ = unix.Unmount(d.Dir, unix.MNT_DETACH)
	}
	d.mounted = false
}
