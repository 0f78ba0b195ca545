package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A lister emits functions that turn blocks into entries: values, and kinds, which
// are the numbers of zeros before them.
type lister struct {
	*generator
	values, kinds, entries  reg.GPVirtual
	iota, previous, sixteen reg.VecVirtual
	bases                   [2]reg.VecVirtual // luma's and chroma's kind of no zeros, less one
	first                   reg.OpmaskVirtual
	slow                    []func()
}

// A blockOf says where a block is and what it belongs to.
type blockOf struct {
	base   reg.Register
	offset int
	dc     reg.GPVirtual // of the last block of its component
	chroma int           // or 0
}

func (g *generator) emitLists() {
	for _, name := range []string{"listGray", "listFull", "listQuarter"} {
		g.function(name, "func(coefs *int16, mcus int, values *int16, kinds *byte, dc *int32) (entries int)",
			name+" makes the entries of so many MCUs, at least one, and keeps each component's last",
			"average in dc. It writes up to 64 more entries than it says.")
		g.emitList(name)
	}
}

func (g *generator) emitList(name string) {
	l := &lister{generator: g}
	y, mcus := g.param("coefs"), g.param("mcus")
	l.values, l.kinds = g.param("values"), g.param("kinds")
	dc := g.param("dc")
	l.entries = g.GP64()
	g.XORL(l.entries.As32(), l.entries.As32())
	l.iota = g.load(g.bytes(name+"Iota", func(i int) byte { return byte(i) }))                   // #nosec G115 -- below 64
	l.previous = g.load(g.bytes(name+"Previous", func(i int) byte { return byte(max(i-1, 0)) })) // #nosec G115 -- below 64
	l.sixteen = g.load(g.bytes(name+"Sixteen", func(int) byte { return 16 }))
	l.bases[0] = g.load(g.bytes(name+"Luma", func(int) byte { return 0xff }))
	components := 1
	var last [3]reg.GPVirtual
	blocks := []blockOf{{base: y}}
	stepY, stepC := 128, 0
	c := g.GP64()
	if name != "listGray" {
		components = 3
		l.bases[1] = g.load(g.bytes(name+"Chroma", func(int) byte { return chromaKinds - 1 }))
		blocks = append(blocks, blockOf{base: y, offset: 128 * lumaBlocks}, blockOf{base: y, offset: 2 * 128 * lumaBlocks})
	}
	if name == "listQuarter" {
		g.MOVQ(y, c)
		stepY, stepC = 256, 128
		blocks = []blockOf{
			{base: y}, {base: y, offset: 128}, {base: y, offset: 128 * lumaBlocks}, {base: y, offset: 128*lumaBlocks + 128},
			{base: c, offset: 2 * 128 * lumaBlocks}, {base: c, offset: 2*128*lumaBlocks + 64*lumaBlocks},
		}
	}
	for i := range components {
		last[i] = g.GP64()
		g.MOVLQSX(at(dc, 4*i), last[i])
	}
	l.first = g.mask(1)
	g.Label("mcu")
	for i, b := range blocks {
		component := max(0, i-(len(blocks)-components))
		b.dc, b.chroma = last[component], min(component, 1)
		l.block(i, b)
	}
	g.ADDQ(U32(stepY), y) // #nosec G115 -- small
	if stepC > 0 {
		g.ADDQ(U32(stepC), c) // #nosec G115 -- small
	}
	g.DECQ(mcus)
	g.JNZ(LabelRef("mcu"))
	dc = g.param("dc")
	for i := range components {
		g.MOVL(last[i].As32(), at(dc, 4*i))
	}
	g.Store(l.entries, g.ReturnIndex(0))
	g.end()
	for _, f := range l.slow {
		f()
	}
}

func (l *lister) value(index reg.Register) Mem { return Mem{Base: l.values, Index: index, Scale: 2} }
func (l *lister) kind(index reg.Register) Mem  { return Mem{Base: l.kinds, Index: index, Scale: 1} }

// block appends the entries of a block. Lists of fewer than 64 are written whole,
// what is too much is written over by the next block's.
func (l *lister) block(i int, b blockOf) {
	var halves [2]reg.VecVirtual
	var masks [2]reg.OpmaskVirtual
	for h := range halves {
		halves[h], masks[h] = l.load(at(b.base, b.offset+64*h)), l.K()
		l.VPTESTMW(halves[h], halves[h], masks[h])
	}
	l.KORQ(l.first, masks[0], masks[0]) // the average has an entry always
	both := l.K()
	l.KUNPCKDQ(masks[0], masks[1], both)
	set, count, low := l.GP64(), l.GP64(), l.GP64()
	l.KMOVQ(both, set)
	l.POPCNTQ(set, count)
	l.POPCNTL(set.As32(), low.As32())

	at0, before, runs := l.ZMM(), l.ZMM(), l.ZMM()
	l.VPCOMPRESSB_Z(l.iota, both, at0)
	l.VPERMB(at0, l.previous, before)
	l.VPSUBB(before, at0, runs)
	long := l.K()
	l.VPCMPGTB(l.sixteen, runs, long)
	l.VPADDB(l.bases[b.chroma], runs, runs)
	l.VMOVDQU8(runs, l.kind(l.entries))
	for h := range halves {
		l.VPCOMPRESSW_Z(halves[h], masks[h], halves[h])
	}
	l.VMOVDQU16(halves[0], l.value(l.entries))
	l.ADDQ(l.entries, low)
	l.VMOVDQU16(halves[1], l.value(low))

	dc, difference := l.GP64(), l.GP64()
	l.MOVWQSX(at(b.base, b.offset), dc)
	l.MOVQ(dc, difference)
	l.SUBQ(b.dc, difference)
	l.MOVQ(dc, b.dc)
	l.MOVW(difference.As16(), l.value(l.entries))
	l.MOVB(U8(kindDC+chromaKinds*b.chroma), l.kind(l.entries)) // #nosec G115 -- small
	l.KORTESTQ(long, long)
	slow, done := fmt.Sprintf("slow%d", i), fmt.Sprintf("done%d", i)
	l.JNE(LabelRef(slow))
	l.ADDQ(count, l.entries)
	l.MOVB(U8(chromaKinds*b.chroma), l.kind(l.entries)) // #nosec G115 -- small
	l.NOTQ(set)                                         // nothing ends a block whose last coefficient is there
	l.SHRQ(U8(63), set)
	l.ADDQ(set, l.entries)
	l.Label(done)
	l.slow = append(l.slow, func() { l.longRuns(b, set, slow, done) })
}

// longRuns is block's rest, again from the second entry on, where there are more
// than fifteen zeros in a row.
func (l *lister) longRuns(b blockOf, set reg.GPVirtual, slow, done string) {
	next, last, run, value := l.GP64(), l.GP64(), l.GP64(), l.GP64()
	kind := uint8(chromaKinds * b.chroma) // #nosec G115 -- small
	l.Label(slow)
	l.INCQ(l.entries)
	l.ANDQ(I8(-2), set)
	l.XORL(last.As32(), last.As32())
	l.Label(slow + "next")
	l.TZCNTQ(set, next)
	l.MOVQ(next, run)
	l.SUBQ(last, run)
	l.DECQ(run)
	l.MOVQ(next, last)
	l.Label(slow + "zeros")
	l.CMPQ(run, Imm(16))
	l.JLT(LabelRef(slow + "one"))
	l.MOVB(U8(kind+15), l.kind(l.entries))
	l.MOVW(U16(0), l.value(l.entries))
	l.INCQ(l.entries)
	l.SUBQ(Imm(16), run)
	l.JMP(LabelRef(slow + "zeros"))
	l.Label(slow + "one")
	l.ADDQ(Imm(uint64(kind)), run)
	l.MOVB(run.As8(), l.kind(l.entries))
	l.MOVW(Mem{Base: b.base, Disp: b.offset, Index: next, Scale: 2}, value.As16())
	l.MOVW(value.As16(), l.value(l.entries))
	l.INCQ(l.entries)
	l.BLSRQ(set, set)
	l.JNE(LabelRef(slow + "next"))
	l.CMPQ(last, Imm(63))
	l.JEQ(LabelRef(done))
	l.MOVB(U8(kind), l.kind(l.entries))
	l.MOVW(U16(0), l.value(l.entries))
	l.INCQ(l.entries)
	l.JMP(LabelRef(done))
}
