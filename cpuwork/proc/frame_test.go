package proc

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// Limits of the readers under test: small, so that fuzzing does not spend its
// time on clearing memory.
const (
	testLimit = 200 << 10
	testTrust = 10 << 10
)

// bytesSource is a source of bytes without descriptors, in chunks of given sizes.
type bytesSource struct {
	data   []byte
	chunks []byte // sizes of the next reads, less one; when used up, as much as fits
}

func (s *bytesSource) recv(p []byte, fds []int) (int, []int, error) {
	if len(s.data) == 0 {
		return 0, fds, io.EOF
	}
	n := len(p)
	if len(s.chunks) > 0 {
		n = min(n, 1+int(s.chunks[0]))
		s.chunks = s.chunks[1:]
	}
	n = copy(p[:n], s.data)
	s.data = s.data[n:]
	return n, fds, nil
}

// message is a frame without descriptors, for comparing.
type message struct {
	Kind    byte
	Payload []byte
}

func same(a, b []message) bool {
	return slices.EqualFunc(a, b, func(x, y message) bool {
		return x.Kind == y.Kind && bytes.Equal(x.Payload, y.Payload)
	})
}

// readAll reads frames until the first error.
func readAll(src source) ([]message, error) {
	fr := newFrameReader(src, testLimit)
	fr.trust = testTrust
	var got []message
	for {
		f, err := fr.next()
		if err != nil {
			return got, err
		}
		got = append(got, message{f.Kind, f.Payload})
	}
}

func encode(messages ...message) []byte {
	var data []byte
	for _, m := range messages {
		data = append(appendHeader(data, header{length: len(m.Payload), kind: m.Kind}), m.Payload...)
	}
	return data
}

// TestFramesRoundTrip: whatever is framed comes out as it went in, however the
// stream is cut into reads; cut short, it ends in an unexpected EOF.
func TestFramesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		messages := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) message {
			size := rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(0, 2*readBuffer),
				rapid.SampledFrom([]int{testTrust, testTrust + 1, testLimit})).Draw(t, "size")
			var payload []byte
			if size > 0 {
				payload = bytes.Repeat([]byte{rapid.Byte().Draw(t, "fill"), 1, 2}, size/3+1)[:size]
			}
			return message{rapid.Byte().Draw(t, "kind"), payload}
		}), 0, 8).Draw(t, "messages")
		chunks := rapid.SliceOf(rapid.Byte()).Draw(t, "chunks")
		data := encode(messages...)
		got, err := readAll(&bytesSource{data: data, chunks: chunks})
		if err != io.EOF {
			t.Fatal(err)
		}
		if !same(got, messages) {
			t.Fatalf("%d frames went in, %d came out, not the same", len(messages), len(got))
		}
		if len(messages) == 0 {
			return
		}
		last := headerSize + len(messages[len(messages)-1].Payload)
		lost := rapid.IntRange(1, last-1).Draw(t, "lost")
		if _, err := readAll(&bytesSource{data: data[:len(data)-lost]}); err != io.ErrUnexpectedEOF {
			t.Fatalf("cut short by %d bytes: %v", lost, err)
		}
	})
}

func FuzzFrames(f *testing.F) {
	good := encode(message{KindBeat, nil}, message{KindUser, []byte("payload")}, message{255, make([]byte, 70_000)})
	f.Add(good, []byte{})
	f.Add(good, []byte{0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(good[:len(good)-1], []byte{5, 200, 1})
	f.Add([]byte("panic: runtime error\n"), []byte{3})
	f.Add(appendHeader(nil, header{length: testLimit}), []byte{})
	f.Add(appendHeader(nil, header{length: testLimit + 1}), []byte{})
	f.Add(appendHeader(nil, header{files: MaxFiles + 1}), []byte{})
	f.Add(appendHeader(nil, header{files: 1}), []byte{})
	f.Fuzz(func(t *testing.T, data, chunks []byte) {
		whole, wholeErr := readAll(&bytesSource{data: data})
		pieces, piecesErr := readAll(&bytesSource{data: data, chunks: chunks})
		if !same(whole, pieces) || wholeErr.Error() != piecesErr.Error() {
			t.Errorf("the chunking matters: %v, then %v", wholeErr, piecesErr)
		}
		if !isProtocolError(wholeErr) && wholeErr != io.EOF && wholeErr != io.ErrUnexpectedEOF {
			t.Errorf("error is %v", wholeErr)
		}
		if again := encode(whole...); !bytes.HasPrefix(data, again) {
			t.Errorf("the frames are not what was sent")
		}
	})
}

// TestFrameMemory: a header's word is believed up to firstPayload only.
func TestFrameMemory(t *testing.T) {
	fr := newFrameReader(&bytesSource{data: appendHeader(nil, header{length: MaxPayload})}, MaxPayload)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := fr.next()
	runtime.ReadMemStats(&after)
	if err != io.ErrUnexpectedEOF {
		t.Errorf("error is %v", err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 2*firstPayload {
		t.Errorf("%d bytes allocated for a frame that never came", n)
	}
}

// failing is a source that fails after its data.
type failing struct {
	r   io.Reader
	err error
}

func (s *failing) recv(p []byte, fds []int) (int, []int, error) {
	n, err := s.r.Read(p)
	if err != nil {
		err = s.err
	}
	return n, fds, err
}

// TestFrameErrorSticks: after a failure no byte is taken for a frame's start.
func TestFrameErrorSticks(t *testing.T) {
	broken := errors.New("cable cut")
	data := encode(message{KindUser, []byte("one")}, message{KindUser, []byte("two")})
	src := &failing{r: iotest.OneByteReader(bytes.NewReader(data[:len(data)-2])), err: broken}
	fr := newFrameReader(src, testLimit)
	if f, err := fr.next(); err != nil || string(f.Payload) != "one" {
		t.Fatalf("first frame: %q, %v", f.Payload, err)
	}
	src.r = bytes.NewReader(data[len(data)-5-2 : len(data)-2])
	if _, err := fr.next(); !errors.Is(err, broken) {
		t.Errorf("second frame: %v", err)
	}
	src.r = bytes.NewReader(data)
	if _, err := fr.next(); !errors.Is(err, broken) {
		t.Errorf("after the failure: %v", err)
	}
}
