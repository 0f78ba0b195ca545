package jpeg

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	crand "crypto/rand"

	"golang.org/x/sys/unix"

	"weft/cpuwork"
	"weft/cpuwork/files/durable"
)

// An Answer says what became of one file.
type Answer struct {
	Output   string `json:"output"` // path
	Width    int    `json:"width,omitempty"`
	Height   int    `json:"height,omitempty"`
	BytesIn  int64  `json:"bytes_in,omitempty"`
	BytesOut int64  `json:"bytes_out,omitempty"`
	Format   string `json:"format,omitempty"` // the input's
	Encoder  string `json:"encoder,omitempty"`
	Skipped  bool   `json:"skipped,omitempty"` // the output existed and was left alone
}

// ConvertFile converts the file in to the file out and makes out's directories.
// Nothing half-written is ever to be seen under the name out, and nothing that is
// there is replaced without Options.Force; not even a power cut leaves less than
// all of it there. Errors of the files are [cpuwork.ItemError]s.
func (c *Converter) ConvertFile(ctx context.Context, in, out string) (Answer, error) {
	a := Answer{Output: out}
	if !c.opts.Force {
		if _, err := os.Lstat(out); err == nil {
			return c.existing(a)
		}
	}
	defer func() {
		c.file, c.out = keep(c.file), keep(c.out)
	}()
	modified, err := c.read(in)
	if err != nil {
		return a, err
	}
	a.BytesIn = int64(len(c.file))
	dst, pic, err := c.Convert(ctx, c.file, c.out[:0])
	c.out = dst
	if err != nil {
		return a, err
	}
	if !c.opts.KeepTime {
		modified = time.Time{}
	}
	err = writeFile(out, dst, modified, c.opts.Force)
	if errors.Is(err, fs.ErrExist) {
		return c.existing(a)
	}
	if err != nil {
		return a, cpuwork.Failf(CodeUnwritable, "", "write %s: %v", out, reason(err))
	}
	a.Width, a.Height, a.Format = pic.Width, pic.Height, pic.Format
	a.BytesOut, a.Encoder = int64(len(dst)), c.enc.name()
	return a, nil
}

func keep(b []byte) []byte {
	if cap(b) > keepAtMost {
		return nil
	}
	return b[:0]
}

func (c *Converter) existing(a Answer) (Answer, error) {
	if c.opts.Existing == ExistingSkip {
		return Answer{Output: a.Output, Skipped: true}, nil
	}
	return a, cpuwork.Failf(CodeExists, "another output directory, or force to replace it", "%s exists", a.Output)
}

// read reads the whole file into c.file. It does not wait for the other end of a
// pipe, and reads no more than the limit however long the file says it is.
func (c *Converter) read(path string) (modified time.Time, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return time.Time{}, cpuwork.Failf(CodeUnreadable, "", "read %s: %v", path, reason(err))
	}
	defer func() { _ = f.Close() }() // read only: nothing is lost
	info, err := f.Stat()
	switch limit := c.opts.MaxFileBytes; {
	case err != nil:
		return time.Time{}, cpuwork.Failf(CodeUnreadable, "", "read %s: %v", path, reason(err))
	case !info.Mode().IsRegular():
		return time.Time{}, cpuwork.Failf(CodeUnreadable, "", "read %s: not a regular file", path)
	case info.Size() > limit:
		return time.Time{}, cpuwork.Failf(CodeFileSize, "max_file_bytes, if the file can be trusted",
			"%s has %d bytes, more than the limit of %d", path, info.Size(), limit)
	}
	if need := int(info.Size()) + 1; cap(c.file) < need { // one more, to see the end
		c.file = make([]byte, 0, need)
	}
	c.file, err = readAll(io.LimitReader(f, c.opts.MaxFileBytes+1), c.file[:0])
	if err != nil {
		return time.Time{}, cpuwork.Failf(CodeUnreadable, "", "read %s: %v", path, reason(err))
	}
	if int64(len(c.file)) > c.opts.MaxFileBytes {
		return time.Time{}, cpuwork.Failf(CodeFileSize, "max_file_bytes, if the file can be trusted",
			"%s grew beyond the limit of %d bytes", path, c.opts.MaxFileBytes)
	}
	return info.ModTime(), nil
}

func readAll(r io.Reader, buf []byte) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

// reason is err without the path, which the message has already.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Err
	}
	return err
}

// writeFile makes the file path with these contents at once. If it exists it is
// replaced, or, without replace, the error is [fs.ErrExist].
//
// The file has no name until it is whole, where the file system can do that: then
// not even a kill in the middle leaves anything behind.
func writeFile(path string, data []byte, modified time.Time, replace bool) error {
	dir := filepath.Dir(path)
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if errors.Is(err, unix.ENOENT) {
		// #nosec G301 -- as open as the files in it
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		fd, err = unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	}
	if err != nil {
		return writeNamed(path, data, modified, replace)
	}
	f := os.NewFile(uintptr(fd), path) // #nosec G115 -- a descriptor
	defer func() { _ = f.Close() }()   // closed below where it matters
	if err := fill(f, data, modified); err != nil {
		return err
	}
	nameless := fmt.Sprintf("/proc/self/fd/%d", fd)
	link := func(to string) error {
		return unix.Linkat(unix.AT_FDCWD, nameless, unix.AT_FDCWD, to, unix.AT_SYMLINK_FOLLOW)
	}
	switch err := link(path); {
	case err == nil:
		return f.Close()
	case errors.Is(err, unix.EEXIST) && !replace:
		return fs.ErrExist
	case !errors.Is(err, unix.EEXIST):
		return writeNamed(path, data, modified, replace)
	}
	temp := tempName(dir)
	if err := link(temp); err != nil {
		return err
	}
	return settle(f, temp, path, true)
}

// writeNamed is writeFile by a file with a temporary name.
func writeNamed(path string, data []byte, modified time.Time, replace bool) error {
	temp := tempName(filepath.Dir(path))
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644) // #nosec G302 -- as other tools' results
	if err != nil {
		return err
	}
	if err := fill(f, data, modified); err != nil {
		_ = f.Close() // the first error tells more
		_ = os.Remove(temp)
		return err
	}
	return settle(f, temp, path, replace)
}

// settle closes f, whose name is temp, and names it path. temp is gone afterwards
// in any case.
func settle(f *os.File, temp, path string, replace bool) error {
	err := f.Close()
	switch {
	case err != nil:
	case replace:
		err = os.Rename(temp, path)
	default:
		err = rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp) // the first error tells more
	}
	return err
}

// rename moves temp to path if nothing is there, by a second name where the file
// system cannot do it at once.
func rename(temp, path string) error {
	err := unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EEXIST) {
		return fs.ErrExist
	}
	if err == nil || !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	if err := os.Link(temp, path); err != nil {
		return err
	}
	return os.Remove(temp)
}

// fill writes a file that has no name yet, or not its own: its content is to be on
// the disk before that.
func fill(f *os.File, data []byte, modified time.Time) error {
	if _, err := f.Write(data); err != nil {
		return err
	}
	if !modified.IsZero() {
		at := unix.NsecToTimeval(modified.UnixNano())
		if err := unix.Futimes(int(f.Fd()), []unix.Timeval{at, at}); err != nil { // #nosec G115 -- a descriptor
			return err
		}
	}
	return durable.Settle(f)
}

func tempName(dir string) string {
	var b [8]byte
	_, _ = crand.Read(b[:]) // never fails
	return filepath.Join(dir, ".weft-"+hex.EncodeToString(b[:])+".tmp")
}
