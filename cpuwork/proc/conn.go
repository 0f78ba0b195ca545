package proc

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// writeTimeout is how long a peer may leave a frame unread before Send gives up.
const writeTimeout = 10 * time.Second

// inheritedFD is where a supervised child finds its end of the socket.
const inheritedFD = 3

// Conn is one end of a socketpair that carries frames. Send may be called from
// any number of goroutines; Recv too, though one is the use it is made for.
type Conn struct {
	sock         *net.UnixConn
	writeTimeout time.Duration
	inherited    bool           // the other end is the process that started this one
	sigpipe      chan os.Signal // of an inherited connection; nobody reads it
	onBroken     func(error)    // told once, when a send fails; may be nil

	readMu sync.Mutex // guards reader
	reader *frameReader

	queue queue // small frames that wait for their turn to be written

	writeMu  sync.Mutex // held while writing to sock; guards the fields below
	writeErr error      // the first failure; a frame may have been cut by it
	vector   net.Buffers
}

// Pair returns the two ends of a new connection.
func Pair() (*Conn, *Conn, error) {
	a, b, err := socketpair()
	if err != nil {
		return nil, nil, err
	}
	ca, err := fromFile(a)
	if err != nil {
		_ = b.Close() // never used
		return nil, nil, err
	}
	cb, err := fromFile(b)
	if err != nil {
		_ = ca.Close() // never used
		return nil, nil, err
	}
	return ca, cb, nil
}

// Inherited returns the connection to the process that started this one. It
// takes descriptor 3, once, and makes it close-on-exec so that this process's
// own children do not hold it open. Until Close, SIGPIPE does not end this
// process: its output goes to the same parent, and when that dies [Serve] has
// more to do than to fall over the next line that is logged.
func Inherited() (*Conn, error) {
	c, err := FromFD(inheritedFD)
	if err != nil {
		return nil, fmt.Errorf("take over descriptor %d: %w (this program is started by a supervisor)", inheritedFD, err)
	}
	c.inherited = true
	c.sigpipe = make(chan os.Signal, 1)
	signal.Notify(c.sigpipe, unix.SIGPIPE)
	return c, nil
}

// FromFD returns a connection over the unix stream socket fd, which it takes over
// unless it returns an error.
func FromFD(fd int) (*Conn, error) {
	if err := streamSocket(fd); err != nil {
		return nil, err
	}
	unix.CloseOnExec(fd)
	return fromFile(os.NewFile(uintptr(fd), "socket"))
}

// streamSocket returns an error unless fd is a unix stream socket.
func streamSocket(fd int) error {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return fmt.Errorf("inspect socket: %w", err)
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return fmt.Errorf("inspect socket: %w", err)
	}
	if domain != unix.AF_UNIX || kind != unix.SOCK_STREAM {
		return errors.New("not a unix stream socket")
	}
	return nil
}

// socketpair returns two connected descriptors, close-on-exec from birth.
func socketpair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socketpair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket"), nil
}

// fromFile closes file, which net.FileConn has duplicated.
func fromFile(file *os.File) (*Conn, error) {
	conn, err := net.FileConn(file)
	if closeErr := file.Close(); err == nil && closeErr != nil {
		_ = conn.Close() // the first error is returned
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	sock, ok := conn.(*net.UnixConn)
	if !ok {
		_ = conn.Close() // never used
		return nil, errors.New("open socket: not a unix socket")
	}
	c := &Conn{sock: sock, writeTimeout: writeTimeout}
	c.reader = newFrameReader(newSocketSource(sock), MaxPayload)
	c.queue.init()
	return c, nil
}

// Recv returns the next frame. The error is io.EOF when the peer has closed its
// end between frames, io.ErrUnexpectedEOF when it did so within one,
// net.ErrClosed after Close, and a *ProtocolError when the peer sent something
// that is not a frame. Descriptors of a frame that is refused are closed.
func (c *Conn) Recv() (Frame, error) {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	f, err := c.reader.next()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return Frame{}, io.EOF
		}
		return Frame{}, fmt.Errorf("receive frame: %w", err)
	}
	return f, nil
}

// Send writes one frame, and returns when the kernel has it: the payload may be
// reused, the files closed. A frame over [MaxPayload] or [MaxFiles] is refused
// with ErrTooLarge and does no harm; after any other error, among them a peer
// that did not read for ten seconds, the connection can send no more.
//
// Frames of one goroutine arrive in order. Small frames sent at the same time
// by several share a system call; none waits for company.
func (c *Conn) Send(kind byte, payload []byte, files ...*os.File) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("send frame %d of %d bytes: %w of %d", kind, len(payload), ErrTooLarge, MaxPayload)
	}
	if len(files) > MaxFiles {
		return fmt.Errorf("send frame %d with %d descriptors: %w of %d", kind, len(files), ErrTooLarge, MaxFiles)
	}
	h := header{length: len(payload), kind: kind, files: len(files)}
	var err error
	switch {
	case len(files) > 0:
		err = c.sendFiles(h, payload, files)
	case len(payload) > smallFrame:
		err = c.sendLarge(h, payload)
	default:
		err = c.sendSmall(h, payload)
	}
	if err != nil {
		return fmt.Errorf("send frame %d: %w", kind, err)
	}
	return nil
}

func (c *Conn) sendSmall(h header, payload []byte) error {
	b := c.queue.add(h, payload)
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if !b.written { // else whoever held the lock before took this frame along
		c.queue.take(b)
		b.err = c.write(b.data)
		b.written = true
	}
	err := b.err
	c.queue.leave(b)
	return err
}

func (c *Conn) sendLarge(h header, payload []byte) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	var head [headerSize]byte
	return c.write(appendHeader(head[:0], h), payload)
}

// sendFiles attaches the descriptors to the frame's first byte. The kernel may
// take less than the whole frame at once; the rest goes without them.
func (c *Conn) sendFiles(h header, payload []byte, files []*os.File) error {
	rights, err := encodeRights(files)
	if err != nil {
		return err
	}
	defer runtime.KeepAlive(files)
	first := min(len(payload), smallFrame)
	data := append(appendHeader(make([]byte, 0, headerSize+first), h), payload[:first]...)

	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if err := c.begin(); err != nil {
		return err
	}
	n, _, err := c.sock.WriteMsgUnix(data, rights, nil)
	if err != nil {
		return c.broken(err)
	}
	return c.write(data[n:], payload[first:])
}

// begin arms the deadline of a write. The caller holds writeMu.
func (c *Conn) begin() error {
	if c.writeErr != nil {
		return c.writeErr
	}
	if err := c.sock.SetWriteDeadline(time.Now().Add(c.writeTimeout)); err != nil {
		return c.broken(err)
	}
	return nil
}

// write writes all parts. The caller holds writeMu.
func (c *Conn) write(parts ...[]byte) error {
	if err := c.begin(); err != nil {
		return err
	}
	if len(parts) == 1 {
		_, err := c.sock.Write(parts[0])
		return c.broken(err)
	}
	c.vector = append(c.vector[:0], parts...)
	rest := c.vector
	_, err := rest.WriteTo(c.sock)
	clear(c.vector) // hold on to nobody's payload
	return c.broken(err)
}

// broken remembers the first failed write. The peer must not take the next
// frame for the rest of a cut one, so the sending direction ends here.
func (c *Conn) broken(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("peer did not read for %v: %w", c.writeTimeout, err)
	}
	c.writeErr = err
	_ = c.sock.CloseWrite() // the error that matters is err
	if c.onBroken != nil {
		c.onBroken(err)
	}
	return err
}

// Close closes this end. A blocked Recv returns net.ErrClosed.
func (c *Conn) Close() error {
	err := c.sock.Close()
	if c.sigpipe != nil {
		signal.Stop(c.sigpipe)
	}
	c.readMu.Lock()
	defer c.readMu.Unlock()
	c.reader.drop()
	if err != nil {
		return fmt.Errorf("close socket: %w", err)
	}
	return nil
}

// hungUp reports whether the peer's end is closed, without reading.
func (c *Conn) hungUp() bool {
	raw, err := c.sock.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, pollErr := unix.Poll(poll, 0)
		gone = pollErr == nil && n > 0 && poll[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return gone || err != nil
}
