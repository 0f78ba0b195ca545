package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// kernels is the directory of package simd.
const kernels = "../.."

// TestGeneratedFilesAreCurrent holds the checked-in files to this generator.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	if testing.Short() {
		t.Skip("generating takes some seconds")
	}
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(kernels, name))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the generator writes; try: go generate ./gpu/host/simd", name)
		}
	}
	assembly, err := filepath.Glob(filepath.Join(kernels, "*.s"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range assembly {
		if _, ok := files[filepath.Base(path)]; !ok {
			t.Errorf("%s is not written by the generator any more", path)
		}
	}
}

// TestAVX2UsesNoNewerRegisters: avo knows 32 vector registers, AVX2 has 16, and
// the assembler would encode the others as AVX-512 without a word.
func TestAVX2UsesNoNewerRegisters(t *testing.T) {
	newer := regexp.MustCompile(`\b([XY](1[6-9]|[23]\d)|Z\d+|K[0-7])\b`)
	paths, err := filepath.Glob(filepath.Join(kernels, "*_avx2_amd64.s"))
	if err != nil || len(paths) != len(groups) {
		t.Fatalf("found %d files, want %d: %v", len(paths), len(groups), err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if newer.MatchString(line) {
				t.Errorf("%s:%d: %s", path, i+1, line)
			}
		}
	}
}

func TestRunNeedsADirectory(t *testing.T) {
	if err := run(nil); err == nil || err.Error() != "usage: gen DIRECTORY" {
		t.Errorf("run() is %v, want usage", err)
	}
}
