package simd

import (
	"math/rand/v2"
	"runtime/debug"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fence is memory between two pages that fault when touched.
type fence struct {
	x []float32
}

// newFence returns room for at least n elements, fenced on both sides.
func newFence(t *testing.T, n int) fence {
	t.Helper()
	page := unix.Getpagesize()
	inside := (4*n + page - 1) / page * page
	whole, err := unix.Mmap(-1, 0, inside+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatalf("map fenced memory: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(whole); err != nil {
			t.Errorf("unmap fenced memory: %v", err)
		}
	})
	for _, edge := range [][]byte{whole[:page], whole[page+inside:]} {
		if err := unix.Mprotect(edge, unix.PROT_NONE); err != nil {
			t.Fatalf("protect fence: %v", err)
		}
	}
	return fence{unsafe.Slice((*float32)(unsafe.Pointer(&whole[page])), inside/4)}
}

// slice returns n elements that touch the upper fence, or else the lower one.
func (f fence) slice(n int, upper bool) []float32 {
	if upper {
		return f.x[len(f.x)-n:]
	}
	return f.x[:n]
}

// touches runs f and returns what it faulted on, or nil.
func touches(f func()) (fault any) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { fault = recover() }()
	f()
	return nil
}

func TestFenceFaults(t *testing.T) {
	f := newFence(t, 10)
	beyond := unsafe.Slice(&f.slice(1, true)[0], 2)
	if touches(func() { For(Portable).Scale(beyond, 2) }) == nil {
		t.Fatal("touching the fence went unnoticed")
	}
}

// TestGemmStaysInside puts every matrix against a page that must not be touched,
// at its end and at its start.
func TestGemmStaysInside(t *testing.T) {
	const most = 42 * 42
	a, b, c := newFence(t, most), newFence(t, most), newFence(t, most)
	scratch := newFence(t, NTScratch(40, 40))
	r := rand.New(rand.NewPCG(4, 4))
	for _, op := range ops {
		for m := 1; m <= 13; m++ {
			for n := 1; n <= 40; n++ {
				for _, k := range []int{1, 2, 7, 8, 9, 15, 16, 17, 31, 33} {
					p := newProduct(op, r.IntN(2) == 0, m, n, k, [3]int{r.IntN(2), r.IntN(2), r.IntN(2)})
					upper := r.IntN(2) == 0
					p.a.x, p.b.x = a.slice(len(p.a.x), upper), b.slice(len(p.b.x), upper)
					p.c.x, p.scratch.x = c.slice(len(p.c.x), upper), scratch.slice(len(p.scratch.x), upper)
					for _, level := range Levels() {
						if fault := touches(func() { p.run(For(level)) }); fault != nil {
							t.Fatalf("%v %s %d×%d×%d: %v", level, op, m, n, k, fault)
						}
					}
				}
			}
		}
	}
}

func TestVectorsStayInside(t *testing.T) {
	fences := make([]fence, 5)
	for i := range fences {
		fences[i] = newFence(t, 200)
	}
	check := func(name string, level Level, n int, f func(v [][]float32)) {
		for _, upper := range []bool{false, true} {
			v := make([][]float32, len(fences))
			for i := range v {
				v[i] = fences[i].slice(n, upper)
			}
			if fault := touches(func() { f(v) }); fault != nil {
				t.Fatalf("%s at %v of %d elements: %v", name, level, n, fault)
			}
		}
	}
	for _, level := range Levels() {
		k := For(level)
		for n := range 150 {
			for _, kernel := range vectorKernels() {
				check(kernel.name, level, n, func(v [][]float32) { kernel.run(k, v) })
			}
			check("reductions", level, n, func(v [][]float32) {
				if sum := k.Sum(v[0]) + k.SumSquares(v[1]) + k.Dot(v[2], v[3]); sum != sum {
					t.Errorf("sum of %d numbers is NaN", n)
				}
			})
		}
	}
}

func TestRowKernelsStayInside(t *testing.T) {
	x, v := newFence(t, 3*150), newFence(t, 150)
	for _, level := range Levels() {
		for cols := 1; cols <= 150; cols++ {
			for _, kernel := range rowKernels {
				for _, upper := range []bool{false, true} {
					run := func() { kernel.run(For(level), 3, cols, x.slice(3*cols, upper), v.slice(cols, upper)) }
					if fault := touches(run); fault != nil {
						t.Fatalf("%s at %v of 3×%d: %v", kernel.name, level, cols, fault)
					}
				}
			}
		}
	}
}
