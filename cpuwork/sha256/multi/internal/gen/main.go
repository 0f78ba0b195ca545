// Command gen writes the assembly of package multi and the Go declarations that
// go with it.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/build"
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

// generate returns the content of every generated file by its name.
func generate() (map[string][]byte, error) {
	ctx := build.NewContext()
	ctx.ConstraintExpr("amd64")
	g := &generator{Context: ctx}
	g.emitTables()
	for lanes := 1; lanes <= maxLanes; lanes++ {
		g.emitBlocks(lanes)
	}
	g.emitWide()
	g.emitFeatures()
	f, err := g.Result()
	if err != nil {
		return nil, fmt.Errorf("emit blocks: %w", err)
	}
	if err := pass.Compile.Execute(f); err != nil {
		return nil, fmt.Errorf("compile blocks: %w", err)
	}
	config := printer.Config{Argv: []string{"go", "generate"}, Pkg: "multi"}
	assembly, err := printer.NewGoAsm(config).Print(f)
	if err != nil {
		return nil, fmt.Errorf("print assembly: %w", err)
	}
	stubs, err := printer.NewStubs(config).Print(f)
	if err != nil {
		return nil, fmt.Errorf("print stubs: %w", err)
	}
	return map[string][]byte{"blocks_amd64.s": assembly, "blocks_amd64.go": stubs}, nil
}
