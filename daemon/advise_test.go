package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weft/cpuwork/advise"
	"weft/cpuwork/advise/measure"
	"weft/cpuwork/jobs"
	"weft/daemon/api"
)

// calibrated is a rig on a machine whose costs are known.
func calibrated(t *testing.T, change ...func(*rig)) *rig {
	t.Helper()
	r := newRig(t, 2, change...)
	v := version(r.cfg)
	c := measure.Calibration{At: time.Now(), Identity: measure.Here(v.Version + " " + v.Commit), Machine: advise.Machine{Cores: 2, Slowdown: 1,
		MemoryRate: 2e10, CopyRate: 1e10, Sequential: 1e-6, Goroutine: 2e-6, Event: 3e-6, Process: 3e-6, RoundTrip: 1e-5, Spawn: 5e-3, Job: 1e-3}}
	if err := c.Keep(filepath.Join(r.cfg.StateDir, calibrationName)); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAdviseDescribed(t *testing.T) {
	r := calibrated(t)
	a := ok[api.Advice](r, 200, "POST", "/v1/advise", `{"workload":{"items":10000,"cpu_seconds":0.005}}`)
	if a.Choice != "goroutine" || len(a.Alternatives) != 4 || len(a.Placements) != 0 || a.Why == "" || a.Machine.Cores != 2 || a.Sample != nil {
		t.Errorf("advice is %+v", a)
	}
	for i, alt := range a.Alternatives {
		if alt.Chosen != (alt.Pool == "goroutine") || alt.Seconds <= 0 || alt.Checked != nil {
			t.Errorf("alternative %d is %+v", i, alt)
		}
	}
	if a.Workload.Items != 10000 || a.Workload.Isolation != "none" {
		t.Errorf("workload is %+v", a.Workload)
	}
	a = ok[api.Advice](r, 200, "POST", "/v1/advise", `{"workload":{"items":10000,"cpu_seconds":0.005,"isolation":"hostile"}}`)
	if a.Choice != "process" || a.Alternatives[0].Refused == "" {
		t.Errorf("for what is hostile: %+v", a)
	}
}

func TestAdviseTraining(t *testing.T) {
	r := calibrated(t)
	dir := filepath.Join(r.cfg.StateDir, benchFolder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	two := fmt.Sprintf(`{"jobs":[%s,%s]}`, sub(""), sub(""))
	a := ok[api.Advice](r, 200, "POST", "/v1/advise", two)
	if a.Choice != "cpu" || len(a.Placements) != 1 || a.Placements[0].AtOnce != 2 || !strings.HasPrefix(a.Placements[0].Source, "assumed") ||
		a.Workload != nil {
		t.Errorf("advice is %+v", a)
	}
	name := ok[[]api.Device](r, 200, "GET", "/v1/devices", "")[0].Name
	for id, quick := range map[string]bool{"20260101T000000Z-a": false, "20260102T000000Z-b": true} {
		result := fmt.Sprintf(`{"benchmark":"share","date":"2026-01-01T00:00:00Z","device":{"id":"cpu","name":%q},"baseline":"sequential",
			"load":{"name":"lab","models":2,"quick":%t},"jobs":[{"steps":60},{"steps":40}],"arms":[
			{"arm":"sequential","wall_seconds":{"median":2}},{"arm":"fused","wall_seconds":{"median":0.5},"speedup":{"median":4}}]}`, name, quick)
		if err := os.WriteFile(filepath.Join(dir, id+".json"), []byte(result), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a = ok[api.Advice](r, 200, "POST", "/v1/advise", two)
	p := a.Placements[0]
	if p.Source != "recorded: 20260101T000000Z-a (lab, 2 models: 4.0 times as fast by fused)" || p.Speedup != 4 {
		t.Errorf("with a record: %+v", p)
	}
	if runs := ok[[]api.DryRun](r, 200, "POST", "/v1/jobs?dry_run=true", sub("")); p.Alone < 0.0199*float64(2*runs[0].Steps) {
		t.Errorf("%d steps of 20 ms, recorded, take %g s", 2*runs[0].Steps, p.Alone)
	}
	if list := ok[api.JobList](r, 200, "GET", "/v1/jobs", ""); len(list.Jobs) != 0 {
		t.Errorf("%d jobs were submitted", len(list.Jobs))
	}
}

func TestAdviseRefuses(t *testing.T) {
	r := calibrated(t)
	for body, want := range map[string]string{
		``:                                   "422 ",
		`{}`:                                 "422 the request has neither a workload, nor jobs, or it has both",
		`{"jobs":[],"workload":{"items":1}}`: "422 the request has neither a workload, nor jobs, or it has both",
		`{"workload":{}}`:                    "422 /workload: items 0 is not between 1 and 1e+12",
		`{"workload":{"item":1}}`:            `422 /workload/item: unknown key "item"`,
		`{"workload":{"items":1,"isolation":"jail"}}`:   `422 /workload: isolation "jail" is none of [none crash hostile]`,
		`{"workload":{"items":1,"cpu_seconds":-1}}`:     "422 /workload: cpu_seconds -1 is not between 0 and 1e+07",
		`{"workload":{"items":5,"gpu":true}}`:           "404 there is no gpu",
		`{"measure":{"kind":"train","spec":{}}}`:        `422 work of kind "train" cannot be measured`,
		`{"measure":{"kind":"sha256","spec":{},"x":1}}`: `422 /measure/x: unknown key "x"`,
		`{"jobs":[]}`: "400 the array of submissions is empty",
		`{"jobs":[{"kind":"sha256","spec":{"task":{"files":{"paths":["/x"]}}}}]}`: "422 /0: a CPU job's items may be anything",
	} {
		if body == "" {
			if status, text := r.do("POST", "/v1/advise", " "); status != 400 && status != 422 {
				t.Errorf("no body: %d %s", status, text)
			}
			continue
		}
		status, text := r.do("POST", "/v1/advise", body)
		var p api.Problem
		if err := json.Unmarshal(text, &p); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(status, " ", p.Detail); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}

// A measurement has a directory that is empty at first and gone in the end, and
// the machine is calibrated when its costs are not known.
func TestAdviseMeasures(t *testing.T) {
	cfg := testConfig(t)
	if err := makeStateDir(cfg.StateDir); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(cfg.StateDir, measureName, "left by a kill")
	if err := os.MkdirAll(old, 0o700); err != nil {
		t.Fatal(err)
	}
	var asked []measure.Request
	a := &adviser{s: &server{cfg: cfg, log: quiet()}, turn: make(chan struct{}, 1)}
	a.ask = func(_ context.Context, r measure.Request) (*measure.Answer, error) {
		asked = append(asked, r)
		if left, err := os.ReadDir(r.Dir); err != nil || len(left) > 0 {
			t.Errorf("the directory has %v, %v", left, err)
		}
		m := advise.Machine{Cores: 2, Slowdown: 1, MemoryRate: 1e10, CopyRate: 1e10}
		answer := &measure.Answer{}
		if r.Calibrate {
			answer.Calibration = &measure.Calibration{Machine: m, At: time.Now(), Identity: measure.Here(r.Weft)}
		}
		if r.Kind != "" {
			w := r.Told
			w.Items, w.CPU = 7, 1
			answer.Workload, answer.Sample = &w, &measure.Sample{Counted: 7, Items: 7, Failed: 1, Error: "f: no"}
			answer.Advice, _ = advise.Pools(&m, &w) // it can be advised for
			answer.Checked = []measure.Checked{{Runs: 1, Seconds: 3.5}}
		}
		return answer, os.WriteFile(filepath.Join(r.Dir, "x"), nil, 0o600)
	}
	sample := `{"measure":{"kind":"sha256","spec":{"task":{}},"check":true},"workload":{"isolation":"crash"}}`
	for range 2 {
		got, err := a.advise(t.Context(), []byte(sample))
		if err != nil {
			t.Fatal(err)
		}
		if got.Choice != "process" || got.Sample.Items != 7 || got.Alternatives[0].Checked == nil || got.Alternatives[0].Checked.Ratio < 1.9 ||
			len(got.Notes) != 1 || got.Notes[0] != "1 of 7 items of the sample failed; the first: f: no" {
			t.Errorf("advice is %+v", got)
		}
	}
	if len(asked) != 2 || !asked[0].Calibrate || asked[1].Calibrate || asked[1].Machine == nil || !asked[1].Check ||
		asked[1].Told.Isolation != advise.Crash {
		t.Errorf("asked %+v", asked)
	}
	if _, err := os.Stat(filepath.Join(cfg.StateDir, measureName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
	a.ask = func(context.Context, measure.Request) (*measure.Answer, error) {
		return nil, &jobs.Fault{Code: "invalid", Message: "no such luck", Hint: "again"}
	}
	var e *api.Error
	if _, err := a.advise(t.Context(), []byte(sample)); !errors.As(err, &e) || *e != (api.Error{Code: "invalid", Message: "no such luck", Hint: "again"}) {
		t.Errorf("a fault is told as %v", err)
	}
	// Somebody else measures.
	a.turn <- struct{}{}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := a.advise(ctx, []byte(sample)); err == nil || err.Error() != "enough" {
		t.Errorf("two measure at once: %v", err)
	}
}
