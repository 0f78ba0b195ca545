package client

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"weft/bench/load"
	"weft/daemon/api"
)

// recordedShare is a run of the load lab with three models, as a machine with
// two cores gave it; change differs by nothing, or makes some models differ.
func recordedShare(t *testing.T, rounds int, change func(arm string, round, job int) bool) *shareResult {
	t.Helper()
	l, _ := load.Find("lab")
	r := &shareResult{Benchmark: "share", Format: shareFormat, Date: moment,
		Weft:    shareVersion{"v0.1.0", "0123456789abcdef", "go1.26.8"},
		Machine: machine{CPU: "AMD EPYC", Cores: 2, MemoryBytes: 16 << 30, Kernel: "Linux 6.1", LoadAverage: []float64{0.25, 0.5, 1}},
		Device:  shareDevice{"cpu", "cpu", "AMD EPYC", 2},
		Load:    shareAbout{l.Name, l.About, 3, false}, Rounds: rounds, Baseline: armSequential}
	for i := range 3 {
		r.Jobs = append(r.Jobs, shareJob{Name: l.Spec(i).Name, Parameters: 8970, Spec: l.Spec(i).JSON()})
	}
	arms := []string{armSequential, armAuto}
	walls := map[string][]float64{armSequential: {0.42, 0.44, 0.39}, armAuto: {0.21, 0.2, 0.26}}
	var runs []shareRun
	tensors := make([]load.Tensors, 3)
	for round := range rounds {
		for place, arm := range armOrder(arms, round, 0) {
			wall := walls[arm][round]
			run := shareRun{Round: round + 1, Place: place + 1, Arm: arm, ReleasedAt: moment.Add(time.Duration(round) * time.Minute),
				Wall: wall, Client: wall + 0.003, ReadySeconds: 0.4, FirstStart: 0.004, JobSeconds: spreadOf([]float64{wall / 2}),
				DeviceSeconds: 0.38, deviceUse: unknownUse("cpu", "the run was shorter than 300ms, 3 samples of the sensors")}
			if arm == armSequential {
				used := 0.52 + float64(round)/100
				run.Utilization, run.UtilizationReason = &used, ""
			}
			for i := range 3 {
				m := modelRun{sha256: sha256.Sum256([]byte{byte(i)}), steps: 9000, samples: 287_600, metric: "val_accuracy",
					value: 0.97 + float64(i)/1000}
				if change != nil && change(arm, round, i) {
					m.sha256 = sha256.Sum256([]byte{byte(i), 1})
				}
				run.models = append(run.models, m)
				run.Steps += m.steps
				run.Samples += m.samples
				tensors[i] = load.Tensors{"0.weight": {64, 64}, "2.weight": {64, 64}, "4.weight": {10, 64}}
			}
			runs = append(runs, run)
		}
	}
	r.Floor.rates(r.Device, 200e9, "")
	r.Floor.count(r.Jobs, runs[0].models, tensors)
	r.sumUp(arms, runs)
	return r
}

// told is what a result looks like in a format.
func told(t *testing.T, r *shareResult, output string) string {
	t.Helper()
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs, global: globals{output: output}}
	if err := p.tellShared(r, shareOptions{}); err != nil {
		p.report(err)
	}
	return ran{0, out.String(), errs.String()}.String()
}

func TestShareIsTold(t *testing.T) {
	good := recordedShare(t, 3, nil)
	differ := recordedShare(t, 3, func(arm string, round, job int) bool { return arm == armAuto && round > 0 && job == 1 })
	one := recordedShare(t, 1, nil)
	one.Load.Quick = true
	one.Floor = shareFloor{}
	one.Floor.rates(shareDevice{Kind: "gpu", ID: "gpu0", Name: "Card"}, 0, "")
	one.Floor.Operations = good.Floor.Operations
	for i := range one.Arms {
		one.Arms[i].TimesFloor = nil
	}
	one.Machine.GPU = &gpuFound{"Card", 8 << 30, "580.95"}
	golden(t, "bench-share.txt", "three rounds\n"+told(t, good, outTable)+"\nwide\n"+told(t, good, outWide)+
		"\nmodels differ\n"+told(t, differ, outTable)+"\none round, quick, an unknown card\n"+told(t, one, outTable))
	golden(t, "bench-share.json.txt", told(t, differ, outJSON))
	if !good.Equal || differ.Equal || differ.Differing != 2 || len(differ.Differences) != 2 {
		t.Errorf("equal %v and %v, %d differences", good.Equal, differ.Equal, differ.Differing)
	}
}

// Energy and utilization are told by what there is: all, some or none.
func TestShareTellsSensors(t *testing.T) {
	r := withPeers(t, 3)
	if u := r.Arms[0].Utilization; u == nil || u.Median != 0.53 || r.Arms[1].Utilization != nil {
		t.Errorf("utilization %v and %v", u, r.Arms[1].Utilization)
	}
	js, err := json.Marshal(r.Arms[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{`"utilization":null`, `"energy_joules":null`} {
		if n := strings.Count(string(js), key); n != 4 { // the arm and its runs
			t.Errorf("%s is there %d times", key, n)
		}
	}
	onGPU := withPeers(t, 3)
	for i := range onGPU.Arms {
		onGPU.Arms[i].armUse = withEnergy(len(onGPU.Arms[i].Runs), func(k int) *deviceUse { return &onGPU.Arms[i].Runs[k].deviceUse }, 54)
	}
	onGPU.Peers[0].armUse = withEnergy(3, func(k int) *deviceUse { return &onGPU.Peers[0].Runs[k].deviceUse }, 1080)
	golden(t, "bench-sensors.txt", "table\n"+told(t, onGPU, outTable)+"\nwide\n"+told(t, onGPU, outWide))
}

// withEnergy gives runs what a GPU's sensors tell.
func withEnergy(runs int, of func(int) *deviceUse, joules float64) armUse {
	for i := range runs {
		used, energy := 0.9, joules+float64(i)
		*of(i) = deviceUse{Utilization: &used, EnergyJoules: &energy, EnergySource: energyCounter}
	}
	return sumUses(runs, of)
}

func TestShareRefuses(t *testing.T) {
	inDir(t, map[string]string{"a.yaml": specYAML, "there.json": "{}", "bad.yaml": "a: [\n"})
	session(t, "bench-errors", nil, "",
		line("bench"), line("bench shrae"), line("bench --load lab share"), line("bench share --load labb"),
		line("bench share --load lab a.yaml"), line("bench share --models 0"), line("bench share --repeat 2000"),
		line("bench share --epochs 2 --steps 3"), line("bench share --copies 2"), line("bench share a.yaml --models 2"),
		line("bench share --models 10001"), line("bench share a.yaml --copies 10001"),
		line("bench share --arms sequental"), line("bench share --arms auto,auto"),
		line("bench share --arms auto --baseline sequential"), line("bench share --baseline streams,auto"),
		line("bench share --device gpu0"), line("bench share --device tpu"), line("bench share --force"),
		line("bench share --save there.json"), line("bench share none.yaml"), line("bench share bad.yaml"),
		line("bench share --peers torch"), line("bench share --peers auto,jax-vmap"),
		line("bench share --peers jax-vmap,jax-vmap"), line("bench share --peer-timeout 0s"),
		line("bench share --sweep-models 1,x"), line("bench share --sweep-models 1,2,1"),
		line("bench share --sweep-models 1,2 --models 3"), line("bench share a.yaml --sweep-models 1,2"),
		line("bench share --report there.json"),
		line("bench share -o jsonl"), line("help bench pols"), line("help bench shar"))
}

func TestBenchCompletion(t *testing.T) {
	session(t, "bench-completion", nil, "", line("__complete be"), append(line("__complete bench"), ""),
		line("__complete bench share --load"), append(line("__complete bench share --load"), ""),
		line("__complete bench share --arms s"), line("__complete bench share --device g"),
		line("__complete bench share --peers t"), line("__complete bench h"), append(line("__complete bench plot --load"), ""),
		line("__complete bench share --or"), line("__complete help be"))
}

// composed are the models that flags make.
func composed(t *testing.T, o shareOptions) []api.Submission {
	t.Helper()
	o.defaults()
	p := &program{app: App{Now: time.Now}}
	models, err := p.compose(o)
	if err != nil {
		t.Fatal(err)
	}
	return models.submissions()
}

func TestComposeLoad(t *testing.T) {
	l, _ := load.Find("lab")
	for name, c := range map[string]struct {
		o             shareOptions
		models        int
		epochs, steps int64
	}{
		"default": {shareOptions{}, 10, 200, 0},
		"fewer":   {shareOptions{load: "lab", models: 3}, 3, 200, 0},
		"more":    {shareOptions{load: "lab", models: 25}, 25, 200, 0},
		"epochs":  {shareOptions{load: "lab", epochs: 7, quick: true}, 10, 7, 0},
		"steps":   {shareOptions{load: "lab", steps: 50}, 10, 0, 50},
		"quick":   {shareOptions{load: "tiny", quick: true}, 16, 1, 0},
		"asked":   {shareOptions{load: "tiny", quick: true, models: 20}, 20, 1, 0},
	} {
		subs := composed(t, c.o)
		if len(subs) != c.models {
			t.Errorf("%s: %d models", name, len(subs))
		}
		for i, sub := range subs {
			var s load.Spec
			if err := json.Unmarshal(sub.Spec, &s); err != nil {
				t.Fatal(err)
			}
			if int64(s.Epochs) != c.epochs || s.Steps != c.steps || s.Seed != i || s.Name != sub.Name {
				t.Errorf("%s: model %d is %s", name, i, sub.Spec)
			}
		}
	}
	// A model does not depend on how many there are.
	if few, all := composed(t, shareOptions{models: 3}), composed(t, shareOptions{}); !cmp.Equal(few, all[:3]) ||
		!bytes.Equal(all[9].Spec, l.Spec(9).JSON()) {
		t.Error("--models changes models")
	}
}

func TestComposeFiles(t *testing.T) {
	inDir(t, map[string]string{"a.yaml": "name: a\nseed: 5\ndevice: gpu\nepochs: 25\n", "b.yaml": "steps: 90\n"})
	for name, c := range map[string]struct {
		o    shareOptions
		want []string
	}{
		"as they are": {shareOptions{}, []string{
			`a {"name":"a","seed":5,"epochs":25}`, `b {"steps":90}`}},
		"copies": {shareOptions{copies: 2}, []string{
			`a-0 {"name":"a","seed":5,"epochs":25}`, `a-1 {"name":"a","seed":6,"epochs":25}`,
			`b-0 {"steps":90,"seed":0}`, `b-1 {"steps":90,"seed":1}`}},
		"quick": {shareOptions{quick: true}, []string{`a {"name":"a","seed":5,"epochs":3}`, `b {"steps":9}`}},
		"steps": {shareOptions{quick: true, steps: 7}, []string{`a {"name":"a","seed":5,"steps":7}`, `b {"steps":7}`}},
	} {
		c.o.files = []string{"a.yaml", "b.yaml"}
		var got []string
		for _, sub := range composed(t, c.o) {
			got = append(got, sub.Name+" "+string(sub.Spec))
		}
		if !cmp.Equal(got, c.want) {
			t.Errorf("%s: %s", name, cmp.Diff(got, c.want))
		}
	}
	if subs := composed(t, shareOptions{files: []string{"a.yaml"}, copies: 40, quick: true}); len(subs) != quickModels {
		t.Errorf("--quick leaves %d models", len(subs))
	}
}

// What warms a daemon up is short, and has every set of data in it.
func TestWarmUp(t *testing.T) {
	l := &shareLoad{}
	for i := range 20 {
		source := "digits"
		if i == 12 {
			source = "iris"
		}
		spec := fmt.Appendf(nil, `{"data":{"source":%q},"epochs":5,"early_stopping":{},"seed":%d}`, source, i)
		l.drafts = append(l.drafts, draft{Submission: api.Submission{Kind: api.KindTrain, Name: "x", Spec: spec}})
	}
	subs := l.warmUp()
	if len(subs) != warmModels+1 {
		t.Fatalf("%d models warm up", len(subs))
	}
	want := `{"data":{"source":"iris"},"name":"warm-up","seed":12,"steps":20}`
	if got := string(subs[warmModels].Spec); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestFloorKnowsDevices(t *testing.T) {
	for name, want := range map[string]float64{"NVIDIA H200": 67e12, "NVIDIA H200 NVL": 60e12, "NVIDIA A100-SXM4-80GB": 19.5e12,
		"NVIDIA H100 80GB HBM3": 67e12, "NVIDIA H100 PCIe": 51e12, "NVIDIA L4": 30.3e12, "NVIDIA L40": 0,
		"NVIDIA RTX A1000": 0, "NVIDIA GH200 480GB": 0, "": 0} {
		var f shareFloor
		f.rates(shareDevice{Kind: "gpu", ID: "gpu0", Name: name}, 0, "")
		if got := f.OperationsRate; (got == nil) != (want == 0) || (got != nil && *got != want) {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
		if (f.Reason == "") != (want != 0) {
			t.Errorf("%q: reason %q", name, f.Reason)
		}
	}
}

func TestHeadCapture(t *testing.T) {
	head := `{"__metadata__":{"format":"pt"},"0.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}`
	file := append([]byte{byte(len(head)), 0, 0, 0, 0, 0, 0, 0}, head...)
	file = append(file, make([]byte, 24)...)
	var whole, parts headCapture
	whole.Write(file)
	for i := range file {
		parts.Write(file[i : i+1])
	}
	want := load.Tensors{"0.weight": {2, 3}}
	if got := whole.tensors(); !cmp.Equal(got, want) || !cmp.Equal(parts.tensors(), want) {
		t.Errorf("got %v and %v", got, parts.tensors())
	}
	for _, bad := range [][]byte{nil, {1, 2}, {255, 255, 255, 255, 255, 255, 255, 255, '{'}, {1, 0, 0, 0, 0, 0, 0, 0, 'x'}} {
		h := headCapture{bad}
		if got := h.tensors(); got != nil {
			t.Errorf("%v: %v", bad, got)
		}
	}
}

func TestMachineIsRead(t *testing.T) {
	info := "processor\t: 0\nmodel name\t: AMD EPYC 9B14: x\nprocessor\t: 1\nmodel name\t: other\n"
	if got := field(strings.NewReader(info), "model name"); got != "AMD EPYC 9B14: x" {
		t.Errorf("model name %q", got)
	}
	if got := field(strings.NewReader(info), "flags"); got != "" {
		t.Errorf("flags %q", got)
	}
	for in, want := range map[string]int64{"16384 kB": 16 << 20, "": 0, "x kB": 0, "-3 kB": 0} {
		if got := kibibytes(in); got != want {
			t.Errorf("kibibytes(%q) = %d", in, got)
		}
	}
	if m := thisMachine(); m.Cores < 1 || m.MemoryBytes < 1<<20 {
		t.Errorf("this machine is %+v", m)
	}
}

func TestQuantile(t *testing.T) {
	got := spreadOf([]float64{4, 1, 3, 2})
	if want := (spread{Median: 2.5, Min: 1, Max: 4, Q1: 1.75, Q3: 3.25}); got != want {
		t.Errorf("got %+v, want %+v", got, want) // numpy.percentile([1, 2, 3, 4], [25, 50, 75])
	}
	if got := spreadOf([]float64{7}); got != (spread{7, 7, 7, 7, 7}) {
		t.Errorf("of one: %+v", got)
	}
}

func drawTimes(t *rapid.T, name string, n int) []float64 {
	return rapid.SliceOfN(rapid.Float64Range(1e-6, 1e4), n, n).Draw(t, name)
}

func TestSpreadProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := drawTimes(t, "values", rapid.IntRange(1, 20).Draw(t, "n"))
		before := slices.Clone(values)
		s := spreadOf(values)
		if !slices.Equal(values, before) {
			t.Fatal("spreadOf changes its argument")
		}
		if !(s.Min <= s.Q1 && s.Q1 <= s.Median && s.Median <= s.Q3 && s.Q3 <= s.Max) {
			t.Fatalf("out of order: %+v", s)
		}
		if s.Min != slices.Min(values) || s.Max != slices.Max(values) {
			t.Fatalf("ends: %+v", s)
		}
		below := 0
		for _, v := range values {
			if v <= s.Median {
				below++
			}
		}
		if 2*below < len(values) {
			t.Fatalf("%d of %d values are at most the median", below, len(values))
		}
		if other := spreadOf(rapid.Permutation(values).Draw(t, "permuted")); other != s {
			t.Fatalf("order matters: %+v, %+v", s, other)
		}
	})
}

// A round that is slow as a whole changes no ratio, and an arm against itself
// is 1.
func TestSpeedupProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 10).Draw(t, "rounds")
		base, arm := drawTimes(t, "baseline", n), drawTimes(t, "arm", n)
		factors := rapid.SliceOfN(rapid.Float64Range(0.5, 20), n, n).Draw(t, "slowness")
		ratios := speedups(base, arm)
		for i := range n {
			base[i] *= factors[i]
			arm[i] *= factors[i]
		}
		for i, r := range speedups(base, arm) {
			if math.Abs(r-ratios[i]) > 1e-9*ratios[i] {
				t.Fatalf("round %d: %g, not %g", i, r, ratios[i])
			}
		}
		if spreadOf(speedups(arm, arm)) != (spread{1, 1, 1, 1, 1}) {
			t.Fatal("an arm against itself is not 1")
		}
	})
}

// Every round has every arm once; over as many rounds as there are arms, every
// arm has every place once; a seed gives one order.
func TestArmOrderProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		arms := shareArms[:rapid.IntRange(1, len(shareArms)).Draw(t, "arms")]
		seed := rapid.Uint64().Draw(t, "seed")
		first := rapid.IntRange(0, 100).Draw(t, "round")
		places := map[string][]int{}
		for round := first; round < first+len(arms); round++ {
			order := armOrder(arms, round, seed)
			if !slices.Equal(order, armOrder(arms, round, seed)) {
				t.Fatal("an order is drawn twice")
			}
			for place, arm := range order {
				places[arm] = append(places[arm], place)
			}
		}
		for _, arm := range arms {
			slices.Sort(places[arm])
			for want, got := range places[arm] {
				if got != want || len(places[arm]) != len(arms) {
					t.Fatalf("%s has places %v", arm, places[arm])
				}
			}
		}
	})
	if !slices.Equal(shareArms, []string{armSequential, armStreams, armFused, armAuto}) {
		t.Error("drawing an order changes the arms")
	}
}

// samplesOf counts as walking the batches does.
func TestSamplesOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, batch := rapid.IntRange(1, 50).Draw(t, "rows"), rapid.IntRange(1, 60).Draw(t, "batch")
		drop, steps := rapid.Bool().Draw(t, "drop"), rapid.Int64Range(0, 100).Draw(t, "steps")
		want := int64(0)
		if !drop || rows >= batch {
			for at, step := 0, int64(0); step < steps; step++ {
				if at >= rows || (drop && at+batch > rows) {
					at = 0
				}
				want += int64(min(batch, rows-at))
				at += batch
			}
		}
		if got := samplesOf(steps, rows, batch, drop); got != want {
			t.Fatalf("%d samples, want %d", got, want)
		}
	})
	if samplesOf(3, 0, 1, false) != 0 || samplesOf(3, 1, 0, false) != 0 {
		t.Error("no rows or no batch have samples")
	}
}

func TestThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{0.01234: "0.012", 0.5: "0.500", 1.2345: "1.23", 9.999: "10.0", 12.34: "12.3",
		99.99: "100", 1234.5: "1,235"} {
		if got := threeDigits(v); got != want {
			t.Errorf("threeDigits(%g) = %s, want %s", v, got, want)
		}
	}
}

func TestCommitIn(t *testing.T) {
	for version, want := range map[string]string{"42e184c": "42e184c", "42e184c-dirty": "42e184c-dirty", "v0.1-3-g0123abcd": "0123abcd",
		"v0.1-3-g0123abcd-dirty": "0123abcd-dirty", "v0.1.0": "", "(devel)": "", "": "", "dev": "", "v1.0-g12": ""} {
		if got := commitIn(version); got != want {
			t.Errorf("%q: %q, want %q", version, got, want)
		}
	}
}
