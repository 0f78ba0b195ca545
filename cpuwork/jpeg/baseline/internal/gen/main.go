// Command gen writes the assembly of package baseline and the Go declarations that
// go with it.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

// run writes the files to the directory that is the only argument. (Package
// build of avo has taken the command line's flags for itself.)
func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: gen DIRECTORY")
	}
	files, err := generate()
	if err != nil {
		return err
	}
	for name, content := range files {
		// #nosec G306 -- source files are for everybody to read
		if err := os.WriteFile(filepath.Join(args[0], name), content, 0o644); err != nil {
			return fmt.Errorf("write generated file: %w", err)
		}
	}
	return nil
}

// Numbers of package baseline.
const (
	stride      = 2 * (512 + 32) // of rows of samples, in bytes
	lumaBlocks  = 512 / 8
	chromaKinds = 32
	kindDC      = 16
	lengthShift = 24
)

// A generator emits the functions of the package.
type generator struct {
	*build.Context
}

// generate returns the content of every generated file by its name.
func generate() (map[string][]byte, error) {
	ctx := build.NewContext()
	ctx.ConstraintExpr("amd64")
	g := &generator{Context: ctx}
	g.emitConvertGray()
	for _, channels := range []int{3, 4} {
		g.emitConvert(channels, false)
		g.emitConvert(channels, true)
	}
	g.emitTransform()
	g.emitLists()
	g.emitPack()
	g.emitStuff()
	f, err := g.Result()
	if err != nil {
		return nil, fmt.Errorf("emit: %w", err)
	}
	if err := pass.Compile.Execute(f); err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	config := printer.Config{Argv: []string{"go", "generate"}, Pkg: "baseline"}
	assembly, err := printer.NewGoAsm(config).Print(f)
	if err != nil {
		return nil, fmt.Errorf("print assembly: %w", err)
	}
	stubs, err := printer.NewStubs(config).Print(f)
	if err != nil {
		return nil, fmt.Errorf("print stubs: %w", err)
	}
	return map[string][]byte{"baseline_amd64.s": assembly, "baseline_amd64.go": stubs}, nil
}

// function begins one that calls nothing.
func (g *generator) function(name, signature string, doc ...string) {
	g.Function(name)
	g.Attributes(attr.NOSPLIT)
	g.SignatureExpr(signature)
	g.Pragma("noescape")
	g.Doc(doc...)
}

// end returns. The upper halves of registers are cleared, or SSE code is slow.
func (g *generator) end() {
	g.VZEROUPPER()
	g.RET()
}

func (g *generator) param(name string) reg.GPVirtual {
	return g.Load(g.Param(name), g.GP64()).(reg.GPVirtual)
}

// Data of 64 bytes each, as a vector has them.

func (g *generator) bytes(name string, f func(i int) byte) Mem {
	m := g.StaticGlobal(name)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range 64 {
		g.AppendDatum(U8(f(i)))
	}
	return m
}

func (g *generator) words(name string, f func(i int) int) Mem {
	return g.bytes(name, func(i int) byte { return byte(f(i/2) >> (8 * (i % 2))) }) // #nosec G115 -- a byte of many
}

func (g *generator) dwords(name string, f func(i int) int) Mem {
	return g.bytes(name, func(i int) byte { return byte(f(i/4) >> (8 * (i % 4))) }) // #nosec G115 -- a byte of many
}

// pairs is words side by side in each double word, for VPDPWSSD.
func (g *generator) pairs(name string, f func(i int) (low, high int)) Mem {
	return g.words(name, func(i int) int {
		low, high := f(i / 2)
		if i%2 == 0 {
			return low
		}
		return high
	})
}

func (g *generator) load(m Mem) reg.VecVirtual {
	z := g.ZMM()
	g.VMOVDQU64(m, z)
	return z
}

func (g *generator) mask(bits uint64) reg.OpmaskVirtual {
	r, k := g.GP64(), g.K()
	g.MOVQ(U64(bits), r)
	g.KMOVQ(r, k)
	return k
}

const oddWords = 0xaaaaaaaa

func at(base reg.Register, offset int) Mem { return Mem{Base: base}.Offset(offset) }
