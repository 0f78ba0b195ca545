package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitColumns emits the kernels that combine every row of a matrix with one
// vector. Columns are taken four vectors at a time, then one, then a masked one,
// and for each all rows from the first to the last: what belongs to a column
// stays in a register, and the order of rows is fixed.
func emitColumns(e *emitter) {
	const signature = "func(rows, cols int, x, bias *float32)"
	e.columns("addBias", signature, "bias", "adds bias to each row of x.", false,
		func(x, bias reg.VecVirtual) { e.VADDPS(bias, x, x) })
	e.columns("addBiasReLU", signature, "bias", "adds bias to each row of x and clears what is negative.", false,
		func(x, bias reg.VecVirtual) {
			e.VADDPS(bias, x, x)
			e.VMAXPS(x, e.zeros(), x)
		})
	e.columns("addColumnSums", "func(rows, cols int, x, acc *float32)", "acc", "adds the rows of x to acc in order.", true,
		func(x, acc reg.VecVirtual) { e.VADDPS(x, acc, acc) })
}

// columns emits one such kernel. each combines a vector of x with the one that
// belongs to its columns; the result is in that one if sums is set, which is then
// stored after the last row, and else in x, which is stored at once.
func (e *emitter) columns(name, signature, vector, doc string, sums bool, each func(x, v reg.VecVirtual)) {
	e.kernel(name, signature, doc+"\nx is rows×cols without gaps; rows is at least 1.")
	c := &columnWalk{emitter: e, sums: sums, each: each}
	c.cols = e.Load(e.Param("cols"), e.GP64()).(reg.GPVirtual)
	c.x = e.Load(e.Param("x"), e.GP64()).(reg.GPVirtual)
	c.v = e.Load(e.Param(vector), e.GP64()).(reg.GPVirtual)
	c.stride = e.GP64()
	e.MOVQ(c.cols, c.stride)
	e.SHLQ(U8(2), c.stride)
	for _, width := range []int{4, 1} {
		name := map[int]string{4: "four", 1: "one"}[width]
		e.Label(name)
		e.CMPQ(c.cols, U8(width*e.lanes))
		e.JLT(LabelRef(name + "_end"))
		c.emitRows(width, nil)
		e.ADDQ(U32(width*e.bytes()), c.x)
		e.ADDQ(U32(width*e.bytes()), c.v)
		e.SUBQ(U8(width*e.lanes), c.cols)
		e.JMP(LabelRef(name))
		e.Label(name + "_end")
	}
	e.TESTQ(c.cols, c.cols)
	e.JZ(LabelRef("done"))
	m := e.newMask(c.cols, e.vector())
	c.emitRows(1, &m)
	e.Label("done")
	e.done()
}

type columnWalk struct {
	*emitter
	sums         bool
	each         func(x, v reg.VecVirtual)
	cols, stride reg.GPVirtual // left; of x in bytes
	x, v         reg.GPVirtual
}

// emitRows emits the loop over the rows for some vectors of columns.
func (c *columnWalk) emitRows(width int, m *mask) {
	v := make([]reg.VecVirtual, width)
	for i := range v {
		v[i] = c.vector()
		c.load(Mem{Base: c.v, Disp: i * c.bytes()}, m, v[i])
	}
	row := c.GP64()
	c.MOVQ(c.x, row)
	rows := c.Load(c.Param("rows"), c.GP64())
	loop := c.label("row")
	c.Label(loop)
	for i := range v {
		x, at := c.vector(), Mem{Base: row, Disp: i * c.bytes()}
		c.load(at, m, x)
		c.each(x, v[i])
		if !c.sums {
			c.store(x, m, at)
		}
	}
	c.ADDQ(c.stride, row)
	c.DECQ(rows)
	c.JNZ(LabelRef(loop))
	if c.sums {
		for i := range v {
			c.store(v[i], m, Mem{Base: c.v, Disp: i * c.bytes()})
		}
	}
}
