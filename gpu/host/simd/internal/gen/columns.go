package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitColumnSums emits the sum over a matrix's rows. Columns are taken four
// vectors at a time, then one, then a masked one, and for each all rows from the
// first to the last: the sums stay in registers, and the order of rows is fixed.
func emitColumnSums(e *emitter) {
	e.kernel("addColumnSums", "func(rows, cols int, x, acc *float32)",
		"adds the rows of x to acc, one after the other.\nx is rows×cols without gaps; rows is at least 1.")
	c := &columnWalk{emitter: e}
	c.cols = e.Load(e.Param("cols"), e.GP64()).(reg.GPVirtual)
	c.x = e.Load(e.Param("x"), e.GP64()).(reg.GPVirtual)
	c.acc = e.Load(e.Param("acc"), e.GP64()).(reg.GPVirtual)
	c.stride = e.GP64()
	e.MOVQ(c.cols, c.stride)
	e.SHLQ(U8(2), c.stride)
	for _, width := range []int{4, 1} {
		name := map[int]string{4: "four", 1: "one"}[width]
		e.Label(name)
		e.CMPQ(c.cols, U8(width*e.lanes))
		e.JLT(LabelRef(name + "_end"))
		c.emitRows(name, width, nil)
		e.ADDQ(U32(width*e.bytes()), c.x)
		e.ADDQ(U32(width*e.bytes()), c.acc)
		e.SUBQ(U8(width*e.lanes), c.cols)
		e.JMP(LabelRef(name))
		e.Label(name + "_end")
	}
	e.TESTQ(c.cols, c.cols)
	e.JZ(LabelRef("done"))
	m := e.newMask(c.cols, e.vector())
	c.emitRows("tail", 1, &m)
	e.Label("done")
	e.done()
}

type columnWalk struct {
	*emitter
	cols, stride reg.GPVirtual // left; of x in bytes
	x, acc       reg.GPVirtual
}

// emitRows emits the loop over the rows for some vectors of columns.
func (c *columnWalk) emitRows(name string, width int, m *mask) {
	sums := make([]reg.VecVirtual, width)
	for i := range sums {
		sums[i] = c.vector()
		c.load(Mem{Base: c.acc, Disp: i * c.bytes()}, m, sums[i])
	}
	row := c.GP64()
	c.MOVQ(c.x, row)
	rows := c.Load(c.Param("rows"), c.GP64())
	c.Label(name + "_row")
	for i := range sums {
		x := c.vector()
		c.load(Mem{Base: row, Disp: i * c.bytes()}, m, x)
		c.VADDPS(x, sums[i], sums[i])
	}
	c.ADDQ(c.stride, row)
	c.DECQ(rows)
	c.JNZ(LabelRef(name + "_row"))
	for i := range sums {
		c.store(sums[i], m, Mem{Base: c.acc, Disp: i * c.bytes()})
	}
}
