package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// wideLanes is how many streams one AVX-512 register has a word of.
const wideLanes = 16

// emitWide emits the function for sixteen streams: vector j of the schedule has
// word j of every stream, and the round is FIPS 180-4's as it stands. It takes
// some 1,750 instructions for 1,024 bytes, two of which start in a cycle; SHA256RNDS2
// cannot do better than 64 bytes in 64 cycles, however many streams there are.
func (g *generator) emitWide() {
	g.Function("blocks16")
	g.Attributes(attr.NOSPLIT)
	g.SignatureExpr("func(states *[16][8]uint32, data *[16]*byte, n int)")
	g.Pragma("noescape")
	g.Doc("blocks16 hashes n blocks of 64 bytes from each of data into the state of the same",
		"place; n is at least 1.")
	states := g.Load(g.Param("states"), g.GP64())
	data := g.Load(g.Param("data"), g.GP64())
	n := g.Load(g.Param("n"), g.GP64())
	offset, table := g.GP64(), g.GP64()
	g.XORL(offset.As32(), offset.As32())
	g.LEAQ(g.k, table)
	lanes, flip := g.ZMM(), g.ZMM()
	g.VMOVDQU32(g.lanes16, lanes)
	g.VBROADCASTI32X4(g.flip, flip)
	saved := g.AllocLocal(8 * 64)
	var state [8]reg.VecVirtual
	for i := range state {
		state[i] = g.ZMM()
		g.VPXORD(state[i], state[i], state[i]) // what a gather leaves out
		g.KXNORW(reg.K1, reg.K1, reg.K1)
		g.VPGATHERDD(Mem{Base: states, Index: lanes, Scale: 1, Disp: 4 * i}, reg.K1, state[i])
	}
	g.Label("block")
	for i, s := range state {
		g.VMOVDQU32(s, saved.Offset(64*i))
	}
	w := g.loadTransposed(data, offset, flip)
	for i := range 64 {
		if i >= 16 {
			g.expand(w, i)
		}
		g.round(rotated(state, i), w[i%16], Mem{Base: table}.Offset(4*i))
	}
	for i, s := range state {
		g.VPADDD(saved.Offset(64*i), s, s)
	}
	g.ADDQ(Imm(64), offset)
	g.DECQ(n)
	g.JNZ(LabelRef("block"))
	for i, s := range state {
		g.KXNORW(reg.K1, reg.K1, reg.K1)
		g.VPSCATTERDD(s, reg.K1, Mem{Base: states, Index: lanes, Scale: 1, Disp: 4 * i})
	}
	g.VZEROUPPER()
	g.RET()
}

// rotated returns the working variables a to h of round i: instead of moving
// seven of them, they change names.
func rotated(state [8]reg.VecVirtual, i int) (v [8]reg.VecVirtual) {
	for j := range v {
		v[j] = state[((j-i)%8+8)%8]
	}
	return v
}

// loadTransposed loads a block of every stream and returns vectors of their words.
func (g *generator) loadTransposed(data, offset, flip reg.Register) []reg.VecVirtual {
	var rows [16]reg.VecVirtual
	for i := range rows {
		p := g.GP64()
		rows[i] = g.ZMM()
		g.MOVQ(Mem{Base: data}.Offset(8*i), p)
		g.VMOVDQU32(Mem{Base: p, Index: offset, Scale: 1}, rows[i])
		g.VPSHUFB(flip, rows[i], rows[i])
	}
	// Of four streams each: quads[s][k] has their words 4q+k in its 128 bits q.
	var quads [4][4]reg.VecVirtual
	for s := range quads {
		r := rows[4*s:]
		low01, high01 := g.pair(g.VPUNPCKLDQ, g.VPUNPCKHDQ, r[0], r[1])
		low23, high23 := g.pair(g.VPUNPCKLDQ, g.VPUNPCKHDQ, r[2], r[3])
		quads[s][0], quads[s][1] = g.pair(g.VPUNPCKLQDQ, g.VPUNPCKHQDQ, low01, low23)
		quads[s][2], quads[s][3] = g.pair(g.VPUNPCKLQDQ, g.VPUNPCKHQDQ, high01, high23)
	}
	words := make([]reg.VecVirtual, 16)
	for k := range 4 {
		low01, high01 := g.pair(g.shuffle(0x44), g.shuffle(0xee), quads[0][k], quads[1][k])
		low23, high23 := g.pair(g.shuffle(0x44), g.shuffle(0xee), quads[2][k], quads[3][k])
		words[k], words[4+k] = g.pair(g.shuffle(0x88), g.shuffle(0xdd), low01, low23)
		words[8+k], words[12+k] = g.pair(g.shuffle(0x88), g.shuffle(0xdd), high01, high23)
	}
	return words
}

// shuffle is VSHUFI32X4, which takes two of each operand's 128-bit parts.
func (g *generator) shuffle(order uint8) func(...Op) {
	return func(ops ...Op) { g.VSHUFI32X4(U8(order), ops[0], ops[1], ops[2]) }
}

// pair returns both instructions' results for a and b.
func (g *generator) pair(first, second func(...Op), a, b reg.VecVirtual) (x, y reg.VecVirtual) {
	x, y = g.ZMM(), g.ZMM()
	first(b, a, x)
	second(b, a, y)
	return x, y
}

// expand computes word i of the schedule into the place of word i-16.
func (g *generator) expand(w []reg.VecVirtual, i int) {
	at := func(j int) reg.VecVirtual { return w[(i+j)%16] }
	s0, s1 := g.sigma(at(1), 7, 18), g.sigma(at(14), 17, 19)
	g.lastShift(at(1), 3, s0)
	g.lastShift(at(14), 10, s1)
	g.VPADDD(at(9), at(0), at(0))
	g.VPADDD(s0.sum, at(0), at(0))
	g.VPADDD(s1.sum, at(0), at(0))
}

// partial is the exclusive or of two rotations that waits for a third operand.
type partial struct{ sum, other reg.VecVirtual }

func (g *generator) sigma(x reg.VecVirtual, first, second uint8) partial {
	p := partial{g.ZMM(), g.ZMM()}
	g.VPRORD(U8(first), x, p.sum)
	g.VPRORD(U8(second), x, p.other)
	return p
}

const (
	xor3     = 0x96 // truth tables of VPTERNLOGD
	choose   = 0xca
	majority = 0xe8
)

func (g *generator) lastShift(x reg.VecVirtual, by uint8, p partial) {
	last := g.ZMM()
	g.VPSRLD(U8(by), x, last)
	g.VPTERNLOGD(U8(xor3), last, p.other, p.sum)
}

func (g *generator) lastRotation(x reg.VecVirtual, by uint8, p partial) {
	last := g.ZMM()
	g.VPRORD(U8(by), x, last)
	g.VPTERNLOGD(U8(xor3), last, p.other, p.sum)
}

// round does one round for v, the variables a to h. What becomes the next a is
// written over h, and d is added to in place.
func (g *generator) round(v [8]reg.VecVirtual, word reg.VecVirtual, constant Mem) {
	a, b, c, d, e, f, g2, h := v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]
	g.VPADDD(word, h, h)
	g.VPADDD_BCST(constant, h, h)
	ch, s1 := g.ZMM(), g.sigma(e, 6, 11)
	g.VMOVDQA32(e, ch)
	g.VPTERNLOGD(U8(choose), g2, f, ch)
	g.lastRotation(e, 25, s1)
	g.VPADDD(ch, h, h)
	g.VPADDD(s1.sum, h, h)
	g.VPADDD(h, d, d)
	maj, s0 := g.ZMM(), g.sigma(a, 2, 13)
	g.VMOVDQA32(a, maj)
	g.VPTERNLOGD(U8(majority), c, b, maj)
	g.lastRotation(a, 22, s0)
	g.VPADDD(maj, h, h)
	g.VPADDD(s0.sum, h, h)
}
