package jpeg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// The markers of a JPEG file that matter here (ITU-T T.81, table B.1).
const (
	markerSOF  = 0xc0 // to 0xcf, but for the next three
	markerDHT  = 0xc4
	markerJPG  = 0xc8
	markerDAC  = 0xcc
	markerSOI  = 0xd8
	markerEOI  = 0xd9
	markerSOS  = 0xda
	markerAPP0 = 0xe0
	markerAPP1 = 0xe1
	markerAPP2 = 0xe2
)

// maxScans is more than any encoder makes of a progressive file. Each scan costs
// the time of a whole picture and may be as short as ten bytes.
const maxScans = 500

var (
	exifPrefix = []byte("Exif\x00\x00")
	iccPrefix  = []byte("ICC_PROFILE\x00")

	errNoFrame  = errors.New("it ends before its size is said")
	errFrames   = errors.New("it has two sizes")
	errTruncate = errors.New("it ends in the middle")
)

// readJPEG walks over all segments, those behind the first scan too: the size must
// be said once, the scans are counted, and the end must be there.
func readJPEG(data []byte, h *header) error {
	var icc iccParts
	scans := 0
	for at := 2; ; {
		marker, body, next, err := segment(data, at)
		if err != nil {
			if h.size == (size{}) {
				return errNoFrame
			}
			return err
		}
		at = next
		switch {
		case marker == markerEOI && scans == 0:
			return errNoFrame
		case marker == markerEOI:
			h.icc = profile(icc.join())
			return nil
		case isFrame(marker):
			if err := h.frame(body); err != nil {
				return err
			}
		case marker == markerSOS:
			if scans++; scans > maxScans {
				return fmt.Errorf("it has more than %d scans", maxScans)
			}
			at = scanEnd(data, at)
		case marker == markerAPP1 && bytes.HasPrefix(body, exifPrefix):
			if o := readIFD(body[len(exifPrefix):]).orientation; h.orientation == 1 {
				h.orientation = o
			}
		case marker == markerAPP2 && bytes.HasPrefix(body, iccPrefix):
			icc.add(body[len(iccPrefix):])
		}
	}
}

func isFrame(marker byte) bool {
	return marker&0xf0 == markerSOF && marker != markerDHT && marker != markerJPG && marker != markerDAC
}

// segment is the marker at or behind data[at], what belongs to it, and where the
// next may be. Bytes between segments are passed over, as decoders do.
func segment(data []byte, at int) (marker byte, body []byte, next int, err error) {
	for {
		i := bytes.IndexByte(data[min(at, len(data)):], 0xff)
		if i < 0 || at+i+1 >= len(data) {
			return 0, nil, 0, errTruncate
		}
		at += i + 1
		if marker = data[at]; marker != 0 && marker != 0xff {
			at++
			break
		}
	}
	if marker == markerSOI || marker == markerEOI || marker == 0x01 || marker&0xf8 == 0xd0 {
		return marker, nil, at, nil
	}
	if len(data)-at < 2 {
		return 0, nil, 0, errTruncate
	}
	n := int(binary.BigEndian.Uint16(data[at:]))
	if n < 2 || n > len(data)-at {
		return 0, nil, 0, errTruncate
	}
	return marker, data[at+2 : at+n], at + n, nil
}

// scanEnd is where entropy-coded data ends: at a marker that is no restart.
func scanEnd(data []byte, at int) int {
	for at < len(data) {
		i := bytes.IndexByte(data[at:], 0xff)
		if i < 0 || at+i+1 >= len(data) {
			return len(data)
		}
		at += i
		if m := data[at+1]; m != 0 && m != 0xff && m&0xf8 != 0xd0 {
			return at
		}
		at++
	}
	return at
}

func (h *header) frame(body []byte) error {
	if h.size != (size{}) {
		return errFrames
	}
	if len(body) < 6 {
		return errNoFrame
	}
	h.size = size{int(binary.BigEndian.Uint16(body[3:])), int(binary.BigEndian.Uint16(body[1:]))}
	h.components = int(body[5])
	h.gray = h.components == 1
	if h.size.w == 0 || h.size.h == 0 {
		return fmt.Errorf("it says that it is %d x %d pixels", h.size.w, h.size.h)
	}
	return nil
}

// iccParts collects a profile that is spread over segments (ICC.1:2010, B.4): one
// byte says which part it is, from 1, and one how many there are.
type iccParts struct {
	count byte
	parts [256][]byte
}

func (p *iccParts) add(body []byte) {
	if len(body) < 2 || body[0] == 0 || body[0] > body[1] {
		return
	}
	p.count = body[1]
	p.parts[body[0]] = body[2:]
}

func (p *iccParts) join() []byte {
	var all []byte
	for i := 1; i <= int(p.count); i++ {
		if p.parts[i] == nil {
			return nil
		}
		all = append(all, p.parts[i]...)
	}
	return all
}
