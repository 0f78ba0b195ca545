// Command gen writes the assembly of package simd and the Go declarations that
// go with it.
//
// Every kernel is described once, in terms of an instruction set's vector width
// and a few operations that AVX2 and AVX-512 spell differently (isa.go), and is
// emitted for both. That is what keeps their results equal bit for bit.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/format"
	"log"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
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

// group is one file of assembly per instruction set.
type group struct {
	name string
	emit func(*emitter)
}

var groups = []group{
	{"gemm", emitGemm},
	{"vector", emitVector},
	{"rows", emitRows},
	{"columns", emitColumnSums},
	{"reduce", emitReduce},
	{"activation", emitActivation},
	{"optimizer", emitOptimizer},
}

// generate returns the content of every generated file by its name.
func generate() (map[string][]byte, error) {
	files := map[string][]byte{}
	var all []*ir.Function
	for _, g := range groups {
		for _, s := range []set{avx2, avx512} {
			e := newEmitter(s)
			g.emit(e)
			f, err := e.Result()
			if err != nil {
				return nil, fmt.Errorf("emit %s for %s: %w", g.name, s.suffix, err)
			}
			if err := pass.Compile.Execute(f); err != nil {
				return nil, fmt.Errorf("compile %s for %s: %w", g.name, s.suffix, err)
			}
			base := fmt.Sprintf("%s_%s_amd64", g.name, s.file)
			if err := printInto(files, base+".s", printer.NewGoAsm(config), f); err != nil {
				return nil, err
			}
			if err := printInto(files, base+".go", printer.NewStubs(config), f); err != nil {
				return nil, err
			}
			all = append(all, f.Functions()...)
		}
	}
	var err error
	files["stubs_other.go"], err = otherStubs(all)
	return files, err
}

var config = printer.Config{Argv: []string{"go", "generate"}, Pkg: "simd"}

func printInto(files map[string][]byte, name string, p printer.Printer, f *ir.File) error {
	text, err := p.Print(f)
	if err != nil {
		return fmt.Errorf("print %s: %w", name, err)
	}
	files[name] = text
	return nil
}

// otherStubs declares every kernel for architectures without assembly, where
// For never hands out a level that would reach them.
func otherStubs(functions []*ir.Function) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "// %s\n\n//go:build !amd64\n\npackage simd\n", config.GeneratedWarning())
	for _, f := range functions {
		fmt.Fprintf(&b, "\n%s { panic(\"simd: no assembly\") }\n", f.Stub())
	}
	return format.Source(b.Bytes())
}
