package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	poolbench "weft/bench/pools"
	"weft/cpuwork"
)

// recordedPools is a run of some cases, as a machine with two cores gave it; change
// makes answers other ones.
func recordedPools(rounds int, change func(contestant string, round int) bool) *poolsResult {
	r := &poolsResult{Benchmark: "pools", Format: poolsFormat, Date: moment, Rounds: rounds,
		Weft:    shareVersion{"v0.1.0", "0123456789abcdef", "go1.26.8"},
		Machine: machine{CPU: "AMD EPYC", Cores: 2, MemoryBytes: 16 << 30, Kernel: "Linux 6.1", LoadAverage: []float64{0.25, 0.5, 1}}}
	walls := map[string]float64{poolbench.SHA256: 1.12, poolbench.JPEGSmall: 0.9, poolbench.FetchLimited: 4.98,
		poolbench.PrimesDoc: 0.000024, poolbench.Handoff: 0.03}
	for _, of := range poolbench.Cases {
		base, ok := walls[of.Name]
		if !ok {
			continue
		}
		c := poolsCase{Case: of.Name, Group: of.Group, About: of.About, Items: of.Items, Size: of.Size, Ideal: of.Ideal(of.Items),
			Baseline: "sequential-1"}
		record := func(name, variant string, factor float64) []poolsRun {
			var runs []poolsRun
			for round := range rounds {
				a := poolbench.Answer{Wall: base * factor * (1 + float64(round)/20), CPU: base * 1.1, Peak: 64_000_000 + int64(round)*1000,
					Digest: of.Name, Items: of.Items, Chunk: 16}
				if of.Group == "jpeg" {
					a.Digest += variant
				}
				if change != nil && change(name, round) {
					a.Digest = "another"
				}
				runs = append(runs, poolsRun{Round: round + 1, Place: 1, Whole: a.Wall + 0.1, Answer: a})
			}
			return runs
		}
		for i, a := range of.Arms(cpuwork.Kinds, []int{1, 2}, true) {
			factor := []float64{1, 0.5, 0.3, 0.45, 0.31, 1.01, 0.6, 1.2, 2.3, 9.1}[i]
			c.Arms = append(c.Arms, poolsArm{Arm: a.Name(), Pool: a.Pool, Workers: a.Workers, Variant: a.Variant,
				poolsFigures: poolsFigures{Runs: record(a.Name(), a.Variant, factor)}})
		}
		for i, p := range poolbench.PeersOf(of, poolbench.PeerNames()) {
			peer := poolsPeer{Peer: p.Name, About: p.About, Workers: max(p.Workers, 2), Runtime: "Python 3.11.7"}
			switch {
			case p.Name == "python-threads":
				peer.Skipped, peer.Runtime = "python3 is not installed; WEFT_PYTHON names another", ""
			case p.Name == "pillow-threads":
				peer.Failed = "exit status 1: MemoryError"
			default:
				peer.Runs = record(p.Name, "", 1.1+float64(i))
			}
			c.Peers = append(c.Peers, peer)
		}
		if of.Name == poolbench.SHA256 {
			making := spreadOf([]float64{0.1, 0.11})
			c.Making = &making
		}
		r.Cases = append(r.Cases, c)
	}
	r.Cases = append(r.Cases, poolsCase{Case: poolbench.SHA256Files, Group: "sha256", About: "SHA-256 of files", Items: 500, Size: 1_000_000,
		Skipped: "500 MB of files would take more than half of the 600 MB that are free in /tmp"})
	r.sumUp()
	return r
}

func toldPools(r *poolsResult, output string) string {
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs, global: globals{output: output}}
	if err := p.tellPooled(r, poolsOptions{}); err != nil {
		p.report(err)
	}
	return ran{0, out.String(), errs.String()}.String()
}

func TestPoolsAreTold(t *testing.T) {
	good := recordedPools(3, nil)
	differ := recordedPools(3, func(name string, round int) bool {
		return round == 2 && (name == "process-2" || name == "python-processes")
	})
	one := recordedPools(1, nil)
	one.Quick, one.Cases, one.Against = true, one.Cases[:1], nil
	golden(t, "bench-pools.txt", "three rounds\n"+toldPools(good, outTable)+"\nwide\n"+toldPools(good, outWide)+
		"\nanswers differ\n"+toldPools(differ, outTable)+"\none round, quick\n"+toldPools(one, outTable))
	golden(t, "bench-pools.json.txt", toldPools(recordedPools(1, nil), outJSON))
	if !good.Equal || differ.Equal {
		t.Errorf("equal %v and %v", good.Equal, differ.Equal)
	}
}

// An encoder's answers are compared with its own, not with another's.
func TestPoolsCompareEncoders(t *testing.T) {
	r := recordedPools(2, nil)
	for _, c := range r.Cases {
		for _, a := range c.Arms {
			if !a.Equal || c.Group == "jpeg" && (a.Reference != "sequential-1") != (a.Variant != "") {
				t.Errorf("%s: %s is compared with %s: %v", c.Case, a.Arm, a.Reference, a.Equal)
			}
		}
	}
}

// What is wanted is told where both sides ran, and only there.
func TestPoolsAgainst(t *testing.T) {
	r := recordedPools(3, nil)
	find := func(c, what string) *poolsAgainst {
		i := slices.IndexFunc(r.Against, func(a poolsAgainst) bool { return a.Case == c && strings.Contains(a.What, what) })
		if i < 0 {
			t.Fatalf("%s of %s is not told: %+v", what, c, r.Against)
		}
		return &r.Against[i]
	}
	for _, want := range []struct {
		c, what string
		value   float64
		met     bool
	}{
		{poolbench.SHA256, "Python's best", 1.1 / 0.3, true},
		{poolbench.SHA256, "processes over", 0.31 / 0.3, true},
		{poolbench.SHA256, "memory", 64.002, true},
		{poolbench.JPEGSmall, "C's processor", 1, true},
		{poolbench.JPEGSmall, "Pillow's best", 1.1 / 0.3, true},
		{poolbench.JPEGSmall, "image/jpeg", 9.1 / 2.3, true},
		{poolbench.FetchLimited, "ideal", 100 * (4.98*0.6*1.05/4.95 - 1), true},
		{poolbench.FetchLimited, "refused", 0, true},
		{poolbench.PrimesDoc, "process pool", 3.1 / 0.3, true},
		{poolbench.Handoff, "handing", 0.03 * 0.31 * 1.05 / 200_000 * 1e6, true},
	} {
		if a := find(want.c, want.what); math.Abs(a.Value.Median-want.value) > 1e-3*math.Abs(want.value) || a.Met != want.met {
			t.Errorf("%s, %s: %+v", want.c, want.what, a)
		}
	}
	for i := range r.Cases { // nobody to compare with
		c := &r.Cases[i]
		c.Peers = nil
		c.Arms = c.Arms[:min(1, len(c.Arms))]
	}
	for _, a := range against(r) {
		if a.What != "memory of the largest pool" {
			t.Errorf("%+v without another side", a)
		}
	}
	slow := recordedPools(1, nil)
	slow.Cases[0].Arms[2].Runs[0].Wall = 1
	slow.Cases[2].Arms[6].Runs[0].Refused = 1
	slow.sumUp()
	for _, a := range slow.Against {
		if bad := a.What == "Python's best over goroutines" || a.What == "requests refused"; a.Met == bad {
			t.Errorf("%+v", a)
		}
	}
}

func TestPoolsComplete(t *testing.T) {
	session(t, "bench-pools-completion", nil, "", line("__complete bench pools f"), line("__complete bench pools --arms e"),
		line("__complete bench pools --peers p"), line("__complete bench plot --benchmark p"), line("__complete bench pools --q"))
}

func TestPoolsRefuses(t *testing.T) {
	inDir(t, map[string]string{"there.json": "{}"})
	session(t, "bench-pools-errors", nil, "", line("bench pools sha"), line("bench pools jpeg fetsh"), line("bench pools --items 0"),
		line("bench pools --size 0"), line("bench pools jpeg --size 4096"), line("bench pools --repeat 2000"),
		line("bench pools --quick --full"), line("bench pools --arms gorotine"), line("bench pools --arms event,event"),
		line("bench pools --workers 0"), line("bench pools --workers x"), line("bench pools --workers 1,2,1"),
		line("bench pools --peers pillow"), line("bench pools --peers xargs,xargs"), line("bench pools --peers none,xargs"),
		line("bench pools --force"), line("bench pools --peer-timeout 0s"), line("bench pools --save there.json"),
		line("bench pools -o yaml"), line("bench history --benchmark pool"), line("bench history --benchmark pools --load lab"))
}

// Both kinds of results are in one history, and are told apart.
func TestPoolsHistory(t *testing.T) {
	keptHistory(t)
	for i, r := range []*poolsResult{recordedPools(3, nil), recordedPools(1, nil)} {
		r.Date, r.Quick = moment.Add(time.Duration(i)*time.Hour), i == 1
		if _, err := rememberPools(r); err != nil {
			t.Fatal(err)
		}
	}
	inDir(t, nil)
	session(t, "bench-pools-history", nil, "", line("bench history"), line("bench history --benchmark pools"),
		line("bench history --benchmark share"), line("bench history --load lab"), line("bench plot -o last.svg"),
		line("bench plot --benchmark pools -o pools.svg"), line("bench plot --benchmark pools -o pools.svg"),
		line("bench plot 20260301-120000-pools 20260301-130000-pools -o two.png"),
		line("bench plot 20260301-120000-pools 20260301-120000-lab-cpu-1 -o mixed.svg"))
	for name, want := range map[string]string{"last.svg": "weft bench share", "pools.svg": "weft bench pools"} {
		if text, err := os.ReadFile(name); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v, no %s", name, err, want)
		}
	}
	found, err := (&program{stderr: io.Discard}).recall()
	if err != nil || len(found) != 6 {
		t.Fatalf("%d results, %v", len(found), err)
	}
	js, err := json.Marshal(found[len(found)-1])
	if err != nil || !bytes.HasPrefix(js, []byte(`{"id":"`)) || !bytes.Contains(js, []byte(`"benchmark":"`)) {
		t.Errorf("%.100s, %v", js, err)
	}
}

func TestPoolsPlots(t *testing.T) {
	r := recordedPools(3, nil)
	var svg, picture bytes.Buffer
	if err := drawPools(&svg, "svg", []*poolsResult{r}); err != nil {
		t.Fatal(err)
	}
	words, elements := texts(t, &svg)
	golden(t, "bench-pools-plot.txt", strings.Join(words, "\n")+"\n")
	if elements["path"] < 50 {
		t.Errorf("elements %v", elements)
	}
	if err := drawPools(&picture, "png", []*poolsResult{r}); err != nil {
		t.Fatal(err)
	}
	if img, err := png.Decode(&picture); err != nil || img.Bounds().Dx() < 1000 {
		t.Errorf("%v", err)
	}
	none := &poolsResult{Cases: []poolsCase{{Case: poolbench.SHA256, Skipped: "no room"}}}
	if err := drawPools(io.Discard, "svg", []*poolsResult{none}); err == nil {
		t.Error("a plot of nothing")
	}
	// Of several results each case is the latest's.
	old, late := recordedPools(1, nil), recordedPools(1, nil)
	late.Date, late.Cases = moment.Add(time.Hour), late.Cases[1:2]
	late.Cases[0].Items = 7
	cases, last := latestCases([]*poolsResult{late, old})
	if len(cases) != 5 || cases[0].Items != 2000 || cases[1].Items != 7 || last != late {
		t.Errorf("%d cases", len(cases))
	}
}

// Every pool and peer has a look of its own among those of its workload.
func TestPoolLooks(t *testing.T) {
	for _, c := range poolbench.Cases {
		seen := map[string]string{}
		names := poolKinds()
		for _, p := range poolbench.PeersOf(c, poolbench.PeerNames()) {
			names = append(names, p.Name)
		}
		for _, name := range names {
			l, ok := poolLooks[name]
			red, green, blue, _ := l.colour.RGBA()
			key := fmt.Sprint(red, green, blue, typeName(l.shape))
			if !ok || seen[key] != "" {
				t.Errorf("%s: %s looks like %q", c.Name, name, seen[key])
			}
			seen[key] = name
		}
	}
}

func TestPoolsReport(t *testing.T) {
	r := recordedPools(3, nil)
	r.Cases[0].Peers[1].Skipped = `<script>alert("no")</script>`
	var page bytes.Buffer
	if err := (&program{stderr: io.Discard}).writePoolsReport(&page, r); err != nil {
		t.Fatal(err)
	}
	html := page.String()
	_, elements := texts(t, strings.NewReader(strings.TrimPrefix(html, "<!DOCTYPE html>")))
	if elements["table"] != 6 || elements["svg"] != 1 || elements["section"] != 7 || elements["script"] != 0 {
		t.Errorf("elements: %v", elements)
	}
	for _, want := range []string{"Against figures to beat", "EFFICIENCY", "AMD EPYC", "&lt;script&gt;", "more than half of the 600 MB"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(html, "optimizer") {
		t.Error("the page explains weft bench share")
	}
}

// FuzzPoolsFile: whatever a file has, it is read or refused, and what was read can be
// told and drawn.
func FuzzPoolsFile(f *testing.F) {
	text, err := json.Marshal(recordedPools(1, nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"benchmark":"pools","format":1,"cases":[{"case":"x","arms":[]}]}`))
	f.Add([]byte(`{"benchmark":"pools","format":1,"cases":[{"case":"x","skipped":"y"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		path := filepath.Join(t.TempDir(), "f.json")
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := readResults(path)
		if err != nil {
			return
		}
		for _, b := range found {
			if b.Pools == nil {
				continue
			}
			_ = b.Pools.speedupsText()
			_ = toldPools(b.Pools, outWide)
			_ = drawPools(io.Discard, "svg", []*poolsResult{b.Pools}) // it may refuse, as speedups that no plot has
		}
	})
}

func TestDefaultWorkers(t *testing.T) {
	for cores, want := range map[int][]int{1: {1, 2}, 2: {1, 2, 4}, 3: {1, 2, 3, 4, 6}, 8: {1, 2, 4, 8, 16}} {
		if got := defaultWorkers(cores); !slices.Equal(got, want) {
			t.Errorf("%d cores: %v", cores, got)
		}
	}
}
