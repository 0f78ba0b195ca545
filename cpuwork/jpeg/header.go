package jpeg

import (
	"bytes"
	"encoding/binary"
	"image"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"

	"weft/cpuwork"
)

type size struct{ w, h int }

// A header is what is known of a picture before its pixels are decoded.
type header struct {
	format      string // png, jpeg, webp, bmp, tiff
	size        size
	orientation int    // EXIF's, 1 to 8
	icc         []byte // the colour profile, checked
	gray        bool   // colours are equal in all pixels, whatever the decoder makes of them
	components  int    // of a JPEG
	studio      bool   // YCbCr in the range of television, as VP8 has it
}

// formats are told by their first bytes; a dot stands for any byte.
var formats = []struct {
	magic string
	name  string
	read  func(data []byte, h *header) error
}{
	{"\x89PNG\r\n\x1a\n", "png", readPNG},
	{"\xff\xd8\xff", "jpeg", readJPEG},
	{"RIFF....WEBP", "webp", readWebP},
	{"BM....\x00\x00\x00\x00", "bmp", readBMP},
	{"II*\x00", "tiff", readTIFF},
	{"MM\x00*", "tiff", readTIFF},
}

// readHeader says what data is, from its beginning and its chunks, without
// decoding pixels. What it refuses is never given to a decoder.
func readHeader(data []byte, l Limits) (header, error) {
	h := header{orientation: 1}
	for _, f := range formats {
		if !hasMagic(data, f.magic) {
			continue
		}
		h.format = f.name
		if err := f.read(data, &h); err != nil {
			return h, cpuwork.Failf(CodeBroken, "", "broken %s file: %v", h.format, err)
		}
		if h.size.w <= 0 || h.size.h <= 0 {
			return h, cpuwork.Failf(CodeBroken, "", "broken %s file: it says that it is %d x %d pixels", h.format, h.size.w, h.size.h)
		}
		if int64(h.size.w) > l.MaxPixels/int64(h.size.h) {
			return h, cpuwork.Failf(CodePixels, "max_pixels, if the file can be trusted",
				"%d x %d pixels are more than the limit of %d", h.size.w, h.size.h, l.MaxPixels)
		}
		return h, nil
	}
	return h, cpuwork.Failf(CodeNotImage, "", "not a PNG, JPEG, WebP, BMP or TIFF file")
}

func hasMagic(data []byte, magic string) bool {
	if len(data) < len(magic) {
		return false
	}
	for i := range len(magic) {
		if magic[i] != '.' && data[i] != magic[i] {
			return false
		}
	}
	return true
}

func (h *header) sized(c image.Config, err error) error {
	h.size = size{c.Width, c.Height}
	return err
}

func readBMP(data []byte, h *header) error {
	return h.sized(bmp.DecodeConfig(bytes.NewReader(data)))
}

func readTIFF(data []byte, h *header) error {
	if err := h.sized(tiff.DecodeConfig(bytes.NewReader(data))); err != nil {
		return err
	}
	d := readIFD(data)
	h.orientation, h.icc = d.orientation, profile(d.icc)
	return nil
}

// readWebP reads the size, the profile and the orientation. The decoder itself
// refuses pictures of another size than the file's header says, but shows those
// that are cut short.
func readWebP(data []byte, h *header) error {
	if err := h.sized(webp.DecodeConfig(bytes.NewReader(data))); err != nil {
		return err
	}
	if int64(binary.LittleEndian.Uint32(data[4:])) > int64(len(data)-8) {
		return errTruncate
	}
	for chunks := data[12:]; len(chunks) >= 8; {
		n := int64(binary.LittleEndian.Uint32(chunks[4:]))
		if n > int64(len(chunks)-8) {
			return errTruncate
		}
		body := chunks[8 : 8+n]
		switch string(chunks[:4]) {
		case "ICCP":
			h.icc = profile(body)
		case "EXIF":
			h.orientation = readIFD(bytes.TrimPrefix(body, exifPrefix)).orientation
		case "VP8 ":
			h.studio = true
		}
		chunks = chunks[min(8+n+n&1, int64(len(chunks))):]
	}
	return nil
}
