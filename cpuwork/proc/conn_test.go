package proc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// connect returns both ends of a connection that the test's end closes.
func connect(t testing.TB) (*Conn, *Conn) {
	t.Helper()
	a, b, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(); _ = b.Close() })
	return a, b
}

// TestConnRoundTrip sends random frames with random descriptors.
func TestConnRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b, err := Pair()
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = a.Close(); _ = b.Close() }()
		type sent struct{ size, files int }
		frames := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) sent {
			return sent{
				rapid.OneOf(rapid.IntRange(0, 64), rapid.IntRange(smallFrame-1, smallFrame+1),
					rapid.IntRange(0, 1<<20)).Draw(t, "size"),
				rapid.IntRange(0, MaxFiles).Draw(t, "files"),
			}
		}), 1, 12).Draw(rt, "frames")
		result := make(chan error, 1)
		go func() {
			for i, f := range frames {
				if err := sendNumbered(a, i, f.size, f.files); err != nil {
					result <- err
					return
				}
			}
			result <- nil
		}()
		for i, f := range frames {
			if err := recvNumbered(b, i, f.size, f.files); err != nil {
				rt.Fatal(err)
			}
		}
		if err := <-result; err != nil {
			rt.Fatal(err)
		}
	})
}

// sendNumbered sends frame i with that many files, whose contents number them.
func sendNumbered(c *Conn, i, size, files int) error {
	var list []*os.File
	defer func() { Frame{Files: list}.Close() }()
	for j := range files {
		file, err := memfd("test")
		if err != nil {
			return err
		}
		list = append(list, file)
		if _, err := fmt.Fprintf(file, "%d.%d", i, j); err != nil {
			return err
		}
	}
	return c.Send(KindUser+byte(i), bytes.Repeat([]byte{byte(i)}, size), list...)
}

func recvNumbered(c *Conn, i, size, files int) error {
	f, err := c.Recv()
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Kind != KindUser+byte(i) || len(f.Payload) != size || len(f.Files) != files {
		return fmt.Errorf("frame %d is of kind %d, %d bytes, %d files", i, f.Kind, len(f.Payload), len(f.Files))
	}
	if !bytes.Equal(f.Payload, bytes.Repeat([]byte{byte(i)}, size)) {
		return fmt.Errorf("the payload of frame %d is not its own", i)
	}
	for j, file := range f.Files {
		text := make([]byte, 16)
		n, err := file.ReadAt(text, 0)
		if want := fmt.Sprintf("%d.%d", i, j); err != io.EOF || string(text[:n]) != want {
			return fmt.Errorf("file %d of frame %d holds %q, %v", j, i, text[:n], err)
		}
		flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			return fmt.Errorf("a received descriptor is not close-on-exec (%#x, %v)", flags, err)
		}
	}
	return nil
}

// TestConnConcurrent: frames of many senders arrive whole, each sender's in
// order, some of them written together.
func TestConnConcurrent(t *testing.T) {
	const senders, each = 16, 500
	a, b := connect(t)
	var group sync.WaitGroup
	for s := range senders {
		group.Go(func() {
			for i := range each {
				payload := bytes.Repeat([]byte{byte(s)}, 8+i%100)
				if i%97 == 0 {
					payload = bytes.Repeat([]byte{byte(s)}, 3*smallFrame)
				}
				binary.LittleEndian.PutUint32(payload, uint32(i))
				if err := a.Send(KindUser+byte(s), payload); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	next := make([]uint32, senders)
	for range senders * each {
		f, err := b.Recv()
		if err != nil {
			t.Fatal(err)
		}
		s := f.Kind - KindUser
		if i := binary.LittleEndian.Uint32(f.Payload); i != next[s] {
			t.Fatalf("sender %d: frame %d came, %d was due", s, i, next[s])
		}
		next[s]++
		if rest := f.Payload[4:]; bytes.Count(rest, []byte{s}) != len(rest) {
			t.Fatalf("a frame of sender %d holds another's bytes", s)
		}
	}
	group.Wait()
}

func TestConnLimits(t *testing.T) {
	a, b := connect(t)
	if err := a.Send(KindUser, make([]byte, MaxPayload+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a payload over the limit: %v", err)
	}
	if err := a.Send(KindUser, nil, make([]*os.File, MaxFiles+1)...); !errors.Is(err, ErrTooLarge) {
		t.Errorf("descriptors over the limit: %v", err)
	}
	go func() {
		if err := a.Send(KindUser, make([]byte, MaxPayload)); err != nil {
			t.Error(err)
		}
	}()
	f, err := b.Recv()
	if err != nil || len(f.Payload) != MaxPayload {
		t.Errorf("the largest frame: %d bytes, %v", len(f.Payload), err)
	}
}

// rawConn returns a connection and a plain socket at its other end.
func rawConn(t *testing.T) (*Conn, *net.UnixConn) {
	t.Helper()
	a, b := connect(t)
	return a, b.sock
}

func TestConnEnds(t *testing.T) {
	whole := encode(message{KindUser, []byte("whole")})
	tests := []struct {
		name string
		sent []byte
		want error
	}{
		{"between frames", whole, io.EOF},
		{"within a header", append(whole, 1, 0, 0), io.ErrUnexpectedEOF},
		{"before the payload", append(whole, appendHeader(nil, header{length: 1})...), io.ErrUnexpectedEOF},
		{"within a payload", append(whole, whole[:len(whole)-1]...), io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		for _, unread := range []bool{false, true} { // by the peer, which makes its end a reset
			t.Run(fmt.Sprintf("%s, unread=%t", tt.name, unread), func(t *testing.T) {
				a, peer := rawConn(t)
				if unread {
					if err := a.Send(KindUser, []byte("nobody reads this")); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := peer.Write(tt.sent); err != nil {
					t.Fatal(err)
				}
				_ = peer.Close()
				if f, err := a.Recv(); err != nil || string(f.Payload) != "whole" {
					t.Fatalf("the whole frame: %q, %v", f.Payload, err)
				}
				for range 2 {
					if _, err := a.Recv(); !errors.Is(err, tt.want) {
						t.Errorf("error is %v, want %v", err, tt.want)
					}
				}
				if err := a.Send(KindUser, nil); !errors.Is(err, unix.EPIPE) {
					t.Errorf("sending to nobody: %v", err)
				}
			})
		}
	}
}

func TestConnClose(t *testing.T) {
	a, _ := connect(t)
	started := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		close(started)
		_, err := a.Recv()
		result <- err
	}()
	<-started
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := get(t, result, "end of Recv"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Recv returned %v", err)
	}
	if err := a.Send(KindUser, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send returned %v", err)
	}
}

// TestConnStuckPeer: a peer that does not read cannot block a sender for ever,
// and does not take the next frame for the rest of the one that was cut.
func TestConnStuckPeer(t *testing.T) {
	a, b := connect(t)
	a.writeTimeout = 20 * time.Millisecond
	told := make(chan error, 2)
	a.onBroken = func(err error) { told <- err }
	err := a.Send(KindUser, make([]byte, MaxPayload))
	if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "peer did not read for 20ms") {
		t.Fatalf("error is %v", err)
	}
	if err := a.Send(KindUser, []byte("next")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the next frame: %v", err)
	}
	if len(told) != 1 {
		t.Errorf("told %d times", len(told))
	}
	if _, err := b.Recv(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the peer got %v", err)
	}
}

// TestConnRefusesDescriptors: descriptors that no frame announced are an error,
// and are closed.
func TestConnRefusesDescriptors(t *testing.T) {
	frame := appendHeader(nil, header{kind: KindUser})
	announced := appendHeader(nil, header{kind: KindUser, files: MaxFiles})
	tests := []struct {
		name  string
		data  []byte
		files int
		good  int // frames that come before the error
		want  string
	}{
		{"not announced", frame, 1, 1, "1 descriptors came without a frame that announced them"},
		{"fewer than announced", announced, 3, 0, "8 descriptors announced, 3 came"},
		{"more than announced", announced[:headerSize:headerSize], MaxFiles + 1, 0, "descriptors were cut off: more than 8"},
		{"too many announced", []byte{0, 0, 0, 0, KindUser, 9}, MaxFiles, 0, "9 descriptors announced, at most 8"},
		{"with a refused frame", []byte{255, 255, 255, 255, KindUser, 1}, 1, 0, "4294967295 bytes announced"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, peer := rawConn(t)
			before := openFiles(t)
			file, err := memfd("test")
			if err != nil {
				t.Fatal(err)
			}
			rights, err := encodeRights(slicesOf(file, tt.files))
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := peer.WriteMsgUnix(tt.data, rights, nil); err != nil {
				t.Fatal(err)
			}
			_ = file.Close()
			for range tt.good {
				if _, err := a.Recv(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := a.Recv(); !isProtocolError(err) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
			if now := openFiles(t); now != before {
				t.Errorf("%d descriptors are open, %d were", now, before)
			}
		})
	}
}

func slicesOf(file *os.File, n int) []*os.File {
	files := make([]*os.File, n)
	for i := range files {
		files[i] = file
	}
	return files
}

// TestConnCloseDropsDescriptors: those read ahead for a frame that never got
// complete are closed with the connection.
func TestConnCloseDropsDescriptors(t *testing.T) {
	a, peer := rawConn(t)
	before := openFiles(t)
	file, err := memfd("test")
	if err != nil {
		t.Fatal(err)
	}
	rights, err := encodeRights([]*os.File{file})
	if err != nil {
		t.Fatal(err)
	}
	data := encode(message{KindUser, []byte("complete")})
	data = append(data, appendHeader(nil, header{kind: KindUser, files: 1, length: 5})[:4]...)
	if _, _, err := peer.WriteMsgUnix(data, rights, nil); err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
	if _, err := a.Recv(); err != nil {
		t.Fatal(err)
	}
	if now := openFiles(t); now != before+1 {
		t.Errorf("%d descriptors are open, want %d", now, before+1)
	}
	_ = a.Close()
	if now := openFiles(t); now != before-1 { // without the socket
		t.Errorf("%d descriptors are open, want %d", now, before-1)
	}
}

func TestFromFD(t *testing.T) {
	file, err := memfd("test")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if _, err := FromFD(int(file.Fd())); !errors.Is(err, unix.ENOTSOCK) {
		t.Errorf("a file: %v", err)
	}
	if _, err := FromFD(1 << 20); !errors.Is(err, unix.EBADF) {
		t.Errorf("no descriptor: %v", err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fds[0]); _ = unix.Close(fds[1]) }()
	if _, err := FromFD(fds[0]); err == nil || err.Error() != "not a unix stream socket" {
		t.Errorf("a datagram socket: %v", err)
	}
}

// TestSendAllocations: small frames are sent without allocating.
func TestSendAllocations(t *testing.T) {
	a, b := connect(t)
	payload := make([]byte, 40)
	allocs := testing.AllocsPerRun(1000, func() {
		if err := a.Send(KindUser, payload); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Recv(); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 1 { // the payload that the receiver owns
		t.Errorf("%v allocations a frame", allocs)
	}
}
