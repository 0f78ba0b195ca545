package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitRows emits the kernels that combine every row of a matrix with one vector.
//
// Rows lie next to each other, and a masked store keeps a load that begins within
// its vector's width waiting even where the mask has a zero. So rows as wide as a
// vector or wider use no masks: the last vector ends with the row and overlaps the
// one before, and is read before that is written. Narrower rows are read eight at
// a time before any is written.
func emitRows(e *emitter) {
	e.rows("addBias", "adds bias to each row of x.", func(x, bias reg.VecVirtual) {
		e.VADDPS(bias, x, x)
	})
	e.rows("addBiasReLU", "adds bias to each row of x and clears what is negative.", func(x, bias reg.VecVirtual) {
		e.VADDPS(bias, x, x)
		e.VMAXPS(x, e.zeros(), x)
	})
}

// rowWalk is the state of one such kernel.
type rowWalk struct {
	*emitter
	each            func(x, bias reg.VecVirtual)
	x, bias, stride reg.GPVirtual
	rows            reg.GPVirtual // left
}

func (e *emitter) rows(name, doc string, each func(x, bias reg.VecVirtual)) {
	e.kernel(name, "func(rows, cols int, x, bias *float32)",
		doc+"\nx is rows×cols without gaps; both are at least 1.")
	w := &rowWalk{emitter: e, each: each}
	w.rows = e.Load(e.Param("rows"), e.GP64()).(reg.GPVirtual)
	cols := e.Load(e.Param("cols"), e.GP64()).(reg.GPVirtual)
	w.x = e.Load(e.Param("x"), e.GP64()).(reg.GPVirtual)
	w.bias = e.Load(e.Param("bias"), e.GP64()).(reg.GPVirtual)
	w.stride = e.GP64()
	e.MOVQ(cols, w.stride)
	e.SHLQ(U8(2), w.stride)
	e.CMPQ(cols, U8(e.lanes))
	e.JLT(LabelRef("narrow"))
	w.emitWide(cols)
	e.Label("narrow")
	w.emitNarrow(cols)
}

// emitWide emits the walk over rows of at least a vector's width.
func (w *rowWalk) emitWide(cols reg.GPVirtual) {
	last := w.GP64() // where a row's last vector begins
	w.LEAQ(Mem{Base: cols, Disp: -w.lanes}, last)
	lastBias := w.vector()
	w.VMOVUPS(Mem{Base: w.bias, Index: last, Scale: 4}, lastBias)
	w.Label("row")
	lastX := w.vector()
	w.VMOVUPS(Mem{Base: w.x, Index: last, Scale: 4}, lastX)
	w.each(lastX, lastBias)
	i, left := w.GP64(), w.GP64()
	w.XORL(i.As32(), i.As32())
	w.MOVQ(last, left)
	for _, loop := range []struct {
		name  string
		count int
	}{{"four", 4}, {"one", 1}} {
		w.Label(loop.name)
		w.CMPQ(left, U8((loop.count-1)*w.lanes))
		w.JLE(LabelRef(loop.name + "_end"))
		for v := range loop.count {
			x, bias := w.vector(), w.vector()
			at := Mem{Base: w.x, Index: i, Scale: 4, Disp: v * w.bytes()}
			w.VMOVUPS(at, x)
			w.VMOVUPS(Mem{Base: w.bias, Index: i, Scale: 4, Disp: v * w.bytes()}, bias)
			w.each(x, bias)
			w.VMOVUPS(x, at)
		}
		w.ADDQ(U8(loop.count*w.lanes), i)
		w.SUBQ(U8(loop.count*w.lanes), left)
		w.JMP(LabelRef(loop.name))
		w.Label(loop.name + "_end")
	}
	w.VMOVUPS(lastX, Mem{Base: w.x, Index: last, Scale: 4})
	w.ADDQ(w.stride, w.x)
	w.DECQ(w.rows)
	w.JNZ(LabelRef("row"))
	w.done()
}

// emitNarrow emits the walk over rows that are narrower than a vector.
func (w *rowWalk) emitNarrow(cols reg.GPVirtual) {
	m := w.newMask(cols, w.vector())
	bias := w.vector()
	w.load(Mem{Base: w.bias}, &m, bias)
	w.emitGroup("eight", 8, bias, &m)
	w.emitGroup("single", 1, bias, &m)
	w.done()
}

// emitGroup emits a loop that takes that many rows at a time.
func (w *rowWalk) emitGroup(name string, rows int, bias reg.VecVirtual, m *mask) {
	w.Label(name)
	w.CMPQ(w.rows, U8(rows))
	w.JLT(LabelRef(name + "_end"))
	x := make([]reg.VecVirtual, rows)
	from := w.GP64()
	w.MOVQ(w.x, from)
	for i := range x {
		x[i] = w.vector()
		w.load(Mem{Base: from}, m, x[i])
		w.each(x[i], bias)
		w.ADDQ(w.stride, from)
	}
	for i := range x {
		w.store(x[i], m, Mem{Base: w.x})
		w.ADDQ(w.stride, w.x)
	}
	w.SUBQ(U8(rows), w.rows)
	w.JMP(LabelRef(name))
	w.Label(name + "_end")
}
