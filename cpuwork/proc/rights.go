package proc

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// encodeRights returns the control message that carries the files. It reads
// their descriptors without [os.File.Fd], which would make them blocking. The
// caller keeps the files alive until the message is sent.
func encodeRights(files []*os.File) ([]byte, error) {
	fds := make([]int, len(files))
	for i, file := range files {
		raw, err := file.SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { fds[i] = int(fd) })
		}
		if err != nil {
			return nil, fmt.Errorf("pass descriptor of %s: %w", file.Name(), err)
		}
	}
	return unix.UnixRights(fds...), nil
}

// appendRights appends the descriptors of the control messages in oob to fds.
func appendRights(fds []int, oob []byte) ([]int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return fds, protocolError("control message: %v", err)
	}
	for i := range messages {
		got, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return fds, protocolError("control message: %v", err)
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

// socketSource is a source over a unix stream socket.
type socketSource struct {
	sock *net.UnixConn
	oob  []byte // room for MaxFiles descriptors
}

var _ source = (*socketSource)(nil)

func newSocketSource(sock *net.UnixConn) *socketSource {
	return &socketSource{sock: sock, oob: make([]byte, unix.CmsgSpace(4*MaxFiles))}
}

// recv relies on two habits of the kernel: a read ends with the segment that
// carried descriptors, and MSG_CMSG_CLOEXEC, which net always sets, leaves no
// instant in which a fork could inherit them.
func (s *socketSource) recv(p []byte, fds []int) (int, []int, error) {
	n, oobn, flags, _, err := s.sock.ReadMsgUnix(p, s.oob)
	if oobn > 0 {
		var rightsErr error
		if fds, rightsErr = appendRights(fds, s.oob[:oobn]); err == nil {
			err = rightsErr
		}
	}
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		err = protocolError("descriptors were cut off: more than %d came, or the limit of open files is reached", MaxFiles)
	}
	if errors.Is(err, unix.ECONNRESET) {
		err = io.EOF // the peer closed its end with frames of ours unread
	}
	if n < 0 {
		n = 0
	}
	return n, fds, err
}
