package client

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/bench/load"
	"weft/bench/peers"
)

// fakePython makes WEFT_PYTHON a shell script, and returns a benchmark of two
// models that has got as far as its peers.
func fakePython(t *testing.T, script string) *sharing {
	t.Helper()
	dir := t.TempDir()
	python := filepath.Join(dir, "python")
	if err := os.WriteFile(python, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("WEFT_PYTHON", python)
	l, _ := load.Find("lab")
	models := &shareLoad{name: l.Name}
	for i := range 2 {
		d := draft{}
		d.Spec = l.Spec(i).JSON()
		models.drafts = append(models.drafts, d)
	}
	// No daemon starts, so that nobody reads sensors.
	p := &program{stderr: io.Discard, app: App{Now: time.Now, Program: filepath.Join(dir, "no-weft")}}
	o := shareOptions{repeat: 1, arms: []string{armAuto}, baseline: armAuto, peers: []string{"torch-eager"},
		peerTimeout: 5 * time.Second}
	return &sharing{p: p, o: o, load: models, dir: dir, say: newShareProgress(p, o, 2),
		result: &shareResult{Device: shareDevice{ID: "cpu", Kind: "cpu"}}}
}

const goodProbe = `case "$*" in *--probe) echo '{"runtime": "torch 2"}'; exit;; esac; `

// A peer that cannot run is skipped with its own words, one that comes to
// nothing has failed; the benchmark goes on either way.
func TestPeersThatDoNotRun(t *testing.T) {
	for name, c := range map[string]struct{ script, skipped, failed string }{
		"no module":    {`echo '{"skip": "torch cannot be imported"}'`, "torch cannot be imported", ""},
		"probe raises": {"echo 'Traceback' >&2; echo 'OSError: libc10.so' >&2; exit 1", "exit status 1: OSError: libc10.so", ""},
		"no answer":    {"exit 0", "its answer is no JSON: there is none", ""},
		"no JSON":      {"echo hello", "its answer is no JSON: hello", ""},
		"crash":        {goodProbe + "kill -SEGV $$", "", "signal: segmentation fault (core dumped): it said nothing|signal: segmentation fault: it said nothing"},
		"raises":       {goodProbe + "echo 'RuntimeError: CUDA out of memory' >&2; exit 1", "", "exit status 1: RuntimeError: CUDA out of memory"},
		"garbled":      {goodProbe + "echo '{\"wall_seconds\": '", "", `its answer is no JSON: {"wall_seconds":`},
		"no time":      {goodProbe + `echo '{"val_loss": [1, 2], "steps": 6}'`, "", "its answer has no time: wall_seconds is 0"},
		"few losses":   {goodProbe + `echo '{"wall_seconds": 2, "val_loss": [1], "steps": 6}'`, "", "its answer has 1 losses for 2 models"},
		"few steps":    {goodProbe + `echo '{"wall_seconds": 2, "val_loss": [1, 2], "steps": 5}'`, "", "it trained 5 steps, not 6"},
		"late skip":    {goodProbe + `echo '{"skip": "the GPU is gone"}'`, "", "the GPU is gone"},
	} {
		s := fakePython(t, c.script)
		if err := s.preparePeers(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s.peerSteps = 6
		p := &s.result.Peers[0]
		for _, runs := range s.running() {
			if err := s.measurePeer(t.Context(), 0, 0, runs); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		wrong := p.Failed != ""
		for _, want := range strings.Split(c.failed, "|") {
			wrong = wrong && p.Failed != want
		}
		if p.Skipped != c.skipped || wrong || (c.failed != "") != (p.Failed != "") || len(p.Runs) > 0 || len(s.running()) > 0 {
			t.Errorf("%s: skipped %q, failed %q, %d runs", name, p.Skipped, p.Failed, len(p.Runs))
		}
	}
}

// hangingPeer runs a peer that starts a process and waits for it in vain, and
// returns that process; 0: the peer was ended before it had started one.
func hangingPeer(t *testing.T, timeout time.Duration) (*sharing, int) {
	t.Helper()
	s := fakePython(t, goodProbe+"sleep 1000 & echo $! > $3/child; wait")
	s.o.peerTimeout = timeout
	s.o.repeat, s.say.runs = 3, 6 // with an arm beside it
	if err := s.preparePeers(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.measurePeer(t.Context(), 0, 0, "torch-eager"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(s.peersDir, "child"))
	if err != nil || !strings.HasSuffix(string(text), "\n") {
		return s, 0
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return s, child
}

// A peer that hangs is ended with the processes that it started.
func TestPeerHangs(t *testing.T) {
	timeout := 300 * time.Millisecond
	s, child := hangingPeer(t, timeout)
	for child == 0 && timeout < time.Minute { // on a machine that is busy it takes longer to start one
		timeout *= 2
		s, child = hangingPeer(t, timeout)
	}
	if child == 0 {
		t.Fatalf("the peer starts no process within %v", timeout)
	}
	if p := s.result.Peers[0]; p.Failed != fmt.Sprintf("it had not ended after %v", timeout) || len(s.running()) > 0 {
		t.Errorf("failed: %q", p.Failed)
	}
	if s.say.ran != 1 || s.say.runs != 4 { // its other two are left out
		t.Errorf("%d of %d runs", s.say.ran, s.say.runs)
	}
	fd, err := unix.PidfdOpen(child, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	} else if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000); err != nil || n != 1 {
		t.Errorf("its process %d is still there: %v", child, err)
	}
}

// An interrupt ends a peer, and is no failure of it.
func TestPeerIsInterrupted(t *testing.T) {
	s := fakePython(t, goodProbe+"sleep 1000")
	if err := s.preparePeers(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := s.measurePeer(ctx, 0, 0, "torch-eager"); !errors.Is(err, context.DeadlineExceeded) || s.result.Peers[0].Failed != "" {
		t.Errorf("%v, failed %q", err, s.result.Peers[0].Failed)
	}
}

func TestPeersAreSkipped(t *testing.T) {
	s := fakePython(t, goodProbe)
	s.o.peers = peers.Names()
	l, _ := load.Find("mixed")
	s.load.drafts[0].Spec = l.Spec(1).JSON()
	if err := s.preparePeers(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"torch-graphs": "needs a GPU", "torch-mps": "needs a GPU"}
	for _, p := range s.result.Peers {
		why := want[p.Peer]
		if strings.HasSuffix(p.Peer, "-vmap") {
			why = "needs models that differ by numbers only; these differ by architectures"
		}
		if p.Skipped != why {
			t.Errorf("%s: skipped %q, want %q", p.Peer, p.Skipped, why)
		}
	}
	s = fakePython(t, goodProbe)
	t.Setenv("WEFT_PYTHON", "/nowhere/python")
	if err := s.preparePeers(t.Context()); err != nil || s.result.Peers[0].Skipped != "WEFT_PYTHON=/nowhere/python is no program" {
		t.Errorf("%v, %+v", err, s.result.Peers[0])
	}
	s = fakePython(t, goodProbe)
	s.load.drafts[1].Spec = []byte(`{"data":{"source":"digits"},"model":[{"linear":8},{"dropout":0.1},{"linear":10}]}`)
	if err := s.preparePeers(t.Context()); err != nil || s.result.Peers[0].Skipped != "layer dropout is not in the peers' scripts" {
		t.Errorf("%v, %+v", err, s.result.Peers[0])
	}
}

func pointer[T any](v T) *T { return &v }

// withPeers adds peers' runs to a recorded result.
func withPeers(t *testing.T, rounds int) *shareResult {
	t.Helper()
	r := recordedShare(t, rounds, nil)
	eager := sharePeer{Peer: "torch-eager", About: "PyTorch", Runtime: "torch 2.9.0, 1 thread", LossBand: lossBand}
	vmap := sharePeer{Peer: "jax-vmap", About: "JAX", Runtime: "jax 0.8", LossBand: lossBand}
	for i := range rounds {
		eager.Runs = append(eager.Runs, peerRun{Round: i + 1, Place: 1, Wall: 4 + float64(i), Warm: 0.5, Whole: 6, Steps: 27_000,
			Losses: []*float64{pointer(0.301), pointer(0.2), pointer(0.1)}})
		vmap.Runs = append(vmap.Runs, peerRun{Round: i + 1, Place: 2, Wall: 0.5, Warm: 2, Whole: 4, Steps: 27_000,
			Losses: []*float64{pointer(0.3), pointer(0.9), nil}})
	}
	vmap.Failed = "signal: killed: it said nothing"
	r.Peers = []sharePeer{eager, {Peer: "torch-graphs", Skipped: "needs a GPU"}, vmap}
	ours := r.Arms[0].Runs[0].models
	for i, loss := range []float64{0.3, 0.21, 0.1} {
		ours[i].valLoss, r.Jobs[i].ValLoss = &loss, &loss
	}
	r.sumUpPeers()
	return r
}

func TestPeersAreTold(t *testing.T) {
	golden(t, "bench-peers.txt", "three rounds\n"+told(t, withPeers(t, 3), outTable)+"\none round\n"+told(t, withPeers(t, 1), outTable))
	r := withPeers(t, 3)
	eager, vmap := r.Peers[0], r.Peers[2]
	if *eager.LossesApart != 0 || *vmap.LossesApart != 2 || r.Peers[1].Wall != nil {
		t.Errorf("apart: %v and %v", *eager.LossesApart, *vmap.LossesApart)
	}
	// 4 over 0.21, 5 over 0.2, 6 over 0.26 in the same rounds.
	if math.Abs(eager.FasterBy.Median-6/0.26) > 1e-9 || math.Abs(eager.Speedup.Median-0.088) > 1e-9 {
		t.Errorf("faster by %v, speedup %v", eager.FasterBy, eager.Speedup)
	}
}

func TestLossesAgree(t *testing.T) {
	for _, c := range []struct {
		a, b float64
		want bool
	}{{1, 1.1, true}, {1, 1.2, false}, {0.001, 0.02, true}, {0.001, 0.03, false}, {1.1, 1, true}, {math.NaN(), 1, false},
		{math.Inf(1), 1, false}} {
		if got := lossesAgree(c.a, c.b); got != c.want {
			t.Errorf("%g and %g: %v", c.a, c.b, got)
		}
	}
}

// kept are results of several numbers of models, in a history of their own.
func keptHistory(t *testing.T) []*shareResult {
	t.Helper()
	t.Setenv("WEFT_STATE", t.TempDir())
	var out []*shareResult
	for i, n := range []int{1, 4, 16, 64} {
		r := withPeers(t, 3)
		r.Load.Models = n
		r.Date = moment.Add(time.Duration(i) * time.Hour)
		for k := range r.Arms {
			if s := r.Arms[k].Speedup; s != nil {
				s.Median, s.Min, s.Max = 1+float64(i), 0.9+float64(i), 1.2+float64(i)
			}
		}
		if _, err := remember(r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func TestHistory(t *testing.T) {
	keptHistory(t)
	again := recordedShare(t, 1, nil) // of the same second: a file of its own
	again.Load.Models, again.Load.Quick = 1, true
	if id, err := remember(again); err != nil || id != "20260301-120000-lab-cpu-1-2" {
		t.Errorf("kept as %s, %v", id, err)
	}
	if err := os.WriteFile(filepath.Join(benchDir(), "20260101-000000-lab-cpu-1.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(benchDir(), "20260102-000000-lab-cpu-1.json"), []byte(`{"benchmark":"share","format":2,"load":{"models":1},"arms":[{}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	inDir(t, map[string]string{"there.svg": ""})
	session(t, "bench-history", nil, "", line("bench history"), line("bench history --load lab --device cpu"),
		line("bench history --load tiny"), line("bench history --load tinny"), line("bench history --device gpu:0 -o json"),
		line("bench history x"), line("bench plot"), line("bench plot -o a.pdf"), line("bench plot -o there.svg"),
		line("bench plot 20260301-130000-lab-cpu-44 -o a.svg"), line("bench plot --load wide -o a.svg"),
		line("bench plot none.json -o a.svg"), line("bench plot -o a.svg"))
}

// What --save writes is read again, a list of --sweep-models too.
func TestSavedIsRead(t *testing.T) {
	results := keptHistory(t)
	dir := t.TempDir()
	for name, c := range map[string]struct {
		value any
		n     int
		err   string
	}{
		"one":   {results[0], 1, ""},
		"list":  {results, 4, ""},
		"empty": {[]int{}, 0, ""},
		"nulls": {[]any{nil}, 0, "it is no result of weft bench"},
		"other": {map[string]string{"benchmark": "share"}, 0, "it is no result of weft bench share: nothing was measured"},
	} {
		path := filepath.Join(dir, name+".json")
		if err := saveFile(path, false, func(w io.Writer) error { return encodeJSON(w, c.value) }); err != nil {
			t.Fatal(err)
		}
		found, err := readResults(path)
		if len(found) != c.n || (err == nil) != (c.err == "") || (err != nil && err.Error() != c.err) {
			t.Errorf("%s: %d results, %v", name, len(found), err)
		}
	}
}

// FuzzShareFile: whatever a file has, it is read or refused, and what was read
// can be told and drawn.
func FuzzShareFile(f *testing.F) {
	f.Add([]byte(`{"benchmark":"share","format":1,"load":{"models":1},"arms":[{}]}`))
	f.Add([]byte(`[{"benchmark":"share","format":1,"load":{"models":2},"arms":[{"arm":"auto","speedup":{"median":2}}],"peers":[{"peer":"x","speedup":{"median":-1}}]}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		path := filepath.Join(t.TempDir(), "f.json")
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := readResults(path)
		if err != nil || len(found) == 0 {
			return
		}
		var share []*shareResult
		for _, r := range found {
			if r.Pools != nil {
				continue // FuzzPoolsFile has those
			}
			_, _ = r.Share.speedupsText(), r.Share.baselineWall()
			share = append(share, r.Share)
		}
		if len(share) > 0 {
			_ = drawShare(io.Discard, "svg", share) // it may refuse, as speedups that no plot has
		}
	})
}

// Only what the same program measured of the same models on the same machine is
// on one line.
func TestComparable(t *testing.T) {
	base := recordedShare(t, 1, nil)
	for name, change := range map[string]func(*shareResult){
		"models": nil, // more of them are another point
		"load":   func(r *shareResult) { r.Load.Name = "tiny" },
		"quick":  func(r *shareResult) { r.Load.Quick = true },
		"length": func(r *shareResult) {
			r.Jobs[0].Spec = []byte(strings.Replace(string(r.Jobs[0].Spec), `"epochs":200`, `"epochs":7`, 1))
		},
		"device": func(r *shareResult) { r.Device.Lanes = 4 },
		"cores":  func(r *shareResult) { r.Machine.Cores = 4 },
		"commit": func(r *shareResult) { r.Weft.Commit = "fedcba" },
	} {
		r := recordedShare(t, 1, nil)
		r.Load.Models = 64
		if change != nil {
			change(r)
		}
		if got := r.comparable(base); got != (change == nil) {
			t.Errorf("another %s: %v", name, got)
		}
	}
	indented := recordedShare(t, 1, nil)
	indented.Jobs[0].Spec = []byte(strings.ReplaceAll(string(indented.Jobs[0].Spec), ",", ",\n  "))
	if !indented.comparable(base) {
		t.Error("a file's indentation makes another load")
	}
}

// texts are those of an SVG, in order; it fails where that is not well formed.
func texts(t *testing.T, r io.Reader) (out []string, elements map[string]int) {
	t.Helper()
	elements = map[string]int{}
	inText := false
	for d := xml.NewDecoder(r); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out, elements
		} else if err != nil {
			t.Fatalf("not well formed: %v", err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			elements[e.Name.Local]++
			inText = e.Name.Local == "text"
		case xml.CharData:
			if inText && strings.TrimSpace(string(e)) != "" {
				out = append(out, strings.TrimSpace(string(e)))
			}
		case xml.EndElement:
			inText = false
		}
	}
}

func TestPlots(t *testing.T) {
	results := keptHistory(t)
	for name, of := range map[string][]*shareResult{"lines": results, "bars": results[2:3]} {
		var svg, picture bytes.Buffer
		if err := drawShare(&svg, "svg", of); err != nil {
			t.Fatal(err)
		}
		words, elements := texts(t, &svg)
		golden(t, "bench-plot-"+name+".txt", strings.Join(words, "\n")+"\n")
		if elements["path"] < 10 {
			t.Errorf("%s: elements %v", name, elements)
		}
		if err := drawShare(&picture, "png", of); err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(&picture)
		if err != nil {
			t.Fatal(err)
		}
		w, h := img.Bounds().Dx(), img.Bounds().Dy()
		if cm := plotDPI / 2.54; math.Abs(float64(w)-20*cm) > 2 || math.Abs(float64(h)-12*cm) > 2 {
			t.Errorf("%s: %d by %d", name, w, h)
		}
	}
}

// Every arm and peer has a look of its own.
func TestLooks(t *testing.T) {
	seen := map[string]string{}
	for _, name := range append(peers.Names(), shareArms...) {
		l, ok := looks[name]
		r, g, b, _ := l.colour.RGBA()
		key := strings.Join([]string{string(rune(r)), string(rune(g)), string(rune(b))}, "/") + typeName(l.shape)
		if !ok || seen[key] != "" {
			t.Errorf("%s looks like %q", name, seen[key])
		}
		seen[key] = name
	}
}

func TestReportPage(t *testing.T) {
	results := keptHistory(t)
	results[3].Peers[1].Skipped = `<script>alert("no")</script>`
	var page bytes.Buffer
	p := &program{stderr: io.Discard}
	if err := p.writeReport(&page, results); err != nil {
		t.Fatal(err)
	}
	html := page.String()
	_, elements := texts(t, strings.NewReader(strings.TrimPrefix(html, "<!DOCTYPE html>")))
	if elements["table"] != 12 || elements["caption"] != 12 || elements["details"] != 4 || elements["svg"] != 1 || elements["section"] != 4 || elements["script"] != 0 {
		t.Errorf("elements: %v", elements)
	}
	for _, outside := range []string{"src=", "@import", "<link", "url("} {
		if strings.Contains(html, outside) {
			t.Errorf("the page has %s", outside)
		}
	}
	for _, want := range []string{"torch-eager", "AMD EPYC", "How to read this", "&lt;script&gt;", "J/1K STEPS",
		`scope="col"`, `scope="row"`, `role="img" aria-label="Speedup over sequential. 1 model: auto 1.00x`, "Linux 6.1",
		"torch-eager on torch 2.9.0, 1 thread", "2 of 3 APART", "weft reads no energy of a CPU"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

func typeName(v any) string { return fmt.Sprintf("%T", v) }
