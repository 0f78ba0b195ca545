package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitGemm emits the panels of matrix products.
//
// A panel is 1 to set.rows rows of c by all its columns. It is walked in tiles of
// two vectors; the last one or two vectors are masked. A tile keeps its part of c
// in registers, two per row, and for each p multiplies two vectors of b by the
// rows' elements of a, broadcast. With 12 rows and AVX-512 that is 24
// multiply-adds for 14 loads: the multipliers are the limit, not the cache.
func emitGemm(e *emitter) {
	emitPanel(e, "gemmNN", false)
	emitPanel(e, "gemmTN", true)
	emitPack(e)
}

const panelSignature = "func(rows, n, k int, a *float32, lda int, b *float32, ldb, tile int, " +
	"c *float32, ldc int, accumulate bool)"

// panel is the state that the tiles of a panel share.
type panel struct {
	*emitter
	transposed    bool
	rows          int
	n             reg.GPVirtual // columns left
	b, c          reg.GPVirtual // the next tile's
	lda, ldb, ldc reg.GPVirtual // in bytes
}

func emitPanel(e *emitter, name string, transposed bool) {
	layout := "a is rows×k"
	if transposed {
		layout = "a is k×rows"
	}
	e.kernel(name, panelSignature, fmt.Sprintf("computes c = a·b or c += a·b for 1 to %d rows; %s.\n"+
		"Tiles of %d columns of b are tile elements apart. rows, n and k are at least 1.",
		e.set.rows, layout, 2*e.lanes))
	p := &panel{emitter: e, transposed: transposed}
	p.n, p.b, p.c = e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("n"), p.n)
	e.Load(e.Param("b"), p.b)
	e.Load(e.Param("c"), p.c)
	p.lda, p.ldb, p.ldc = p.stride("lda"), p.stride("ldb"), p.stride("ldc")
	rows := e.Load(e.Param("rows"), e.GP64())
	for r := e.set.rows; r > 1; r-- {
		e.CMPQ(rows, U8(r))
		e.JEQ(LabelRef(fmt.Sprintf("rows%d", r)))
	}
	for r := 1; r <= e.set.rows; r++ {
		e.Label(fmt.Sprintf("rows%d", r))
		p.rows = r
		p.emitTiles()
	}
}

// stride loads a leading dimension as a distance in bytes.
func (p *panel) stride(param string) reg.GPVirtual {
	r := p.GP64()
	p.Load(p.Param(param), r)
	p.SHLQ(U8(2), r)
	return r
}

// emitTiles emits the walk over the columns for p.rows rows.
func (p *panel) emitTiles() {
	width := 2 * p.lanes
	full, rest := p.label("full"), p.label("rest")
	one, done := p.label("one"), p.label("done")
	p.Label(full)
	p.CMPQ(p.n, U8(width))
	p.JLT(LabelRef(rest))
	p.emitTile(2, nil)
	p.ADDQ(U8(2*p.bytes()), p.c)
	tile := p.stride("tile")
	p.ADDQ(tile, p.b)
	p.SUBQ(U8(width), p.n)
	p.JMP(LabelRef(full))

	p.Label(rest)
	p.TESTQ(p.n, p.n)
	p.JZ(LabelRef(done))
	maskReg := p.physical(2*p.set.rows + 2) // after accumulators and b
	p.CMPQ(p.n, U8(p.lanes))
	p.JLE(LabelRef(one))
	p.SUBQ(U8(p.lanes), p.n)
	m := p.newMask(p.n, maskReg)
	p.emitTile(2, &m)
	p.JMP(LabelRef(done))
	p.Label(one)
	m = p.newMask(p.n, maskReg)
	p.emitTile(1, &m)
	p.Label(done)
	p.done()
}

// emitTile emits one tile of the given number of vectors, the last one masked
// unless m is nil.
func (p *panel) emitTile(vectors int, m *mask) {
	at := func(v int) *mask {
		if v == vectors-1 {
			return m
		}
		return nil
	}
	p.emitStart(vectors, at)
	k := p.GP64()
	p.Load(p.Param("k"), k)
	b := p.GP64()
	p.MOVQ(p.b, b)
	elements, advance := p.emitLeft()
	loop := p.label("loop")
	p.Label(loop)
	for v := range vectors {
		p.load(Mem{Base: b, Disp: v * p.bytes()}, at(v), p.right(v))
	}
	p.ADDQ(p.ldb, b)
	for row, element := range elements {
		x := p.broadcast(row, m != nil)
		p.VBROADCASTSS(element, x)
		for v := range vectors {
			p.VFMADD231PS(p.right(v), x, p.sum(row, v))
		}
	}
	advance()
	p.DECQ(k)
	p.JNZ(LabelRef(loop))

	c := p.GP64()
	p.MOVQ(p.c, c)
	for row := range p.rows {
		for v := range vectors {
			p.store(p.sum(row, v), at(v), Mem{Base: c, Disp: v * p.bytes()})
		}
		if row < p.rows-1 {
			p.ADDQ(p.ldc, c)
		}
	}
}

// emitStart sets the sums to zero, or to c when accumulating.
func (p *panel) emitStart(vectors int, at func(int) *mask) {
	add, ready := p.label("add"), p.label("ready")
	accumulate := p.Load(p.Param("accumulate"), p.GP8())
	p.TESTB(accumulate, accumulate)
	p.JNZ(LabelRef(add))
	for row := range p.rows {
		for v := range vectors {
			p.zero(p.sum(row, v))
		}
	}
	p.JMP(LabelRef(ready))
	p.Label(add)
	c := p.GP64()
	p.MOVQ(p.c, c)
	for row := range p.rows {
		for v := range vectors {
			p.load(Mem{Base: c, Disp: v * p.bytes()}, at(v), p.sum(row, v))
		}
		if row < p.rows-1 {
			p.ADDQ(p.ldc, c)
		}
	}
	p.Label(ready)
}

// emitLeft points registers at the panel's elements of a for p = 0. It returns
// the address of each row's element and what moves them all to the next p.
func (p *panel) emitLeft() (elements []Mem, advance func()) {
	a := p.GP64()
	p.Load(p.Param("a"), a)
	if p.transposed {
		for row := range p.rows {
			elements = append(elements, Mem{Base: a, Disp: 4 * row})
		}
		return elements, func() { p.ADDQ(p.lda, a) }
	}
	// One pointer for every three rows: base, base+lda, base+2·lda.
	var bases []reg.GPVirtual
	for row := range p.rows {
		if row%3 == 0 {
			base := p.GP64()
			if row == 0 {
				p.MOVQ(a, base)
			} else {
				p.LEAQ(Mem{Base: bases[len(bases)-1], Index: p.lda, Scale: 2}, base)
				p.ADDQ(p.lda, base)
			}
			bases = append(bases, base)
		}
		element := Mem{Base: bases[row/3]}
		if row%3 > 0 {
			element.Index, element.Scale = p.lda, uint8(row%3)
		}
		elements = append(elements, element)
	}
	return elements, func() {
		for _, base := range bases {
			p.ADDQ(U8(4), base)
		}
	}
}

// The vector registers of a tile: sums, then b, then a mask on AVX2, then
// broadcast elements of a.

func (p *panel) sum(row, v int) reg.VecPhysical { return p.physical(2*row + v) }

func (p *panel) right(v int) reg.VecPhysical { return p.physical(2*p.set.rows + v) }

func (p *panel) broadcast(row int, masked bool) reg.VecPhysical {
	if p.lanes == 16 {
		return p.physical(26 + row%6)
	}
	if masked {
		return p.physical(15)
	}
	return p.physical(14 + row%2)
}
