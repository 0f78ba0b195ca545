package baseline

import "encoding/binary"

// Second bytes of markers (T.81, table B.1).
const (
	markerSOF0 = 0xc0
	markerDHT  = 0xc4
	markerSOI  = 0xd8
	markerEOI  = 0xd9
	markerSOS  = 0xda
	markerDQT  = 0xdb
	markerAPP0 = 0xe0
)

// appendHeader writes all that comes before the coded data, in libjpeg's order and
// with a segment for each table.
func (e *Encoder) appendHeader(dst []byte, m Image, s sampling) []byte {
	dst = append(dst, 0xff, markerSOI)
	dst = appendMarker(dst, markerAPP0, 14)
	dst = append(dst, "JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"...) // 1.01, pixels are square, no thumbnail
	dst = e.luma.append(dst, 0)
	if s != gray {
		dst = e.chroma.append(dst, 1)
	}
	dst = appendMarker(dst, markerSOF0, 6+3*s.components())
	dst = append(dst, 8) // bits a sample
	dst = binary.BigEndian.AppendUint16(dst, uint16(m.Height))
	dst = binary.BigEndian.AppendUint16(dst, uint16(m.Width))
	dst = append(dst, byte(s.components()))
	for i := range s.components() {
		factors, table := byte(0x11), byte(min(i, 1))
		if i == 0 && s == quarter {
			factors = 0x22
		}
		dst = append(dst, byte(i+1), factors, table)
	}
	dst = lumaDC.append(dst, 0x00)
	dst = lumaAC.append(dst, 0x10)
	if s != gray {
		dst = chromaDC.append(dst, 0x01)
		dst = chromaAC.append(dst, 0x11)
	}
	dst = appendMarker(dst, markerSOS, 4+2*s.components())
	dst = append(dst, byte(s.components()))
	for i := range s.components() {
		dst = append(dst, byte(i+1), byte(0x11*min(i, 1)))
	}
	return append(dst, 0, 63, 0) // all coefficients, at once
}

// appendMarker begins a segment of n bytes after its length.
func appendMarker(dst []byte, marker byte, n int) []byte {
	return append(dst, 0xff, marker, byte((n+2)>>8), byte(n+2))
}

func (q *quantizer) append(dst []byte, id byte) []byte {
	dst = appendMarker(dst, markerDQT, 65)
	dst = append(dst, id)
	for _, at := range zigzag {
		dst = append(dst, q.table[at])
	}
	return dst
}

func (h *huffman) append(dst []byte, id byte) []byte {
	dst = appendMarker(dst, markerDHT, 17+len(h.symbols))
	dst = append(dst, id)
	dst = append(dst, h.counts[:]...)
	return append(dst, h.symbols...)
}
