package baseline

import "math/bits"

// What the assembly does, step by step as the standard and libjpeg's sources have
// it: for other processors, and to be compared with.

func (w *workspace) convertPortable(upper, lower []byte, channels int, s sampling, chunks, atY, atC int) {
	if s == gray {
		for i, v := range upper[:chunks*chunk] {
			w.y[atY+i] = int16(v) << 4
		}
		return
	}
	for i := range chunks * chunk {
		y, cb, cr := toYCC(upper[i*channels:])
		w.y[atY+i] = int16(y << 4)
		if s == full {
			w.cb[atC+i], w.cr[atC+i] = int16(cb<<4), int16(cr<<4)
			continue
		}
		y, _, _ = toYCC(lower[i*channels:])
		w.y[atY+stride+i] = int16(y << 4)
	}
	if s == full {
		return
	}
	for i := range chunks * chunk / 2 {
		var sum [2]int32
		for _, at := range [][]byte{upper[2*i*channels:], upper[(2*i+1)*channels:], lower[2*i*channels:], lower[(2*i+1)*channels:]} {
			_, cb, cr := toYCC(at)
			sum[0] += cb
			sum[1] += cr
		}
		bias := int32(1 + i&1)
		w.cb[atC+i], w.cr[atC+i] = int16((sum[0]+bias)>>2<<4), int16((sum[1]+bias)>>2<<4)
	}
}

// toYCC is JFIF's conversion with the factors times 2^16, rounded, and what
// libjpeg adds before it shifts.
func toYCC(p []byte) (y, cb, cr int32) {
	r, g, b := int32(p[0]), int32(p[1]), int32(p[2])
	y = (19595*r + 38470*g + 7471*b + 1<<15) >> 16
	cb = (-11059*r - 21709*g + 32768*b + 128<<16 + 1<<15 - 1) >> 16
	cr = (32768*r - 27439*g - 5329*b + 128<<16 + 1<<15 - 1) >> 16
	return y, cb, cr
}

// transformRow makes four times groups blocks of samples that lie side by side.
func (e *Encoder) transformRow(first int, src []int16, groups int, q *quantizer) {
	if !e.portable && supported {
		transform(&e.w.coefs[first][0], &src[0], groups, &q.vector.half[0][0])
		return
	}
	e.w.transformPortable(first, src, 4*groups, q)
}

// Constants of the DCT, times 2^13.
const (
	fix0298 = 2446
	fix0390 = 3196
	fix0541 = 4433
	fix0765 = 6270
	fix0899 = 7373
	fix1175 = 9633
	fix1501 = 12299
	fix1847 = 15137
	fix1961 = 16069
	fix2053 = 16819
	fix2562 = 20995
	fix3072 = 25172
)

// dct8 is one pass over the eight numbers that are step apart: sums are shifted
// left by up, or right and rounded if it is negative, products right by down.
func dct8(v []int32, step, up, down int) {
	at := func(i int) *int32 { return &v[i*step] }
	round := func(x int32, n int) int32 { return (x + 1<<(n-1)) >> n }
	s0, s1, s2, s3 := *at(0)+*at(7), *at(1)+*at(6), *at(2)+*at(5), *at(3)+*at(4)
	d0, d1, d2, d3 := *at(0)-*at(7), *at(1)-*at(6), *at(2)-*at(5), *at(3)-*at(4)
	even := func(x int32) int32 {
		if up < 0 {
			return round(x, -up)
		}
		return x << up
	}
	t10, t13, t11, t12 := s0+s3, s0-s3, s1+s2, s1-s2
	*at(0), *at(4) = even(t10+t11), even(t10-t11)
	z1 := (t12 + t13) * fix0541
	*at(2), *at(6) = round(z1+t13*fix0765, down), round(z1-t12*fix1847, down)

	z1, z2, z3, z4 := d3+d0, d2+d1, d3+d1, d2+d0
	z5 := (z3 + z4) * fix1175
	z1, z2, z3, z4 = -z1*fix0899, -z2*fix2562, z5-z3*fix1961, z5-z4*fix0390
	*at(7) = round(d3*fix0298+z1+z3, down)
	*at(5) = round(d2*fix2053+z2+z4, down)
	*at(3) = round(d1*fix3072+z2+z3, down)
	*at(1) = round(d0*fix1501+z1+z4, down)
}

func (w *workspace) transformPortable(first int, src []int16, blocks int, q *quantizer) {
	for i := range blocks {
		var b [64]int32
		for y := range 8 {
			for x := range 8 {
				b[8*y+x] = int32(src[y*stride+8*i+x]>>4) - 128
			}
		}
		for y := range 8 {
			dct8(b[8*y:], 1, 2, 11)
		}
		for x := range 8 {
			dct8(b[x:], 8, -2, 15)
		}
		for k, at := range zigzag {
			d := 8 * int32(q.table[at])
			w.coefs[first+i][k] = int16(max(b[at], -b[at])+d/2) / int16(d)
			if b[at] < 0 {
				w.coefs[first+i][k] *= -1
			}
		}
	}
}

// A bitWriter has the bits that have not made a byte yet: n, at the top of held.
type bitWriter struct {
	held uint64
	n    uint64
}

// put appends n bits, up to 27.
func (b *bitWriter) put(dst []byte, bits uint32, n int) []byte {
	b.held |= uint64(bits) << (64 - int(b.n) - n)
	b.n += uint64(n)
	for ; b.n >= 8; b.n -= 8 {
		dst = append(dst, byte(b.held>>56))
		if byte(b.held>>56) == 0xff {
			dst = append(dst, 0)
		}
		b.held <<= 8
	}
	return dst
}

// finish fills the last byte with ones.
func (b *bitWriter) finish(dst []byte) []byte {
	if b.n > 0 {
		dst = b.put(dst, 1<<(8-b.n)-1, int(8-b.n))
	}
	return dst
}

func (e *Encoder) appendPortable(dst []byte, s sampling, mcus int) []byte {
	cb, cr := s.chroma()
	for i := range mcus {
		switch s {
		case gray:
			dst = e.appendBlock(dst, i, 0)
			continue
		case full:
			dst = e.appendBlock(dst, i, 0)
		default:
			for _, at := range [4]int{2 * i, 2*i + 1, lumaBlocks + 2*i, lumaBlocks + 2*i + 1} {
				dst = e.appendBlock(dst, at, 0)
			}
		}
		dst = e.appendBlock(dst, cb+i, 1)
		dst = e.appendBlock(dst, cr+i, 2)
	}
	return dst
}

// appendBlock appends one block's codes (T.81, F.1.2).
func (e *Encoder) appendBlock(dst []byte, at, component int) []byte {
	block, kind := &e.w.coefs[at], uint32(0)
	if component > 0 {
		kind = chromaKinds
	}
	dst = e.appendEntry(dst, kind+kindDC, int32(block[0])-e.dc[component])
	e.dc[component] = int32(block[0])
	run := uint32(0)
	for _, v := range block[1:] {
		if v == 0 {
			run++
			continue
		}
		for ; run > 15; run -= 16 {
			dst = e.appendEntry(dst, kind+15, 0)
		}
		dst = e.appendEntry(dst, kind+run, int32(v))
		run = 0
	}
	if run > 0 {
		dst = e.appendEntry(dst, kind, 0)
	}
	return dst
}

// appendEntry appends a code and the coefficient's own bits, one's complement if it
// is negative.
func (e *Encoder) appendEntry(dst []byte, kind uint32, v int32) []byte {
	size := bits.Len32(uint32(max(v, -v)))
	if v < 0 {
		v += 1<<size - 1
	}
	entry := codes[16*kind+uint32(size)]
	return e.bits.put(dst, entry&0xffff<<size|uint32(v), int(entry>>lengthShift))
}
