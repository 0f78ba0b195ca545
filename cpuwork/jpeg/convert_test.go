package jpeg

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weft/cpuwork"
)

func read(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// skipWithout ends a test of an encoder that not every machine has.
func skipWithout(tb testing.TB, encoder string) {
	tb.Helper()
	if encoder != EncoderTurbo && encoder != EncoderAVX512 {
		return
	}
	if _, err := newEncoder(encoder); err != nil {
		tb.Skip("no "+encoder+":", err)
	}
}

func converter(tb testing.TB, o Options) *Converter {
	tb.Helper()
	skipWithout(tb, o.Encoder)
	c, err := NewConverter(o)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// convert converts, and reads the result with the standard library.
func convert(tb testing.TB, c *Converter, data []byte) ([]byte, image.Image, Picture) {
	tb.Helper()
	out, pic, err := c.Convert(tb.Context(), data, nil)
	if err != nil {
		tb.Fatal(err)
	}
	m, err := jpeg.Decode(bytes.NewReader(out))
	if err != nil {
		tb.Fatal(err)
	}
	if b := m.Bounds(); b.Dx() != pic.Width || b.Dy() != pic.Height {
		tb.Fatalf("result is %v, reported as %d x %d", b, pic.Width, pic.Height)
	}
	if _, gray := m.(*image.Gray); gray != pic.Gray {
		tb.Fatalf("result is a %T, reported gray: %v", m, pic.Gray)
	}
	return out, m, pic
}

// distance is the root of the mean squared difference of the 8-bit samples.
func distance(m image.Image, rgb []byte) float64 {
	b := m.Bounds()
	sum, at := 0.0, 0
	for y := range b.Dy() {
		for x := range b.Dx() {
			r, g, bl, _ := m.At(b.Min.X+x, b.Min.Y+y).RGBA()
			for _, v := range []uint32{r >> 8, g >> 8, bl >> 8} {
				d := float64(v) - float64(rgb[at])
				sum += d * d
				at++
			}
		}
	}
	return math.Sqrt(sum / float64(at))
}

// TestConvertLikePillow compares with what another reader of the same files sees.
func TestConvertLikePillow(t *testing.T) {
	files, err := filepath.Glob("testdata/*.rgb")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d pictures: %v", len(files), err)
	}
	for _, encoder := range []string{EncoderAVX512, EncoderTurbo, EncoderJpegn} {
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".rgb")
			t.Run(encoder+"/"+name, func(t *testing.T) {
				c := converter(t, Options{Encoding: Encoding{Quality: 100, Subsampling: Subsampling444, Encoder: encoder}})
				if encoder == EncoderJpegn {
					c.dec = stdDecoder{} // as where there is no libturbojpeg
				}
				_, m, pic := convert(t, c, read(t, name))
				wantW, wantH := 48, 32
				if strings.HasPrefix(name, "turned") && name[6] >= '5' {
					wantW, wantH = 32, 48
				}
				if pic.Width != wantW || pic.Height != wantH {
					t.Fatalf("result is %d x %d, want %d x %d", pic.Width, pic.Height, wantW, wantH)
				}
				limit := 2.0
				if strings.HasPrefix(name, "lossy") {
					limit = 4 // libwebp smooths chroma, golang.org/x/image does not
				}
				if d := distance(m, read(t, name+".rgb")); d > limit {
					t.Errorf("differs from Pillow by %.2f, more than %.1f", d, limit)
				}
				gray := strings.HasPrefix(name, "gray") || name == "onebit.png"
				if pic.Gray != gray {
					t.Errorf("gray: %v, want %v", pic.Gray, gray)
				}
			})
		}
	}
}

func TestConvertOnBackground(t *testing.T) {
	c := converter(t, Options{Background: "#204060", Encoding: Encoding{Quality: 100}})
	for _, name := range []string{"rgba.png", "lossyalpha.webp"} {
		_, m, _ := convert(t, c, read(t, name)) // the first row is all transparent
		r, g, b, _ := m.At(20, 0).RGBA()
		for i, v := range []uint32{r >> 8, g >> 8, b >> 8} {
			if want := []float64{0x20, 0x40, 0x60}[i]; math.Abs(float64(v)-want) > 6 {
				t.Errorf("%s: background is %d %d %d", name, r>>8, g>>8, b>>8)
			}
		}
	}
}

func TestConvertKeepsProfile(t *testing.T) {
	for name, want := range map[string]bool{"rgb.png": true, "rgb.jpg": true, "gray.png": false, "lossy.webp": false} {
		in := read(t, name)
		h, err := readHeader(in, Limits{MaxPixels: 1e6})
		if err != nil {
			t.Fatal(err)
		}
		for _, encoder := range []string{EncoderAVX512, EncoderTurbo, EncoderJpegn, EncoderStd} {
			t.Run(encoder+"/"+name, func(t *testing.T) {
				out, _, _ := convert(t, converter(t, Options{Encoding: Encoding{Encoder: encoder}}), in)
				back, err := readHeader(out, Limits{MaxPixels: 1e6})
				if err != nil {
					t.Fatal(err)
				}
				if (len(back.icc) > 0) != want || !bytes.Equal(back.icc, h.icc) {
					t.Errorf("profile of %d bytes came out with %d", len(h.icc), len(back.icc))
				}
			})
		}
	}
}

func TestConvertLimitsSize(t *testing.T) {
	big, err := newEncoder(EncoderJpegn)
	if err != nil {
		t.Fatal(err)
	}
	data, err := big.encode(nil, frame{pix: photo(1200, 800, 4), w: 1200, h: 800, stride: 4800, channels: 4}, Encoding{Quality: 95})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ maxW, maxH, w, h int }{
		{600, 600, 600, 400}, {0, 100, 150, 100}, {5000, 0, 1200, 800}, {149, 99, 149, 99}, {1, 1, 1, 1}, {1199, 0, 1199, 799},
	} {
		c := converter(t, Options{MaxWidth: tt.maxW, MaxHeight: tt.maxH, Encoding: Encoding{Quality: 100, Subsampling: Subsampling444}})
		_, m, pic := convert(t, c, data)
		if pic.Width != tt.w || pic.Height != tt.h {
			t.Errorf("within %d x %d: %d x %d, want %d x %d", tt.maxW, tt.maxH, pic.Width, pic.Height, tt.w, tt.h)
		}
		c.dec = stdDecoder{} // all of the shrinking by the filter, none by the decoder
		full, _, err := c.Convert(t.Context(), data, nil)
		if err != nil {
			t.Fatal(err)
		}
		other, err := jpeg.Decode(bytes.NewReader(full))
		if err != nil {
			t.Fatal(err)
		}
		rgb := flatten(other, white, &scratch{})
		if d := distance(m, narrow(rgb)); d > 6 {
			t.Errorf("within %d x %d: shrunk while decoding differs by %.2f", tt.maxW, tt.maxH, d)
		}
	}
}

func narrow(f frame) []byte {
	var rgb []byte
	for y := range f.h {
		row := f.row(y)
		for x := range f.w {
			rgb = append(rgb, row[4*x:4*x+3]...)
		}
	}
	return rgb
}

func TestConvertRefuses(t *testing.T) {
	jpg, pngFile, tif := read(t, "rgb.jpg"), read(t, "rgb.png"), read(t, "rgb.tif")
	webp, bmp := read(t, "lossy.webp"), read(t, "rgb.bmp")
	for _, tt := range []struct {
		name, code string
		data       []byte
	}{
		{"nothing", CodeNotImage, nil},
		{"text", CodeNotImage, []byte("#!/bin/sh\necho no picture")},
		{"jpeg of 65535 x 65535", CodePixels, hugeJPEG(jpg)},
		{"png of 65535 x 65535", CodePixels, hugePNG(65535, 65535)},
		{"png of 2^31 x 2^31", CodeBroken, hugePNG(1<<31, 1<<31)},
		{"bmp of 65535 x 65535", CodePixels, hugeBMP(read(t, "rgb.bmp"))},
		{"jpeg without an end", CodeBroken, jpg[:len(jpg)-2]},
		{"half a jpeg", CodeBroken, jpg[:len(jpg)*3/4]},
		{"half a png", CodeBroken, pngFile[:len(pngFile)-40]},
		{"half a webp", CodeBroken, webp[:len(webp)/2]},
		{"half a bmp", CodeBroken, bmp[:600]},
		{"half a tiff", CodeBroken, tif[:len(tif)/3]},
		{"jpeg of 600 scans", CodeBroken, scans(read(t, "progressive.jpg"), 600)},
		{"jpeg with a hole", CodeBroken, append(bytes.Clone(jpg[:len(jpg)-400]), jpg[len(jpg)-200:]...)},
		{"jpeg of two sizes", CodeBroken, twoFrames(jpg)},
		{"png with a wrong sum", CodeBroken, flip(pngFile, len(pngFile)-20)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, encoder := range []string{EncoderAuto, EncoderJpegn} {
				c := converter(t, Options{Encoding: Encoding{Encoder: encoder}})
				if encoder == EncoderJpegn {
					c.dec = stdDecoder{}
				}
				_, _, err := c.Convert(t.Context(), tt.data, nil)
				var item *cpuwork.ItemError
				if !errors.As(err, &item) || item.Code != tt.code || item.Retry || item.Message == "" {
					t.Errorf("%s: error is %#v, want code %s", encoder, err, tt.code)
				}
			}
		})
	}
}

// TestReadJPEGSays: these must be refused by the header, before a decoder works.
func TestReadJPEGSays(t *testing.T) {
	for want, data := range map[string][]byte{
		"broken jpeg file: it has more than 500 scans":      scans(read(t, "progressive.jpg"), 600),
		"broken jpeg file: it has two sizes":                twoFrames(read(t, "rgb.jpg")),
		"broken jpeg file: it ends in the middle":           bytes.TrimSuffix(read(t, "rgb.jpg"), []byte{0xff, markerEOI}),
		"broken jpeg file: it ends before its size is said": read(t, "rgb.jpg")[:100],
	} {
		if _, err := readHeader(data, Limits{MaxPixels: 1e6}); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestConvertEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range []string{"rgb.png", "rgb.jpg", "lossy.webp", "rgb.bmp", "rgb.tif"} {
		if _, _, err := converter(t, Options{}).Convert(ctx, read(t, name), nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

// FuzzConvert: whatever the bytes, an item error or a picture within the limits.
func FuzzConvert(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.*")
	for _, file := range files {
		if ext := filepath.Ext(file); replaced[ext] {
			f.Add(read(f, filepath.Base(file)), false)
		}
	}
	f.Add(hugePNG(65535, 65535), true)
	o := Options{MaxWidth: 40, MaxHeight: 20, Limits: Limits{MaxPixels: 1 << 16}}
	one, other := converter(f, o), converter(f, Options{Limits: o.Limits, Encoding: Encoding{Encoder: EncoderJpegn}})
	other.dec = stdDecoder{}
	f.Fuzz(func(t *testing.T, data []byte, portable bool) {
		c := one
		if portable {
			c = other
		}
		out, pic, err := c.Convert(t.Context(), data, nil)
		var item *cpuwork.ItemError
		if err != nil {
			if !errors.As(err, &item) {
				t.Fatalf("not an item's error: %v", err)
			}
			if item.Code == CodeEncode {
				t.Fatal(err)
			}
			return
		}
		got, err := jpeg.DecodeConfig(bytes.NewReader(out))
		if err != nil || got.Width != pic.Width || got.Height != pic.Height {
			t.Fatalf("result is %d x %d, reported as %d x %d: %v", got.Width, got.Height, pic.Width, pic.Height, err)
		}
	})
}
