package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A matrix row of JFIF's conversion, times 2^16, for VPDPWSSD, which multiplies
// pairs of signed words: red and green, then green and blue. Green has two factors
// because 0.587 × 2^16 is no signed word. The colours' sums are negated, for -2^15 is
// one and 2^15 is not; begin is then such that the sum's complement is what libjpeg
// shifts, and the complement of a sum shifted is the shifted complement.
var matrix = map[string]struct{ begin, r, g, g2, b int }{
	"Y":  {1 << 15, 19595, 22086, 16384, 7471},
	"Cb": {-(128<<16 + 1<<15 - 1) - 1, 11059, 21709, 0, -32768},
	"Cr": {-(128<<16 + 1<<15 - 1) - 1, -32768, 27439, 0, 5329},
}

// converter emits one function. Windows are 16 pixels, whose sums are the double
// words of a register in the order of order.
type converter struct {
	*generator
	channels     int
	order        [16]int
	split        [2][2]reg.VecVirtual // where red and green, green and blue are; of the last window of a chunk
	factors      map[string][2]reg.VecVirtual
	begin        map[string]reg.VecVirtual
	even         reg.OpmaskVirtual // bytes
	odd          reg.OpmaskVirtual // words
	sort         reg.VecVirtual
	sortHalves   reg.VecVirtual
	bias, fours  reg.VecVirtual
	minusSixteen reg.VecVirtual
}

func (g *generator) emitConvertGray() {
	g.function("convertGray", "func(px *byte, chunks int, y *int16)",
		"convertGray makes samples of 64 gray pixels for each chunk; there is at least one.")
	px, chunks, y := g.param("px"), g.param("chunks"), g.param("y")
	g.Label("chunk")
	for half := range 2 {
		z := g.ZMM()
		g.VPMOVZXBW(at(px, 32*half), z)
		g.VPSLLW(U8(4), z, z)
		g.VMOVDQU16(z, at(y, 64*half))
	}
	g.ADDQ(Imm(64), px)
	g.ADDQ(U32(128), y)
	g.DECQ(chunks)
	g.JNZ(LabelRef("chunk"))
	g.end()
}

func (g *generator) emitConvert(channels int, quarter bool) {
	c := &converter{generator: g, channels: channels}
	if quarter {
		name := fmt.Sprintf("convertQuarter%d", channels)
		g.function(name, "func(upper, lower *byte, chunks int, y0, y1, cb, cr *int16)",
			fmt.Sprintf("%s makes samples of 64 pixels of %d bytes from each of two rows for each", name, channels),
			"chunk, and 32 of each colour; there is at least one chunk.")
		c.prepare(name, quarter)
		c.quarter()
	} else {
		name := fmt.Sprintf("convertFull%d", channels)
		g.function(name, "func(px *byte, chunks int, y, cb, cr *int16)",
			fmt.Sprintf("%s makes samples of 64 pixels of %d bytes for each chunk; there is at least one.", name, channels))
		c.prepare(name, quarter)
		c.full()
	}
	g.end()
}

// prepare loads constants. For 4:2:0 a window's even pixels come first, so that
// neighbours are added by adding halves of a register.
func (c *converter) prepare(name string, quarter bool) {
	for i := range c.order {
		c.order[i] = i
		if quarter {
			c.order[i] = 2*(i%8) + i/8
		}
	}
	for last := range 2 {
		shift := 0
		if last == 1 {
			if c.channels == 4 {
				c.split[1] = c.split[0]
				break
			}
			shift = 3*48 - 128 // it is read from an earlier byte, or what follows the chunk would be read
		}
		for i := range 2 {
			c.split[last][i] = c.load(c.bytes(fmt.Sprintf("%sSplit%d%d", name, last, i), func(b int) byte {
				return byte(shift + c.channels*c.order[b/4] + i + b%4/2) // #nosec G115 -- below 64
			}))
		}
	}
	c.even, c.odd = c.mask(0x5555555555555555), c.mask(oddWords)
	c.factors, c.begin = map[string][2]reg.VecVirtual{}, map[string]reg.VecVirtual{}
	for _, component := range []string{"Y", "Cb", "Cr"} {
		m := matrix[component]
		c.factors[component] = [2]reg.VecVirtual{
			c.load(c.pairs(name+component+"RG", func(int) (int, int) { return m.r, m.g })),
			c.load(c.pairs(name+component+"GB", func(int) (int, int) { return m.g2, m.b })),
		}
		if component != "Cr" {
			c.begin[component] = c.load(c.dwords(name+component+"Begin", func(int) int { return m.begin }))
		}
	}
	c.begin["Cr"] = c.begin["Cb"]
	c.sort = c.load(c.words(name+"Sort", func(i int) int {
		for d, px := range c.order {
			if px == i%16 {
				return 2*d + i/16
			}
		}
		panic("no such pixel")
	}))
	if !quarter {
		c.minusSixteen = c.load(c.words(name+"MinusSixteen", func(int) int { return -16 }))
		return
	}
	// Word 16g + 2d + j is the sum of pixels 2d and 2d+1 of window 2g + j.
	where := func(i int) int { return 16*(i/16) + 2*(i%8) + i/8%2 }
	c.sortHalves = c.load(c.words(name+"SortHalves", where))
	var bias [32]int
	for i := range bias {
		bias[where(i)] = 1 + i%2 - 4
	}
	c.bias = c.load(c.words(name+"Bias", func(i int) int { return bias[i] }))
	c.fours = c.load(c.words(name+"Fours", func(int) int { return 0xfff0 }))
}

// window adds up the components of 16 pixels: bits 16 to 23 of Y are the sample,
// bits 16 to 31 of the others its complement.
func (c *converter) window(px reg.Register, i int) map[string]reg.VecVirtual {
	offset, split := 16*c.channels*i, c.split[0]
	if i == 3 && c.channels == 3 {
		offset, split = 128, c.split[1]
	}
	var pairs [2]reg.VecVirtual
	for i := range pairs {
		pairs[i] = c.ZMM()
		c.VPERMB_Z(at(px, offset), split[i], c.even, pairs[i])
	}
	sums := map[string]reg.VecVirtual{}
	for _, component := range []string{"Y", "Cb", "Cr"} {
		sum := c.ZMM()
		c.VMOVDQA64(c.begin[component], sum)
		c.VPDPWSSD(c.factors[component][0], pairs[0], sum)
		c.VPDPWSSD(c.factors[component][1], pairs[1], sum)
		sums[component] = sum
	}
	return sums
}

// join puts the upper words of both into one register, in turns.
func (c *converter) join(even, odd reg.VecVirtual) reg.VecVirtual {
	c.VPSRLD(U8(16), even, even)
	c.VMOVDQU16(odd, c.odd, even)
	return even
}

// samples makes what is stored of 32 samples of luma.
func (c *converter) samples(even, odd reg.VecVirtual, to Mem) {
	z := c.join(even, odd)
	c.VPSLLW(U8(4), z, z)
	c.VPERMW(z, c.sort, z)
	c.VMOVDQU16(z, to)
}

func (c *converter) full() {
	px, chunks := c.param("px"), c.param("chunks")
	y, cb, cr := c.param("y"), c.param("cb"), c.param("cr")
	c.Label("chunk")
	for half := range 2 {
		a, b := c.window(px, 2*half), c.window(px, 2*half+1)
		c.samples(a["Y"], b["Y"], at(y, 64*half))
		c.complement(a["Cb"], b["Cb"], at(cb, 64*half))
		c.complement(a["Cr"], b["Cr"], at(cr, 64*half))
	}
	c.ADDQ(U32(64*c.channels), px)
	for _, p := range []reg.Register{y, cb, cr} {
		c.ADDQ(U32(128), p)
	}
	c.DECQ(chunks)
	c.JNZ(LabelRef("chunk"))
}

// complement is samples for colours: 16 x = -16 (-1 - x) - 16.
func (c *converter) complement(even, odd reg.VecVirtual, to Mem) {
	z := c.join(even, odd)
	c.VPSLLW(U8(4), z, z)
	c.VPSUBW(z, c.minusSixteen, z)
	c.VPERMW(z, c.sort, z)
	c.VMOVDQU16(z, to)
}

func (c *converter) quarter() {
	rows := [2]reg.Register{c.param("upper"), c.param("lower")}
	chunks := c.param("chunks")
	luma := [2]reg.Register{c.param("y0"), c.param("y1")}
	chroma := map[string]reg.Register{"Cb": c.param("cb"), "Cr": c.param("cr")}
	c.Label("chunk")
	sums := map[string][2]reg.VecVirtual{}
	for half := range 2 {
		for row, px := range rows {
			a, b := c.window(px, 2*half), c.window(px, 2*half+1)
			c.samples(a["Y"], b["Y"], at(luma[row], 64*half))
			for _, component := range []string{"Cb", "Cr"} {
				z := c.join(a[component], b[component])
				if both := sums[component]; row == 0 {
					both[half] = z
					sums[component] = both
				} else {
					c.VPADDW(z, both[half], both[half])
				}
			}
		}
	}
	for _, component := range []string{"Cb", "Cr"} {
		even, odd := c.ZMM(), c.ZMM()
		low, high := sums[component][0], sums[component][1]
		c.VSHUFI64X2(U8(0x44), high, low, even)
		c.VSHUFI64X2(U8(0xee), high, low, odd)
		c.VPADDW(odd, even, even)
		c.VPSUBW(even, c.bias, even) // four complements are 4 less than minus the sum
		c.VPSLLW(U8(2), even, even)
		c.VPANDQ(c.fours, even, even) // as much as shifted right by 2 and left by 4
		c.VPERMW(even, c.sortHalves, even)
		c.VMOVDQU16(even, at(chroma[component], 0))
	}
	for _, px := range rows {
		c.ADDQ(U32(64*c.channels), px)
	}
	for _, p := range luma {
		c.ADDQ(U32(128), p)
	}
	for _, component := range []string{"Cb", "Cr"} {
		c.ADDQ(Imm(64), chroma[component])
	}
	c.DECQ(chunks)
	c.JNZ(LabelRef("chunk"))
}
