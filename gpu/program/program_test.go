package program

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"weft/gpu/train"
	"weft/gpu/train/dataset"
	"weft/kernels"
)

var update = flag.Bool("update", false, "write the golden files again")

func TestGolden(t *testing.T) {
	for _, name := range examples {
		j := example(t, name)
		got := j.compile(t).String()
		path := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: the program is not that of %s (look, then go test ./gpu/program -update); now:\n%s", name, path, got)
		}
	}
}

func TestExamplesAreSound(t *testing.T) {
	for _, name := range examples {
		j := example(t, name)
		t.Run(name, func(t *testing.T) { checkProgram(t, j, j.compile(t)) })
	}
}

// broken counts what a checker finds; a fatal fault ends it.
type broken struct {
	*testing.T
	faults int
}

func (b *broken) Error(...any)          { b.faults++ }
func (b *broken) Errorf(string, ...any) { b.faults++ }
func (b *broken) Fatal(...any)          { b.faults++; panic(b) }
func (b *broken) Fatalf(string, ...any) { b.faults++; panic(b) }

// faults returns how many faults the checker finds in a program.
func faults(t *testing.T, j job, p *Program) (n int) {
	b := &broken{T: t}
	defer func() {
		if r := recover(); r != nil && r != b {
			panic(r)
		}
		n = b.faults
	}()
	checkProgram(b, j, p)
	return
}

// TestNoPhaseIsSpare: no two phases that follow each other could be one, and
// the checker sees it. (That no operation could join an earlier one, where it
// does not lengthen the chain, is not asked.)
func TestNoPhaseIsSpare(t *testing.T) {
	for _, name := range examples {
		j := example(t, name)
		p := j.compile(t)
		for _, doing := range []kernels.Doing{kernels.DoingTrain, kernels.DoingValidate} {
			s := p.sections[doing]
			for i := s.First; i+1 < s.First+s.Count; i++ {
				if testing.Short() && i%4 != 0 {
					continue
				}
				q := *p
				q.phases = slices.Clone(p.phases)
				q.phases[i].Count += q.phases[i+1].Count
				q.phases[i+1].Count = 0
				if faults(t, j, &q) == 0 {
					t.Errorf("%s: phases %d and %d of %s could be one", name, i-s.First, i+1-s.First, doing)
				}
			}
		}
	}
}

// TestCheckerSeesWrongPointers: an operation that reads or writes another
// piece is found, unless that one is at hand and long enough, which only a
// comparison of numbers can find.
func TestCheckerSeesWrongPointers(t *testing.T) {
	j := example(t, "everything")
	p := j.compile(t)
	pairs, tried, seen := 0, 0, 0
	for i := range p.ops {
		for k := range forms[p.ops[i].Kind].pointers {
			for r := dataX; int(r) < len(p.pieces); r++ {
				own, _ := split(p.ops[i].Args[k])
				if pairs++; own == r || own == null || r == dataTargets || pairs%7 != 0 {
					continue
				}
				q := *p
				q.ops = slices.Clone(p.ops)
				q.ops[i].Args[k] = r.ptr(0)
				tried++
				if faults(t, j, &q) > 0 {
					seen++
				}
			}
		}
	}
	if share := float64(seen) / float64(tried); share < 0.75 || tried < 500 {
		t.Errorf("of %d wrong pointers %d were seen", tried, seen)
	}
}

func TestMemory(t *testing.T) {
	for _, name := range examples {
		j := example(t, name)
		bytes, err := Memory(j.spec, j.model, &j.set.Info)
		if p := j.compile(t); err != nil || bytes != p.Bytes || bytes%alignment != 0 {
			t.Errorf("%s: Memory says %d (%v), the program takes %d", name, bytes, err, p.Bytes)
		}
	}
}

// TestRefusals asserts what is said to people word for word.
func TestRefusals(t *testing.T) {
	const small = `"data": {"source": "teacher"}, "model": [{"linear": 3}]`
	info := func(rows int) *dataset.Info {
		return &dataset.Info{Rows: rows, TrainRows: rows, Shape: []int{1000}, Task: "regression", TargetWidth: 3, MaxLabel: -1}
	}
	for _, c := range []struct {
		spec string
		info *dataset.Info
		want string
		hint string
	}{
		{`{` + small + `, "loss": "mse", "epochs": 1, "precision": "bf16"}`, info(9),
			"precision bf16 is not built yet", "set precision: float32"},
		{`{"data": {"source": "teacher"}, "model": [{"linear": 100000}, "tanh", {"linear": 3}], "loss": "mse", "epochs": 1, "batch_size": 30000}`,
			info(40000), "layer 0 (linear) has 3000000000 numbers for a batch of 30000 rows, the GPU's kernels count 2147483647",
			"lower batch_size, or set device: cpu"},
		{`{` + small + `, "loss": "mse", "epochs": 1}`, info(1 << 31),
			"the data has 2147483648 rows, the GPU's kernels count 2147483647", "use fewer rows, or set device: cpu"},
	} {
		s, err := train.Parse([]byte(c.spec))
		if err != nil {
			t.Fatal(err)
		}
		m, err := train.Compose(s, c.info)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Compile(s, m, c.info)
		want := &train.Fault{Code: "invalid", Message: c.want, Hint: c.hint}
		if d := cmp.Diff(error(want), err); d != "" {
			t.Errorf("Compile (-want +got):\n%s", d)
		}
		if _, err := Memory(s, m, c.info); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Memory: %v", err)
		}
	}
	j := example(t, "everything")
	j.spec.EarlyStopping.Metric = "val_rmse"
	_, err := Compile(j.spec, j.model, &j.set.Info)
	want := &train.Fault{Code: "invalid",
		Message: "early stopping watches val_rmse, which a job with loss cross_entropy does not measure",
		Hint:    "set early_stopping.metric: val_loss, or train_loss without validation rows"}
	if d := cmp.Diff(error(want), err); d != "" {
		t.Errorf("Compile (-want +got):\n%s", d)
	}
}

func TestWrongStates(t *testing.T) {
	j := example(t, "everything")
	p := j.compile(t)
	fresh := func() *train.State {
		s, err := p.Initial()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	dst := make([]byte, p.StateBytes)
	for want, spoil := range map[string]func(s *train.State){
		"restore state: it has 3 parameters, the job has ":                                     func(s *train.State) { s.Params = s.Params[:3] },
		"restore state: it has 0 buffers, the job has 8":                                       func(s *train.State) { s.Buffers = nil },
		"restore state: it has 1 optimizer slots, the job has 2":                               func(s *train.State) { s.Slots = s.Slots[:1] },
		"restore state: optimizer slot 1 has 0 numbers, not ":                                  func(s *train.State) { s.Slots[1] = nil },
		"restore state: it has 1 numbers of the best epoch, the job has ":                      func(s *train.State) { s.Best = []float32{1} },
		"restore state: step 99, 0 of its epoch, is no place in a job of 24 steps, 6 an epoch": func(s *train.State) { s.Step = 99 },
		"restore state: step 24, 0 of its epoch, is no place in a job of 24 steps, 6 an epoch": func(s *train.State) { s.Step = 24 },
		`restore state: nothing is known of a metric "val_f1"`:                                 func(s *train.State) { s.Metrics = map[string]float64{"val_f1": 1} },
	} {
		s := fresh()
		spoil(s)
		if err := p.PutState(dst, s); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("PutState: %v, want %s", err, want)
		}
	}
	if err := p.PutState(dst[1:], fresh()); err == nil {
		t.Error("PutState wrote into too little room")
	}
	if err := p.PutState(dst, fresh()); err != nil {
		t.Fatal(err)
	}
	job := (*kernels.Job)(unsafe.Pointer(unsafe.SliceData(dst)))
	job.Cursor = kernels.Cursor{Doing: kernels.DoingKeep}
	if _, err := p.State(dst); err == nil || err.Error() != "read state: the job is in phase 0 of keep, where no quantum ends" {
		t.Errorf("State: %v", err)
	}
	if _, err := p.State(dst[1:]); err == nil {
		t.Error("State read too few bytes")
	}
}

func TestWrongData(t *testing.T) {
	for want, spoil := range map[string]func(s *dataset.Set){
		"check data: label 3 in row 5, the model has 3 outputs":                           func(s *dataset.Set) { s.Labels[5] = 3 },
		"check data: label -1 in row 0, the model has 3 outputs":                          func(s *dataset.Set) { s.Labels[0] = -1 },
		"check data: 69 labels for 70 rows":                                               func(s *dataset.Set) { s.Labels = s.Labels[1:] },
		"check data: 2519 numbers are not 70 rows of 36":                                  func(s *dataset.Set) { s.X = s.X[1:] },
		"check data: parts of 42, 19 and 10 rows, the job was compiled for 41, 19 and 10": func(s *dataset.Set) { s.TrainRows++ },
	} {
		j := example(t, "everything")
		p := func() *Program { info := j.set.Info; return job{j.spec, j.model, &dataset.Set{Info: info}}.compile(t) }()
		if err := p.Check(j.set); err != nil {
			t.Fatal(err)
		}
		spoil(j.set)
		if err := p.Check(j.set); err == nil || err.Error() != want {
			t.Errorf("Check: %v, want %s", err, want)
		}
	}
	j := example(t, "tiny")
	p := j.compile(t)
	j.set.Targets = j.set.Targets[1:]
	if err := p.Check(j.set); err == nil || err.Error() != "check data: 639 targets are not 640 rows of 1" {
		t.Errorf("Check: %v", err)
	}
}

func TestEncodeRefuses(t *testing.T) {
	j := example(t, "tiny")
	p := j.compile(t)
	dst := make([]byte, p.InitBytes)
	for want, c := range map[string]struct {
		dst  []byte
		base kernels.Ptr
		data DataPtrs
	}{
		"encode program: the job needs data.targets, which the data does not have":              {dst, blockAt, DataPtrs{X: xAt, Spreads: SpreadsOf(j.set)}},
		"encode program: 0 spreads of the validation targets, the model has 1 outputs":          {dst, blockAt, DataPtrs{X: xAt, Targets: targetsAt}},
		"encode program: memory at 0x100000000010 is not aligned to 256 bytes":                  {dst, blockAt + 16, j.dataPtrs()},
		fmt.Sprintf("encode program: room for %d bytes, it has %d", p.InitBytes-1, p.InitBytes): {dst[1:], blockAt, j.dataPtrs()},
	} {
		if err := p.Encode(c.dst, c.base, c.data, statusAt); err == nil || err.Error() != want {
			t.Errorf("Encode: %v, want %s", err, want)
		}
	}
}

// TestConvSplitsAreTheKernels compares convSplits and sumChunk with what the
// kernels' sources say.
func TestConvSplitsAreTheKernels(t *testing.T) {
	gxx, err := exec.LookPath("g++")
	if err != nil {
		t.Skip("no g++ here; CI has one")
	}
	var source strings.Builder
	source.WriteString("#include \"test/harness.hpp\"\n#include \"conv.cuh\"\n#include \"optimize.cuh\"\nint main() {\n")
	fmt.Fprintf(&source, "if (SUM_CHUNK != %d) printf(\"SUM_CHUNK is %%d\\n\", SUM_CHUNK);\n", sumChunk)
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		up := func(n int) int32 { return 1 + int32(math.Pow(float64(n), random.Float64())) }
		w := kernels.Window{C: up(300), OH: up(200), OW: up(200), KH: up(11), KW: up(11)}
		out, rows := int64(up(600)), int64(up(4000))
		fmt.Fprintf(&source, "if (conv2d_splits(Window{%d, 1, 1, %d, %d, %d, %d, 1, 1, 0, 0}, %d, %d) != %d) puts(\"%d, %d, %v\");\n",
			w.C, w.OH, w.OW, w.KH, w.KW, out, rows, convSplits(&w, out, rows), out, rows, w)
	}
	source.WriteString("}\n")
	dir := t.TempDir()
	file, binary := filepath.Join(dir, "splits.cpp"), filepath.Join(dir, "splits")
	if err := os.WriteFile(file, []byte(source.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), gxx, "-std=c++20", "-I../../kernels", file, "-o", binary).CombinedOutput(); err != nil {
		t.Fatalf("compile: %v\n%s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), binary).Output(); err != nil || len(out) > 0 {
		t.Errorf("the kernels disagree (%v):\n%s", err, out)
	}
}
