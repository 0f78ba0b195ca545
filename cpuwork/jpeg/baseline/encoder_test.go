package baseline

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Contents of the pictures that are compared.
const (
	noise     = iota // every byte
	extremes         // bytes 0 and 255 only
	saturated        // squares of pure colours
	smooth
	photo  // smooth with edges and grain
	sparse // gray with single points: long runs of zeros
	contents
)

// picture makes pixels with gaps of random bytes between the rows.
func picture(content, w, h, channels, gap int, seed uint64) Image {
	r := rand.New(rand.NewPCG(seed, 1))
	m := Image{Width: w, Height: h, Channels: channels, Stride: w*channels + gap}
	m.Pix = make([]byte, m.Stride*(h-1)+w*channels)
	for i := range m.Pix {
		m.Pix[i] = byte(r.Uint32())
	}
	phase, side := r.Float64()*7, 1+r.IntN(20)
	var colors [8][4]byte
	for i := range colors {
		for c := range 4 {
			colors[i][c] = byte(255 * (i >> c & 1))
		}
	}
	for y := range h {
		row := m.row(0, y, w)
		for i, v := range row {
			x, c := i/channels, i%channels
			fx, fy := float64(x)/40, float64(y)/30
			wave := 128 + 90*math.Sin(7*fx+3*fy+phase) + 60*math.Cos(float64(c)+9*fx*fy+phase)
			switch content {
			case extremes:
				row[i] = byte(int8(v) >> 7)
			case saturated:
				row[i] = colors[(x/side*5+y/side*3)%8][c]
			case smooth:
				row[i] = byte(min(max(wave, 0), 255))
			case photo:
				if (x/61+y/47)%5 == 0 {
					wave = 220 - wave/2
				}
				row[i] = byte(min(max(wave+float64(v>>6)-2, 0), 255))
			case sparse:
				row[i] = 128 + v/2*(v/254)
			}
		}
	}
	return m
}

func skipUnsupported(tb testing.TB) {
	tb.Helper()
	if !Supported() {
		tb.Skip("no AVX-512 with VNNI, VBMI and VBMI2")
	}
}

func drawPicture(t *rapid.T, side int) (Image, Options) {
	m := picture(rapid.IntRange(0, contents-1).Draw(t, "content"), rapid.IntRange(1, side).Draw(t, "w"), rapid.IntRange(1, side).Draw(t, "h"),
		rapid.SampledFrom([]int{1, 3, 4}).Draw(t, "channels"), rapid.SampledFrom([]int{0, 0, 1, 77}).Draw(t, "gap"), rapid.Uint64().Draw(t, "seed"))
	return m, Options{Quality: rapid.IntRange(1, 100).Draw(t, "quality"), Subsample: rapid.Bool().Draw(t, "subsample")}
}

// encoders are the ways of this machine.
func encoders() map[string]*Encoder {
	all := map[string]*Encoder{"portable": {portable: true}}
	if Supported() {
		all["avx512"] = &Encoder{}
	}
	return all
}

func (m Image) String() string {
	return fmt.Sprintf("%d x %d x %d, stride %d", m.Width, m.Height, m.Channels, m.Stride)
}

// checkEqual shows where two files begin to differ.
func checkEqual(t interface{ Fatalf(string, ...any) }, name string, m Image, o Options, got, want []byte) {
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	t.Fatalf("%s: %v, %+v: %d bytes, want %d; they differ from byte %d on", name, m, o, len(got), len(want), at)
}

func encode(t interface{ Fatal(...any) }, e *Encoder, m Image, o Options) []byte {
	out, err := e.Append([]byte("kept"), m, o)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(out, []byte("kept")) {
		t.Fatal("what was in dst is gone")
	}
	return out[4:]
}

// TestLikeTurbo: files are those of libjpeg-turbo to the last bit.
func TestLikeTurbo(t *testing.T) {
	want, all := turbo(t), encoders()
	rapid.Check(t, func(t *rapid.T) {
		side := 70
		if rapid.IntRange(0, 15).Draw(t, "big") == 0 {
			side = 1200 // several segments
		}
		m, o := drawPicture(t, side)
		file := want(m, o)
		for name, e := range all {
			checkEqual(t, name, m, o, encode(t, e, m, o), file)
		}
	})
}

func TestEveryQualityLikeTurbo(t *testing.T) {
	want, all := turbo(t), encoders()
	for quality := 1; quality <= 100; quality++ {
		for _, content := range []int{extremes, quality % contents} {
			m, o := picture(content, 67, 35, 3, 0, uint64(quality)), Options{quality, quality/2%2 == 0}
			file := want(m, o)
			for name, e := range all {
				checkEqual(t, name, m, o, encode(t, e, m, o), file)
			}
		}
	}
}

// TestEverySizeLikeTurbo: sizes around all that work is cut into.
func TestEverySizeLikeTurbo(t *testing.T) {
	want, all := turbo(t), encoders()
	sizes := []int{1, 2, 3, 7, 8, 9, 10, 15, 16, 17, 24, 31, 32, 33, 63, 64, 65, 511, 512, 513, 527, 528, 529, 575, 576, 577, 1025}
	for _, w := range sizes {
		for _, h := range []int{1, 7, 8, 9, 16, 17, 33} {
			for _, channels := range []int{1, 3, 4} {
				if channels != 3 && w > 100 && h > 9 {
					continue
				}
				m, o := picture(photo, w, h, channels, w%3, 1), Options{90, h%3 > 0}
				file := want(m, o)
				for name, e := range all {
					checkEqual(t, name, m, o, encode(t, e, m, o), file)
				}
			}
		}
	}
}

// TestAssemblyLikeGo needs no libturbojpeg.
func TestAssemblyLikeGo(t *testing.T) {
	skipUnsupported(t)
	all := encoders()
	rapid.Check(t, func(t *rapid.T) {
		m, o := drawPicture(t, 200)
		checkEqual(t, "avx512", m, o, encode(t, all["avx512"], m, o), encode(t, all["portable"], m, o))
	})
}

// TestKnownFiles has the sums of files that libjpeg-turbo 2.1.5 wrote of the same
// pictures, for machines that do not have it.
func TestKnownFiles(t *testing.T) {
	for _, known := range []struct {
		content, channels int
		o                 Options
		sum               string
	}{
		{noise, 3, Options{85, true}, "28a22cc8ebf0a3f5"},
		{noise, 4, Options{100, false}, "34a43b8a4426921b"},
		{noise, 1, Options{30, false}, "a79925674611422a"},
		{extremes, 3, Options{100, true}, "c2368316e1ea6b7c"},
		{saturated, 4, Options{5, true}, "18acbb1fa75777fc"},
		{saturated, 3, Options{75, false}, "6c995c27d6b93617"},
		{sparse, 1, Options{95, false}, "f1a948b5869382d2"},
	} {
		m := picture(known.content, 555, 77, known.channels, 3, 1)
		for name, e := range encoders() {
			file := encode(t, e, m, known.o)
			if sum := fmt.Sprintf("%x", sha256.Sum256(file)); sum[:16] != known.sum {
				t.Errorf("%s: content %d, %v, %+v: the sum of %d bytes is %s..., want %s", name, known.content, m, known.o, len(file), sum[:16], known.sum)
			}
		}
	}
}

// TestReadable: another decoder sees about the picture that was encoded.
func TestReadable(t *testing.T) {
	for name, e := range encoders() {
		for _, channels := range []int{1, 3, 4} {
			m := picture(smooth, 133, 75, channels, 0, 1)
			got, err := jpeg.Decode(bytes.NewReader(encode(t, e, m, Options{Quality: 95, Subsample: channels == 3})))
			if err != nil {
				t.Fatal(err)
			}
			sum := 0.0
			for y := range m.Height {
				for x := range m.Width {
					r, g, b, _ := got.At(x, y).RGBA()
					p := m.row(x, y, 1)
					for c, v := range []uint32{r, g, b} {
						d := float64(v>>8) - float64(p[min(c, channels-1)])
						sum += d * d
					}
				}
			}
			if rms := math.Sqrt(sum / float64(3*m.Width*m.Height)); rms > 12 { // seen: 10, from chroma at half the resolution
				t.Errorf("%s, %d channels: differs by %.1f", name, channels, rms)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	pix := make([]byte, 300)
	for want, c := range map[string]struct {
		m Image
		o Options
	}{
		"encode JPEG: 0 x 1 pixels; both sides are 1 to 65535":     {Image{pix, 0, 1, 3, 3}, Options{Quality: 1}},
		"encode JPEG: 1 x 65536 pixels; both sides are 1 to 65535": {Image{pix, 1, 65536, 3, 3}, Options{Quality: 1}},
		"encode JPEG: -1 x 1 pixels; both sides are 1 to 65535":    {Image{pix, -1, 1, 3, 3}, Options{Quality: 1}},
		"encode JPEG: quality is 0: try a number from 1 to 100":    {Image{pix, 10, 10, 30, 3}, Options{}},
		"encode JPEG: quality is 101: try a number from 1 to 100":  {Image{pix, 10, 10, 30, 3}, Options{Quality: 101}},
	} {
		checkRefusal(t, c.m, c.o, want)
	}
	for _, m := range []Image{
		{pix, 10, 10, 30, 2}, {pix, 10, 10, 29, 3}, {pix, 10, 10, 31, 3}, {pix[:299], 10, 10, 30, 3}, {nil, 1, 1, 1, 1},
		{pix, 10, 2, math.MaxInt, 3}, {pix, 10, 2, -30, 3}, {pix[:29], 10, 1, 30, 3}, {pix, 10, 65535, math.MaxInt / 60000, 3},
	} {
		checkRefusal(t, m, Options{Quality: 85}, errImage.Error())
	}
}

func checkRefusal(t *testing.T, m Image, o Options, want string) {
	t.Helper()
	got, err := new(Encoder).Append([]byte("kept"), m, o)
	if err == nil || err.Error() != want || string(got) != "kept" {
		t.Errorf("%v, %+v: got %q, %v, want %s", m, o, got, err, want)
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	for name, e := range encoders() {
		m := picture(photo, 200, 100, 3, 0, 1)
		out := make([]byte, 0, 1<<20)
		if n := testing.AllocsPerRun(5, func() { out, _ = e.Append(out[:0], m, Options{Quality: 85}) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestFallsBack runs this test's own binary as on a processor without AVX-512.
func TestFallsBack(t *testing.T) {
	if os.Getenv("GODEBUG") == "cpu.avx512f=off" {
		if Supported() {
			t.Error("the assembly would be used without AVX-512")
		}
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^(TestFallsBack|TestKnownFiles)$") // #nosec G204 -- this test
	cmd.Env = append(os.Environ(), "GODEBUG=cpu.avx512f=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("without AVX-512: %v\n%s", err, out)
	}
}

// TestDivides: quotients are exact for all coefficients that there can be.
func TestDivides(t *testing.T) {
	for table := 1; table <= 255; table++ {
		d := 8 * uint32(table)
		reciprocal, scale := reciprocalOf(d)
		for x := range uint32(1<<14) - d/2 {
			n := x + d/2
			if got := n * uint32(reciprocal) >> 16 * uint32(scale) >> 16; got != n/d {
				t.Fatalf("%d / %d is %d", n, d, got)
			}
		}
	}
}

// FuzzAppend makes a picture of the input's bytes, as often as it takes.
func FuzzAppend(f *testing.F) {
	f.Add([]byte{0}, uint16(1), uint16(1), byte(3), byte(85))
	f.Add([]byte("\x00\xff\x80"), uint16(600), uint16(17), byte(7), byte(200))
	f.Add([]byte{0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0}, uint16(70), uint16(9), byte(1), byte(1))
	all := encoders()
	f.Fuzz(func(t *testing.T, data []byte, w, h uint16, kind, quality byte) {
		m := Image{Width: 1 + int(w)%1100, Height: 1 + int(h)%40, Channels: []int{1, 3, 4, 3}[kind%4]}
		m.Stride = m.Width*m.Channels + int(kind)>>3
		m.Pix = make([]byte, m.Stride*m.Height)
		for n := copy(m.Pix, data); n > 0 && n < len(m.Pix); n *= 2 {
			copy(m.Pix[n:], m.Pix[:n])
		}
		o := Options{Quality: 1 + int(quality)%100, Subsample: kind&4 > 0}
		want := encode(t, all["portable"], m, o)
		for name, e := range all {
			checkEqual(t, name, m, o, encode(t, e, m, o), want)
		}
	})
}

func ExampleEncoder_Append() {
	red := Image{Pix: bytes.Repeat([]byte{255, 0, 0}, 40*30), Width: 40, Height: 30, Stride: 3 * 40, Channels: 3}
	var e Encoder
	file, err := e.Append(nil, red, Options{Quality: 85, Subsample: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	config, err := jpeg.DecodeConfig(bytes.NewReader(file))
	fmt.Println(config.Width, config.Height, err)
	// Output: 40 30 <nil>
}
