package main

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitReduce emits the reductions up to their sixteen partial sums in float64;
// the last n%16 elements and the tree over the sums are left to Go.
func emitReduce(e *emitter) {
	e.reduce("sum", "x", "adds x[i] to sums[i%16].", func(x []Mem, sum reg.VecVirtual) {
		e.VADDPD(e.widen(x[0]), sum, sum)
	})
	e.reduce("sumSquares", "x", "adds x[i]² to sums[i%16].", func(x []Mem, sum reg.VecVirtual) {
		wide := e.widen(x[0])
		e.VFMADD231PD(wide, wide, sum)
	})
	e.reduce("dot", "x y", "adds x[i]·y[i] to sums[i%16].", func(x []Mem, sum reg.VecVirtual) {
		e.VFMADD231PD(e.widen(x[0]), e.widen(x[1]), sum)
	})
}

// reduce emits one reduction. add adds as many elements as a vector holds in
// float64 to a vector of sums.
func (e *emitter) reduce(name, pointers, doc string, add func(x []Mem, sum reg.VecVirtual)) {
	names := strings.Fields(pointers)
	e.kernel(name, fmt.Sprintf("func(n int, %s *float32, sums *[16]float64)", strings.Join(names, ", ")),
		doc+"\nn is a multiple of 16 and at least 16.")
	n := e.Load(e.Param("n"), e.GP64())
	at := make([]Mem, len(names))
	for i, p := range names {
		at[i] = Mem{Base: e.Load(e.Param(p), e.GP64())}
	}
	out := e.Load(e.Param("sums"), e.GP64())
	sums := make([]reg.VecVirtual, 32/e.lanes)
	for i := range sums {
		sums[i] = e.vector()
		e.VMOVUPD(Mem{Base: out, Disp: i * e.bytes()}, sums[i])
	}
	e.Label("loop")
	for i, sum := range sums {
		part := make([]Mem, len(at))
		for j := range at {
			part[j] = at[j].Offset(i * e.bytes() / 2)
		}
		add(part, sum)
	}
	for _, m := range at {
		e.ADDQ(U8(64), m.Base)
	}
	e.SUBQ(U8(16), n)
	e.JNZ(LabelRef("loop"))
	for i, sum := range sums {
		e.VMOVUPD(sum, Mem{Base: out, Disp: i * e.bytes()})
	}
	e.done()
}

// widen reads half a vector of float32 as a vector of float64.
func (e *emitter) widen(m Mem) reg.VecVirtual {
	x := e.vector()
	e.VCVTPS2PD(m, x)
	return x
}
