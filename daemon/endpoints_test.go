package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weft/daemon/api"
	"weft/gpu"
)

func TestDrainQueuesJobsAgain(t *testing.T) {
	cfg := testConfig(t)
	r := newRig(t, 1, func(r *rig) { r.cfg = cfg })
	a, b := r.submit(""), r.submit("")
	r.arrived()
	r.dev.emit(gpu.Started{Job: a})
	r.until(a, "started")
	r.restart()
	r.arrived()
	if j := r.job(a); j.State != api.Running || j.Attempt != 1 {
		t.Errorf("the job that ran is %s, attempt %d", j.State, j.Attempt)
	}
	if j := r.job(b); j.State != api.Queued {
		t.Errorf("the job that waited is %s", j.State)
	}
	var words []string
	for _, e := range r.job(a).Events {
		words = append(words, e.Type+" "+e.Message)
	}
	want := "submitted |started on cpu|checkpoint step 7|" +
		"requeued the daemon is stopping; the job goes on when it runs again|" +
		"started on cpu, from its checkpoint"
	if got := strings.Join(words, "|"); got != want {
		t.Errorf("history is\n%s\nwant\n%s", got, want)
	}
}

func TestIdempotencyKey(t *testing.T) {
	r := newRig(t, 1)
	body := "[" + sub(`,"hold":true`) + "," + sub(`,"hold":true`) + "]"
	first := ok[api.Submitted](r, 201, "POST", "/v1/jobs", body, "Idempotency-Key", "k1")
	again := ok[api.Submitted](r, 201, "POST", "/v1/jobs", body, "Idempotency-Key", "k1")
	if len(again.Jobs) != 2 || again.Jobs[0].ID != first.Jobs[0].ID || again.Jobs[1].ID != first.Jobs[1].ID {
		t.Errorf("the same request answers\n%+v\nthen\n%+v", first, again)
	}
	p := ok[api.Problem](r, 422, "POST", "/v1/jobs", sub(""), "Idempotency-Key", "k1")
	if p.Code != api.CodeInvalid || !strings.Contains(p.Detail, "idempotency key") {
		t.Errorf("another request with the same key: %+v", p)
	}
	if list := ok[api.JobList](r, 200, "GET", "/v1/jobs", ""); len(list.Jobs) != 2 {
		t.Errorf("%d jobs", len(list.Jobs))
	}
}

func TestSystemEndpoints(t *testing.T) {
	r := newRig(t, 3, func(r *rig) { r.dev.play = trains(1) })
	id := r.submit("")
	r.until(id, "succeeded")
	if h := ok[api.Health](r, 200, "GET", "/healthz", ""); h.Status != api.CheckOK || len(h.Checks) != 4 {
		t.Errorf("health is %+v", h)
	}
	if h := ok[api.Health](r, 200, "GET", "/readyz", ""); h.Status != api.CheckOK {
		t.Errorf("readiness is %+v", h)
	}
	devices := ok[[]api.Device](r, 200, "GET", "/v1/devices", "")
	if len(devices) != 1 || devices[0].State != "ready" || devices[0].Slots != 3 || devices[0].FreeBytes != 1<<30 {
		t.Errorf("devices are %+v", devices)
	}
	v := ok[api.Version](r, 200, "GET", "/v1/version", "")
	if v.PID != os.Getpid() || v.StateDir != r.cfg.StateDir || v.StartedAt.IsZero() {
		t.Errorf("version is %+v", v)
	}
	if d := ok[api.Doctor](r, 200, "GET", "/v1/doctor", ""); len(d.Checks) < 6 {
		t.Errorf("doctor found %+v", d)
	}
	if schema := ok[map[string]any](r, 200, "GET", "/v1/specification", ""); schema["$schema"] == nil {
		t.Error("no schema")
	}
	_, text := r.do("GET", "/metrics", "")
	for _, line := range []string{
		`weft_jobs{kind="train",state="queued"} 0`, `weft_jobs_ended_total{kind="train",state="succeeded"} 1`,
		`weft_queue_wait_seconds_count{kind="train"} 1`,
	} {
		if !strings.Contains(string(text), line+"\n") {
			t.Errorf("/metrics has no line %s", line)
		}
	}
	runs := ok[[]api.DryRun](r, 200, "POST", "/v1/jobs?dry_run=true", sub(""))
	if len(runs) != 1 || runs[0].Parameters != 4*8+8+8*3+3 || runs[0].Steps == 0 || runs[0].Device != "cpu" ||
		runs[0].EstimatedSeconds <= 0 {
		t.Errorf("dry run is %+v", runs)
	}
	if list := ok[api.JobList](r, 200, "GET", "/v1/jobs", ""); len(list.Jobs) != 1 {
		t.Errorf("a dry run makes a job: %d", len(list.Jobs))
	}
	file := filepath.Join(r.cfg.StateDir, "rows.csv")
	if err := os.WriteFile(file, []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/v1/jobs/%d/predict", id)
	status, csv := r.do("POST", path, fmt.Sprintf(`{"data":%q}`, file))
	if status != 200 || string(csv) != "prediction\nmodel of iris\n" {
		t.Errorf("prediction: %d %q", status, csv)
	}
	if p := ok[api.Problem](r, 404, "POST", path, `{"data":"/nowhere"}`); p.Detail != "no file /nowhere" {
		t.Errorf("problem is %+v", p)
	}
}

func TestPatch(t *testing.T) {
	r := newRig(t, 1)
	id := r.submit(`,"hold":true,"labels":{"a":"1","b":"2"}`)
	j := ok[api.Job](r, 200, "PATCH", fmt.Sprintf("/v1/jobs/%d", id), `{"priority":7,"labels":{"a":null,"c":"3"}}`)
	if j.Priority != 7 || len(j.Labels) != 2 || j.Labels["b"] != "2" || j.Labels["c"] != "3" {
		t.Errorf("job is %+v", j)
	}
	for query, want := range map[string]int{
		"label=b%3D2": 1, "label=b%3D2&label=c%3D3": 1, "label=a%3D1": 0, "owner=nobody": 0, "name=iris": 1,
		"state=queued": 1, "state=running&state=queued": 1, "state=failed": 0, "kind=train": 1,
		fmt.Sprintf("id=%d&id=999", id): 1, "id=999": 0,
	} {
		if list := ok[api.JobList](r, 200, "GET", "/v1/jobs?"+query, ""); len(list.Jobs) != want {
			t.Errorf("%s: %d jobs, want %d", query, len(list.Jobs), want)
		}
	}
}
