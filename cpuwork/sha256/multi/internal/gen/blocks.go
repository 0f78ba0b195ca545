package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// maxLanes is how many streams one function interleaves at most: their states
// take two of the sixteen registers each.
const maxLanes = 4

// roundConstants are K of FIPS 180-4, section 4.2.2.
var roundConstants = [64]uint32{
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}

// A generator emits functions that hash blocks of several streams in lockstep.
//
// One stream alone waits for each SHA256RNDS2, which takes four cycles and
// could start every other one; the rounds of other streams fill the gaps. The
// order of instructions inside a stream is that of S. Gulley and others, "New
// Instructions Supporting the Secure Hash Algorithm on Intel Architecture
// Processors", 2013.
type generator struct {
	*build.Context
	k, flip Mem
	lanes16 Mem // byte offsets of sixteen states

	lanes  int
	tables reg.Register // of k
	input  []reg.Register
	local  Mem // two saved state vectors a lane, then, if there are no registers left, the schedules
}

var xmm = []reg.VecPhysical{
	reg.X0, reg.X1, reg.X2, reg.X3, reg.X4, reg.X5, reg.X6, reg.X7,
	reg.X8, reg.X9, reg.X10, reg.X11, reg.X12, reg.X13, reg.X14, reg.X15,
}

func (g *generator) emitTables() {
	g.k = g.StaticGlobal("roundConstants")
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for _, k := range roundConstants {
		g.AppendDatum(U32(k))
	}
	g.flip = g.StaticGlobal("bigEndian")
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	g.AppendDatum(U64(0x0405060700010203))
	g.AppendDatum(U64(0x0c0d0e0f08090a0b))
	g.lanes16 = g.StaticGlobal("lanes")
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for lane := range wideLanes {
		g.AppendDatum(U32(uint32(32 * lane))) // #nosec G115 -- small
	}
}

// msg is the operand that SHA256RNDS2 always reads its words from.
var msg = reg.X0

// The registers: msg, two of state a lane, and then, with one or two lanes, the
// four vectors of each one's schedule; the last three are scratch.
func (g *generator) abef(lane int) reg.VecPhysical { return xmm[1+2*lane] }
func (g *generator) cdgh(lane int) reg.VecPhysical { return xmm[2+2*lane] }

var t0, t1 = reg.X14, reg.X15

func (g *generator) inRegisters() bool { return g.lanes <= 2 }

func (g *generator) w(lane, i int) reg.VecPhysical {
	return xmm[1+2*g.lanes+4*lane+i%4]
}

func (g *generator) saved(lane, i int) Mem { return g.local.Offset(32*lane + 16*i) }
func (g *generator) stored(lane, i int) Mem {
	return g.local.Offset(32*g.lanes + 64*lane + 16*(i%4))
}

func (g *generator) emitBlocks(lanes int) {
	g.lanes, g.input = lanes, nil
	name := fmt.Sprintf("blocks%d", lanes)
	g.Function(name)
	g.Attributes(attr.NOSPLIT)
	g.SignatureExpr("func(states *[4][8]uint32, data *[4]*byte, n int)")
	g.Pragma("noescape")
	g.Doc(fmt.Sprintf("%s hashes n blocks of 64 bytes from each of data's first %d into the state of", name, lanes),
		"the same place; n is at least 1.")
	states, data, n := reg.Register(reg.RDI), reg.Register(reg.RSI), reg.Register(reg.RCX)
	g.Load(g.Param("states"), states)
	g.Load(g.Param("data"), data)
	g.Load(g.Param("n"), n)
	for lane, r := range []reg.Register{reg.R8, reg.R9, reg.R10, reg.R11}[:lanes] {
		g.MOVQ(Mem{Base: data}.Offset(8*lane), r)
		g.input = append(g.input, r)
	}
	g.tables = reg.RAX
	g.LEAQ(g.k, g.tables)
	g.alignLocal()
	for lane := range lanes {
		g.loadState(lane, Mem{Base: states}.Offset(32*lane))
	}
	g.Label("block")
	for lane := range lanes {
		g.VMOVDQU(g.abef(lane), g.saved(lane, 0))
		g.VMOVDQU(g.cdgh(lane), g.saved(lane, 1))
	}
	for quad := range 16 {
		for lane := range lanes {
			g.quad(lane, quad)
		}
	}
	for lane := range lanes {
		g.VPADDD(g.saved(lane, 0), g.abef(lane), g.abef(lane))
		g.VPADDD(g.saved(lane, 1), g.cdgh(lane), g.cdgh(lane))
		g.ADDQ(Imm(64), g.input[lane])
	}
	g.DECQ(n)
	g.JNZ(LabelRef("block"))
	for lane := range lanes {
		g.storeState(lane, Mem{Base: states}.Offset(32*lane))
	}
	g.RET()
}

// alignLocal makes room on the stack at a multiple of 16 bytes, which the SHA
// instructions ask of what they read from memory.
func (g *generator) alignLocal() {
	size := 32 * g.lanes
	if !g.inRegisters() {
		size += 64 * g.lanes
	}
	g.LEAQ(g.AllocLocal(size+16).Offset(15), reg.RDX)
	g.ANDQ(I8(-16), reg.RDX)
	g.local = Mem{Base: reg.RDX}
}

// loadState turns a state ABCD, EFGH in memory into the order that the
// instructions want, ABEF and CDGH with the first word on top.
func (g *generator) loadState(lane int, m Mem) {
	abef, cdgh := g.abef(lane), g.cdgh(lane)
	g.VPSHUFD(U8(0xb1), m, t0)            // CDAB
	g.VPSHUFD(U8(0x1b), m.Offset(16), t1) // EFGH
	g.VPALIGNR(U8(8), t1, t0, abef)       // ABEF
	g.VPBLENDW(U8(0xf0), t0, t1, cdgh)    // CDGH
}

func (g *generator) storeState(lane int, m Mem) {
	g.VPSHUFD(U8(0x1b), g.abef(lane), t0) // FEBA
	g.VPSHUFD(U8(0xb1), g.cdgh(lane), t1) // DCHG
	g.VPBLENDW(U8(0xf0), t1, t0, msg)     // DCBA
	g.VMOVDQU(msg, m)
	g.VPALIGNR(U8(8), t0, t1, t1) // HGFE
	g.VMOVDQU(t1, m.Offset(16))
}

// quad does rounds 4i to 4i+3 of one lane, and what of the message schedule can
// be done beside them.
func (g *generator) quad(lane, i int) {
	constants := Mem{Base: g.tables}.Offset(16 * i)
	switch {
	case g.inRegisters():
		if i < 4 {
			g.loadWords(lane, i, g.w(lane, i))
		}
		g.VPADDD(constants, g.w(lane, i), msg)
	case i < 4:
		g.loadWords(lane, i, msg)
		g.VMOVDQU(msg, g.stored(lane, i))
		g.VPADDD(constants, msg, msg)
	default:
		g.VMOVDQU(g.stored(lane, i), msg)
		g.VPADDD(constants, msg, msg)
	}
	g.SHA256RNDS2(msg, g.abef(lane), g.cdgh(lane))
	if i >= 3 && i < 15 {
		g.schedule(lane, i)
	}
	g.VPSHUFD(U8(0x0e), msg, msg)
	g.SHA256RNDS2(msg, g.cdgh(lane), g.abef(lane))
	if g.inRegisters() && i >= 1 && i < 13 {
		g.SHA256MSG1(g.w(lane, i), g.w(lane, i-1))
	}
}

func (g *generator) loadWords(lane, i int, dst reg.VecPhysical) {
	g.VMOVDQU(Mem{Base: g.input[lane]}.Offset(16*i), dst)
	g.VPSHUFB(g.flip, dst, dst)
}

// schedule computes words 4i+4 to 4i+7 from the sixteen before them.
func (g *generator) schedule(lane, i int) {
	if g.inRegisters() {
		g.VPALIGNR(U8(4), g.w(lane, i-1), g.w(lane, i), t0)
		g.VPADDD(t0, g.w(lane, i+1), g.w(lane, i+1))
		g.SHA256MSG2(g.w(lane, i), g.w(lane, i+1))
		return
	}
	next, last := reg.X13, t0
	g.VMOVDQU(g.stored(lane, i+1), next)
	g.SHA256MSG1(g.stored(lane, i+2), next)
	g.VMOVDQU(g.stored(lane, i), last)
	g.VPALIGNR(U8(4), g.stored(lane, i-1), last, t1)
	g.VPADDD(t1, next, next)
	g.SHA256MSG2(last, next)
	g.VMOVDQU(next, g.stored(lane, i+1))
}

// emitFeatures emits the question whether the processor has the instructions:
// leaf 7 of CPUID, where there is one, sets bit 29 of EBX.
func (g *generator) emitFeatures() {
	g.Function("hasSHA")
	g.Attributes(attr.NOSPLIT)
	g.SignatureExpr("func() bool")
	g.Doc("hasSHA says whether the processor has the SHA extensions.")
	answer := reg.RSI
	g.XORL(answer.As32(), answer.As32())
	g.XORL(reg.EAX, reg.EAX)
	g.CPUID()
	g.CMPL(reg.EAX, U8(7))
	g.JLT(LabelRef("answer"))
	g.MOVL(U32(7), reg.EAX)
	g.XORL(reg.ECX, reg.ECX)
	g.CPUID()
	g.SHRL(U8(29), reg.EBX)
	g.ANDL(U8(1), reg.EBX)
	g.MOVL(reg.EBX, answer.As32())
	g.Label("answer")
	g.Store(answer.As8(), g.ReturnIndex(0))
	g.RET()
}
