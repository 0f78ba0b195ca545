//go:build cuda

package cuda

import (
	"flag"
	"os"
	"os/exec"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/kernels.ptx again")

// The PTX that is checked in is what clang makes of the kernels.
func TestPTXIsCurrent(t *testing.T) {
	const compiler = "clang++-19"
	if _, err := exec.LookPath(compiler); err != nil {
		t.Skipf("PTX is compiled with clang: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), compiler, "-x", "cuda", "--cuda-device-only", "--cuda-gpu-arch=sm_80",
		"-nocudainc", "-nocudalib", "-nostdinc", "-O3", "-S", "testdata/kernels.cu", "-o", "-")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	const path = "testdata/kernels.ptx"
	if *update {
		check0(t, os.WriteFile(path, out, 0o600))
	}
	is := string(must(os.ReadFile(path))(t))
	if is != string(out) {
		t.Errorf("%s is not what %s makes of kernels.cu: go test -tags cuda ./gpu/cuda -run PTX -update", path, compiler)
	}
}
