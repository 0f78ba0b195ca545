package jpeg

import "image"

// VP8's colours are of BT.601 in the range of television, luma from 16 to 235 and
// chroma from 16 to 240 (RFC 6386, 9.2), while image.YCbCr means JFIF's full range.
// The tables stretch the one to the other.
var (
	stretchLuma   = stretch(16, 219)
	stretchChroma = stretch(128, 224)
)

// stretch maps values about zero, of span, to span 255 about the same (luma: about 0).
func stretch(zero, span int) (table [256]byte) {
	base := zero
	if zero == 16 {
		base = 0
	}
	for i := range table {
		v := (i-zero)*255*2 + span // rounded down from here: add half, floor
		q := v / (2 * span)
		if v < 0 && v%(2*span) != 0 {
			q--
		}
		table[i] = byte(min(max(q+base, 0), 255)) // #nosec G115 -- clamped
	}
	return table
}

// fullRange changes what the WebP decoder gave for a VP8 frame, in place.
func fullRange(m image.Image) image.Image {
	var y *image.YCbCr
	switch m := m.(type) {
	case *image.YCbCr:
		y = m
	case *image.NYCbCrA:
		y = &m.YCbCr
	default:
		return m
	}
	for i, v := range y.Y {
		y.Y[i] = stretchLuma[v]
	}
	for _, plane := range [][]byte{y.Cb, y.Cr} {
		for i, v := range plane {
			plane[i] = stretchChroma[v]
		}
	}
	return m
}
