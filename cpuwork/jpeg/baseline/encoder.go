package baseline

import (
	"errors"
	"fmt"
)

// An Image is rows of 8-bit samples from the top: Channels is 1 (gray), 3 (RGB) or
// 4 (RGB and a byte that is not looked at). Row y begins at Pix[y*Stride].
type Image struct {
	Pix           []byte
	Width, Height int // pixels, 1 to 65535
	Stride        int // bytes
	Channels      int
}

// Options say how an image is encoded.
type Options struct {
	Quality   int  // 1 to 100, as the IJG scales the tables of annex K
	Subsample bool // colours at half the resolution in both directions: 4:2:0 instead of 4:4:4
}

// MaxSide is how many pixels a side has at most: sizes are written with 16 bits.
const MaxSide = 65535

// Supported says whether this machine has the instructions of the fast way.
func Supported() bool { return supported }

// An Encoder keeps buffers of about 300 KB and the tables of the last quality. The
// zero value is ready; it is used by one goroutine at a time.
type Encoder struct {
	portable bool // tests: not the assembly
	quality  int
	luma     quantizer
	chroma   quantizer
	w        *workspace
	bits     bitWriter
	dc       [3]int32 // of the last block of each component
}

var errImage = errors.New("encode JPEG: the image's size, stride and channels do not fit its pixels")

// check holds the image to what the rest relies on: the last pixel is in Pix.
func (m *Image) check() error {
	if m.Width < 1 || m.Height < 1 || m.Width > MaxSide || m.Height > MaxSide {
		return fmt.Errorf("encode JPEG: %d x %d pixels; both sides are 1 to %d", m.Width, m.Height, MaxSide)
	}
	if m.Channels != 1 && m.Channels != 3 && m.Channels != 4 || m.Stride < m.Width*m.Channels {
		return errImage
	}
	// The product of the stride must not overflow on the way to the comparison.
	if last := m.Width * m.Channels; len(m.Pix) < last || (len(m.Pix)-last)/m.Stride < m.Height-1 {
		return errImage
	}
	return nil
}

// row is n pixels of line y from x on.
func (m *Image) row(x, y, n int) []byte {
	at := y*m.Stride + x*m.Channels
	return m.Pix[at : at+n*m.Channels : at+n*m.Channels]
}

// Append appends the JPEG file of m to dst. Errors are about m and o only; dst is
// then as it was.
func (e *Encoder) Append(dst []byte, m Image, o Options) ([]byte, error) {
	if err := m.check(); err != nil {
		return dst, err
	}
	if o.Quality < 1 || o.Quality > 100 {
		return dst, fmt.Errorf("encode JPEG: quality is %d: try a number from 1 to 100", o.Quality)
	}
	if e.w == nil {
		e.w = new(workspace)
	}
	if e.quality != o.Quality {
		e.luma.set(&lumaQuant, o.Quality)
		e.chroma.set(&chromaQuant, o.Quality)
		e.quality = o.Quality
	}
	s := samplingOf(m, o)
	dst = e.appendHeader(dst, m, s)
	e.bits, e.dc = bitWriter{}, [3]int32{}
	for y := 0; y < m.Height; y += s.rows() {
		for x := 0; x < m.Width; x += segment {
			dst = e.segment(dst, m, s, x, y)
		}
	}
	return append(e.bits.finish(dst), 0xff, markerEOI), nil
}

// A sampling is how components are laid out in an MCU, the smallest unit of a file.
type sampling int

const (
	gray    sampling = iota // one block
	full                    // 4:4:4: a block of each component
	quarter                 // 4:2:0: four blocks of luma, two in a row, and one of each colour
)

func samplingOf(m Image, o Options) sampling {
	switch {
	case m.Channels == 1:
		return gray
	case o.Subsample:
		return quarter
	}
	return full
}

// rows and width are an MCU's in pixels.
func (s sampling) rows() int {
	if s == quarter {
		return 16
	}
	return 8
}

func (s sampling) width() int { return s.rows() }

func (s sampling) components() int {
	if s == gray {
		return 1
	}
	return 3
}

// blocks is how many an MCU has.
func (s sampling) blocks() int { return [...]int{gray: 1, full: 3, quarter: 6}[s] }
