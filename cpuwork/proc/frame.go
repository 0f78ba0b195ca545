package proc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// The kinds of frames that this package sends itself.
const (
	KindBeat  byte = 0 // child to parent: alive; no payload
	KindReady byte = 1 // child to parent, once: payload is [ServeConfig].Ready
	KindStop  byte = 2 // parent to child: finish and exit; no payload

	// KindUser is the first kind that is free for the package's users.
	KindUser byte = 16
)

// Limits of one frame. Larger data belongs into an [Arena].
const (
	MaxPayload = 16 << 20 // bytes
	MaxFiles   = 8        // descriptors
)

// headerSize is the length of a frame's header in bytes.
const headerSize = 6

// Frame is one message. The receiver owns Payload and Files.
type Frame struct {
	Kind    byte
	Payload []byte
	Files   []*os.File // close-on-exec
}

// Close closes the frame's descriptors: those nobody took over.
func (f Frame) Close() {
	for _, file := range f.Files {
		_ = file.Close() // received only to be refused: nothing was written
	}
}

// ErrTooLarge is returned for a frame that would be over a limit.
var ErrTooLarge = errors.New("over the limit")

// ProtocolError says what the peer sent that is not a frame. The connection is
// of no more use.
type ProtocolError struct{ What string }

func (e *ProtocolError) Error() string { return "not a frame: " + e.What }

func protocolError(format string, args ...any) error {
	return &ProtocolError{What: fmt.Sprintf(format, args...)}
}

// header is the decoded start of a frame.
type header struct {
	length int
	kind   byte
	files  int
}

func appendHeader(dst []byte, h header) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.length))
	return append(dst, h.kind, byte(h.files))
}

// parseHeader reads a header of headerSize bytes and refuses what is over a limit.
func parseHeader(p []byte, limit int) (header, error) {
	length := binary.LittleEndian.Uint32(p)
	h := header{kind: p[4], files: int(p[5])}
	if length > uint32(limit) {
		return h, protocolError("%d bytes announced, at most %d are allowed", length, limit)
	}
	if h.files > MaxFiles {
		return h, protocolError("%d descriptors announced, at most %d are allowed", h.files, MaxFiles)
	}
	h.length = int(length)
	return h, nil
}

// source delivers the stream's bytes and the descriptors that came with them.
type source interface {
	// recv reads at least one byte into p, unless it returns an error, and
	// appends the descriptors that came with any of them to fds. It never reads
	// on past bytes that carried descriptors.
	recv(p []byte, fds []int) (int, []int, error)
}

// Sizes of the frame reader's memory.
const (
	readBuffer   = 64 << 10 // read ahead: many small frames in one system call
	firstPayload = 1 << 20  // allocated on the word of a header alone
	maxWaiting   = 4 * MaxFiles
)

// frameReader cuts a stream into frames. It reads ahead, so it relies on the
// descriptor count in the header to give each frame its own descriptors.
type frameReader struct {
	src   source
	limit int // of a payload, in bytes
	trust int // how much of it is allocated before any of it came
	buf   []byte
	r, w  int   // buf[r:w] is read but not used
	fds   []int // received but not yet claimed by a frame
	err   error // the first failure: after it, no byte is known to start a frame
}

func newFrameReader(src source, limit int) *frameReader {
	return &frameReader{src: src, limit: limit, trust: firstPayload, buf: make([]byte, readBuffer)}
}

// next returns the next frame; io.EOF at the stream's end between frames,
// io.ErrUnexpectedEOF within one. After an error it returns only that.
func (fr *frameReader) next() (Frame, error) {
	if fr.err != nil {
		return Frame{}, fr.err
	}
	f, err := fr.cut()
	if err != nil {
		fr.err = err
		fr.drop()
	}
	return f, err
}

func (fr *frameReader) cut() (Frame, error) {
	if fr.r == fr.w && len(fr.fds) > 0 {
		return Frame{}, protocolError("%d descriptors came without a frame that announced them", len(fr.fds))
	}
	for fr.w-fr.r < headerSize {
		if err := fr.fill(); err != nil {
			return Frame{}, fr.midFrame(err, fr.w > fr.r)
		}
	}
	h, err := parseHeader(fr.buf[fr.r:fr.w], fr.limit)
	if err != nil {
		return Frame{}, err
	}
	fr.r += headerSize
	if h.files > len(fr.fds) {
		return Frame{}, protocolError("%d descriptors announced, %d came", h.files, len(fr.fds))
	}
	payload, err := fr.payload(h.length)
	if err != nil {
		return Frame{}, fr.midFrame(err, true)
	}
	return Frame{Kind: h.kind, Payload: payload, Files: fr.claim(h.files)}, nil
}

// midFrame turns the end of the stream within a frame into the error it is.
func (fr *frameReader) midFrame(err error, begun bool) error {
	if begun && errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fill reads once more behind buf[r:w].
func (fr *frameReader) fill() error {
	if fr.r > 0 {
		fr.w = copy(fr.buf, fr.buf[fr.r:fr.w])
		fr.r = 0
	}
	n, err := fr.recv(fr.buf[fr.w:])
	fr.w += n
	return err
}

func (fr *frameReader) recv(p []byte) (int, error) {
	n, fds, err := fr.src.recv(p, fr.fds)
	fr.fds = fds
	if err == nil && len(fds) > maxWaiting {
		err = protocolError("%d descriptors came without a frame that announced them", len(fds))
	}
	return n, err
}

// payload returns the next n bytes in memory of their own. What a header
// announces is believed up to trust; beyond, memory grows with the data.
func (fr *frameReader) payload(n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	p := make([]byte, min(n, fr.trust))
	for have := 0; ; {
		got, err := fr.read(p[have:])
		if err != nil {
			return nil, err
		}
		if have += got; have == n {
			return p, nil
		}
		if have == len(p) {
			grown := make([]byte, min(n, 2*len(p)))
			copy(grown, p)
			p = grown
		}
	}
}

// read reads some bytes: those that were read ahead, or new ones.
func (fr *frameReader) read(p []byte) (int, error) {
	if fr.r < fr.w {
		n := copy(p, fr.buf[fr.r:fr.w])
		fr.r += n
		return n, nil
	}
	return fr.recv(p)
}

// claim takes the oldest n waiting descriptors.
func (fr *frameReader) claim(n int) []*os.File {
	if n == 0 {
		return nil
	}
	files := make([]*os.File, n)
	for i, fd := range fr.fds[:n] {
		files[i] = os.NewFile(uintptr(fd), "received")
	}
	fr.fds = append(fr.fds[:0], fr.fds[n:]...)
	return files
}

// drop closes the descriptors that no frame claimed.
func (fr *frameReader) drop() {
	for _, fd := range fr.fds {
		_ = unix.Close(fd) // received only to be refused
	}
	fr.fds = nil
}
