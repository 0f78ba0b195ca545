package jpeg

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"math"
	"testing"

	"golang.org/x/image/draw"
	"pgregory.net/rapid"

	"weft/cpuwork"
)

// TestResizeLikeDraw compares with golang.org/x/image's exact Catmull-Rom.
func TestResizeLikeDraw(t *testing.T) {
	src := &image.RGBA{Pix: photo(400, 300, 4), Stride: 1600, Rect: image.Rect(0, 0, 400, 300)}
	for i := 3; i < len(src.Pix); i += 4 {
		src.Pix[i] = 0xff
	}
	f := frame{pix: src.Pix, w: 400, h: 300, stride: 1600, channels: 4}
	for _, to := range []size{{399, 299}, {300, 225}, {201, 151}, {100, 75}, {33, 25}, {400, 150}, {3, 2}} {
		want := image.NewRGBA(image.Rect(0, 0, to.w, to.h))
		draw.CatmullRom.Scale(want, want.Rect, src, src.Rect, draw.Src, nil)
		var r resizer
		got := r.resize(f, size{400, 300}, 1, to.w, to.h)
		m := &image.RGBA{Pix: got.pix, Stride: got.stride, Rect: want.Rect}
		limit := 1.0
		if boxFactor(400, 300, to.w, to.h) > 1 {
			limit = 5 // averaged first: seen 4.2 at 3 x 2
		}
		if d := distance(m, narrow(frame{pix: want.Pix, w: to.w, h: to.h, stride: want.Stride, channels: 4})); d > limit {
			t.Errorf("%v differs by %.2f", to, d)
		}
		gray := toGray(frame{pix: bytes.Clone(f.pix), w: f.w, h: f.h, stride: f.stride, channels: 4})
		one := r.resize(gray, size{400, 300}, 1, to.w, to.h)
		again := new(resizer).resize(f, size{400, 300}, 1, to.w, to.h)
		for y := range to.h {
			for x, v := range one.row(y) {
				if v != again.row(y)[4*x] {
					t.Fatalf("%v: gray differs from red at %d, %d", to, x, y)
				}
			}
		}
	}
}

// TestResizeKeepsEven: an area of one value has that value at any size.
func TestResizeKeepsEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 90).Draw(t, "w"), rapid.IntRange(1, 90).Draw(t, "h")
		toW, toH := rapid.IntRange(1, w).Draw(t, "toW"), rapid.IntRange(1, h).Draw(t, "toH")
		channels := rapid.SampledFrom([]int{1, 4}).Draw(t, "channels")
		v := byte(rapid.IntRange(0, 255).Draw(t, "v"))
		denom := rapid.SampledFrom([]int{1, 2, 4, 8}).Draw(t, "denom")
		full := size{rapid.IntRange((w-1)*denom+1, w*denom).Draw(t, "fullW"), rapid.IntRange((h-1)*denom+1, h*denom).Draw(t, "fullH")}
		f := frame{pix: bytes.Repeat([]byte{v}, w*h*channels), w: w, h: h, stride: w * channels, channels: channels}
		var r resizer
		out := r.resize(f, full, denom, toW, toH)
		if out.w != toW || out.h != toH {
			t.Fatalf("%d x %d, want %d x %d", out.w, out.h, toW, toH)
		}
		for y := range out.h {
			for i, got := range out.row(y) {
				if got != v && i%4 != 3 {
					t.Fatalf("%d became %d", v, got)
				}
			}
		}
	})
}

func TestWithin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 1<<20).Draw(t, "w"), rapid.IntRange(1, 1<<20).Draw(t, "h")
		maxW, maxH := rapid.IntRange(0, 1<<16).Draw(t, "maxW"), rapid.IntRange(0, 1<<16).Draw(t, "maxH")
		gotW, gotH := within(w, h, maxW, maxH)
		if gotW < 1 || gotH < 1 || gotW > w || gotH > h || maxW > 0 && gotW > maxW || maxH > 0 && gotH > maxH {
			t.Fatalf("%d x %d within %d x %d: %d x %d", w, h, maxW, maxH, gotW, gotH)
		}
		scale := min(float64(gotW)/float64(w), 1)
		if math.Abs(float64(gotH)-scale*float64(h)) > 1+float64(h)/float64(w) {
			t.Fatalf("%d x %d within %d x %d: %d x %d is of another shape", w, h, maxW, maxH, gotW, gotH)
		}
	})
}

// TestFlattenLikeColor compares every kind of image with image/color's own maths.
func TestFlattenLikeColor(t *testing.T) {
	rect := image.Rect(0, 0, 16, 8)
	noise := photo(64, 64, 4)
	images := map[string]image.Image{
		"gray":     &image.Gray{Pix: noise, Stride: 20, Rect: rect},
		"gray16":   &image.Gray16{Pix: noise, Stride: 40, Rect: rect},
		"nrgba":    &image.NRGBA{Pix: bytes.Clone(noise), Stride: 70, Rect: rect},
		"nrgba64":  &image.NRGBA64{Pix: noise, Stride: 130, Rect: rect},
		"cmyk":     &image.CMYK{Pix: noise, Stride: 64, Rect: rect},
		"alpha":    &image.Alpha{Pix: noise, Stride: 16, Rect: rect},
		"paletted": &image.Paletted{Pix: make([]byte, 128), Stride: 16, Rect: rect, Palette: color.Palette{color.NRGBA{9, 80, 200, 77}}},
	}
	for _, ratio := range []image.YCbCrSubsampleRatio{
		image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420,
		image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410,
	} {
		m := image.NewYCbCr(rect, ratio)
		copy(m.Y, noise)
		copy(m.Cb, noise[100:])
		copy(m.Cr, noise[300:])
		images["ycbcr "+ratio.String()] = m
	}
	pre, pre64 := image.NewRGBA(rect), image.NewRGBA64(rect)
	draw.Draw(pre, rect, images["nrgba"], image.Point{}, draw.Src)
	draw.Draw(pre64, rect, images["nrgba64"], image.Point{}, draw.Src)
	images["rgba"], images["rgba64"] = pre, pre64
	bg := color.NRGBA{R: 10, G: 200, B: 90, A: 0xff}
	for name, m := range images {
		want := image.NewRGBA64(rect)
		draw.Draw(want, rect, image.NewUniform(bg), image.Point{}, draw.Src)
		draw.Draw(want, rect, m, image.Point{}, draw.Over)
		f := flatten(m, bg, &scratch{})
		for y := range f.h {
			for x := range f.w {
				p := f.row(y)[x*f.channels:]
				c := want.RGBA64At(x, y)
				for i, v := range []uint16{c.R, c.G, c.B} {
					if math.Abs(float64(p[i%f.channels])-float64(v)/257) > 1.01 {
						t.Fatalf("%s at %d, %d: %v, want %v", name, x, y, p[:f.channels], c)
					}
				}
			}
		}
	}
}

func exifBlock(order binary.AppendByteOrder, orientation uint16) []byte {
	magic := "II*\x00"
	if order.String() == "BigEndian" {
		magic = "MM\x00*"
	}
	b := order.AppendUint32([]byte(magic), 8)
	b = order.AppendUint16(b, 1)
	b = order.AppendUint16(b, tagOrientation)
	b = order.AppendUint16(b, typeShort)
	b = order.AppendUint32(b, 1)
	b = order.AppendUint16(b, orientation)
	return append(b, 0, 0)
}

func TestReadIFD(t *testing.T) {
	for o := range uint16(12) {
		want := 1
		if o >= 1 && o <= 8 {
			want = int(o)
		}
		little, big := exifBlock(binary.LittleEndian, o), exifBlock(binary.BigEndian, o)
		for _, b := range [][]byte{little, big} {
			if got := readIFD(b).orientation; got != want {
				t.Errorf("orientation %d is read as %d", o, got)
			}
			for n := range len(b) - 2 {
				if got := readIFD(b[:n]).orientation; n < 20 && got != 1 {
					t.Errorf("%d bytes say %d", n, got)
				}
			}
		}
	}
}

func FuzzReadIFD(f *testing.F) {
	f.Add(exifBlock(binary.LittleEndian, 6))
	f.Add(exifBlock(binary.BigEndian, 8))
	f.Add([]byte("II*\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := readIFD(data)
		if d.orientation < 1 || d.orientation > 8 || len(d.icc) > len(data) {
			t.Fatalf("%d, %d bytes of profile", d.orientation, len(d.icc))
		}
	})
}

func TestUprightTurnsBack(t *testing.T) {
	f := frame{pix: photo(7, 5, 4), w: 7, h: 5, stride: 28, channels: 4}
	inverse := map[int]int{1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
	for o, back := range inverse {
		var a, b scratch
		got := upright(upright(f, o, &a), back, &b)
		if !bytes.Equal(got.pix, f.pix) {
			t.Errorf("orientation %d is not undone by %d", o, back)
		}
	}
}

func TestEncodeWork(t *testing.T) {
	for _, name := range []string{EncoderAVX512, EncoderTurbo, EncoderJpegn, EncoderStd} {
		for _, channels := range []int{1, 3, 4} {
			do, item := encodeWork(t, name, 70, 50, channels)
			out, err := do(t.Context(), item, []byte("kept"))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(out, []byte("kept")) {
				t.Error("what was in out is gone")
			}
			c := converter(t, Options{})
			_, m, _ := convert(t, c, out[4:])
			rgb := item[pixelsHeader:]
			if channels != 3 {
				f := frame{pix: rgb, w: 70, h: 50, stride: 70 * channels, channels: channels}
				if channels == 1 {
					rgb = nil
					for _, v := range f.pix {
						rgb = append(rgb, v, v, v)
					}
				} else {
					rgb = narrow(f)
				}
			}
			if d := distance(m, rgb); d > 12 {
				t.Errorf("%s, %d channels: differs by %.1f", name, channels, d)
			}
		}
	}
}

// TestAutoEncoder: the fastest that the machine has.
func TestAutoEncoder(t *testing.T) {
	there := func() (*turbo, error) { return &turbo{}, nil }
	missing := func() (*turbo, error) { return nil, errors.New("not found") }
	for _, tt := range []struct {
		name   string
		avx512 bool
		turbo  func() (*turbo, error)
		want   string // or the error
	}{
		{EncoderAuto, true, there, EncoderAVX512},
		{"", true, missing, EncoderAVX512},
		{EncoderAVX512, true, missing, EncoderAVX512},
		{EncoderAuto, false, there, EncoderTurbo},
		{EncoderAuto, false, missing, EncoderJpegn},
		{EncoderTurbo, true, there, EncoderTurbo},
		{EncoderJpegn, true, there, EncoderJpegn},
		{EncoderStd, true, there, EncoderStd},
		{EncoderAVX512, false, there, "encoder avx512: this processor lacks AVX-512, or its VNNI, VBMI or VBMI2: try auto"},
		{EncoderTurbo, true, missing, "load libturbojpeg: not found"},
		{"gd", true, there, `unknown encoder "gd"`},
	} {
		e, err := pickEncoder(tt.name, tt.avx512, tt.turbo)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = e.name()
		}
		if got != tt.want {
			t.Errorf("%q with AVX-512 %v: got %q, want %q", tt.name, tt.avx512, got, tt.want)
		}
	}
}

// TestSameFiles: which of the two encoders a machine has makes no difference.
func TestSameFiles(t *testing.T) {
	for _, f := range []frame{
		{pix: photo(200, 99, 3), w: 200, h: 99, stride: 600, channels: 3},
		{pix: photo(200, 99, 4), w: 199, h: 99, stride: 800, channels: 4},
		{pix: photo(200, 99, 3), w: 177, h: 99, stride: 600, channels: 1},
	} {
		for _, o := range []Encoding{{Quality: 85, Subsampling: Subsampling420}, {Quality: 40, Subsampling: Subsampling444}} {
			ours, err := new(baselineEncoder).encode(nil, f, o)
			if err != nil {
				t.Fatal(err)
			}
			library, err := newTurbo()
			if err != nil {
				t.Skip("no libturbojpeg:", err)
			}
			theirs, err := library.encode(nil, f, o)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(ours, theirs) {
				t.Errorf("%d channels, %+v: %d bytes, and %d by libturbojpeg", f.channels, o, len(ours), len(theirs))
			}
		}
	}
}

func FuzzEncodeWork(f *testing.F) {
	_, item := encodeWork(f, EncoderJpegn, 8, 8, 3)
	f.Add(item)
	f.Add([]byte{255, 255, 255, 255, 4, 0, 0, 0})
	do, err := EncodeWork.New([]byte("{}"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, item []byte) {
		out, err := do(t.Context(), item, nil)
		if e, ok := err.(*cpuwork.ItemError); err != nil && (!ok || e.Code != CodeItem) || err == nil && len(out) == 0 {
			t.Fatalf("%d bytes, error %v", len(out), err)
		}
	})
}

func FuzzSplitPaths(f *testing.F) {
	f.Add("a.png", "b.jpg", []byte{})
	f.Fuzz(func(t *testing.T, in, out string, raw []byte) {
		if in != "" && out != "" {
			gotIn, gotOut, err := splitPaths(AppendPaths(nil, in, out))
			if err != nil || gotIn != in || gotOut != out {
				t.Fatalf("%q, %q, %v", gotIn, gotOut, err)
			}
		}
		if a, b, err := splitPaths(raw); err == nil && len(a)+len(b) >= len(raw) {
			t.Fatalf("%q and %q out of %q", a, b, raw)
		}
	})
}

func TestSpecCheck(t *testing.T) {
	for want, spec := range map[string]Spec{
		"no inputs: name files to convert":                                             {},
		"quality is 101: try a number from 1 to 100":                                   {Paths: []string{"a"}, Options: Options{Encoding: Encoding{Quality: 101}}},
		`subsampling is "4:1:1": try 4:2:0 or 4:4:4`:                                   {Paths: []string{"a"}, Options: Options{Encoding: Encoding{Subsampling: "4:1:1"}}},
		`encoder is "gd": try auto, avx512, libturbojpeg, jpegn or image/jpeg`:         {Paths: []string{"a"}, Options: Options{Encoding: Encoding{Encoder: "gd"}}},
		"image/jpeg writes 4:2:0 only: try another encoder":                            {Paths: []string{"a"}, Options: Options{Encoding: Encoding{Encoder: EncoderStd, Subsampling: Subsampling444}}},
		`background is "#12345": try #rrggbb, white or black`:                          {Paths: []string{"a"}, Options: Options{Background: "#12345"}},
		`existing is "ask": try skip or refuse`:                                        {Paths: []string{"a"}, Options: Options{Existing: "ask"}},
		"max_pixels is -1: try a number from 1 to 1073741824":                          {Paths: []string{"a"}, Options: Options{Limits: Limits{MaxPixels: -1}}},
		"max_width and max_height are -1 and 0: try numbers from 1, or 0 for no limit": {Paths: []string{"a"}, Options: Options{MaxWidth: -1}},
		"path 2 has a zero byte in it":                                                 {Paths: []string{"a", "b\x00"}},
	} {
		if err := spec.Check(); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	spec := Spec{Paths: []string{"a/../b.png"}}
	if err := spec.Check(); err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"quality":85,"subsampling":"4:2:0","encoder":"auto","max_pixels":100000000,"max_file_bytes":268435456,` +
		`"background":"#ffffff","existing":"skip","paths":["b.png"]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
