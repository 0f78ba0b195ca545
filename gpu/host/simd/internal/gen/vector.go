package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitVector emits the kernels that do the same to every element.
func emitVector(e *emitter) {
	e.stream("add", "dst src", "", "computes dst += src.", 4, func(s *stream) {
		x := s.read("dst")
		s.VADDPS(s.read("src"), x, x)
		s.write(x, "dst")
	})
	e.stream("mul", "dst src", "", "computes dst *= src.", 4, func(s *stream) {
		x := s.read("dst")
		s.VMULPS(s.read("src"), x, x)
		s.write(x, "dst")
	})
	e.stream("scale", "x", "a", "computes x *= a.", 4, func(s *stream) {
		x := s.read("x")
		s.VMULPS(s.scalar("a"), x, x)
		s.write(x, "x")
	})
	e.stream("axpy", "x y", "a", "computes y += a·x with one rounding.", 4, func(s *stream) {
		y := s.read("y")
		s.VFMADD231PS(s.read("x"), s.scalar("a"), y)
		s.write(y, "y")
	})
}

// stream is one step of a kernel over vectors of equal length.
type stream struct {
	*emitter
	pointers map[string]reg.Register
	index    reg.GPVirtual // elements done
	disp     int           // bytes beyond index
	mask     *mask
}

// stream emits a kernel that runs body over all elements: unroll vectors at a
// time, then one, then one masked. Pointers and scalars are lists of parameter
// names; scalars are float32.
func (e *emitter) stream(name, pointers, scalars, doc string, unroll int, body func(*stream)) {
	signature := "func(n int"
	for _, p := range strings.Fields(pointers) {
		signature += fmt.Sprintf(", %s *float32", p)
	}
	for _, p := range strings.Fields(scalars) {
		signature += fmt.Sprintf(", %s float32", p)
	}
	signature += ")"
	e.kernel(name, signature, doc)
	s := &stream{emitter: e, pointers: map[string]reg.Register{}, index: e.GP64()}
	e.hoist(signature, pointers, body)
	n := e.GP64()
	e.Load(e.Param("n"), n)
	for _, p := range strings.Fields(pointers) {
		s.pointers[p] = e.Load(e.Param(p), e.GP64())
	}
	e.XORL(s.index.As32(), s.index.As32())
	if unroll > 1 {
		s.emitLoop("unrolled", unroll, n, body)
	}
	s.emitLoop("single", 1, n, body)
	e.TESTQ(n, n)
	e.JZ(LabelRef("done"))
	m := e.newMask(n, e.vector())
	s.mask = &m
	body(s)
	e.Label("done")
	e.done()
	e.hoisted = nil
}

// hoist loads a stream's constants into registers ahead of its loops, on AVX-512,
// which has registers to spare and whose constants in memory may cross cache
// lines. What they are is found by emitting the body into the void.
func (e *emitter) hoist(signature, pointers string, body func(*stream)) {
	if e.lanes < 16 {
		return
	}
	void := newEmitter(e.set)
	void.kernel("void", signature, "is dropped.")
	s := &stream{emitter: void, pointers: map[string]reg.Register{}, index: void.GP64()}
	for _, p := range strings.Fields(pointers) {
		s.pointers[p] = void.GP64()
	}
	body(s)
	registers := map[uint32]reg.VecVirtual{}
	for _, bits := range void.used[:min(len(void.used), 20)] {
		registers[bits] = e.vector()
		e.VMOVUPS(e.pattern(bits), registers[bits])
	}
	e.hoisted = registers
}

func (s *stream) emitLoop(name string, unroll int, n reg.GPVirtual, body func(*stream)) {
	step := unroll * s.lanes
	s.Label(name)
	s.CMPQ(n, U8(step))
	s.JLT(LabelRef(name + "_end"))
	for u := range unroll {
		s.disp = u * s.bytes()
		body(s)
	}
	s.disp = 0
	s.ADDQ(U8(step), s.index)
	s.SUBQ(U8(step), n)
	s.JMP(LabelRef(name))
	s.Label(name + "_end")
}

func (s *stream) at(pointer string) Mem {
	return Mem{Base: s.pointers[pointer], Index: s.index, Scale: 4, Disp: s.disp}
}

// read returns the step's elements of a vector.
func (s *stream) read(pointer string) reg.VecVirtual {
	x := s.vector()
	s.load(s.at(pointer), s.mask, x)
	return x
}

// write stores the step's elements of a vector.
func (s *stream) write(x reg.VecVirtual, pointer string) {
	s.store(x, s.mask, s.at(pointer))
}

// scalar returns a parameter in every lane. It is read from the stack each time:
// a broadcasting load costs less than a register.
func (e *emitter) scalar(param string) reg.VecVirtual {
	x := e.vector()
	basic, err := e.Param(param).Resolve()
	if err != nil {
		panic(err)
	}
	e.VBROADCASTSS(basic.Addr, x)
	return x
}

// constant returns a float32 in every lane, in memory or a register.
func (e *emitter) constant(v float32) Op { return e.pattern(math.Float32bits(v)) }

// pattern returns 32 bits in every lane, in memory or a register.
func (e *emitter) pattern(bits uint32) Op {
	if r, ok := e.hoisted[bits]; ok {
		return r
	}
	if !slices.Contains(e.used, bits) {
		e.used = append(e.used, bits)
	}
	if m, ok := e.consts[bits]; ok {
		return m
	}
	m := e.StaticGlobal(fmt.Sprintf("x%08x", bits))
	e.DataAttributes(attr.RODATA | attr.NOPTR)
	for range e.lanes / 2 {
		e.AppendDatum(U64(uint64(bits)<<32 | uint64(bits)))
	}
	e.consts[bits] = m
	return m
}

// zeros returns a vector of zeros.
func (e *emitter) zeros() reg.VecVirtual {
	x := e.vector()
	e.VXORPS(x, x, x)
	return x
}

// The predicates of VCMPPS that kernels use. None signals on a quiet NaN.
const (
	lessQ         = 0x11 // false for NaN
	notLessEqQ    = 0x16 // greater, or NaN
	notGreaterEqQ = 0x19 // less, or NaN
	greaterQ      = 0x1e // false for NaN
)

// pick returns, lane by lane, yes where a and b satisfy the predicate, else no.
// b and yes may be memory.
func (e *emitter) pick(predicate int, a reg.VecVirtual, b, yes Op, no reg.VecVirtual) reg.VecVirtual {
	x := e.vector()
	if e.lanes == 16 {
		k := e.K()
		e.VCMPPS(U8(predicate), b, a, k)
		e.VBLENDMPS(yes, no, k, x)
		return x
	}
	m := e.vector()
	e.VCMPPS(U8(predicate), b, a, m)
	e.VBLENDVPS(m, yes, no, x)
	return x
}
