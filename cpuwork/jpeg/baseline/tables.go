package baseline

// zigzag says where in a block, row by row, the coefficients of the zigzag order
// are (T.81, figure A.6).
var zigzag = [64]byte{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

// Quantization tables of T.81, annex K.1, row by row.
var (
	lumaQuant = [64]byte{
		16, 11, 10, 16, 24, 40, 51, 61,
		12, 12, 14, 19, 26, 58, 60, 55,
		14, 13, 16, 24, 40, 57, 69, 56,
		14, 17, 22, 29, 51, 87, 80, 62,
		18, 22, 37, 56, 68, 109, 103, 77,
		24, 35, 55, 64, 81, 104, 113, 92,
		49, 64, 78, 87, 103, 121, 120, 101,
		72, 92, 95, 98, 112, 100, 103, 99,
	}
	chromaQuant = [64]byte{
		17, 18, 24, 47, 99, 99, 99, 99,
		18, 21, 26, 66, 99, 99, 99, 99,
		24, 26, 56, 99, 99, 99, 99, 99,
		47, 66, 99, 99, 99, 99, 99, 99,
		99, 99, 99, 99, 99, 99, 99, 99,
		99, 99, 99, 99, 99, 99, 99, 99,
		99, 99, 99, 99, 99, 99, 99, 99,
		99, 99, 99, 99, 99, 99, 99, 99,
	}
)

// A quantizer divides coefficients, which come 8 times too large from the DCT, by
// its table, and rounds halves away from zero. For the assembly a divisor d is
// what (|x| + half) × reciprocal / 2^16 × scale / 2^16 comes to, both rounded down,
// which is exact for |x| + half below 2^14.
type quantizer struct {
	table  [64]byte
	vector quantVector
}

// quantVector has, for each row of a block, the numbers of four blocks side by
// side, in the order in which the assembly has its columns ([columnsOf]).
type quantVector struct {
	half, reciprocal, scale [8][32]uint16
}

// columnsOf says which column of a row of coefficients each word of 128 bits has:
// rows 0 and 4 come from sums, the others from products, whose halves interleave.
func columnsOf(row int) [8]int {
	if row%4 == 0 {
		return [8]int{0, 1, 2, 3, 4, 5, 6, 7}
	}
	return [8]int{0, 4, 1, 5, 2, 6, 3, 7}
}

// set makes the tables for a quality as the IJG scales them.
func (q *quantizer) set(base *[64]byte, quality int) {
	percent := 200 - 2*quality
	if quality < 50 {
		percent = 5000 / quality
	}
	for i, v := range base {
		q.table[i] = byte(min(max((int(v)*percent+50)/100, 1), 255))
	}
	for row := range 8 {
		columns := columnsOf(row)
		for i := range 32 {
			d := 8 * uint32(q.table[8*row+columns[i%8]])
			reciprocal, scale := reciprocalOf(d)
			q.vector.half[row][i] = uint16(d / 2)
			q.vector.reciprocal[row][i], q.vector.scale[row][i] = reciprocal, scale
		}
	}
}

// reciprocalOf d, 8 to 2040: with 2^b the largest power of two up to d, the
// reciprocal is 2^(16+b)/d rounded up, or 2^(15+b)/d where d is that power. It is
// too large by less than d/2^(16+b) of itself, so that a quotient of n is by less
// than n/2^(16+b) < 1/(2d): never enough for the next number.
func reciprocalOf(d uint32) (reciprocal, scale uint16) {
	b := 0
	for d>>(b+1) != 0 {
		b++
	}
	if d == 1<<b {
		return 1 << 15, 1 << (17 - b)
	}
	return uint16((1<<(16+b) + d - 1) / d), 1 << (16 - b)
}

// A huffman is a Huffman table as a file has it: how many codes there are of each
// length from 1 to 16, and their symbols in order.
type huffman struct {
	counts  [16]byte
	symbols []byte
}

// Huffman tables of T.81, annex K.3. A symbol of AC is the number of zeros before a
// coefficient (4 bits) and the coefficient's length in bits; of DC, the length.
var (
	lumaDC = huffman{
		[16]byte{0, 1, 5, 1, 1, 1, 1, 1, 1},
		[]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
	}
	chromaDC = huffman{
		[16]byte{0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},
		[]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
	}
	lumaAC = huffman{
		[16]byte{0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125},
		[]byte("\x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07" +
			"\x22\x71\x14\x32\x81\x91\xa1\x08\x23\x42\xb1\xc1\x15\x52\xd1\xf0" +
			"\x24\x33\x62\x72\x82\x09\x0a\x16\x17\x18\x19\x1a\x25\x26\x27\x28" +
			"\x29\x2a\x34\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49" +
			"\x4a\x53\x54\x55\x56\x57\x58\x59\x5a\x63\x64\x65\x66\x67\x68\x69" +
			"\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x83\x84\x85\x86\x87\x88\x89" +
			"\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7" +
			"\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5" +
			"\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xe1\xe2" +
			"\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa"),
	}
	chromaAC = huffman{
		[16]byte{0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119},
		[]byte("\x00\x01\x02\x03\x11\x04\x05\x21\x31\x06\x12\x41\x51\x07\x61\x71" +
			"\x13\x22\x32\x81\x08\x14\x42\x91\xa1\xb1\xc1\x09\x23\x33\x52\xf0" +
			"\x15\x62\x72\xd1\x0a\x16\x24\x34\xe1\x25\xf1\x17\x18\x19\x1a\x26" +
			"\x27\x28\x29\x2a\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48" +
			"\x49\x4a\x53\x54\x55\x56\x57\x58\x59\x5a\x63\x64\x65\x66\x67\x68" +
			"\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x82\x83\x84\x85\x86\x87" +
			"\x88\x89\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5" +
			"\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3" +
			"\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda" +
			"\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa"),
	}
)

// Entries of the list that Huffman coding begins with are a number of bits, kept as
// the coefficient itself, and a kind: an AC coefficient's run of zeros, 0 to 15, or
// one of these. Chroma's are chromaKinds more.
const (
	kindDC      = 16
	kindNothing = 31 // is no code at all: fills up lists
	chromaKinds = 32
	kinds       = 64
)

// codes has for a kind and a coefficient's length in bits (16 × kind + length)
// the code, and from bit lengthShift on the length of code and coefficient.
type codeTable [16 * kinds]uint32

const lengthShift = 24

var codes = makeCodes()

func makeCodes() *codeTable {
	t := new(codeTable)
	for base, tables := range map[int][2]huffman{0: {lumaDC, lumaAC}, chromaKinds: {chromaDC, chromaAC}} {
		tables[0].each(func(symbol, code, length int) {
			t[16*(base+kindDC)+symbol] = uint32(code | (length+symbol)<<lengthShift)
		})
		tables[1].each(func(symbol, code, length int) {
			t[16*base+symbol] = uint32(code | (length+symbol&15)<<lengthShift)
		})
	}
	return t
}

// each calls f with every symbol's code (T.81, annex C).
func (h *huffman) each(f func(symbol, code, length int)) {
	code, at := 0, 0
	for i, count := range h.counts {
		for range count {
			f(int(h.symbols[at]), code, i+1)
			code++
			at++
		}
		code <<= 1
	}
}
