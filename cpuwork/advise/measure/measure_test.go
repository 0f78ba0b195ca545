package measure

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weft/cpuwork"
	"weft/cpuwork/advise"
	"weft/cpuwork/fetch/fetchtest"
	"weft/cpuwork/jobs"
)

// known is a machine that need not be calibrated.
var known = advise.Machine{Cores: 2, Slowdown: 1, MemoryRate: 1e10, CopyRate: 1e10, Sequential: 1e-6, Goroutine: 2e-6, Event: 3e-6,
	Process: 3e-6, RoundTrip: 1e-5, Spawn: 5e-3, Job: 1e-3}

func ask(t *testing.T, r Request) (*Answer, error) {
	t.Helper()
	r.Dir = t.TempDir()
	if r.Machine == nil {
		r.Machine = &known
	}
	return Ask(t.Context(), self(t), r, nil)
}

func TestCalibrate(t *testing.T) {
	a, err := ask(t, Request{Calibrate: true, Weft: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	c := a.Calibration
	if err := c.Machine.Check(); err != nil {
		t.Error(err)
	}
	m := c.Machine
	if m.Job <= 0 || m.Spawn <= 0 {
		t.Errorf("a job costs %g s, a start %g s", m.Job, m.Spawn)
	}
	// What is nothing to do costs less than a process's start, on any machine; how
	// such small costs compare with each other depends on who else works there.
	for name, v := range map[string]float64{"sequential": m.Sequential, "goroutine": m.Goroutine, "event": m.Event, "process": m.Process,
		"round trip": m.RoundTrip} {
		if v <= 0 || v > m.Spawn {
			t.Errorf("%s costs %g s, a start %g s", name, v, m.Spawn)
		}
	}
	if !c.Holds(Here("v1"), time.Now()) {
		t.Errorf("it does not hold: %+v", c)
	}
}

func TestCalibrationHolds(t *testing.T) {
	id, now := Here("v1"), time.Now()
	good := func() *Calibration { return &Calibration{Machine: known, Identity: id, At: now} }
	for name, c := range map[string]struct {
		change func(*Calibration)
		at     time.Duration
		holds  bool
	}{
		"new":                    {func(*Calibration) {}, 0, true},
		"old":                    {func(*Calibration) {}, 31 * 24 * time.Hour, false},
		"from the future":        {func(*Calibration) {}, -time.Hour, false},
		"busy":                   {func(c *Calibration) { c.Busy = 0.5 }, time.Minute, true},
		"busy, a while ago":      {func(c *Calibration) { c.Busy = 0.5 }, time.Hour, false},
		"another weft":           {func(c *Calibration) { c.Identity.Weft = "v2" }, 0, false},
		"another processor":      {func(c *Calibration) { c.Identity.CPU = "Z80" }, 0, false},
		"other cores":            {func(c *Calibration) { c.Identity.Cores = 77 }, 0, false},
		"another format":         {func(c *Calibration) { c.Identity.Format = 0 }, 0, false},
		"what cannot be":         {func(c *Calibration) { c.Machine.Slowdown = 0 }, 0, false},
		"no machine in the file": {func(c *Calibration) { c.Machine = advise.Machine{} }, 0, false},
	} {
		one := good()
		c.change(one)
		if got := one.Holds(id, now.Add(c.at)); got != c.holds {
			t.Errorf("%s: holds %t", name, got)
		}
	}
}

func TestKeepAndRecall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "advise.json")
	if c := Recall(path); c != nil {
		t.Errorf("there is none, and it is %+v", c)
	}
	c := &Calibration{Machine: known, Identity: Here("v1"), At: time.Now().Round(0)}
	if err := c.Keep(path); err != nil {
		t.Fatal(err)
	}
	if got := Recall(path); got == nil || got.Machine != known || got.Identity != c.Identity || !got.At.Equal(c.At) {
		t.Errorf("recalled %+v", got)
	}
	if err := os.WriteFile(path, []byte(`{"machine":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Recall(path); got != nil {
		t.Errorf("half a file is %+v", got)
	}
	if err := c.Keep(filepath.Join(path, "below a file")); err == nil {
		t.Error("it was kept where no file can be")
	}
	if names, err := os.ReadDir(filepath.Dir(path)); err != nil || len(names) != 1 {
		t.Errorf("left %v, %v", names, err)
	}
}

func TestSample(t *testing.T) {
	a, err := ask(t, Request{Kind: "sha256", Spec: specOf(t, hashing(t, 200, 50_000)), Told: advise.Workload{Isolation: advise.Hostile, MemoryPerItem: 5}})
	if err != nil {
		t.Fatal(err)
	}
	w, s := a.Workload, a.Sample
	if s.Counted != 200 || s.Items < 100 || s.Failed != 0 || s.Bytes != 50_000*s.Items || s.More {
		t.Errorf("sample is %+v", s)
	}
	if w.Items != 200 || w.CPU <= 0 || w.Group <= 0 || w.Batch != 64 || w.IO != 0 || w.Order <= 0 || w.MemoryPerItem != 5 {
		t.Errorf("workload is %+v", w)
	}
	if a.Advice.Choice().Pool != cpuwork.Process || a.Checked != nil {
		t.Errorf("what is hostile goes to %+v", a.Advice.Choice())
	}
}

// Nothing of what a job would write is left, and its own outputs are not touched.
func TestSampleLeavesNothing(t *testing.T) {
	in, out, dir := pictures(t, 5).(map[string]any), t.TempDir(), t.TempDir()
	in["output"] = out
	if _, err := Ask(t.Context(), self(t), Request{Kind: "jpeg", Spec: specOf(t, in), Dir: dir, Machine: &known}, nil); err != nil {
		t.Fatal(err)
	}
	if names, err := os.ReadDir(out); err != nil || len(names) > 0 {
		t.Errorf("the job's own directory has %v, %v", names, err)
	}
	jpegs := 0
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".jpg") {
			jpegs++
		}
		return err
	})
	if err != nil || jpegs == 0 {
		t.Errorf("the asker's directory has %d pictures, %v", jpegs, err)
	}
}

// Servers of others are asked for little, and within the rate.
func TestSparing(t *testing.T) {
	for _, c := range []struct {
		host string
		most int
	}{{"http://127.0.0.1:80/", mostLocal}, {"http://localhost/", mostLocal}, {"https://[::1]/", mostLocal}, {"http://example.org/", mostAsked}} {
		m := &sampling{picked: make([]drawn, 7000)}
		for i := range m.picked {
			m.picked[i].item.Name = "http://127.0.0.1/"
		}
		m.picked[4321].item.Name = c.host
		if m.sparing(); len(m.picked) != c.most {
			t.Errorf("%s: %d requests", c.host, len(m.picked))
		}
	}
}

func TestFetchSample(t *testing.T) {
	before := processorTime(0)
	a, err := ask(t, Request{Kind: "fetch", Spec: specOf(t, fetching(t, 200, 0))})
	if err != nil {
		t.Fatal(err)
	}
	w := a.Workload
	const together = 133 // of 200, unless the machine is so busy that time was up
	if spent := processorTime(0) - before; a.Sample.Items == 200 && w.Server*together > spent {
		t.Errorf("the server took %g s for each of %d items, and this process all in all %g", w.Server, together, spent)
	}
	quiet := func() bool { return a.Sample.Others < busy } // what is taken off for the journal is not others' time
	if w.Items != 200 || w.InFlight != 16 || quiet() && w.CPU <= 0 || w.Server <= 0 || a.Advice.Choice().Pool != cpuwork.Event {
		t.Errorf("workload is %+v, advice %s", w, a.Advice.Choice().Pool)
	}
	a, err = ask(t, Request{Kind: "fetch", Spec: specOf(t, fetching(t, 50, 400))})
	if err != nil {
		t.Fatal(err)
	}
	if w := a.Workload; w.Rate != 400 || a.Sample.Failed > 0 || quiet() && a.Advice.Choice().Bound != advise.ByRate {
		t.Errorf("workload is %+v, sample %+v, by %s", w, a.Sample, a.Advice.Choice().Bound)
	}
}

func TestFaults(t *testing.T) {
	missing := map[string]any{"files": map[string]any{"dir": "/", "paths": []string{"nowhere/at/all"}}}
	empty := map[string]any{"files": map[string]any{"dir": t.TempDir(), "paths": []string{"."}, "recursive": true}}
	far := map[string]any{"urls": []string{"http://example.org/"}, "discard": true}
	for want, r := range map[string]Request{
		"all 1 items of the sample failed; the first: nowhere/at/all: open: no such file or directory": {Kind: "sha256", Spec: specOf(t, missing)},
		"there are no items to measure":                          {Kind: "sha256", Spec: specOf(t, empty)},
		`/task: read specification: json: unknown field "wrong"`: {Kind: "sha256", Spec: specOf(t, map[string]any{"wrong": 1})},
	} {
		_, err := ask(t, r)
		var fault *jobs.Fault
		if !errors.As(err, &fault) || strings.ReplaceAll(fault.Message, "read: ", "open: ") != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	plan, err := jobs.Parse("fetch", specOf(t, far))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := checkable(t.Context(), "fetch", plan); err == nil || !strings.HasPrefix(err.Error(), "http://example.org/ is not on this machine") {
		t.Errorf("other people's servers are asked again and again: %v", err)
	}
}

// A check runs every alternative, and says what it took.
func TestCheck(t *testing.T) {
	a, err := ask(t, Request{Kind: "sha256", Spec: specOf(t, hashing(t, 20, 1000)), Check: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Checked) != len(cpuwork.Kinds) {
		t.Fatalf("%d were run", len(a.Checked))
	}
	for i, c := range a.Checked {
		if c.Runs < 1 || c.Seconds <= 0 || c.Median < c.Seconds || c.Failed != 0 {
			t.Errorf("%s: %+v", a.Advice.Alternatives[i].Pool, c)
		}
	}
}

// An asker that goes away ends what it asked for.
func TestCancelledAsk(t *testing.T) {
	s, err := fetchtest.Start(fetchtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	task := map[string]any{"urls": []string{s.URL + "/silent"}, "discard": true, "allow_private": true}
	done := make(chan error, 1)
	go func() {
		_, err := Ask(ctx, self(t), Request{Kind: "fetch", Spec: specOf(t, task), Dir: t.TempDir(), Machine: &known}, nil)
		done <- err
	}()
	for s.Stats().Requests == 0 {
		select {
		case err := <-done:
			t.Fatal(err)
		default:
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

// FuzzRecall: a file that is not what was kept is no calibration that holds.
func FuzzRecall(f *testing.F) {
	text, err := json.Marshal(Calibration{Machine: known, Identity: Here("v1")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"machine":{"cores":-1}}`))
	path := filepath.Join(f.TempDir(), "advise.json")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c := Recall(path)
		if c == nil || !c.Holds(Here("v1"), time.Now()) {
			return
		}
		if _, err := advise.Pools(&c.Machine, &advise.Workload{Items: 1}); err != nil {
			t.Errorf("it holds, and cannot be advised for: %v", err)
		}
	})
}
