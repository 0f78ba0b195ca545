package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

var zigzag = [64]int{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

// place says where in its row a coefficient is when it is quantized; see
// columnsOf of package baseline.
func place(row, column int) int {
	if row%4 == 0 {
		return column
	}
	return 2*(column%4) + column/4
}

// evenFactors are output u's factors of x0+x7, x1+x6, x2+x5, x3+x4, times 2^13, as
// jfdctint.c's constants add up to; oddFactors those of the differences.
func evenFactors(u int) [4]int {
	const fix0541, fix0765, fix1847 = 4433, 6270, 15137
	outer, inner := fix0541+fix0765, fix0541 // u is 2
	switch u {
	case 0:
		return [4]int{8192, 8192, 8192, 8192}
	case 4:
		return [4]int{8192, -8192, -8192, 8192}
	case 6:
		outer, inner = fix0541, fix0541-fix1847
	}
	return [4]int{outer, inner, -inner, -outer}
}

func oddFactors(u int) (factors [4]int) {
	const (
		fix0298, fix0390, fix0899, fix1175 = 2446, 3196, 7373, 9633
		fix1501, fix1961, fix2053          = 12299, 16069, 16819
		fix2562, fix3072                   = 20995, 25172
	)
	for i := range factors {
		var d [4]int
		d[i] = 1
		z1, z2, z3, z4 := d[3]+d[0], d[2]+d[1], d[3]+d[1], d[2]+d[0]
		z5 := (z3 + z4) * fix1175
		z1, z2, z3, z4 = -z1*fix0899, -z2*fix2562, z5-z3*fix1961, z5-z4*fix0390
		switch u {
		case 7:
			factors[i] = d[3]*fix0298 + z1 + z3
		case 5:
			factors[i] = d[2]*fix2053 + z2 + z4
		case 3:
			factors[i] = d[1]*fix3072 + z2 + z3
		case 1:
			factors[i] = d[0]*fix1501 + z1 + z4
		}
	}
	return factors
}

// A transformer emits the DCT of four blocks, quantized. Factors are doubled, and
// samples come times 16, so that what is left of a sum in either pass is its upper
// word.
type transformer struct {
	*generator
	reverse      reg.VecVirtual
	rowFactors   [2][2]reg.VecVirtual // of sums, differences: as they are, neighbours swapped
	rowBegin     reg.VecVirtual
	half, two    reg.VecVirtual
	zero         reg.VecVirtual
	odd          reg.OpmaskVirtual
	columns      map[string]Mem // pairs of factors by output
	order        [2]Mem         // of zigzag, upper and lower half
	src, dst, q  reg.Register
	coefficients [8]reg.VecVirtual
}

func (g *generator) emitTransform() {
	g.function("transform", "func(dst, src *int16, groups int, q *uint16)",
		"transform makes four blocks of quantized coefficients in zigzag order for each group",
		"of eight rows of 32 samples; there is at least one.")
	t := &transformer{generator: g}
	t.src, t.dst, t.q = g.param("src"), g.param("dst"), g.param("q")
	groups := g.param("groups")
	t.prepare()
	g.Label("group")
	for row := range 8 {
		t.coefficients[row] = t.rowPass(row)
	}
	t.columnPass()
	for row := range 8 {
		t.quantize(row)
	}
	t.store()
	g.ADDQ(Imm(64), t.src)
	g.ADDQ(U32(4*128), t.dst)
	g.DECQ(groups)
	g.JNZ(LabelRef("group"))
	g.end()
}

func (t *transformer) prepare() {
	t.reverse = t.load(t.words("reverse", func(i int) int {
		i = 7 - i%8
		return (2*i+1)<<8 | 2*i
	}))
	// The double words of x + reversed x are sums 01, 23, 32, 10, and of the
	// differences the same but that the last two are negative.
	terms := [4][2]int{{0, 1}, {2, 3}, {3, 2}, {1, 0}}
	for parity := range 2 {
		for swapped := range 2 {
			name := fmt.Sprintf("row%d%d", parity, swapped)
			t.rowFactors[parity][swapped] = t.load(t.pairs(name, func(i int) (int, int) {
				u, at := 2*(i%4)+parity, i%4^swapped
				factors, sign := evenFactors(u), 1
				if parity == 1 {
					factors = oddFactors(u)
					if at >= 2 {
						sign = -1
					}
				}
				return 2 * sign * factors[terms[at][0]], 2 * sign * factors[terms[at][1]]
			}))
		}
	}
	t.half = t.load(t.dwords("half", func(int) int { return 1 << 15 }))
	t.rowBegin = t.load(t.dwords("rowBegin", func(i int) int {
		if i%4 == 0 {
			return 1<<15 - 8*128*16*2*8192 // samples are to be from -128 to 127, which makes no difference but here
		}
		return 1 << 15
	}))
	t.two = t.load(t.words("two", func(int) int { return 2 }))
	t.zero = t.ZMM()
	t.VPXORQ(t.zero, t.zero, t.zero)
	t.odd = t.mask(oddWords)
	t.columns = map[string]Mem{}
	for u := 1; u < 8; u++ {
		name := fmt.Sprintf("column%d", u)
		switch {
		case u%4 == 0:
		case u%2 == 0: // of the differences of sums, x1 + x6 - (x2 + x5) first
			f := evenFactors(u)
			t.columns[name] = t.pairs(name, func(int) (int, int) { return 2 * f[1], 2 * f[0] })
		default:
			f := oddFactors(u)
			t.columns[name+"a"] = t.pairs(name+"a", func(int) (int, int) { return 2 * f[0], 2 * f[1] })
			t.columns[name+"b"] = t.pairs(name+"b", func(int) (int, int) { return 2 * f[2], 2 * f[3] })
		}
	}
	for half := range 2 {
		t.order[half] = t.words(fmt.Sprintf("zigzag%d", half), func(i int) int {
			row, column := zigzag[32*half+i]/8, zigzag[32*half+i]%8
			return 8*row + place(row, column)
		})
	}
}

// rowPass transforms one row of four blocks, each 128 bits wide. Even outputs are
// made of sums, odd ones of differences of what is as far from either end; each is
// four products, in two steps because a double word has two.
func (t *transformer) rowPass(row int) reg.VecVirtual {
	x, reversed, sums, differences := t.ZMM(), t.ZMM(), t.ZMM(), t.ZMM()
	t.VMOVDQU16(at(t.src, stride*row), x)
	t.VPSHUFB(t.reverse, x, reversed)
	t.VPADDW(reversed, x, sums)
	t.VPSUBW(reversed, x, differences)
	var out [2]reg.VecVirtual
	for parity, v := range []reg.VecVirtual{sums, differences} {
		swapped := t.ZMM()
		out[parity] = t.ZMM()
		t.VMOVDQA64([]reg.VecVirtual{t.rowBegin, t.half}[parity], out[parity])
		t.VPSHUFD(U8(0xb1), v, swapped)
		t.VPDPWSSD(t.rowFactors[parity][0], v, out[parity])
		t.VPDPWSSD(t.rowFactors[parity][1], swapped, out[parity])
	}
	return t.join(out[0], out[1])
}

// join puts the upper words of both into one register, in turns.
func (t *transformer) join(even, odd reg.VecVirtual) reg.VecVirtual {
	t.VPSRLD(U8(16), even, even)
	t.VMOVDQU16(odd, t.odd, even)
	return even
}

func (t *transformer) add(a, b reg.VecVirtual) reg.VecVirtual {
	z := t.ZMM()
	t.VPADDW(b, a, z)
	return z
}

func (t *transformer) subtract(a, b reg.VecVirtual) reg.VecVirtual {
	z := t.ZMM()
	t.VPSUBW(b, a, z)
	return z
}

// interleave returns the words of both in turns: of the lower and upper half of
// each 128 bits.
func (t *transformer) interleave(a, b reg.VecVirtual) [2]reg.VecVirtual {
	low, high := t.ZMM(), t.ZMM()
	t.VPUNPCKLWD(b, a, low)
	t.VPUNPCKHWD(b, a, high)
	return [2]reg.VecVirtual{low, high}
}

// columnPass is jfdctint.c's second pass.
func (t *transformer) columnPass() {
	x := t.coefficients
	var s, d [4]reg.VecVirtual
	for i := range 4 {
		s[i], d[i] = t.add(x[i], x[7-i]), t.subtract(x[i], x[7-i])
	}
	outer, inner := t.add(s[0], s[3]), t.add(s[1], s[2])
	t.VPADDW(t.two, outer, outer)
	x[0], x[4] = t.add(outer, inner), t.subtract(outer, inner)
	t.VPSRAW(U8(2), x[0], x[0])
	t.VPSRAW(U8(2), x[4], x[4])
	outerD, innerD := t.subtract(s[0], s[3]), t.subtract(s[1], s[2])
	pairs := t.interleave(innerD, outerD)
	for _, u := range []int{2, 6} {
		x[u] = t.products(pairs, fmt.Sprintf("column%d", u), nil, "")
	}
	first, second := t.interleave(d[0], d[1]), t.interleave(d[2], d[3])
	for _, u := range []int{1, 3, 5, 7} {
		x[u] = t.products(first, fmt.Sprintf("column%da", u), &second, fmt.Sprintf("column%db", u))
	}
	t.coefficients = x
}

func (t *transformer) products(a [2]reg.VecVirtual, factors string, b *[2]reg.VecVirtual, others string) reg.VecVirtual {
	var out [2]reg.VecVirtual
	for i := range out {
		out[i] = t.ZMM()
		t.VMOVDQA64(t.half, out[i])
		t.VPDPWSSD(t.columns[factors], a[i], out[i])
		if b != nil {
			t.VPDPWSSD(t.columns[others], b[i], out[i])
		}
	}
	return t.join(out[0], out[1])
}

// quantize divides by what quantVector has for the row, and gives back the sign.
func (t *transformer) quantize(row int) {
	x, negative := t.coefficients[row], t.K()
	t.VPMOVW2M(x, negative)
	t.VPABSW(x, x)
	t.VPADDW(at(t.q, 64*row), x, x)
	t.VPMULHUW(at(t.q, 512+64*row), x, x)
	t.VPMULHUW(at(t.q, 1024+64*row), x, x)
	t.VPSUBW(x, t.zero, negative, x)
}

// store brings the rows of each block together, and into order.
func (t *transformer) store() {
	shuffle := func(order uint8, a, b reg.VecVirtual) reg.VecVirtual {
		z := t.ZMM()
		t.VSHUFI64X2(U8(order), b, a, z)
		return z
	}
	var halves [2][4]reg.VecVirtual // rows 0 to 3 and 4 to 7 of each block
	for i := range halves {
		x := t.coefficients[4*i:]
		for pair, order := range []uint8{0x44, 0xee} {
			a, b := shuffle(order, x[0], x[1]), shuffle(order, x[2], x[3])
			halves[i][2*pair], halves[i][2*pair+1] = shuffle(0x88, a, b), shuffle(0xdd, a, b)
		}
	}
	for block := range 4 {
		for half, order := range t.order {
			z := t.load(order)
			t.VPERMI2W(halves[1][block], halves[0][block], z)
			t.VMOVDQU16(z, at(t.dst, 128*block+64*half))
		}
	}
}
