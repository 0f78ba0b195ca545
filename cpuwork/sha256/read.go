package sha256

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"weft/cpuwork"
	"weft/cpuwork/files"
)

// bufferSize is how much of a file is read at once: the lanes' buffers together
// stay in a core's second-level cache, from which they are then hashed.
const bufferSize = 64 << 10

// A stream is a file on its way through a lane.
type stream struct {
	ctx      context.Context
	file     *os.File
	before   os.FileInfo
	stop     func() bool // ends the watch on ctx; nil for a regular file
	index    int         // of its item
	expected *[Size]byte
	buf      []byte
	length   int64
}

// open opens a file to be hashed. It does not wait for what is not a regular
// file, or refuses it.
func open(ctx context.Context, path string, special bool) (*stream, error) {
	// Looked at before it is opened, for opening some devices does something.
	info, err := os.Stat(path)
	if err != nil {
		return nil, files.Error("open", err)
	}
	if err := acceptable(info, special); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, files.Error("open", err)
	}
	s := &stream{ctx: ctx, file: f}
	s.before, err = f.Stat()
	if err == nil {
		// It may be another one by now.
		if refused := acceptable(s.before, special); refused != nil {
			err = refused
		} else if !s.before.Mode().IsRegular() {
			s.stop = context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
			err = s.awaitWriter()
		}
	} else {
		err = files.Error("open", err)
	}
	if err != nil {
		_, _ = s.close() // nothing was read
		return nil, err
	}
	return s, nil
}

func acceptable(info os.FileInfo, special bool) error {
	switch mode := info.Mode(); {
	case mode.IsDir():
		return cpuwork.Failf("is_directory", "--recursive takes the files in it", "it is a directory")
	case mode&fs.ModeSocket != 0:
		return cpuwork.Failf("not_regular", "", "it is a socket")
	case !mode.IsRegular() && !special:
		return cpuwork.Failf("not_regular", "--special reads pipes and devices", "it is a pipe or a device")
	}
	return nil
}

// awaitWriter waits until a pipe has someone who writes to it: without, reading
// it would end at once.
func (s *stream) awaitWriter() error {
	if s.before.Mode()&fs.ModeNamedPipe == 0 {
		return nil
	}
	conn, err := s.file.SyscallConn()
	if err != nil {
		return files.Error("open", err)
	}
	for ready := false; !ready; {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		var pollErr error
		if err := conn.Control(func(fd uintptr) {
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} // #nosec G115 -- a descriptor
			var n int
			n, pollErr = unix.Poll(poll, 50)
			ready = n > 0
		}); err != nil {
			return files.Error("open", err)
		}
		if pollErr != nil && !errors.Is(pollErr, unix.EINTR) {
			return files.Error("open", pollErr)
		}
	}
	return nil
}

// Next implements [multi.Source].
func (s *stream) Next() ([]byte, error) {
	if err := s.ctx.Err(); err != nil {
		return nil, err
	}
	n, err := s.file.Read(s.buf)
	s.length += int64(n)
	if n > 0 {
		return s.buf[:n], nil // an error comes again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return nil, err
}

// close closes the file and says whether it was changed meanwhile.
func (s *stream) close() (changed bool, err error) {
	if s.stop != nil {
		s.stop()
	}
	after, err := s.file.Stat()
	if err == nil && s.before != nil && s.before.Mode().IsRegular() {
		changed = after.Size() != s.before.Size() || !after.ModTime().Equal(s.before.ModTime())
	}
	if closeErr := s.file.Close(); err == nil {
		err = closeErr
	}
	return changed, err
}

// readError is the item's error for a stream that failed; the end of ctx goes
// before what it caused.
func readError(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	return files.Error("read", err)
}

func isMissing(err error) bool {
	var item *cpuwork.ItemError
	return errors.As(err, &item) && item.Code == "not_found"
}
