package jpeg

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/cpuwork"
)

// photo are pixels with smooth areas, edges and some noise: RGB or RGBX.
func photo(w, h, channels int) []byte {
	pix := make([]byte, w*h*channels)
	noise := uint32(1)
	for y := range h {
		for x := range w {
			noise = noise*1664525 + 1013904223
			n := int(noise>>30) - 2
			fx, fy := float64(x)/float64(w), float64(y)/float64(h)
			p := pix[(y*w+x)*channels:]
			base := 128 + 90*math.Sin(7*fx+3*fy)
			if (x/61+y/47)%5 == 0 {
				base = 220 - base/2
			}
			for c := range channels {
				p[c] = clamp(int32(base+60*math.Cos(float64(c)+9*fx*fy)) + int32(n))
			}
		}
	}
	return pix
}

var benchSizes = []struct {
	name string
	w, h int
}{{"512x512", 512, 512}, {"1080p", 1920, 1080}}

// BenchmarkEncode is one core's work on q85, 4:2:0, with each encoder.
func BenchmarkEncode(b *testing.B) {
	for _, s := range benchSizes {
		for _, channels := range []int{3, 4} {
			for _, name := range []string{EncoderAVX512, EncoderTurbo, EncoderJpegn, EncoderStd} {
				b.Run(fmt.Sprintf("%s/channels=%d/%s", s.name, channels, filepath.Base(name)), func(b *testing.B) {
					do, item := encodeWork(b, name, s.w, s.h, channels)
					out := benchOne(b, do, item, nil)
					b.ResetTimer()
					for range b.N {
						out = benchOne(b, do, item, out[:0])
					}
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
				})
			}
		}
	}
}

func encodeWork(tb testing.TB, encoder string, w, h, channels int) (cpuwork.Func, []byte) {
	tb.Helper()
	skipWithout(tb, encoder)
	params, err := json.Marshal(Encoding{Encoder: encoder})
	if err != nil {
		tb.Fatal(err)
	}
	do, err := EncodeWork.New(params)
	if err != nil {
		tb.Fatal(err)
	}
	item, err := AppendPixels(nil, w, h, channels, photo(w, h, channels))
	if err != nil {
		tb.Fatal(err)
	}
	return do, item
}

func benchOne(b *testing.B, do cpuwork.Func, item, out []byte) []byte {
	out, err := do(b.Context(), item, out)
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// BenchmarkAgainstC takes turns with a C program that calls libturbojpeg in a loop:
// of_c is the median of the rounds' ratios of processor time, 1 being C's speed.
func BenchmarkAgainstC(b *testing.B) {
	for _, s := range benchSizes {
		for _, channels := range []int{3, 4} {
			for _, encoder := range []string{EncoderAVX512, EncoderTurbo} {
				b.Run(fmt.Sprintf("%s/channels=%d/%s", s.name, channels, encoder), func(b *testing.B) {
					do, item := encodeWork(b, encoder, s.w, s.h, channels)
					c := startC(b, s.w, s.h, channels, item[pixelsHeader:])
					compare(b, func(n int) time.Duration { return c.run(b, n) }, "of_c", processorTime, func(count int) { runOne(b, do, item, count) })
				})
			}
		}
	}
}

// BenchmarkAgainstStd is jpegn's work against the standard library's, from the same
// RGBX pixels, in processor time.
func BenchmarkAgainstStd(b *testing.B) {
	for _, s := range benchSizes {
		b.Run(s.name, func(b *testing.B) {
			do, item := encodeWork(b, EncoderJpegn, s.w, s.h, 4)
			std, _ := encodeWork(b, EncoderStd, s.w, s.h, 4)
			compare(b, func(count int) time.Duration {
				begin := processorTime()
				runOne(b, std, item, count)
				return processorTime() - begin
			}, "of_std", processorTime, func(count int) { runOne(b, do, item, count) })
		})
	}
}

// BenchmarkAgainstPillow is two workers' work, against two of Pillow's threads and
// two of its processes, from the same RGB pixels.
func BenchmarkAgainstPillow(b *testing.B) {
	for _, encoder := range []string{EncoderAVX512, EncoderTurbo, EncoderJpegn} {
		for _, s := range benchSizes {
			for _, kind := range []string{"threads", "processes"} {
				b.Run(fmt.Sprintf("%s/%s/%s", encoder, s.name, kind), func(b *testing.B) {
					do, item := encodeWork(b, encoder, s.w, s.h, 3)
					second, _ := encodeWork(b, encoder, s.w, s.h, 3)
					p := startPillow(b, s.w, s.h, kind, item[pixelsHeader:])
					compare(b, func(n int) time.Duration { return p.run(b, n) }, "of_pillow", wallTime, func(count int) {
						var both sync.WaitGroup
						for _, do := range []cpuwork.Func{do, second} {
							both.Go(func() { runOne(b, do, item, count/2) })
						}
						both.Wait()
					})
				})
			}
		}
	}
}

func runOne(b *testing.B, do cpuwork.Func, item []byte, count int) {
	var out []byte
	for range count {
		var err error
		if out, err = do(b.Context(), item, out[:0]); err != nil {
			b.Error(err)
			return
		}
	}
}

// A peer is a program that encodes as many pictures as it is told to.
type peer struct {
	in  interface{ Write([]byte) (int, error) }
	out *bufio.Reader
}

func (p peer) run(tb testing.TB, count int) time.Duration {
	tb.Helper()
	if _, err := fmt.Fprintln(p.in, count); err != nil {
		tb.Fatal(err)
	}
	var ns, size int64
	if _, err := fmt.Fscan(p.out, &ns, &size); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(ns)
}

func startPeer(tb testing.TB, pixels []byte, argv ...string) peer {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), argv[0], argv[1:]...) // #nosec G204 -- our own programs
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // its answers were checked
	})
	if _, err := in.Write(pixels); err != nil {
		tb.Fatal(err)
	}
	return peer{in: in, out: bufio.NewReader(out)}
}

func startC(tb testing.TB, w, h, channels int, pixels []byte) peer {
	tb.Helper()
	bin := filepath.Join(tb.TempDir(), "turbo_loop")
	if out, err := exec.CommandContext(tb.Context(), "gcc", "-O2", "-o", bin, "testdata/turbo_loop.c", "-lturbojpeg").CombinedOutput(); err != nil {
		tb.Skipf("no gcc or no turbojpeg.h: %v: %s", err, out)
	}
	return startPeer(tb, pixels, bin, strconv.Itoa(w), strconv.Itoa(h), strconv.Itoa(channels), "85")
}

func startPillow(tb testing.TB, w, h int, kind string, pixels []byte) peer {
	tb.Helper()
	if err := exec.CommandContext(tb.Context(), "python3", "-c", "import PIL").Run(); err != nil {
		tb.Skip("no Pillow:", err)
	}
	return startPeer(tb, pixels, "python3", "testdata/pillow_loop.py", strconv.Itoa(w), strconv.Itoa(h), "2", kind)
}

// compare lets the two take turns on rounds of some 50 ms and reports the median
// of the peer's time over ours.
func compare(b *testing.B, peer func(count int) time.Duration, unit string, now func() time.Duration, ours func(count int)) {
	const rounds = 21
	peer(4)
	ours(4)
	count := max(4, int(50*time.Millisecond/max(peer(8)/8, 1))) &^ 1
	var ratios [rounds]float64
	var mine time.Duration
	for b.Loop() {
		for i := range ratios {
			theirs := peer(count)
			begin := now()
			ours(count)
			took := now() - begin
			mine += took
			ratios[i] = theirs.Seconds() / took.Seconds()
		}
	}
	b.ReportMetric(median(ratios[:]), unit)
	b.ReportMetric(float64(rounds*count*b.N)/mine.Seconds(), "images/s")
}

var start = time.Now()

func wallTime() time.Duration { return time.Since(start) }

// processorTime is the whole process's, as the C program takes it: what others do
// on the same cores counts for neither.
func processorTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
