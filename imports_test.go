package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// allowed says which packages of weft each part of the tree may import; a part
// is the longest prefix that matches, and may always import below itself.
// docs/design.md draws the same picture.
var allowed = map[string][]string{
	"weft":                {"weft/client", "weft/daemon", "weft/daemon/api", "weft/gpu", "weft/cpuwork/jobs", "weft/cpuwork/advise/measure", "weft/bench/pools"},
	"weft/client":         {"weft/daemon/api", "weft/bench/load", "weft/bench/peers", "weft/bench/pools", "weft/cpuwork"},
	"weft/daemon":         {"weft/gpu", "weft/gpu/nvml", "weft/gpu/train", "weft/gpu/train/dataset", "weft/cpuwork/jobs", "weft/cpuwork/advise", "weft/cpuwork/advise/measure"},
	"weft/daemon/api":     {},
	"weft/daemon/sched":   {"weft/daemon/api"},
	"weft/daemon/metrics": {"weft/daemon/api"},
	"weft/daemon/store":   {"weft/daemon/api"},
	"weft/gpu":            {"weft/kernels", "weft/cpuwork/proc"},
	"weft/gpu/host":       {"weft/gpu/train"},
	"weft/gpu/host/simd":  {},
	"weft/gpu/train":      {},
	"weft/cpuwork":        {},
	"weft/kernels":        {},
	"weft/bench":          {"weft/client", "weft/daemon/api"},
	"weft/bench/load":     {},
	"weft/bench/peers":    {"weft/gpu/train"},
	"weft/bench/pools": {"weft/cpuwork", "weft/cpuwork/sha256", "weft/cpuwork/files", "weft/cpuwork/jpeg", "weft/cpuwork/fetch",
		"weft/cpuwork/fetch/fetchtest", "weft/cpuwork/primes", "weft/cpuwork/proc"},
}

type listed struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

func TestImportRules(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Imports,Standard", "./...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list packages: %v", err)
	}
	packages := map[string]listed{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("decode go list: %v", err)
		}
		packages[p.ImportPath] = p
	}
	for path, p := range packages {
		if !ours(path) {
			continue
		}
		part := partOf(path)
		for _, imported := range p.Imports {
			if ours(imported) && !mayImport(part, imported) {
				t.Errorf("%s imports %s; %s may import %v", path, imported, part, allowed[part])
			}
			if part == "weft/daemon/api" && !packages[imported].Standard {
				t.Errorf("%s imports %s; it may import the standard library only", path, imported)
			}
		}
	}
	for part := range allowed {
		if part != "weft/kernels" && part != "weft/bench" && !anyUnder(packages, part) {
			t.Errorf("the rule for %s matches no package", part)
		}
	}
}

func ours(path string) bool { return path == "weft" || strings.HasPrefix(path, "weft/") }

func under(path, part string) bool { return path == part || strings.HasPrefix(path, part+"/") }

func partOf(path string) string {
	best := ""
	for part := range allowed {
		matches := path == part || (part != "weft" && under(path, part))
		if matches && len(part) > len(best) {
			best = part
		}
	}
	return best
}

func mayImport(part, imported string) bool {
	if part != "weft" && under(imported, part) {
		return true
	}
	for _, a := range allowed[part] {
		if imported == a || (a == "weft/gpu/train" && under(imported, a)) {
			return true
		}
	}
	return false
}

func anyUnder(packages map[string]listed, part string) bool {
	for path := range packages {
		if partOf(path) == part {
			return true
		}
	}
	return false
}
