package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A packer emits the function that turns entries into bits.
type packer struct {
	*generator
	values, kinds, codes  reg.GPVirtual
	out, held, n          reg.GPVirtual
	ones, thirtyTwo, code reg.VecVirtual
	most                  reg.VecVirtual
	even, lower           reg.OpmaskVirtual // even double words, lower quad words of 128 bits
	bits, lengths         Mem               // eight of each, for scalar code
}

func (g *generator) emitPack() {
	g.function("pack", "func(values *int16, kinds *byte, groups int, codes *uint32, out *byte, held, n *uint64) (bytes int)",
		"pack writes the codes of sixteen entries for each group, at least one, after the n",
		"bits, up to seven, at the top of held, and keeps there what makes no whole byte. It",
		"writes up to eight bytes more than it says.")
	p := &packer{generator: g}
	p.values, p.kinds = g.param("values"), g.param("kinds")
	groups := g.param("groups")
	p.codes, p.out = g.param("codes"), g.param("out")
	p.held, p.n = g.GP64(), g.GP64()
	g.MOVQ(at(g.param("held"), 0), p.held)
	g.MOVQ(at(g.param("n"), 0), p.n)
	p.bits, p.lengths = g.AllocLocal(64), g.AllocLocal(64)
	p.ones = g.load(g.dwords("ones", func(int) int { return -1 }))
	p.thirtyTwo = g.load(g.dwords("thirtyTwo", func(int) int { return 32 }))
	p.code = g.load(g.dwords("code", func(int) int { return 0xffff }))
	// With the seven bits from before no more than 63: shifts are modulo 64.
	p.most = g.load(g.dwords("most", func(i int) int { return []int{56, 0}[i%2] }))
	p.even, p.lower = g.mask(0x5555), g.mask(0x55)

	g.Label("group")
	bits, lengths := p.codesOf()
	bits, lengths = p.joinPairs(bits, lengths)
	pairs, pairLengths := bits, lengths
	bits, lengths = p.joinQuads(bits, lengths)
	tooLong := g.K()
	g.VPCMPUQ(U8(6), p.most, lengths, p.lower, tooLong)
	g.KORTESTB(tooLong, tooLong)
	g.JNE(LabelRef("long"))
	g.VMOVDQU64(bits, p.bits)
	g.VMOVDQU64(lengths, p.lengths)
	for i := range 4 {
		p.put(2 * i)
	}
	g.Label("next")
	g.ADDQ(Imm(32), p.values)
	g.ADDQ(Imm(16), p.kinds)
	g.DECQ(groups)
	g.JNZ(LabelRef("group"))

	g.MOVQ(p.held, at(g.param("held"), 0))
	g.MOVQ(p.n, at(g.param("n"), 0))
	start := g.param("out")
	g.SUBQ(start, p.out)
	g.Store(p.out, g.ReturnIndex(0))
	g.end()

	g.Label("long")
	g.VMOVDQU64(pairs, p.bits)
	g.VMOVDQU64(pairLengths, p.lengths)
	for i := range 8 {
		p.put(i)
	}
	g.JMP(LabelRef("next"))
}

// codesOf returns sixteen entries' codes, coefficients' bits included, and their
// lengths, as double words.
func (p *packer) codesOf() (bits, lengths reg.VecVirtual) {
	value, kind := p.ZMM(), p.ZMM()
	p.VPMOVSXWD(at(p.values, 0), value)
	p.VPMOVZXBD(at(p.kinds, 0), kind)
	size, index, entry := p.ZMM(), p.ZMM(), p.ZMM()
	p.VPABSD(value, size)
	p.VPLZCNTD(size, size)
	p.VPSUBD(size, p.thirtyTwo, size)
	p.VPSLLD(U8(4), kind, index)
	p.VPADDD(size, index, index)
	all := p.K()
	p.KXNORW(all, all, all)
	p.VPXORD(entry, entry, entry)
	p.VPGATHERDD(Mem{Base: p.codes, Index: index, Scale: 4}, all, entry)
	bits, lengths = p.ZMM(), p.ZMM()
	p.VPSRLD(U8(lengthShift), entry, lengths)
	p.VPANDD(p.code, entry, bits)
	p.VPSLLVD(size, bits, bits)
	negative, above := p.ZMM(), p.ZMM()
	p.VPSRAD(U8(31), value, negative)
	p.VPADDD(negative, value, value)
	p.VPSLLVD(size, p.ones, above)
	const orAndNot = 0xf4 // a | b &^ c
	p.VPTERNLOGD(U8(orAndNot), above, value, bits)
	return bits, lengths
}

// joinPairs appends the second double word of each quad word to the first: up to
// 54 bits.
func (p *packer) joinPairs(bits, lengths reg.VecVirtual) (joined, sums reg.VecVirtual) {
	joined, sums = p.ZMM(), p.ZMM()
	p.VMOVDQA32_Z(bits, p.even, joined)
	p.VMOVDQA32_Z(lengths, p.even, sums)
	second, secondLength := p.ZMM(), p.ZMM()
	p.VPSRLQ(U8(32), bits, second)
	p.VPSRLQ(U8(32), lengths, secondLength)
	p.VPSLLVQ(secondLength, joined, joined)
	p.VPORQ(second, joined, joined)
	p.VPADDQ(secondLength, sums, sums)
	return joined, sums
}

// joinQuads appends the second quad word of 128 bits to the first, which has what
// comes of it. It may be more than there is room for.
func (p *packer) joinQuads(bits, lengths reg.VecVirtual) (joined, sums reg.VecVirtual) {
	joined, sums = p.ZMM(), p.ZMM()
	second, secondLength := p.ZMM(), p.ZMM()
	p.VPUNPCKHQDQ(bits, bits, second)
	p.VPUNPCKHQDQ(lengths, lengths, secondLength)
	p.VPSLLVQ(secondLength, bits, joined)
	p.VPORQ(second, joined, joined)
	p.VPADDQ(secondLength, lengths, sums)
	return joined, sums
}

// put appends the bits of place i, and writes eight bytes, of which those that are
// whole stay.
func (p *packer) put(i int) {
	bits, count := p.GP64(), p.GP64()
	p.MOVQ(p.bits.Offset(8*i), bits)
	p.ADDQ(p.lengths.Offset(8*i), p.n)
	p.MOVQ(p.n, count)
	p.NEGQ(count) // 64 - n, modulo 64
	p.SHLXQ(count, bits, bits)
	p.ORQ(bits, p.held)
	swapped, whole := p.GP64(), p.GP64()
	p.MOVQ(p.held, swapped)
	p.BSWAPQ(swapped)
	p.MOVQ(swapped, at(p.out, 0))
	p.MOVQ(p.n, whole)
	p.SHRQ(U8(3), whole)
	p.ADDQ(whole, p.out)
	p.ANDQ(I8(7), p.n)
	p.SHLQ(U8(3), whole)
	p.SHLXQ(whole, p.held, p.held)
}

// emitStuff emits the function that copies coded data and puts a zero after each
// byte 0xff: 64 bytes at a time, or up to the next such byte.
func (g *generator) emitStuff() {
	g.function("stuff", "func(dst, src *byte, n int) (written int)",
		"stuff copies n bytes, and appends a zero to each 0xff. It reads up to 63 bytes more",
		"than n, and writes up to 64 more than it says.")
	dst, src, n := g.param("dst"), g.param("src"), g.param("n")
	ff := g.load(g.bytes("ff", func(int) byte { return 0xff }))
	set, take := g.GP64(), g.GP64()
	equal := g.K()
	bytes := g.ZMM()
	g.Label("next")
	g.CMPQ(n, Imm(0))
	g.JLE(LabelRef("end"))
	g.VMOVDQU8(at(src, 0), bytes)
	g.VPCMPEQB(ff, bytes, equal)
	g.VMOVDQU8(bytes, at(dst, 0))
	g.KMOVQ(equal, set)
	g.TZCNTQ(set, take) // 64 if there is none
	g.JCS(LabelRef("none"))
	g.INCQ(take)
	g.CMPQ(take, n)
	g.JGT(LabelRef("rest"))
	g.ADDQ(take, src)
	g.ADDQ(take, dst)
	g.SUBQ(take, n)
	g.MOVB(U8(0), at(dst, 0))
	g.INCQ(dst)
	g.JMP(LabelRef("next"))
	g.Label("none")
	g.CMPQ(n, Imm(64))
	g.JLE(LabelRef("rest"))
	g.ADDQ(Imm(64), src)
	g.ADDQ(Imm(64), dst)
	g.SUBQ(Imm(64), n)
	g.JMP(LabelRef("next"))
	g.Label("rest")
	g.ADDQ(n, dst)
	g.Label("end")
	start := g.param("dst")
	g.SUBQ(start, dst)
	g.Store(dst, g.ReturnIndex(0))
	g.end()
}
