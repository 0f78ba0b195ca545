package kernels_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"os/exec"
	"path/filepath"
	"testing"

	"weft/gpu/host/simd"
)

// TestMathGivesTheHostsBits runs the kernels' activations over the range of
// float32 and compares them bit for bit with the host's portable ones.
func TestMathGivesTheHostsBits(t *testing.T) {
	gxx, err := exec.LookPath("g++")
	if err != nil {
		t.Skip("no g++ here; CI has one")
	}
	binaryPath := filepath.Join(t.TempDir(), "math_bits")
	build := exec.CommandContext(t.Context(), gxx, "-std=c++20", "-O2", "-march=x86-64-v3", "-ffp-contract=off", "-Wno-unknown-pragmas", "test/math_bits.cpp", "-o", binaryPath, "-lpthread")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("compile test/math_bits.cpp: %v\n%s", err, out)
	}
	type function func(k simd.Kernels, dst, src []float32)
	grad := func(f func(k simd.Kernels, dx, dy, v []float32)) function {
		return func(k simd.Kernels, dst, src []float32) {
			dy := make([]float32, len(src))
			for i := range dy {
				dy[i] = 1.7
			}
			f(k, dst, dy, src)
		}
	}
	src := sweep()
	var raw bytes.Buffer
	if err := binary.Write(&raw, binary.LittleEndian, src); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]function{
		"Exp":       simd.Kernels.Exp,
		"ReLU":      simd.Kernels.ReLU,
		"LeakyReLU": func(k simd.Kernels, dst, src []float32) { k.LeakyReLU(dst, src, 0.1) },
		"Tanh":      simd.Kernels.Tanh,
		"Sigmoid":   simd.Kernels.Sigmoid,
		"GELU":      simd.Kernels.GELU,
		"ReLUGrad":  grad(simd.Kernels.ReLUGrad),
		"LeakyReLUGrad": grad(func(k simd.Kernels, dx, dy, x []float32) {
			k.LeakyReLUGrad(dx, dy, x, 0.1)
		}),
		"TanhGrad":    grad(simd.Kernels.TanhGrad),
		"SigmoidGrad": grad(simd.Kernels.SigmoidGrad),
		"GELUGrad":    grad(simd.Kernels.GELUGrad),
	} {
		t.Run(name, func(t *testing.T) {
			want, got := make([]float32, len(src)), make([]float32, len(src))
			f(simd.For(simd.Portable), want, src)
			run := exec.CommandContext(t.Context(), binaryPath, name)
			run.Stdin = bytes.NewReader(raw.Bytes())
			out, err := run.Output()
			if err != nil {
				t.Fatalf("run: %v", err)
			}
			if err := binary.Read(bytes.NewReader(out), binary.LittleEndian, got); err != nil {
				t.Fatalf("read %d bytes: %v", len(out), err)
			}
			for i := range want {
				bothNaN := want[i] != want[i] && got[i] != got[i]
				if math.Float32bits(want[i]) != math.Float32bits(got[i]) && !bothNaN {
					t.Fatalf("%s(%v) is %v, on the host %v", name, src[i], got[i], want[i])
				}
			}
		})
	}
}

// sweep returns arguments over the whole range of float32, densely where the
// functions change, and what is no number.
func sweep() []float32 {
	x := []float32{0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())}
	add := func(from, to float32, step uint32) {
		for bits := math.Float32bits(from); bits < math.Float32bits(to); bits += step {
			v := math.Float32frombits(bits)
			x = append(x, v, -v)
		}
	}
	add(0, math.MaxFloat32, 39989)
	add(0.01, 110, 997)
	for _, edge := range []float32{0.625, 1, 4, 10, 15, 87.33655, 88.722839, 89, 103.97208, 104} {
		add(math.Nextafter32(edge, 0)*0.99999, edge*1.00001, 1)
	}
	return x
}
