package baseline

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// benchPicture is what weft's benchmark of pools encodes.
func benchPicture(w, h, channels int) Image {
	pix := make([]byte, channels*w*h)
	noise := uint32(1)
	for y := range h {
		for x := range w {
			noise = noise*1664525 + 1013904223
			grain := float64(int(noise>>30) - 2)
			fx, fy := float64(x)/float64(w), float64(y)/float64(h)
			base := 128 + 90*math.Sin(7*fx+3*fy)
			if (x/61+y/47)%5 == 0 {
				base = 220 - base/2
			}
			for c := range channels {
				pix[channels*(y*w+x)+c] = byte(min(max(base+60*math.Cos(float64(c)+9*fx*fy)+grain, 0), 255))
			}
		}
	}
	return Image{Pix: pix, Width: w, Height: h, Stride: channels * w, Channels: channels}
}

var benchOptions = []Options{{85, true}, {85, false}, {97, true}}

// BenchmarkAppend is one core's work with everything that this machine has.
func BenchmarkAppend(b *testing.B) {
	for _, side := range [][2]int{{512, 512}, {1920, 1080}} {
		for _, channels := range []int{3, 4, 1} {
			for _, o := range benchOptions {
				m := benchPicture(side[0], side[1], channels)
				for name, e := range encoders() {
					b.Run(fmt.Sprintf("%dx%d/channels=%d/q%d/subsample=%v/%s", m.Width, m.Height, channels, o.Quality, o.Subsample, name), func(b *testing.B) {
						b.SetBytes(int64(len(m.Pix)))
						var out []byte
						for b.Loop() {
							out, _ = e.Append(out[:0], m, o)
						}
					})
				}
			}
		}
	}
}

// BenchmarkAgainstTurbo takes turns with libturbojpeg. Times are processor time:
// us and turbo_us are the shortest of all rounds' means for one image, of_turbo the
// median of the rounds' ratios.
func BenchmarkAgainstTurbo(b *testing.B) {
	for _, side := range [][2]int{{512, 512}, {1920, 1080}} {
		for _, channels := range []int{3, 4, 1} {
			for _, o := range benchOptions {
				b.Run(fmt.Sprintf("%dx%d/channels=%d/q%d/subsample=%v", side[0], side[1], channels, o.Quality, o.Subsample), func(b *testing.B) {
					m, theirs := benchPicture(side[0], side[1], channels), turbo(b)
					var e Encoder
					var out []byte
					count := 1 + 10_000_000/(m.Width*m.Height)
					var ratios, us, turboUs []float64
					for b.Loop() {
						for range 11 {
							a := processorTime(b, count, func() { theirs(m, o) })
							c := processorTime(b, count, func() { out, _ = e.Append(out[:0], m, o) })
							ratios, us, turboUs = append(ratios, a/c), append(us, c), append(turboUs, a)
						}
					}
					slices.Sort(ratios)
					b.ReportMetric(ratios[len(ratios)/2], "of_turbo")
					b.ReportMetric(slices.Min(us), "us")
					b.ReportMetric(slices.Min(turboUs), "turbo_us")
				})
			}
		}
	}
}

// processorTime is what one of count calls takes, in microseconds.
func processorTime(b *testing.B, count int, f func()) float64 {
	now := func() time.Duration {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
			b.Fatal(err)
		}
		return time.Duration(ts.Nano())
	}
	begin := now()
	for range count {
		f()
	}
	return float64((now() - begin).Nanoseconds()) / 1000 / float64(count)
}
