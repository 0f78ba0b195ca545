package jpeg

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"

	"github.com/gen2brain/jpegn"

	"weft/cpuwork"
	"weft/cpuwork/jpeg/baseline"
)

// An encoder appends f as a JPEG file to dst. It is used by one goroutine at a
// time and may keep buffers.
type encoder interface {
	name() string
	encode(dst []byte, f frame, o Encoding) ([]byte, error)
}

// A decoder makes a frame of a whole JPEG file of one or three components, in
// memory of its own or of s. It may divide both sides by 2, 4 or 8, rounded up, if
// they are then still at least least, and says by how much it did.
type decoder interface {
	decode(data []byte, h header, least size, s *scratch) (f frame, denom int, err error)
}

// The encoders' names, as they are asked for and reported.
const (
	EncoderAuto   = "auto"
	EncoderAVX512 = "avx512"       // Go and assembly, where the processor has what it takes
	EncoderTurbo  = "libturbojpeg" // the system's library, looked up when first used; writes the same files
	EncoderJpegn  = "jpegn"        // Go and assembly, always there
	EncoderStd    = "image/jpeg"   // the standard library; 4:2:0 only
)

var errNoAVX512 = errors.New("encoder avx512: this processor lacks AVX-512, or its VNNI, VBMI or VBMI2: try auto")

// newEncoder is the encoder of that name; auto is the fastest that is there.
func newEncoder(name string) (encoder, error) {
	return pickEncoder(name, baseline.Supported(), newTurbo)
}

// pickEncoder is newEncoder for a machine that has AVX-512 or not, and
// libturbojpeg or not.
func pickEncoder(name string, avx512 bool, openTurbo func() (*turbo, error)) (encoder, error) {
	if name == "" {
		name = EncoderAuto
	}
	switch name {
	case EncoderAuto, EncoderAVX512:
		if avx512 {
			return &baselineEncoder{}, nil
		}
		if name == EncoderAVX512 {
			return nil, errNoAVX512
		}
		if t, err := openTurbo(); err == nil {
			return t, nil
		}
		return &jpegnEncoder{}, nil
	case EncoderTurbo:
		t, err := openTurbo()
		if err != nil {
			return nil, fmt.Errorf("load libturbojpeg: %w", err)
		}
		return t, nil
	case EncoderJpegn:
		return &jpegnEncoder{}, nil
	case EncoderStd:
		return &stdEncoder{}, nil
	}
	return nil, fmt.Errorf("unknown encoder %q", name)
}

// HasEncoder reports whether this machine has the encoder of that name.
func HasEncoder(name string) bool {
	_, err := newEncoder(name)
	return err == nil
}

// newDecoder is libturbojpeg where it is present, and otherwise the standard
// library: what comes from outside is decoded by what is fuzzed.
func newDecoder() decoder {
	if t, err := newTurbo(); err == nil {
		return t
	}
	return stdDecoder{}
}

// baselineEncoder is our own.
type baselineEncoder struct{ e baseline.Encoder }

func (*baselineEncoder) name() string { return EncoderAVX512 }

func (b *baselineEncoder) encode(dst []byte, f frame, o Encoding) ([]byte, error) {
	return b.e.Append(dst, baseline.Image{Pix: f.pix, Width: f.w, Height: f.h, Stride: f.stride, Channels: f.channels},
		baseline.Options{Quality: o.Quality, Subsample: o.Subsampling != Subsampling444})
}

// jpegnEncoder wants RGBX; RGB is widened.
type jpegnEncoder struct {
	out  bytes.Buffer
	wide scratch
}

func (*jpegnEncoder) name() string { return EncoderJpegn }

func (e *jpegnEncoder) encode(dst []byte, f frame, o Encoding) ([]byte, error) {
	sub := jpegn.Subsample420
	switch {
	case f.channels == 1:
		sub = jpegn.SubsampleGray
	case o.Subsampling == Subsampling444:
		sub = jpegn.Subsample444
	}
	e.out.Reset()
	defer trimBuffer(&e.out)
	defer e.wide.trim()
	err := jpegn.Encode(&e.out, asImage(f, &e.wide), &jpegn.EncodeOptions{Quality: o.Quality, Subsampling: sub})
	if err != nil {
		return dst, fmt.Errorf("encode with jpegn: %w", err)
	}
	return append(dst, e.out.Bytes()...), nil
}

type stdEncoder struct {
	out  bytes.Buffer
	wide scratch
}

func (*stdEncoder) name() string { return EncoderStd }

func (e *stdEncoder) encode(dst []byte, f frame, o Encoding) ([]byte, error) {
	e.out.Reset()
	defer trimBuffer(&e.out)
	defer e.wide.trim()
	if err := jpeg.Encode(&e.out, asImage(f, &e.wide), &jpeg.Options{Quality: o.Quality}); err != nil {
		return dst, fmt.Errorf("encode with image/jpeg: %w", err)
	}
	return append(dst, e.out.Bytes()...), nil
}

func trimBuffer(b *bytes.Buffer) {
	if b.Cap() > keepAtMost {
		*b = bytes.Buffer{}
	}
}

// asImage is f for encoders that take images: gray, or RGBA of which alpha is not
// looked at.
func asImage(f frame, wide *scratch) image.Image {
	rect := image.Rect(0, 0, f.w, f.h)
	switch f.channels {
	case 1:
		return &image.Gray{Pix: f.pix, Stride: f.stride, Rect: rect}
	case 3:
		f = widen(f, wide)
	}
	return &image.RGBA{Pix: f.pix, Stride: f.stride, Rect: rect}
}

func widen(f frame, s *scratch) frame {
	out := s.frame(f.w, f.h, 4)
	for y := range f.h {
		src, dst := f.row(y), out.row(y)
		for ; len(src) >= 3 && len(dst) >= 4; src, dst = src[3:], dst[4:] {
			dst[0], dst[1], dst[2], dst[3] = src[0], src[1], src[2], 0xff
		}
	}
	return out
}

type stdDecoder struct{}

func (stdDecoder) decode(data []byte, _ header, _ size, s *scratch) (frame, int, error) {
	m, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return frame{}, 0, cpuwork.Failf(CodeBroken, "", "broken jpeg file: %v", err)
	}
	return flatten(m, white, s), 1, nil
}

var (
	_ encoder = (*baselineEncoder)(nil)
	_ encoder = (*jpegnEncoder)(nil)
	_ encoder = (*stdEncoder)(nil)
	_ encoder = (*turbo)(nil)
	_ decoder = stdDecoder{}
	_ decoder = (*turbo)(nil)
)
