package jpeg

import (
	"image"
	"image/color"
)

// A frame is a picture as encoders take it: rows of 8-bit samples, from the top.
// Channels is 1 (gray), 3 (RGB) or 4 (RGB and a byte that nobody looks at).
// stride is the distance of rows in bytes.
type frame struct {
	pix      []byte
	w, h     int
	stride   int
	channels int
}

// row is line y, without what lies between rows.
func (f *frame) row(y int) []byte {
	start := y * f.stride
	return f.pix[start : start+f.w*f.channels : start+f.w*f.channels]
}

// scratch is a buffer that is used again; its contents do not survive.
type scratch struct{ buf []byte }

// keepAtMost is how much a worker holds on to between items, a buffer: one huge
// picture must not cost its memory for ever.
const keepAtMost = 64 << 20

func (s *scratch) frame(w, h, channels int) frame {
	return frame{pix: s.take(w * h * channels), w: w, h: h, stride: w * channels, channels: channels}
}

func (s *scratch) take(n int) []byte {
	if cap(s.buf) < n {
		s.buf = make([]byte, n)
	}
	return s.buf[:n]
}

func (s *scratch) trim() {
	if cap(s.buf) > keepAtMost {
		s.buf = nil
	}
}

// flatten turns what a decoder gave into a frame: no alpha, 8 bits a sample, gray
// where m is gray. Where m's memory is such a frame already it is used as it is.
func flatten(m image.Image, bg color.NRGBA, s *scratch) frame {
	b := m.Bounds()
	w, h := b.Dx(), b.Dy()
	switch m := m.(type) {
	case *image.Gray:
		return frame{pix: m.Pix, w: w, h: h, stride: m.Stride, channels: 1}
	case *image.RGBA:
		f := frame{pix: m.Pix, w: w, h: h, stride: m.Stride, channels: 4}
		for y := range h {
			overPremultiplied(f.row(y), bg)
		}
		return f
	case *image.NRGBA:
		f := frame{pix: m.Pix, w: w, h: h, stride: m.Stride, channels: 4}
		for y := range h {
			over(f.row(y), bg)
		}
		return f
	case *image.Paletted:
		return flattenPaletted(m, bg, s)
	case *image.Gray16:
		f := s.frame(w, h, 1)
		for y := range h {
			from16(f.row(y), m.Pix[y*m.Stride:])
		}
		return f
	}
	f := s.frame(w, h, 4)
	for y := range h {
		flattenRow(f.row(y), m, y, bg)
	}
	return f
}

// flattenRow writes row y of m, counted from its upper edge, as RGBX.
func flattenRow(dst []byte, m image.Image, y int, bg color.NRGBA) {
	switch m := m.(type) {
	case *image.RGBA64:
		over16(dst, m.Pix[y*m.Stride:], bg, true)
	case *image.NRGBA64:
		over16(dst, m.Pix[y*m.Stride:], bg, false)
	case *image.CMYK:
		fromCMYK(dst, m.Pix[y*m.Stride:])
	case *image.YCbCr:
		fromYCbCr(dst, m, y)
	case *image.NYCbCrA:
		fromYCbCr(dst, &m.YCbCr, y)
		alpha := m.A[y*m.AStride:]
		for i := 0; i < len(dst); i += 4 {
			dst[i+3] = alpha[i/4]
		}
		over(dst, bg)
	default: // no decoder of this package answers one
		b := m.Bounds()
		for i := 0; i < len(dst); i += 4 {
			c := color.NRGBAModel.Convert(m.At(b.Min.X+i/4, b.Min.Y+y)).(color.NRGBA)
			dst[i], dst[i+1], dst[i+2], dst[i+3] = c.R, c.G, c.B, c.A
		}
		over(dst, bg)
	}
}

// over puts a row of NRGBA on the background, in place.
func over(row []byte, bg color.NRGBA) {
	for i := 3; i < len(row); i += 4 {
		a := uint32(row[i])
		if a == 0xff {
			continue
		}
		p := row[i-3 : i+1 : i+1]
		p[0] = mix(p[0], bg.R, a)
		p[1] = mix(p[1], bg.G, a)
		p[2] = mix(p[2], bg.B, a)
		p[3] = 0xff
	}
}

// mix is c over b where c covers a of 255, rounded.
func mix(c, b byte, a uint32) byte {
	return byte((uint32(c)*a + uint32(b)*(255-a) + 127) / 255)
}

// overPremultiplied is over for RGBA, whose colours are multiplied by alpha.
func overPremultiplied(row []byte, bg color.NRGBA) {
	for i := 3; i < len(row); i += 4 {
		a := uint32(row[i])
		if a == 0xff {
			continue
		}
		p := row[i-3 : i+1 : i+1]
		p[0] = addClamped(p[0], bg.R, a)
		p[1] = addClamped(p[1], bg.G, a)
		p[2] = addClamped(p[2], bg.B, a)
		p[3] = 0xff
	}
}

// addClamped: a colour above its alpha, which a file may hold, ends at white.
func addClamped(c, b byte, a uint32) byte {
	return byte(min(uint32(c)+(uint32(b)*(255-a)+127)/255, 255))
}

// over16 turns 16-bit pixels, big-endian, into RGBX over the background.
func over16(dst, src []byte, bg color.NRGBA, premultiplied bool) {
	back := [3]uint32{uint32(bg.R) * 257, uint32(bg.G) * 257, uint32(bg.B) * 257}
	for i := 0; i+4 <= len(dst); i += 4 {
		s := src[2*i : 2*i+8 : 2*i+8]
		a := uint32(s[6])<<8 | uint32(s[7])
		for c := range 3 {
			v := uint32(s[2*c])<<8 | uint32(s[2*c+1])
			if a != 0xffff {
				share := uint64(v) * uint64(a)
				if premultiplied {
					share = uint64(v) * 0xffff
				}
				v = uint32(min((share+uint64(back[c])*uint64(0xffff-a)+0x7fff)/0xffff, 0xffff)) // #nosec G115 -- at most 16 bits
			}
			dst[i+c] = to8(v)
		}
		dst[i+3] = 0xff
	}
}

// to8 rounds a 16-bit sample to 8 bits.
func to8(v uint32) byte { return byte((v*255 + 0x7fff) / 0xffff) }

func from16(dst, src []byte) {
	for i := range dst {
		dst[i] = to8(uint32(src[2*i])<<8 | uint32(src[2*i+1]))
	}
}

// fromCMYK has no colour management: r = (255-c)(255-k)/255 and so on, which is
// what PostScript's and image/color's conversions come to.
func fromCMYK(dst, src []byte) {
	for i := 0; i+4 <= len(dst); i += 4 {
		s := src[i : i+4 : i+4]
		k := 255 - uint32(s[3])
		dst[i] = byte(((255-uint32(s[0]))*k + 127) / 255)
		dst[i+1] = byte(((255-uint32(s[1]))*k + 127) / 255)
		dst[i+2] = byte(((255-uint32(s[2]))*k + 127) / 255)
		dst[i+3] = 0xff
	}
}

// fromYCbCr converts by JFIF's formulas, as image/color does.
func fromYCbCr(dst []byte, m *image.YCbCr, y int) {
	x0, y0 := m.Rect.Min.X, m.Rect.Min.Y+y
	luma := m.Y[m.YOffset(x0, y0):]
	chroma := chromaRow(m, y)
	for i := 0; i < len(dst); i += 4 {
		c := chroma.at(i / 4)
		dst[i], dst[i+1], dst[i+2] = color.YCbCrToRGB(luma[i/4], m.Cb[c], m.Cr[c])
		dst[i+3] = 0xff
	}
}

// A chromaLine finds the chroma sample of a pixel of one row.
type chromaLine struct{ start, x0, div int }

func chromaRow(m *image.YCbCr, y int) chromaLine {
	div := 1
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420:
		div = 2
	case image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410:
		div = 4
	}
	return chromaLine{start: m.COffset(m.Rect.Min.X, m.Rect.Min.Y+y), x0: m.Rect.Min.X, div: div}
}

func (l chromaLine) at(x int) int { return l.start + (l.x0+x)/l.div - l.x0/l.div }

// flattenPaletted looks colours up; a palette of grays gives a gray frame.
func flattenPaletted(m *image.Paletted, bg color.NRGBA, s *scratch) frame {
	var table [256][4]byte
	gray := true
	for i, c := range m.Palette[:min(len(m.Palette), 256)] {
		n := color.NRGBAModel.Convert(c).(color.NRGBA)
		p := [4]byte{n.R, n.G, n.B, n.A}
		over(p[:], bg)
		table[i] = p
		gray = gray && p[0] == p[1] && p[1] == p[2]
	}
	channels := 4
	if gray {
		channels = 1
	}
	f := s.frame(m.Rect.Dx(), m.Rect.Dy(), channels)
	for y := range f.h {
		dst, src := f.row(y), m.Pix[y*m.Stride:]
		if gray {
			for x := range dst {
				dst[x] = table[src[x]][0]
			}
			continue
		}
		for x := range f.w {
			copy(dst[4*x:4*x+4], table[src[x]][:])
		}
	}
	return f
}

// toGray keeps one channel of a frame of which all are equal, in place.
func toGray(f frame) frame {
	if f.channels == 1 {
		return f
	}
	g := frame{pix: f.pix, w: f.w, h: f.h, stride: f.stride, channels: 1}
	for y := range f.h {
		src, dst := f.row(y), g.row(y)
		for x := range dst {
			dst[x] = src[x*f.channels]
		}
	}
	return g
}
