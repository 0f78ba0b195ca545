package jpeg

import "encoding/binary"

// A profile's parts in JPEG segments (ICC.1:2010, B.4).
const (
	iccPart = 65535 - 2 - 12 - 2 // bytes of profile in one segment
	maxICC  = 255 * iccPart      // the last part is number 255
)

// profile is icc if it looks like a profile, else nothing: the length at its
// beginning is its own and the signature is there (ICC.1:2010, 7.2).
func profile(icc []byte) []byte {
	if len(icc) < 128 || len(icc) > maxICC || string(icc[36:40]) != "acsp" {
		return nil
	}
	if n := binary.BigEndian.Uint32(icc); int64(n) != int64(len(icc)) {
		return nil
	}
	return icc
}

// suits says whether a profile describes pixels of so many channels.
func suits(icc []byte, channels int) bool {
	if len(icc) == 0 {
		return false
	}
	space := string(icc[16:20])
	return channels == 1 && space == "GRAY" || channels != 1 && space == "RGB "
}

// appendICC appends the profile as segments of a JPEG file.
func appendICC(dst, icc []byte) []byte {
	count := byte((len(icc) + iccPart - 1) / iccPart) // #nosec G115 -- profile keeps it below 256
	for i := byte(1); len(icc) > 0; i++ {
		part := icc[:min(len(icc), iccPart)]
		icc = icc[len(part):]
		dst = append(dst, 0xff, markerAPP2)
		dst = binary.BigEndian.AppendUint16(dst, uint16(2+len(iccPrefix)+2+len(part))) // #nosec G115 -- as iccPart is chosen
		dst = append(dst, iccPrefix...)
		dst = append(dst, i, count)
		dst = append(dst, part...)
	}
	return dst
}

// afterJFIF is where in a JPEG file that an encoder wrote segments may be put in:
// behind the first marker, and behind JFIF's segment, which wants to be first.
func afterJFIF(jpeg []byte) int {
	if marker, _, next, err := segment(jpeg, 2); err == nil && marker == markerAPP0 {
		return next
	}
	return 2
}
