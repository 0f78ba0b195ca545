//go:build cuda

package cuda

import (
	"bytes"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// held launches a kernel on the stream that runs until the returned function is
// called, and counts to 1 in count.
func held(t *testing.T, c *Context, m *Module, s *Stream, count Ptr) (release func()) {
	t.Helper()
	flag, word := hostWords(t, c, 1)
	check0(t, s.Launch(function0(t, m, "wait_for"), 1, 1, 0, Pointer(flag.Device), Pointer(count)))
	release = sync.OnceFunc(func() { *(*uint32)(unsafe.Pointer(&word[0])) = 1 })
	t.Cleanup(func() { release(); check0(t, s.Synchronize()) })
	return release
}

func TestStreamIsAsynchronous(t *testing.T) {
	c, m := device(t)
	s := newStream(t, c)
	count := alloc(t, c, 4)
	check0(t, s.Set(count, 0, 4))
	out, word := hostWords(t, c, 1)
	release := held(t, c, m, s, count)
	check0(t, s.CopyOut(out.Bytes, count))
	if done, err := s.Query(); done || err != nil {
		t.Fatalf("while its kernel runs the stream is done: %v, %v", done, err)
	}
	release()
	check0(t, s.Synchronize())
	if done, err := s.Query(); !done || err != nil {
		t.Fatalf("after Synchronize the stream is done: %v, %v", done, err)
	}
	if word[0] != 1 {
		t.Errorf("copied %d, want 1", word[0])
	}
}

func TestEventsOrderStreams(t *testing.T) {
	c, m := device(t)
	first, second := newStream(t, c), newStream(t, c)
	e := newEvent(t, c, false)
	if done, err := e.Query(); !done || err != nil {
		t.Fatalf("an event that was never recorded is passed: %v, %v", done, err)
	}
	count := alloc(t, c, 4)
	check0(t, first.Set(count, 0, 4))
	release := held(t, c, m, first, count)
	check0(t, first.Record(e))
	check0(t, second.Wait(e))
	out, word := hostWords(t, c, 1)
	check0(t, second.CopyOut(out.Bytes, count))
	if done, err := e.Query(); done || err != nil {
		t.Fatalf("while its stream runs the event is passed: %v, %v", done, err)
	}
	if done, err := second.Query(); done || err != nil {
		t.Fatalf("the stream that waits is done: %v, %v", done, err)
	}
	release()
	check0(t, e.Synchronize())
	check0(t, second.Synchronize())
	if word[0] != 1 {
		t.Errorf("copied %d, want 1", word[0])
	}
}

func TestElapsed(t *testing.T) {
	c, m := device(t)
	s := newStream(t, c)
	from, to, plain := newEvent(t, c, true), newEvent(t, c, true), newEvent(t, c, false)
	count := alloc(t, c, 4)
	check0(t, s.Record(from))
	check0(t, s.Launch(function0(t, m, "increase"), 1, 1, 0, Pointer(count), Uint32(1)))
	check0(t, s.Record(to))
	check0(t, s.Record(plain))
	check0(t, s.Synchronize())
	if d := must(Elapsed(from, to))(t); d < 0 {
		t.Errorf("elapsed %v", d)
	}
	if _, err := Elapsed(from, plain); err == nil {
		t.Error("the time of an event without timing")
	}
}

func TestSetAndCopyDevice(t *testing.T) {
	c, _ := device(t)
	s := newStream(t, c)
	p := alloc(t, c, 100)
	check0(t, s.Set(p, 1, 100))
	check0(t, s.Set(p+50, 2, 10))
	check0(t, s.CopyDevice(p+80, p+45, 10))
	got := make([]byte, 100)
	check0(t, s.CopyOut(got, p))
	want := slices.Concat(bytes.Repeat([]byte{1}, 50), bytes.Repeat([]byte{2}, 10), bytes.Repeat([]byte{1}, 25),
		bytes.Repeat([]byte{2}, 5), bytes.Repeat([]byte{1}, 10))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	check0(t, s.CopyIn(p, nil))
	check0(t, s.CopyOut(nil, p))
}

func TestHostMemoryIsMapped(t *testing.T) {
	c, m := device(t)
	s := newStream(t, c)
	h, words := hostWords(t, c, 2)
	check0(t, s.Launch(function0(t, m, "increase"), 1, 1, 0, Pointer(h.Device+4), Uint32(5)))
	check0(t, s.Synchronize())
	if words[0] != 0 || words[1] != 5 {
		t.Errorf("the host sees %v", words)
	}
}

// isPinned finds exactly the ranges that lie in one span.
func TestIsPinned(t *testing.T) {
	memory := make([]byte, 1000)
	base := uintptr(unsafe.Pointer(&memory[0]))
	rapid.Check(t, func(t *rapid.T) {
		var c Context
		at := 0
		var inside [1001]int // 0: outside; else number of the span
		var spans []span
		for n := 1; ; n++ {
			at += rapid.IntRange(0, 50).Draw(t, "gap")
			size := rapid.IntRange(1, 100).Draw(t, "size")
			if at+size > 1000 {
				break
			}
			s := span{base + uintptr(at), base + uintptr(at+size)}
			c.pin(s)
			spans = append(spans, s)
			for i := range size {
				inside[at+i] = n
			}
			at += size
		}
		if len(spans) > 1 && rapid.Bool().Draw(t, "unpin") {
			s := rapid.SampledFrom(spans).Draw(t, "span")
			c.unpin(s.first)
			for i := s.first - base; i < s.end-base; i++ {
				inside[i] = 0
			}
		}
		first := rapid.IntRange(0, 999).Draw(t, "first")
		end := rapid.IntRange(first+1, 1000).Draw(t, "end")
		want := inside[first] != 0 && inside[first] == inside[end-1]
		if got := c.isPinned(memory[first:end]); got != want {
			t.Errorf("isPinned(%d:%d) = %v, want %v", first, end, got, want)
		}
	})
	runtime.KeepAlive(memory)
}

func TestCallRunsInOrder(t *testing.T) {
	c, m := device(t)
	s := newStream(t, c)
	count := alloc(t, c, 4)
	check0(t, s.Set(count, 0, 4))
	out, word := hostWords(t, c, 1)
	release := held(t, c, m, s, count)
	check0(t, s.CopyOut(out.Bytes, count))
	called := make(chan uint32, 2)
	check0(t, s.Call(func() { called <- word[0] }))
	check0(t, s.Call(func() { called <- 77 }))
	select {
	case v := <-called:
		t.Fatalf("called with %d while the work before it runs", v)
	default:
	}
	release()
	check0(t, s.Synchronize())
	if a, b := <-called, <-called; a != 1 || b != 77 {
		t.Errorf("the calls saw %d and %d, want 1 and 77", a, b)
	}
}

func TestAsyncMemory(t *testing.T) {
	c, m := device(t)
	s := newStream(t, c)
	check0(t, c.KeepFreed(1<<20))
	p := must(s.AllocAsync(4))(t)
	check0(t, s.Set(p, 0, 4))
	check0(t, s.Launch(function0(t, m, "increase"), 1, 1, 0, Pointer(p), Uint32(3)))
	var b [4]byte
	check0(t, s.CopyOut(b[:], p))
	if b[0] != 3 {
		t.Errorf("the memory has %v", b)
	}
	if used, reserved, err := c.PoolUse(); err != nil || used < 4 || reserved < used {
		t.Errorf("the pool uses %d of %d bytes, %v", used, reserved, err)
	}
	check0(t, s.FreeAsync(p))
	check0(t, s.Synchronize())
	check0(t, c.TrimPool(0))
	if used, reserved, err := c.PoolUse(); err != nil || used != 0 || reserved != 0 {
		t.Errorf("the trimmed pool uses %d of %d bytes, %v", used, reserved, err)
	}
}

func TestOutOfMemory(t *testing.T) {
	c, _ := device(t)
	_, total, err := c.MemInfo()
	check0(t, err)
	_, err = c.Alloc(2 * total)
	if !IsOutOfMemory(err) || IsFatal(err) {
		t.Errorf("twice the memory: %v, out of memory %v, fatal %v", err, IsOutOfMemory(err), IsFatal(err))
	}
	alloc(t, c, 1<<20) // the context goes on
}

func TestModuleErrors(t *testing.T) {
	c, m := device(t)
	_, err := m.Function("nothing")
	if want := "cuModuleGetFunction nothing: not found (CUDA error 500, CUDA_ERROR_NOT_FOUND)"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	_, err = c.Load([]byte("no kernels"))
	var e *Error
	if !errors.As(err, &e) || e.Call != "cuModuleLoadDataEx" || IsFatal(err) {
		t.Errorf("an image that is none: %v", err)
	}
}

func TestStreamPriorities(t *testing.T) {
	c, _ := device(t)
	least, greatest, err := c.PriorityRange()
	check0(t, err)
	if greatest > least {
		t.Fatalf("priorities from %d to %d", least, greatest)
	}
	s := must(c.NewStream(greatest))(t)
	check0(t, s.Close())
}

// Closed objects refuse, and above all do not fall back on the default stream.
func TestClosedObjects(t *testing.T) {
	c, m := device(t)
	s, e := newStream(t, c), newEvent(t, c, true)
	f := function0(t, m, "increase")
	p := alloc(t, c, 4)
	g := must(s.Capture(func() error { return s.Set(p, 0, 4) }))(t)
	x := must(g.Instantiate())(t)
	other := newStream(t, c)
	for range 2 {
		check0(t, x.Close())
		check0(t, g.Close())
		check0(t, e.Close())
		check0(t, s.Close())
	}
	for name, call := range map[string]func() error{
		"Launch":            func() error { return s.Launch(f, 1, 1, 0, Pointer(p), Uint32(1)) },
		"CopyIn":            func() error { return s.CopyIn(p, make([]byte, 4)) },
		"CopyOut":           func() error { return s.CopyOut(make([]byte, 4), p) },
		"CopyDevice":        func() error { return s.CopyDevice(p, p, 4) },
		"Set":               func() error { return s.Set(p, 0, 4) },
		"Synchronize":       s.Synchronize,
		"Query":             func() error { _, err := s.Query(); return err },
		"Call":              func() error { return s.Call(func() {}) },
		"AllocAsync":        func() error { _, err := s.AllocAsync(4); return err },
		"FreeAsync":         func() error { return s.FreeAsync(p) },
		"Capture":           func() error { _, err := s.Capture(func() error { return nil }); return err },
		"Record":            func() error { return other.Record(e) },
		"Wait":              func() error { return other.Wait(e) },
		"Event.Synchronize": e.Synchronize,
		"Event.Query":       func() error { _, err := e.Query(); return err },
		"Elapsed":           func() error { _, err := Elapsed(e, e); return err },
		"Run":               func() error { return other.Run(x) },
		"Upload":            func() error { return other.Upload(x) },
		"Instantiate":       func() error { _, err := g.Instantiate(); return err },
		"Update":            func() error { _, err := x.Update(g); return err },
	} {
		var failure *Error
		if err := call(); !errors.As(err, &failure) || failure.Code != 400 || !strings.HasPrefix(failure.Call, "cu") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestContextClose(t *testing.T) {
	if _, m := device(t); m == nil {
		t.Fatal("no device")
	}
	c := must(Open(0))(t)
	s, e := must(c.NewStream(0))(t), must(c.NewEvent(false))(t)
	h := must(c.AllocHost(64))(t)
	p := must(c.Alloc(64))(t)
	err := c.Close()
	want := "close context of GPU 0: not closed before it: 1 allocations, 1 host allocations, 1 streams, 1 events"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	for _, err := range []error{c.Close(), s.Close(), e.Close(), h.Free(), c.Free(p)} {
		check0(t, err)
	}
	for name, err := range map[string]error{"Bind": c.Bind(), "Set": s.Set(p, 0, 1), "Wait": s.Wait(e)} {
		var failure *Error
		if !errors.As(err, &failure) || failure.Code != 400 {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}

// Every goroutine has its thread, its streams and its share of the memory.
func TestThreads(t *testing.T) {
	c, m := device(t)
	f := function0(t, m, "increase")
	const threads, launches = 8, 50
	results := make([]uint32, threads)
	errs := make([]error, threads)
	var all sync.WaitGroup
	for i := range threads {
		all.Go(func() {
			runtime.LockOSThread()
			results[i], errs[i] = countTo(c, f, launches)
		})
	}
	all.Wait()
	for i := range threads {
		if errs[i] != nil || results[i] != launches {
			t.Errorf("thread %d counted to %d, %v", i, results[i], errs[i])
		}
	}
}

// countTo increases a number n times on a stream of its own.
func countTo(c *Context, f *Function, n int) (uint32, error) {
	if err := c.Bind(); err != nil {
		return 0, err
	}
	s, err := c.NewStream(0)
	if err != nil {
		return 0, err
	}
	h, err := c.AllocHost(4)
	if err != nil {
		return 0, err
	}
	clear(h.Bytes)
	for range n {
		err = errors.Join(err, s.Launch(f, 1, 32, 0, Pointer(h.Device), Uint32(1)))
	}
	err = errors.Join(err, s.Synchronize())
	v := *(*uint32)(unsafe.Pointer(&h.Bytes[0]))
	return v, errors.Join(err, s.Close(), h.Free())
}

func TestCopyOfFloats(t *testing.T) {
	c, _ := device(t)
	s := newStream(t, c)
	rapid.Check(t, func(t2 *rapid.T) {
		values := rapid.SliceOfN(rapid.Float32(), 1, 300).Draw(t2, "values")
		p := must(c.Alloc(int64(4 * len(values))))(t)
		check0(t, s.CopyIn(p, floats(values...)))
		out := make([]byte, 4*len(values))
		check0(t, s.CopyOut(out, p))
		check0(t, c.Free(p))
		for i, v := range values {
			if math.Float32bits(float(out, i)) != math.Float32bits(v) {
				t2.Fatalf("value %d: %v, want %v", i, float(out, i), v)
			}
		}
	})
}
