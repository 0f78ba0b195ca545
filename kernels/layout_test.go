package kernels

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// mirrored are the structs of job.cuh and their Go types.
var mirrored = []any{
	Op{}, Phase{}, Section{}, Linear{}, LinearGradInput{}, LinearGradWeight{}, Window{}, Conv2D{},
	Conv2DGradInput{}, Conv2DGradWeight{}, Conv2DGradWeightSum{}, MaxPool{}, MaxPoolGrad{}, AvgPool{},
	AvgPoolGrad{}, Activate{}, ActivateGrad{}, Dropout{}, LayerNorm{}, LayerNormGradInput{},
	LayerNormGradWeight{}, BatchNorm{}, BatchNormGrad{}, Loss{}, LossSum{}, SumSquares{}, ClipScale{},
	Optimize{}, ShuffleRows{}, GatherRows{}, Copy{}, Hyper{}, OptimizerSpec{}, ScheduleSpec{}, State{},
	Part{}, Cursor{}, Batch{}, Evaluation{}, Report{}, Status{}, Job{}, Slot{}, Gang{},
}

// TestLayout has the compiler of the kernels check, for every struct that host
// and kernels share, its size and where each of its fields lies.
func TestLayout(t *testing.T) {
	gxx, err := exec.LookPath("g++")
	if err != nil {
		t.Skip("no g++ here; CI has one")
	}
	header, err := os.ReadFile("job.cuh")
	if err != nil {
		t.Fatal(err)
	}
	structs := regexp.MustCompile(`(?m)^struct (\w+) `).FindAllStringSubmatch(string(header), -1)
	if len(structs) != len(mirrored) {
		t.Errorf("job.cuh has %d structs, %d are mirrored", len(structs), len(mirrored))
	}
	var source strings.Builder
	source.WriteString("#include <cstddef>\n#include <cstdio>\n#include \"job.cuh\"\nint main() {\n")
	for _, v := range mirrored {
		typ := reflect.TypeOf(v)
		source.WriteString(`printf("` + typ.Name() + ` %zu\n", sizeof(` + typ.Name() + `));` + "\n")
		for i := range typ.NumField() {
			name := snake(typ.Field(i).Name)
			source.WriteString(`printf("` + typ.Name() + `.` + name + ` %zu\n", offsetof(` + typ.Name() + `, ` + name + `));` + "\n")
		}
	}
	source.WriteString("}\n")
	dir := t.TempDir()
	file, binary := filepath.Join(dir, "layout.cpp"), filepath.Join(dir, "layout")
	if err := os.WriteFile(file, []byte(source.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), gxx, "-std=c++20", "-I.", file, "-o", binary).CombinedOutput(); err != nil {
		t.Fatalf("compile: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), binary).Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		got[name] = value
	}
	for _, v := range mirrored {
		typ := reflect.TypeOf(v)
		if want := got[typ.Name()]; want != itoa(typ.Size()) {
			t.Errorf("%s has %d bytes in Go, %s in job.cuh", typ.Name(), typ.Size(), want)
		}
		for i := range typ.NumField() {
			f := typ.Field(i)
			if want := got[typ.Name()+"."+snake(f.Name)]; want != itoa(f.Offset) {
				t.Errorf("%s.%s lies at %d in Go, at %s in job.cuh", typ.Name(), f.Name, f.Offset, want)
			}
		}
	}
}

// snake turns a Go name into job.cuh's: GradScale to grad_scale, DY to dy.
func snake(name string) string {
	special := map[string]string{
		"SqrtBC2": "sqrt_bc2", "BusyNS": "busy_ns", "BudgetNS": "budget_ns", "MinLR": "min_lr",
		"OneMinusBeta1": "one_minus_beta1", "OneMinusBeta2": "one_minus_beta2",
	}
	if s, ok := special[name]; ok {
		return s
	}
	if strings.ToUpper(name) == name {
		return strings.ToLower(name)
	}
	return strings.ToLower(regexp.MustCompile(`([a-z0-9])([A-Z])`).ReplaceAllString(name, "${1}_${2}"))
}

func itoa(n uintptr) string { return strconv.FormatUint(uint64(n), 10) }
