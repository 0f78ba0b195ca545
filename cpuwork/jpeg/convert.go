package jpeg

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"

	"weft/cpuwork"
)

// maxSide is JPEG's: sizes are written with 16 bits.
const maxSide = 65535

// A Converter turns pictures into JPEG files. It keeps its buffers, up to 64 MiB
// each, and is used by one goroutine at a time.
type Converter struct {
	opts                    Options
	background              color.NRGBA
	enc                     encoder
	dec                     decoder
	decoded, flat, oriented scratch
	resizer                 resizer
	file, out               []byte // an input and an output, for ConvertFile
}

// NewConverter checks the options and looks for the encoder that they ask for.
func NewConverter(o Options) (*Converter, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	background, err := parseColor(o.Background)
	if err != nil {
		return nil, err
	}
	enc, err := newEncoder(o.Encoder)
	if err != nil {
		return nil, err
	}
	return &Converter{opts: o, background: background, enc: enc, dec: newDecoder()}, nil
}

// Encoder names the encoder that is used.
func (c *Converter) Encoder() string { return c.enc.name() }

// A Picture says what a converted file holds.
type Picture struct {
	Width  int    // pixels
	Height int    // pixels
	Gray   bool   // one component
	Format string // of the input: png, jpeg, webp, bmp, tiff
}

// Convert appends to dst the JPEG file of the picture in data: the first page, upright,
// no larger than asked. Pictures that cannot be converted give a
// [cpuwork.ItemError]. It answers ctx's end between its steps, and while Go's own
// decoders read.
func (c *Converter) Convert(ctx context.Context, data, dst []byte) ([]byte, Picture, error) {
	defer c.trim()
	h, err := readHeader(data, c.opts.Limits)
	if err != nil {
		return dst, Picture{}, err
	}
	pic := Picture{Format: h.format}
	upr := h.size
	if turned(h.orientation) {
		upr = size{upr.h, upr.w}
	}
	pic.Width, pic.Height = within(upr.w, upr.h, c.opts.MaxWidth, c.opts.MaxHeight)
	if pic.Width > maxSide || pic.Height > maxSide {
		return dst, pic, cpuwork.Failf(CodePixels, fmt.Sprintf("max_width %d and max_height %d", maxSide, maxSide),
			"%d x %d pixels: a JPEG file has at most %d on each side", pic.Width, pic.Height, maxSide)
	}
	to := size{pic.Width, pic.Height} // of the picture as it lies in the file
	if turned(h.orientation) {
		to = size{to.h, to.w}
	}
	f, denom, err := c.decode(ctx, data, h, to)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return dst, pic, err
	}
	if h.gray {
		f = toGray(f)
	}
	if f.w != to.w || f.h != to.h {
		f = c.resizer.resize(f, h.size, denom, to.w, to.h)
	}
	f = upright(f, h.orientation, &c.oriented)
	if err := ctx.Err(); err != nil {
		return dst, pic, err
	}
	pic.Gray = f.channels == 1
	dst, err = c.encode(dst, f, h.icc)
	return dst, pic, err
}

// encode writes f, and puts the colour profile in if it suits.
func (c *Converter) encode(dst []byte, f frame, icc []byte) ([]byte, error) {
	start := len(dst)
	dst, err := c.enc.encode(dst, f, c.opts.Encoding)
	if err != nil {
		return dst, &cpuwork.ItemError{Code: CodeEncode, Message: err.Error()}
	}
	if !suits(icc, f.channels) {
		return dst, nil
	}
	segments := appendICC(nil, icc)
	at := start + afterJFIF(dst[start:])
	dst = append(dst, segments...)
	copy(dst[at+len(segments):], dst[at:])
	copy(dst[at:], segments)
	return dst, nil
}

// decode gives a frame of the picture, of its size divided by denom, which is at
// least twice the size to where the decoder made it smaller.
func (c *Converter) decode(ctx context.Context, data []byte, h header, to size) (f frame, denom int, err error) {
	if h.format == "jpeg" && h.components != 4 {
		return c.dec.decode(data, h, size{2 * to.w, 2 * to.h}, &c.decoded)
	}
	m, err := decodeImage(&ctxReader{ctx: ctx, Reader: bytes.NewReader(data)}, h)
	if err != nil {
		return frame{}, 0, err
	}
	if got := m.Bounds().Size(); got.X != h.size.w || got.Y != h.size.h {
		return frame{}, 0, cpuwork.Failf(CodeBroken, "", "broken %s file: it says that it is %d x %d pixels and has %d x %d",
			h.format, h.size.w, h.size.h, got.X, got.Y)
	}
	if h.studio {
		m = fullRange(m)
	}
	return flatten(m, c.background, &c.flat), 1, nil
}

// decodeImage calls the decoders that answer images. They are others' code and get
// files from anywhere, so a panic in one is this item's error and nothing more.
func decodeImage(r *ctxReader, h header) (m image.Image, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = cpuwork.Failf(CodeBroken, "", "broken %s file: its decoder failed: %v", h.format, p)
		}
	}()
	switch h.format {
	case "png":
		m, err = png.Decode(r)
	case "jpeg":
		m, err = jpeg.Decode(r)
	case "webp":
		m, err = webp.Decode(r)
	case "bmp":
		m, err = bmp.Decode(r)
	case "tiff":
		m, err = tiff.Decode(r)
	}
	if end := r.ctx.Err(); end != nil {
		return nil, end
	}
	if err != nil {
		return nil, cpuwork.Failf(CodeBroken, "", "broken %s file: %v", h.format, err)
	}
	return m, nil
}

// A ctxReader ends with its context. Decoders that want an io.ReaderAt get the
// bytes.Reader's.
type ctxReader struct {
	ctx context.Context
	*bytes.Reader
}

func (r *ctxReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

func (r *ctxReader) ReadByte() (byte, error) { return r.Reader.ReadByte() }

var _ io.ReaderAt = (*ctxReader)(nil)

func (c *Converter) trim() {
	c.decoded.trim()
	c.flat.trim()
	c.oriented.trim()
	c.resizer.trim()
}
