//go:build cuda

package cuda

import (
	"errors"
	"testing"
)

func TestGraphRunsAgain(t *testing.T) {
	c, m := device(t)
	s := newStream(t, c)
	f := function0(t, m, "increase")
	count := alloc(t, c, 4)
	out, word := hostWords(t, c, 1)
	check0(t, s.Set(count, 0, 4))
	check0(t, s.Synchronize())
	calls := 0
	record := func(by uint32) func() error {
		return func() error {
			return errors.Join(
				s.Launch(f, 1, 32, 0, Pointer(count), Uint32(by)),
				s.Call(func() { calls++ }),
				s.Launch(f, 1, 32, 0, Pointer(count), Uint32(10*by)),
				s.CopyOut(out.Bytes, count))
		}
	}
	g := must(s.Capture(record(1)))(t)
	x := must(g.Instantiate())(t)
	check0(t, g.Close()) // x goes on without it
	check0(t, s.Upload(x))
	for range 3 {
		check0(t, s.Run(x))
	}
	check0(t, s.Synchronize())
	if word[0] != 33 || calls != 3 {
		t.Errorf("after 3 runs %d and %d calls, want 33 and 3", word[0], calls)
	}

	g = must(s.Capture(record(100)))(t)
	if ok, err := x.Update(g); !ok || err != nil {
		t.Fatalf("Update: %v, %v", ok, err)
	}
	check0(t, g.Close())
	check0(t, s.Run(x))
	check0(t, s.Synchronize())
	if word[0] != 1133 || calls != 4 {
		t.Errorf("after the updated run %d and %d calls, want 1133 and 4", word[0], calls)
	}
	check0(t, x.Close())
}

func TestGraphUpdateRefusesOtherNodes(t *testing.T) {
	c, m := device(t)
	s := newStream(t, c)
	f := function0(t, m, "increase")
	count := alloc(t, c, 4)
	launch := func(n int) *Graph {
		g := must(s.Capture(func() error {
			for range n {
				if err := s.Launch(f, 1, 32, 0, Pointer(count), Uint32(1)); err != nil {
					return err
				}
			}
			return nil
		}))(t)
		t.Cleanup(func() { check0(t, g.Close()) })
		return g
	}
	x := must(launch(1).Instantiate())(t)
	if ok, err := x.Update(launch(2)); ok || err != nil {
		t.Errorf("Update with a further node: %v, %v", ok, err)
	}
	check0(t, s.Set(count, 0, 4))
	check0(t, s.Run(x)) // as it was
	var b [4]byte
	check0(t, s.CopyOut(b[:], count))
	if b[0] != 1 {
		t.Errorf("the graph that was not updated counts to %d", b[0])
	}
	check0(t, x.Close())
}

func TestGraphAcrossStreams(t *testing.T) {
	c, m := device(t)
	s, side := newStream(t, c), newStream(t, c)
	fork, join := newEvent(t, c, false), newEvent(t, c, false)
	f := function0(t, m, "increase")
	one, two := alloc(t, c, 4), alloc(t, c, 4)
	check0(t, s.Set(one, 0, 4))
	check0(t, s.Set(two, 0, 4))
	check0(t, s.Synchronize())
	g := must(s.Capture(func() error {
		err := errors.Join(s.Record(fork), side.Wait(fork),
			s.Launch(f, 1, 32, 0, Pointer(one), Uint32(1)),
			side.Launch(f, 1, 32, 0, Pointer(two), Uint32(2)),
			side.Record(join), s.Wait(join),
			s.CopyDevice(one, two, 4))
		if side.Call(func() {}) == nil {
			err = errors.Join(err, errors.New("a call was captured on another stream"))
		}
		return err
	}))(t)
	x := must(g.Instantiate())(t)
	check0(t, s.Run(x))
	check0(t, s.Run(x))
	var b [4]byte
	check0(t, s.CopyOut(b[:], one))
	if b[0] != 4 {
		t.Errorf("the first number is %d, want 4", b[0])
	}
	check0(t, g.Close())
	check0(t, x.Close())
}

// A capture that fails leaves the stream as it was.
func TestCaptureFailures(t *testing.T) {
	c, _ := device(t)
	s := newStream(t, c)
	p := alloc(t, c, 4)
	wrong := errors.New("wrong")
	if _, err := s.Capture(func() error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("error %v, want %v", err, wrong)
	}
	_, err := s.Capture(func() error { return s.CopyIn(p, []byte{1, 2, 3, 4}) })
	want := "cuMemcpyHtoDAsync: the call is not allowed while a stream is captured (CUDA error 900, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED)"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if _, err := s.Capture(s.Synchronize); err == nil {
		t.Error("a synchronisation was captured")
	}
	func() {
		defer func() { _ = recover() }() // ours
		_, _ = s.Capture(func() error { panic("in a capture") })
	}()
	check0(t, s.Set(p, 7, 4))
	var b [4]byte
	check0(t, s.CopyOut(b[:], p))
	if b != [4]byte{7, 7, 7, 7} {
		t.Errorf("after failed captures the stream copies %v", b)
	}
}

func TestGraphRunDoesNotAllocate(t *testing.T) {
	c, m := device(t)
	s := newStream(t, c)
	f := function0(t, m, "increase")
	count := alloc(t, c, 4)
	g := must(s.Capture(func() error { return s.Launch(f, 1, 32, 0, Pointer(count), Uint32(1)) }))(t)
	x := must(g.Instantiate())(t)
	if n := testing.AllocsPerRun(50, func() { check0(t, s.Run(x)) }); n != 0 {
		t.Errorf("Run allocates %v times", n)
	}
	check0(t, s.Synchronize())
	check0(t, x.Close())
	check0(t, g.Close())
}
