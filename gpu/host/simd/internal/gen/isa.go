package main

import (
	"fmt"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// set is an instruction set that kernels are emitted for.
type set struct {
	suffix string // of Go names
	file   string // of file names
	lanes  int    // float32 in a vector
	rows   int    // of the matrix product's register tile, two vectors wide
}

var (
	avx2   = set{suffix: "AVX2", file: "avx2", lanes: 8, rows: 6}
	avx512 = set{suffix: "AVX512", file: "avx512", lanes: 16, rows: 12}
)

// emitter is avo's context with the operations that the two sets spell
// differently.
type emitter struct {
	*build.Context
	set
	consts  map[uint32]operand.Mem
	used    []uint32                  // constants asked for, in order
	hoisted map[uint32]reg.VecVirtual // those that are in registers
	table   operand.Mem               // AVX2: lanes of ones, then lanes of zeros
	labels  int
}

func newEmitter(s set) *emitter {
	e := &emitter{Context: build.NewContext(), set: s, consts: map[uint32]operand.Mem{}}
	e.ConstraintExpr("amd64")
	if s.lanes == 8 {
		e.table = e.StaticGlobal("masks")
		e.DataAttributes(attr.RODATA | attr.NOPTR)
		for range 4 {
			e.AppendDatum(operand.U64(1<<64 - 1))
		}
		for range 4 {
			e.AppendDatum(operand.U64(0))
		}
	}
	return e
}

// kernel starts a function; its Go name ends with the set's.
func (e *emitter) kernel(name, signature, doc string) {
	e.Function(name + e.suffix)
	e.Attributes(attr.NOSPLIT)
	e.SignatureExpr(signature)
	e.Pragma("noescape")
	e.Doc(strings.Split(name+e.suffix+" "+doc, "\n")...)
}

// done ends a function.
func (e *emitter) done() {
	e.VZEROUPPER()
	e.RET()
}

// label returns a name for a jump target that is unique in the file.
func (e *emitter) label(name string) string {
	e.labels++
	return fmt.Sprintf("%s_%d", name, e.labels)
}

// bytes returns the size of a vector.
func (e *emitter) bytes() int { return 4 * e.lanes }

// vector returns a fresh virtual register.
func (e *emitter) vector() reg.VecVirtual {
	if e.lanes == 16 {
		return e.ZMM()
	}
	return e.YMM()
}

// physical returns vector register i.
func (e *emitter) physical(i int) reg.VecPhysical {
	if e.lanes == 16 {
		return zmm[i]
	}
	return ymm[i]
}

var ymm = []reg.VecPhysical{
	reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
	reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
}

var zmm = []reg.VecPhysical{
	reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
	reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
	reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
	reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
}

// mask selects the first count lanes, 1 to all of them: a vector register on
// AVX2, an opmask register on AVX-512.
type mask struct{ r reg.Register }

// newMask computes a mask into the given register: vec on AVX2, opmask 1 on
// AVX-512.
func (e *emitter) newMask(count reg.GPVirtual, vec reg.Register) mask {
	t := e.GP64()
	if e.lanes == 16 {
		e.MOVL(operand.U32(0xffff), t.As32())
		e.BZHIL(count.As32(), t.As32(), t.As32())
		e.KMOVW(t.As32(), reg.K1)
		return mask{reg.K1}
	}
	// The table ends with zeros: start so that count ones remain.
	e.LEAQ(e.table.Offset(e.bytes()), t)
	n := e.GP64()
	e.MOVQ(count, n)
	e.NEGQ(n)
	e.VMOVUPS(operand.Mem{Base: t, Index: n, Scale: 4}, vec)
	return mask{vec}
}

// load reads a vector; lanes outside the mask (nil: none is) are not touched in
// memory and become zero.
func (e *emitter) load(m operand.Mem, k *mask, dst reg.Register) {
	switch {
	case k == nil:
		e.VMOVUPS(m, dst)
	case e.lanes == 16:
		e.VMOVUPS_Z(m, k.r, dst)
	default:
		e.VMASKMOVPS(m, k.r, dst)
	}
}

// store writes a vector; lanes outside the mask stay as they are in memory.
func (e *emitter) store(src reg.Register, k *mask, m operand.Mem) {
	switch {
	case k == nil:
		e.VMOVUPS(src, m)
	case e.lanes == 16:
		e.VMOVUPS(src, k.r, m)
	default:
		e.VMASKMOVPS(src, k.r, m)
	}
}

// zero clears a register.
func (e *emitter) zero(r reg.VecPhysical) {
	// The 128-bit form clears the whole register and is the one that
	// processors execute at no cost.
	if e.lanes == 16 && r.ID().Index() >= 16 {
		e.VPXORD(r, r, r)
		return
	}
	x := reg.Register(r.AsX())
	e.VXORPS(x, x, x)
}
