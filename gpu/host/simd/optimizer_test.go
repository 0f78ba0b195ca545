package simd

import (
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
)

// updates are the cases of testdata/optimizers.py. a, b and c hold the
// optimizer's state.
var updates = map[string]func(k Kernels, step int64, p, g, a, b, c []float32){
	"sgd": func(k Kernels, _ int64, p, g, _, _, _ []float32) {
		k.SGD(NewSGD(0.1, 0, 0, 0, false, false), p, g, nil)
	},
	"sgd-decay": func(k Kernels, _ int64, p, g, _, _, _ []float32) {
		k.SGD(NewSGD(0.1, 0, 0, 0.01, false, false), p, g, nil)
	},
	"sgd-momentum": func(k Kernels, step int64, p, g, a, _, _ []float32) {
		k.SGD(NewSGD(0.1, 0.9, 0.1, 0.01, false, step == 1), p, g, a)
	},
	"sgd-nesterov": func(k Kernels, step int64, p, g, a, _, _ []float32) {
		k.SGD(NewSGD(0.1, 0.9, 0, 0.01, true, step == 1), p, g, a)
	},
	"adam": func(k Kernels, step int64, p, g, a, b, _ []float32) {
		k.Adam(NewAdam(1e-3, 0.9, 0.999, 1e-8, 0, step), p, g, a, b)
	},
	"adam-decay": func(k Kernels, step int64, p, g, a, b, _ []float32) {
		k.Adam(NewAdam(1e-2, 0.8, 0.99, 1e-6, 0.01, step), p, g, a, b)
	},
	"adam-small-beta1": func(k Kernels, step int64, p, g, a, b, _ []float32) {
		k.Adam(NewAdam(1e-2, 0.3, 0.99, 1e-8, 0, step), p, g, a, b)
	},
	"adamw": func(k Kernels, step int64, p, g, a, b, _ []float32) {
		k.Adam(NewAdamW(1e-2, 0.9, 0.999, 1e-8, 0.1, step), p, g, a, b)
	},
	"rmsprop": func(k Kernels, _ int64, p, g, a, _, _ []float32) {
		k.RMSprop(NewRMSprop(1e-2, 0.99, 1e-8, 0, 0.01, false), p, g, a, nil, nil)
	},
	"rmsprop-momentum": func(k Kernels, _ int64, p, g, a, b, _ []float32) {
		k.RMSprop(NewRMSprop(1e-2, 0.99, 1e-8, 0.9, 0, false), p, g, a, b, nil)
	},
	"rmsprop-centered": func(k Kernels, _ int64, p, g, a, _, c []float32) {
		k.RMSprop(NewRMSprop(1e-2, 0.99, 1e-8, 0, 0, true), p, g, a, nil, c)
	},
	"rmsprop-centered-momentum": func(k Kernels, _ int64, p, g, a, b, c []float32) {
		k.RMSprop(NewRMSprop(1e-2, 0.4, 1e-8, 0.5, 0, true), p, g, a, b, c)
	},
}

// TestOptimizersFollowTorch compares three updates with torch's, bit for bit.
func TestOptimizersFollowTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/optimizers.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != len(updates) {
		t.Fatalf("file has %d cases, want %d", len(lines), len(updates))
	}
	for _, line := range lines {
		fields := strings.Fields(line)
		update, ok := updates[fields[0]]
		if !ok {
			t.Fatalf("no update is called %q", fields[0])
		}
		want := make([]float32, len(fields)-1)
		for i, f := range fields[1:] {
			bits, err := strconv.ParseUint(f, 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			want[i] = math.Float32frombits(uint32(bits))
		}
		for _, level := range Levels() {
			n := len(want)
			p, a, b, c := ramp(n), make([]float32, n), make([]float32, n), make([]float32, n)
			for step := 1; step <= 3; step++ {
				g := ramp(n + 100*step)[100*step:]
				For(level).Scale(g, 0.37)
				update(For(level), int64(step), p, g, a, b, c)
			}
			if d := firstDifference(p, want); d != "" {
				t.Errorf("%s at %v: %s", fields[0], level, d)
			}
		}
	}
}

// TestGradScale: a scale factor does what scaling the gradient first does.
func TestGradScale(t *testing.T) {
	const scale = 0.3
	g := ramp(50)
	scaled := ramp(50)
	For(Portable).Scale(scaled, scale)
	adam, sgd := NewAdam(0.1, 0.9, 0.999, 1e-8, 0.1, 1), NewSGD(0.1, 0.9, 0, 0.1, true, true)
	rmsprop := NewRMSprop(0.1, 0.99, 1e-8, 0.9, 0.1, true)
	run := func(k Kernels, g []float32) []float32 {
		p, s := ramp(50), make([]float32, 7*50)
		v := func(i int) []float32 { return s[50*i:][:50] }
		k.Adam(adam, p, g, v(0), v(1))
		k.SGD(sgd, p, g, v(2))
		k.RMSprop(rmsprop, p, g, v(3), v(4), v(5))
		return p
	}
	for _, level := range Levels() {
		adam.GradScale, sgd.GradScale, rmsprop.GradScale = 1, 1, 1
		want := run(For(level), scaled)
		adam.GradScale, sgd.GradScale, rmsprop.GradScale = scale, scale, scale
		if d := firstDifference(run(For(level), g), want); d != "" {
			t.Errorf("%v: %s", level, d)
		}
	}
}
