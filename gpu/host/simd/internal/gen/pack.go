package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitPack emits the transposition that gives a·bᵀ the layout of a·b.
//
// A square block of the vector's width is read in pieces of four floats. A vector
// takes the same four columns of rows q, q+4, q+8, …, one row per 128-bit lane,
// which the loads do by themselves; transposing 4×4 within each lane, by two
// shuffles a vector, then leaves whole columns of the block in order.
func emitPack(e *emitter) {
	w := e.lanes
	e.kernel("packBlocks", "func(rows, k int, b *float32, ldb int, dst *float32, ldd int)", fmt.Sprintf(
		"writes dst[p][j] = b[j][p] for p < k and j < %d. b has rows rows, 1 to %d;\n"+
			"the last is repeated for those that are missing. k is at least %d.", w, w, w))
	p := &packer{emitter: e}
	p.k = e.Load(e.Param("k"), e.GP64()).(reg.GPVirtual)
	p.b = e.Load(e.Param("b"), e.GP64()).(reg.GPVirtual)
	p.dst = e.Load(e.Param("dst"), e.GP64()).(reg.GPVirtual)
	p.ldb = e.Load(e.Param("ldb"), e.GP64()).(reg.GPVirtual)
	p.ldd = e.Load(e.Param("ldd"), e.GP64()).(reg.GPVirtual)
	e.SHLQ(U8(2), p.ldb)
	e.SHLQ(U8(2), p.ldd)

	e.Label("block")
	p.emitBlock()
	e.ADDQ(U8(4*w), p.b)
	e.SUBQ(U8(w), p.k)
	e.JZ(LabelRef("end"))
	e.CMPQ(p.k, U8(w))
	e.JGE(LabelRef("block"))
	// The last block overlaps the one before: it writes the same values again.
	back := e.GP64()
	e.LEAQ(Mem{Base: p.k, Disp: -w}, back)
	e.LEAQ(Mem{Base: p.b, Index: back, Scale: 4}, p.b)
	e.IMULQ(p.ldd, back)
	e.ADDQ(back, p.dst)
	e.MOVQ(U32(w), p.k)
	e.JMP(LabelRef("block"))
	e.Label("end")
	e.done()
}

type packer struct {
	*emitter
	k, b, dst reg.GPVirtual // what is left, and where
	ldb, ldd  reg.GPVirtual // in bytes
}

// emitBlock transposes one block and leaves dst behind it.
func (p *packer) emitBlock() {
	w := p.lanes
	left := p.GP64()
	p.Load(p.Param("rows"), left)
	row, zero := p.GP64(), p.GP64()
	p.MOVQ(p.b, row)
	p.XORL(zero.As32(), zero.As32())
	block := make([]reg.VecVirtual, w) // block[4*g+q] has columns 4g…4g+3 of rows q, q+4, …
	for i := range block {
		block[i] = p.vector()
	}
	for i := range w {
		for g := range w / 4 {
			p.insert(i/4, Mem{Base: row, Disp: 16 * g}, block[4*g+i%4])
		}
		if i == w-1 {
			break
		}
		step := p.GP64()
		p.MOVQ(p.ldb, step)
		p.DECQ(left)
		p.CMOVQLE(zero, step)
		p.ADDQ(step, row)
	}
	for g := range w / 4 {
		for _, column := range p.transpose4(block[4*g : 4*g+4]) {
			p.VMOVUPS(column, Mem{Base: p.dst})
			p.ADDQ(p.ldd, p.dst)
		}
	}
}

// insert loads four floats into a 128-bit lane; lane 0 clears the others.
func (p *packer) insert(lane int, m Mem, dst reg.VecVirtual) {
	switch {
	case lane == 0:
		p.VMOVUPS(m, dst.AsX())
	case p.lanes == 16:
		p.VINSERTF32X4(U8(lane), m, dst, dst)
	default:
		p.VINSERTF128(U8(lane), m, dst, dst)
	}
}

// transpose4 transposes 4×4 floats within every 128-bit lane.
func (p *packer) transpose4(r []reg.VecVirtual) []reg.VecVirtual {
	t := make([]reg.VecVirtual, 4)
	for i := range t {
		t[i] = p.vector()
	}
	p.VUNPCKLPS(r[1], r[0], t[0])
	p.VUNPCKHPS(r[1], r[0], t[1])
	p.VUNPCKLPS(r[3], r[2], t[2])
	p.VUNPCKHPS(r[3], r[2], t[3])
	p.VUNPCKLPD(t[2], t[0], r[0])
	p.VUNPCKHPD(t[2], t[0], r[1])
	p.VUNPCKLPD(t[3], t[1], r[2])
	p.VUNPCKHPD(t[3], t[1], r[3])
	return r
}
