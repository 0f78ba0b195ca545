package safetensors

import (
	"encoding/binary"
	"math"
)

// DType names the type of a tensor's elements as the format's headers do.
type DType string

// The element types read here. Files with others (F8 and packed types) are
// refused.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	I16  DType = "I16"
	I8   DType = "I8"
	U8   DType = "U8"
	Bool DType = "BOOL"
)

// Size returns the bytes of one element, 0 for a type not known here.
func (d DType) Size() int {
	switch d {
	case F64, I64:
		return 8
	case F32, I32:
		return 4
	case F16, BF16, I16:
		return 2
	case I8, U8, Bool:
		return 1
	}
	return 0
}

// integer reports whether d's values fit an int64 exactly.
func (d DType) integer() bool {
	switch d {
	case I64, I32, I16, I8, U8, Bool:
		return true
	}
	return false
}

// float32s converts the little-endian elements in b to dst. F64 and the wide
// integers are rounded to nearest; all others convert exactly.
func (d DType) float32s(dst []float32, b []byte) {
	le := binary.LittleEndian
	switch d {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(le.Uint32(b[4*i:]))
		}
	case F64:
		for i := range dst {
			dst[i] = float32(math.Float64frombits(le.Uint64(b[8*i:])))
		}
	case F16:
		for i := range dst {
			dst[i] = half(le.Uint16(b[2*i:]))
		}
	case BF16:
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(le.Uint16(b[2*i:])) << 16)
		}
	default:
		for i := range dst {
			dst[i] = float32(d.int64(b, i))
		}
	}
}

// int64 returns element i of b, whose type must be an integer's.
func (d DType) int64(b []byte, i int) int64 {
	le := binary.LittleEndian
	switch d {
	case I64:
		return int64(le.Uint64(b[8*i:]))
	case I32:
		return int64(int32(le.Uint32(b[4*i:])))
	case I16:
		return int64(int16(le.Uint16(b[2*i:])))
	case I8:
		return int64(int8(b[i]))
	default: // U8, Bool
		return int64(b[i])
	}
}

// half converts an IEEE 754 binary16; every one is exact in float32.
func half(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exponent := uint32(h>>10) & 0x1f
	fraction := uint32(h & 0x3ff)
	switch exponent {
	case 0: // zero or subnormal: fraction · 2^-24
		magnitude := float32(fraction) * 0x1p-24
		return math.Float32frombits(sign | math.Float32bits(magnitude))
	case 0x1f: // infinity or NaN, payload kept
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	default:
		return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
	}
}
