package jpeg

import (
	"errors"
	"fmt"
	"image/color"
	"path/filepath"
	"strconv"
	"strings"

	"weft/cpuwork/files"
)

// Chroma subsampling: colours at half the resolution in both directions, or at the
// full one.
const (
	Subsampling420 = "4:2:0"
	Subsampling444 = "4:4:4"
)

// What is done where an output exists already.
const (
	ExistingSkip   = "skip"   // the item has succeeded, with skipped: true
	ExistingRefuse = "refuse" // the item has failed, with the code exists
)

// Encoding is how pixels become a JPEG file. The zero value is quality 85, 4:2:0,
// the fastest encoder that is there.
type Encoding struct {
	Quality     int    `json:"quality,omitempty"`     // 1 to 100; 0: 85
	Subsampling string `json:"subsampling,omitempty"` // 4:2:0 (default) or 4:4:4
	Encoder     string `json:"encoder,omitempty"`     // auto (default), avx512, libturbojpeg, jpegn, image/jpeg
}

// Limits are what an input may ask for. Zero values are the defaults.
type Limits struct {
	MaxPixels    int64 `json:"max_pixels,omitempty"`     // 100 million; decoding takes up to 12 bytes a pixel
	MaxFileBytes int64 `json:"max_file_bytes,omitempty"` // 256 MiB
}

// Options are what is done to each picture.
type Options struct {
	Encoding
	Limits
	MaxWidth   int    `json:"max_width,omitempty"`  // pixels, of the upright picture; 0: no limit
	MaxHeight  int    `json:"max_height,omitempty"` // nothing is ever made larger
	Background string `json:"background,omitempty"` // #rrggbb behind what is transparent; white
	KeepTime   bool   `json:"keep_time,omitempty"`  // outputs get their inputs' modification times
	Existing   string `json:"existing,omitempty"`   // skip (default) or refuse
	Force      bool   `json:"force,omitempty"`      // replace what exists, an input by itself too
}

// Spec is a job that converts pictures.
type Spec struct {
	Options
	// Paths are the inputs, if they are not given as a [Lister].
	Paths []string `json:"paths,omitempty"`
	// Root, if not empty, is the directory whose tree is kept below Output; paths
	// outside of it, and all without it, go into Output itself.
	Root string `json:"root,omitempty"`
	// Output is the directory of the results; empty: each beside its input.
	Output string `json:"output,omitempty"`
	// Files, if not nil, lists the inputs instead of Paths. Without a Root, names
	// relative to its directory keep their tree.
	Files *files.Spec `json:"files,omitempty"`
	// Inputs, if not nil, is asked instead of Paths, Files and Root.
	Inputs Lister `json:"-"`
}

var white = color.NRGBA{R: 0xff, G: 0xff, B: 0xff, A: 0xff}

// Check says what is wrong with a specification, and fills in what was left out.
func (s *Spec) Check() error {
	if s.Files != nil && s.Inputs == nil {
		if err := s.Files.Check(); err != nil {
			return err
		}
		return s.check()
	}
	if s.Inputs == nil && len(s.Paths) == 0 {
		return errors.New("no inputs: name files to convert")
	}
	for i, p := range s.Paths {
		if p == "" {
			return fmt.Errorf("path %d is empty", i+1)
		}
		if strings.ContainsRune(p, 0) {
			return fmt.Errorf("path %d has a zero byte in it", i+1)
		}
		s.Paths[i] = filepath.Clean(p)
	}
	return s.check()
}

func (o *Options) check() error {
	if err := o.Encoding.check(); err != nil {
		return err
	}
	if o.MaxPixels == 0 {
		o.MaxPixels = 100_000_000
	}
	if o.MaxFileBytes == 0 {
		o.MaxFileBytes = 256 << 20
	}
	if o.Existing == "" {
		o.Existing = ExistingSkip
	}
	if o.Background == "" {
		o.Background = "#ffffff"
	}
	switch {
	case o.MaxPixels < 0 || o.MaxPixels > 1<<30:
		return fmt.Errorf("max_pixels is %d: try a number from 1 to %d", o.MaxPixels, 1<<30)
	case o.MaxFileBytes < 0 || o.MaxFileBytes > 1<<31-1:
		return fmt.Errorf("max_file_bytes is %d: try a number from 1 to %d", o.MaxFileBytes, 1<<31-1)
	case o.MaxWidth < 0 || o.MaxHeight < 0:
		return fmt.Errorf("max_width and max_height are %d and %d: try numbers from 1, or 0 for no limit", o.MaxWidth, o.MaxHeight)
	case o.Existing != ExistingSkip && o.Existing != ExistingRefuse:
		return fmt.Errorf("existing is %q: try %s or %s", o.Existing, ExistingSkip, ExistingRefuse)
	}
	_, err := parseColor(o.Background)
	return err
}

func (e *Encoding) check() error {
	if e.Quality == 0 {
		e.Quality = 85
	}
	if e.Subsampling == "" {
		e.Subsampling = Subsampling420
	}
	if e.Encoder == "" {
		e.Encoder = EncoderAuto
	}
	if e.Quality < 1 || e.Quality > 100 {
		return fmt.Errorf("quality is %d: try a number from 1 to 100", e.Quality)
	}
	if e.Subsampling != Subsampling420 && e.Subsampling != Subsampling444 {
		return fmt.Errorf("subsampling is %q: try %s or %s", e.Subsampling, Subsampling420, Subsampling444)
	}
	switch e.Encoder {
	case EncoderAuto, EncoderAVX512, EncoderTurbo, EncoderJpegn:
	case EncoderStd:
		if e.Subsampling != Subsampling420 {
			return fmt.Errorf("%s writes %s only: try another encoder", EncoderStd, Subsampling420)
		}
	default:
		return fmt.Errorf("encoder is %q: try %s, %s, %s, %s or %s", e.Encoder,
			EncoderAuto, EncoderAVX512, EncoderTurbo, EncoderJpegn, EncoderStd)
	}
	return nil
}

// parseColor reads #rrggbb, white or black.
func parseColor(s string) (color.NRGBA, error) {
	switch s {
	case "white":
		return white, nil
	case "black":
		return color.NRGBA{A: 0xff}, nil
	}
	if hex, found := strings.CutPrefix(s, "#"); found && len(hex) == 6 {
		if v, err := strconv.ParseUint(hex, 16, 24); err == nil {
			return color.NRGBA{R: byte(v >> 16), G: byte(v >> 8), B: byte(v), A: 0xff}, nil // #nosec G115 -- the bytes of 24 bits
		}
	}
	return color.NRGBA{}, fmt.Errorf("background is %q: try #rrggbb, white or black", s)
}
