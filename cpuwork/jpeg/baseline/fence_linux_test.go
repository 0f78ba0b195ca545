package baseline

import (
	"runtime/debug"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newFence returns at least n bytes between two pages that fault when touched.
func newFence(t *testing.T, n int) []byte {
	t.Helper()
	page := unix.Getpagesize()
	inside := (n + page - 1) / page * page
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
	return whole[page : page+inside : page+inside]
}

// touches runs f and returns what it faulted on, or nil.
func touches(f func()) (fault any) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { fault = recover() }()
	f()
	return nil
}

func TestFenceFaults(t *testing.T) {
	skipUnsupported(t)
	inside := newFence(t, 64)
	var y [2 * chunk]int16
	if touches(func() { convertGray(&inside[len(inside)-1], 1, &y[0]) }) == nil {
		t.Fatal("reading the fence went unnoticed")
	}
}

// TestReadsPixelsOnly puts pixels against a page that must not be touched, at
// their end and at their start.
func TestReadsPixelsOnly(t *testing.T) {
	skipUnsupported(t)
	inside := newFence(t, 4*(4*600+5)*18)
	var e Encoder
	var out []byte
	for _, channels := range []int{1, 3, 4} {
		for _, w := range []int{1, 2, 15, 16, 63, 64, 65, 127, 128, 129, 192, 511, 512, 513, 576, 600} {
			for _, h := range []int{1, 2, 7, 8, 9, 16, 17, 18} {
				for _, gap := range []int{0, 5} {
					for _, o := range []Options{{90, true}, {90, false}} {
						stride := w*channels + gap
						n := stride*(h-1) + w*channels
						for _, pix := range [][]byte{inside[len(inside)-n:], inside[:n:n]} {
							m := Image{Pix: pix, Width: w, Height: h, Stride: stride, Channels: channels}
							if fault := touches(func() { out, _ = e.Append(out[:0], m, o) }); fault != nil {
								t.Fatalf("%v, %+v: %v", m, o, fault)
							}
						}
					}
				}
			}
		}
	}
}

// TestWritesRoomOnly gives the assembly outputs that end, or begin, at a page that
// must not be touched.
func TestWritesRoomOnly(t *testing.T) {
	skipUnsupported(t)
	dst, src := newFence(t, 1<<14), newFence(t, 1<<13)
	for n := 1; n < 300; n++ {
		for _, every := range []int{1, 2, 63, 64, 65, 1000} {
			from := src[len(src)-n-chunk+1:] // it may read that much more
			zeros := 0
			for i := range from {
				from[i] = byte(i % 255)
				if i%every == every-1 {
					from[i] = 0xff
				}
				if i < n && from[i] == 0xff {
					zeros++
				}
			}
			for _, to := range [][]byte{dst, dst[len(dst)-n-zeros-chunk:]} {
				written := 0
				if fault := touches(func() { written = stuff(&to[0], &from[0], n) }); fault != nil {
					t.Fatalf("stuff %d bytes: %v", n, fault)
				}
				if written != n+zeros {
					t.Fatalf("stuff %d bytes with %d times 0xff: %d written", n, zeros, written)
				}
			}
		}
	}
}

// TestAppendsWithinCapacity: whatever room dst has, nothing after it changes.
func TestAppendsWithinCapacity(t *testing.T) {
	skipUnsupported(t)
	var e Encoder
	for step, m := range map[int]Image{97: picture(noise, 150, 40, 3, 0, 1), 1: picture(smooth, 1, 30, 1, 0, 1)} {
		o := Options{Quality: 100}
		whole := encode(t, &e, m, o)
		backing := make([]byte, 2*len(whole)+2*chunk)
		for room := 0; room < len(backing); room += step {
			for i := range backing {
				backing[i] = 0xa5
			}
			if _, err := e.Append(backing[:0:room], m, o); err != nil {
				t.Fatal(err)
			}
			for i, b := range backing[room:] {
				if b != 0xa5 {
					t.Fatalf("%v: with room for %d of %d bytes, byte %d is written", m, room, len(whole), room+i)
				}
			}
		}
	}
}

// TestListsHaveRoom fills a segment with the blocks that make the most entries and
// the most bits, and has the lists end at a page that must not be touched.
func TestListsHaveRoom(t *testing.T) {
	skipUnsupported(t)
	values, kinds, out := newFence(t, 2*segmentEntries), newFence(t, segmentEntries), newFence(t, segmentBytes)
	values, kinds = values[len(values)-2*segmentEntries:], kinds[len(kinds)-segmentEntries:]
	out = out[len(out)-segmentBytes:]
	for _, list := range []struct {
		s    sampling
		list func(coefs *int16, mcus int, values *int16, kinds *byte, dc *int32) int
	}{{gray, listGray}, {full, listFull}, {quarter, listQuarter}} {
		for _, set := range []func(i int) bool{
			func(int) bool { return true },
			func(i int) bool { return i < 63 },     // and an end
			func(i int) bool { return i%17 == 16 }, // only runs of sixteen, and an end
			func(i int) bool { return i == 63 },    // the longest run
			func(i int) bool { return i%16 == 15 },
		} {
			var coefs [segmentBlocks][64]int16
			for b := range coefs {
				for i := range coefs[b] {
					if set(i) {
						coefs[b][i] = int16(1023 - 2046*((b+i)%2))
					}
				}
			}
			mcus, dc := segment/list.s.width(), [3]int32{}
			bytes := 0
			fault := touches(func() {
				entries := list.list(&coefs[0][0], mcus, (*int16)(unsafe.Pointer(&values[0])), &kinds[0], &dc[0])
				if most := 64 * list.s.blocks() * mcus; entries > most {
					t.Errorf("%d entries, more than %d", entries, most)
				}
				for i := range 15 {
					values[2*(entries+i)], values[2*(entries+i)+1], kinds[entries+i] = 0, 0, kindNothing
				}
				var bits bitWriter
				bytes = pack((*int16)(unsafe.Pointer(&values[0])), &kinds[0], ceil(entries, 16), &codes[0], &out[0], &bits.held, &bits.n)
			})
			if fault != nil || bytes+chunk > segmentBytes {
				t.Errorf("%v: %d of %d bytes, fault %v", list.s, bytes, segmentBytes, fault)
			}
		}
	}
}
