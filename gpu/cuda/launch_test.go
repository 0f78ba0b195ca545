//go:build cuda

package cuda

import (
	"encoding/binary"
	"math"
	"os"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLaunchAdds(t *testing.T) {
	c, m := device(t)
	s := newStream(t, c)
	const n = 1000
	x, y := make([]float32, n), make([]float32, n)
	for i := range x {
		x[i], y[i] = float32(i), 1
	}
	dx, dy := alloc(t, c, 4*n), alloc(t, c, 4*n)
	check0(t, s.CopyIn(dx, floats(x...)))
	check0(t, s.CopyIn(dy, floats(y...)))
	check0(t, s.Launch(function0(t, m, "add"), 4, 256, 0, Pointer(dx), Pointer(dy), Uint32(n), Float32(2)))
	out := make([]byte, 4*n)
	check0(t, s.CopyOut(out, dy))
	for i := range n {
		if got, want := float(out, i), 2*float32(i)+1; got != want {
			t.Fatalf("y[%d] = %v, want %v", i, got, want)
		}
	}
}

func TestLaunchScalars(t *testing.T) {
	c, m := device(t)
	s := newStream(t, c)
	p := alloc(t, c, 48)
	check0(t, s.Launch(function0(t, m, "scalars"), 1, 32, 0, Pointer(p), Int32(-5), Uint32(1<<31+3),
		Int64(-1<<40), Uint64(1<<63+9), Float32(-1.5), Float64(math.Pi)))
	b := make([]byte, 48)
	check0(t, s.CopyOut(b, p))
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	if int64(word(0)) != -5 || word(1) != 1<<31+3 || int64(word(2)) != -1<<40 || word(3) != 1<<63+9 ||
		float(b, 8) != -1.5 || math.Float64frombits(word(5)) != math.Pi {
		t.Errorf("the kernel was given %x", b)
	}
}

func TestLaunchStruct(t *testing.T) {
	c, m := device(t)
	s := newStream(t, c)
	p := alloc(t, c, 88)
	big := make([]byte, 80)
	for i := range 20 {
		binary.LittleEndian.PutUint32(big[4*i:], uint32(100+i))
	}
	check0(t, s.Launch(function0(t, m, "structs"), 1, 32, 0, Pointer(p), Uint32(7), Bytes(big), Uint32(9)))
	clear(big) // taken already
	b := make([]byte, 88)
	check0(t, s.CopyOut(b, p))
	for i, want := range []uint32{100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115, 116, 117, 118, 119, 7, 9} {
		if got := binary.LittleEndian.Uint32(b[4*i:]); got != want {
			t.Errorf("word %d = %d, want %d", i, got, want)
		}
	}
}

func TestLaunchManyParameters(t *testing.T) {
	c, m := device(t)
	s := newStream(t, c)
	p := alloc(t, c, 72)
	args := []Arg{Pointer(p)}
	for i := range 18 {
		args = append(args, Uint32(uint32(i+200)))
	}
	check0(t, s.Launch(function0(t, m, "many"), 1, 32, 0, args...))
	b := make([]byte, 72)
	check0(t, s.CopyOut(b, p))
	for i := range 18 {
		if got := binary.LittleEndian.Uint32(b[4*i:]); got != uint32(i+200) {
			t.Errorf("word %d = %d, want %d", i, got, i+200)
		}
	}
}

func TestLaunchTooLargeParameters(t *testing.T) {
	c, m := device(t)
	s := newStream(t, c)
	err := s.Launch(function0(t, m, "structs"), 1, 32, 0, Bytes(make([]byte, 1<<20)))
	want := "cuLaunchKernel: a parameter is out of range (CUDA error 1, CUDA_ERROR_INVALID_VALUE)"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestDynamicShared(t *testing.T) {
	c, m := device(t)
	s := newStream(t, c)
	f := function0(t, m, "reverse")
	bytes := c.Info().SharedBytes
	if bytes <= 48<<10 {
		t.Fatalf("a block may have %d bytes of shared memory", bytes)
	}
	check0(t, f.SetDynamicShared(bytes))
	if err := f.SetDynamicShared(bytes + 1); err == nil {
		t.Errorf("%d bytes of shared memory are allowed, of %d", bytes+1, bytes)
	}
	if n := must(f.BlocksPerSM(256, bytes))(t); n != 1 {
		t.Errorf("%d blocks with all of the shared memory run at once", n)
	}
	if n := must(f.BlocksPerSM(256, 1<<10))(t); n < 2 {
		t.Errorf("%d blocks with 1 KiB of shared memory run at once", n)
	}
	a := must(f.Attributes())(t)
	if a.MaxThreads < 64 || a.Registers < 1 {
		t.Errorf("attributes %+v", a)
	}
	x, y := alloc(t, c, 256), alloc(t, c, 256)
	values := make([]float32, 64)
	for i := range values {
		values[i] = float32(i)
	}
	check0(t, s.CopyIn(x, floats(values...)))
	check0(t, s.Launch(f, 1, 64, bytes, Pointer(x), Pointer(y)))
	out := make([]byte, 256)
	check0(t, s.CopyOut(out, y))
	for i := range 64 {
		if float(out, i) != float32(63-i) {
			t.Fatalf("out[%d] = %v", i, float(out, i))
		}
	}
}

// What a scheduler does every few milliseconds leaves the garbage collector alone.
func TestHotCallsDoNotAllocate(t *testing.T) {
	c, m := device(t)
	s := newStream(t, c)
	e := newEvent(t, c, false)
	f := function0(t, m, "increase")
	count := alloc(t, c, 4)
	h, _ := hostWords(t, c, 1)
	for name, call := range map[string]func() error{
		"Launch":      func() error { return s.Launch(f, 1, 32, 0, Pointer(count), Uint32(1)) },
		"Record":      func() error { return s.Record(e) },
		"Wait":        func() error { return s.Wait(e) },
		"CopyOut":     func() error { return s.CopyOut(h.Bytes, count) },
		"Query":       func() error { _, err := s.Query(); return err },
		"Event.Query": func() error { _, err := e.Query(); return err },
		"Bind":        c.Bind,
		"Synchronize": s.Synchronize,
	} {
		n := testing.AllocsPerRun(50, func() {
			if err := call(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		})
		if n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
	check0(t, s.Synchronize())
}

func TestIllegalAddressIsFatal(t *testing.T) {
	device(t) // or skip
	a := ask(t, "stray", os.Getenv(DriverVariable), imageVariable+"="+imageFile)
	want := answer{
		Message: "cuStreamSynchronize: a kernel used an illegal address (CUDA error 700, CUDA_ERROR_ILLEGAL_ADDRESS)",
		Fatal:   "a kernel read or wrote outside its memory",
	}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Error(diff)
	}
}

// What a call costs the host. With WEFT_CUDA_TEST=fake, against a driver that
// does nothing, it is this package's own share.
func BenchmarkCalls(b *testing.B) {
	c, m := device(b)
	s := newStream(b, c)
	e := newEvent(b, c, false)
	increase, structs := function0(b, m, "increase"), function0(b, m, "structs")
	p := alloc(b, c, 88)
	big := make([]byte, 80)
	for _, call := range []struct {
		name string
		f    func() error
	}{
		{"launch", func() error { return s.Launch(increase, 1, 32, 0, Pointer(p), Uint32(1)) }},
		{"launch struct", func() error { return s.Launch(structs, 1, 32, 0, Pointer(p), Uint32(7), Bytes(big), Uint32(9)) }},
		{"record", func() error { return s.Record(e) }},
		{"query", func() error { _, err := e.Query(); return err }},
		{"bind", c.Bind},
	} {
		b.Run(call.name, func(b *testing.B) {
			runtime.LockOSThread() // for good
			check0(b, c.Bind())
			b.ReportAllocs()
			for b.Loop() {
				if err := call.f(); err != nil {
					b.Fatal(err)
				}
			}
			check0(b, s.Synchronize())
		})
	}
}
