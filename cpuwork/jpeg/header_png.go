package jpeg

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"
)

var errPNGHeader = errors.New("it does not begin with its size")

// readPNG reads the chunks before the pixels, and those behind for the orientation.
func readPNG(data []byte, h *header) error {
	chunks := data[8:]
	if len(chunks) < 8+13 || string(chunks[4:8]) != "IHDR" {
		return errPNGHeader
	}
	ihdr := chunks[8:21]
	w, hi := binary.BigEndian.Uint32(ihdr), binary.BigEndian.Uint32(ihdr[4:])
	if w > 1<<31-1 || hi > 1<<31-1 {
		return errPNGHeader
	}
	h.size = size{int(w), int(hi)}
	colour := ihdr[9]
	h.gray = colour == 0 || colour == 4
	for len(chunks) >= 12 {
		n := int64(binary.BigEndian.Uint32(chunks))
		if n > int64(len(chunks)-12) {
			break // the decoder will say so, where it matters
		}
		body := chunks[8 : 8+n]
		switch string(chunks[4:8]) {
		case "iCCP":
			h.icc = profile(inflateICC(body))
		case "eXIf":
			h.orientation = readIFD(body).orientation
		}
		chunks = chunks[12+n:]
	}
	return nil
}

// inflateICC unpacks an iCCP chunk: a name, a zero, the method (0: deflate), the
// profile. A profile that is too long is none.
func inflateICC(body []byte) []byte {
	_, packed, found := bytes.Cut(body, []byte{0})
	if !found || len(packed) < 1 || packed[0] != 0 {
		return nil
	}
	r, err := zlib.NewReader(bytes.NewReader(packed[1:]))
	if err != nil {
		return nil
	}
	icc, err := io.ReadAll(io.LimitReader(r, maxICC+1))
	if err != nil {
		return nil
	}
	return icc
}
