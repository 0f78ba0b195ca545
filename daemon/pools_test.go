package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weft/cpuwork/batch"
	"weft/cpuwork/jobs"
	"weft/daemon/api"
	"weft/gpu"
	"weft/gpu/train"
)

// withPools gives a rig a device for CPU jobs, of that many slots.
func withPools(slots int) (*memDevice, func(*rig)) {
	d := newMemDevice("pools", slots)
	return d, func(r *rig) { r.gpus = append(r.gpus, d) }
}

const hashSpec = `{"task":{"files":{"dir":"/data","paths":["a"]}}}`

func hashSub(extra string) string { return `{"kind":"sha256","spec":` + hashSpec + extra + `}` }

func (r *rig) submitHash(extra string) int64 {
	r.t.Helper()
	return ok[api.Submitted](r, 201, "POST", "/v1/jobs", hashSub(extra)).Jobs[0].ID
}

// arrives waits for a job on a device.
func arrives(t *testing.T, d *memDevice) gpu.Job {
	t.Helper()
	select {
	case job := <-d.arrivals:
		return job
	case <-time.After(limit):
		t.Fatalf("no job starts on %s", d.id)
		return gpu.Job{}
	}
}

// What is wrong with a CPU job's specification is said where it is.
func TestCPUSubmissionFaults(t *testing.T) {
	_, pools := withPools(1)
	r := newRig(t, 1, pools)
	for _, c := range []struct{ body, location, message, hint string }{
		{`{"kind":"sha1","spec":{}}`, "/kind", `"sha1"`, "sha256"},
		{`{"kind":"sha256"}`, "/spec", "", ""},
		{`{"kind":"sha256","spec":{"pool":"threads","task":{}}}`, "/spec/pool", `there is no pool "threads"`, "goroutine"},
		{`[{"kind":"sha256","spec":` + hashSpec + `},{"kind":"primes","spec":{"task":{}}}]`, "/1/spec/task", "no numbers given", "weft cpu primes"},
		{`{"kind":"fetch","spec":{"task":{"urls":["http://a"],"discard":true,"rate":-1}}}`, "/spec/task/rate", "-1 is not between", ""},
		{`{"kind":"jpeg","spec":{"workers":5000,"task":{"files":{"paths":["a"]}}}}`, "/spec/workers", "5000 workers", ""},
	} {
		p := ok[api.Problem](r, 422, "POST", "/v1/jobs", c.body)
		if len(p.Errors) != 1 || !strings.HasSuffix(p.Errors[0].Location, c.location) ||
			!strings.Contains(p.Errors[0].Message, c.message) || !strings.Contains(p.Errors[0].Hint, c.hint) {
			t.Errorf("%s: %+v", c.body, p)
		}
	}
	p := ok[api.Problem](r, 422, "POST", "/v1/jobs", `{"kind":"jpeg","spec":{"workers":1000,"task":{"files":{"paths":["a"]}}}}`)
	if p.Code != api.CodeTooLarge || p.Hint != "take fewer workers than 1000" {
		t.Errorf("too many workers: %+v", p)
	}
	if list := ok[api.JobList](r, 200, "GET", "/v1/jobs", ""); len(list.Jobs) != 0 {
		t.Errorf("%d jobs", len(list.Jobs))
	}
	runs := ok[[]api.DryRun](r, 200, "POST", "/v1/jobs?dry_run=true", `{"kind":"sha256","spec":{"workers":3,"task":{"files":{"paths":["a"]}}}}`)
	if len(runs) != 1 || runs[0].Name != "sha256 a" || runs[0].Device != "pools" || runs[0].Pool != "goroutine" || runs[0].Workers != 3 ||
		runs[0].MemoryBytes < 48<<20 {
		t.Errorf("dry run is %+v", runs)
	}
}

// CPU jobs run on pools and nowhere else, and training jobs never there, whatever
// is free; a list can be of one kind.
func TestCPUJobsHaveTheirDevice(t *testing.T) {
	dev, pools := withPools(1)
	r := newRig(t, 1, pools)
	hash, training := []int64{r.submitHash(""), r.submitHash("")}, []int64{r.submit(""), r.submit("")}
	if a, b := arrives(t, dev), arrives(t, r.dev); a.ID != hash[0] || b.ID != training[0] || a.Spec != nil {
		t.Fatalf("job %d runs on pools, %d on cpu", a.ID, b.ID)
	}
	dev.emit(gpu.Started{Job: hash[0]})
	r.until(hash[0], "started")
	// The other device has nothing to do, and does not help.
	r.dev.emit(gpu.Finished{Job: training[0]})
	if b := arrives(t, r.dev); b.ID != training[1] {
		t.Fatalf("job %d follows on cpu", b.ID)
	}
	if j := r.job(hash[1]); j.State != api.Queued || j.Reason == "" {
		t.Errorf("the job that waits is %s: %q", j.State, j.Reason)
	}
	r.dev.emit(gpu.Finished{Job: training[1]})
	r.until(training[1], "succeeded")
	if n := r.dev.starts(); n != 2 {
		t.Errorf("%d jobs started on cpu", n)
	}
	for query, want := range map[string][]int64{"kind=sha256": hash, "kind=train": training, "kind=jpeg": nil} {
		list := ok[api.JobList](r, 200, "GET", "/v1/jobs?"+query, "")
		var ids []int64
		for _, j := range list.Jobs {
			ids = append(ids, j.ID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("%s: %v, want %v", query, ids, want)
		}
	}
	if p := ok[api.Problem](r, 422, "POST", "/v1/jobs", strings.Replace(sub(""), `"name":"iris"`, `"name":"iris","device":"pools"`, 1)); p.Code != api.CodeInvalid {
		t.Errorf("a training job that wants pools: %+v", p)
	}
}

// Jobs of different kinds wait for each other, and a higher priority takes a
// lower one's slot; the job that made room goes on from its journal.
func TestCPUJobsInTheQueue(t *testing.T) {
	dev, pools := withPools(1)
	r := newRig(t, 1, pools)
	training := r.submit("")
	chained := r.submitHash(fmt.Sprintf(`,"after":[%d]`, training))
	third := ok[api.Submitted](r, 201, "POST", "/v1/jobs", sub(fmt.Sprintf(`,"after":[%d]`, chained))).Jobs[0].ID
	arrives(t, r.dev)
	r.dev.emit(gpu.Finished{Job: training})
	if j := arrives(t, dev); j.ID != chained || !j.Restart {
		t.Fatalf("%+v follows", j)
	}
	dev.emit(gpu.Started{Job: chained})
	dev.emit(gpu.Checkpointed{Job: chained})
	urgent := r.submitHash(`,"priority":5`)
	if j := arrives(t, dev); j.ID != urgent {
		t.Fatalf("job %d takes the slot", j.ID)
	}
	dev.emit(gpu.Finished{Job: urgent})
	if j := arrives(t, dev); j.ID != chained || j.Restart {
		t.Fatalf("%+v goes on", j)
	}
	dev.emit(gpu.Finished{Job: chained})
	if j := arrives(t, r.dev); j.ID != third {
		t.Fatalf("job %d comes last", j.ID)
	}
	for _, e := range r.job(chained).Events {
		if e.Type == "checkpoint" && e.Message != "its journal, with 0 items done" && e.Message != "its journal, with 7 items done" {
			t.Errorf("checkpoint %q", e.Message)
		}
	}
}

const someResults = `{"index":0,"item":"a","ok":true,"bytes":3,"seconds":0.1,"attempts":1,"output":{"sha256":"00"}}
{"index":2,"item":"c\nd","ok":false,"seconds":0,"attempts":1,"error":{"code":"not_found","message":"no such file"}}
`

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestResultsEndpoint(t *testing.T) {
	dev, pools := withPools(1)
	r := newRig(t, 1, pools)
	id := r.submitHash(`,"hold":true`)
	path := fmt.Sprintf("/v1/jobs/%d/results", id)
	results := func(query string) string {
		t.Helper()
		status, body := r.do("GET", path+query, "")
		if status != 200 {
			t.Fatalf("%s: %d %s", query, status, body)
		}
		return string(body)
	}
	if got := results(""); got != "" {
		t.Errorf("before it began: %q", got)
	}
	r.act(id, "release")
	job := arrives(t, dev)
	dev.emit(gpu.Started{Job: id})
	dev.emit(gpu.Checkpointed{Job: id})
	r.until(id, "checkpoint")
	if got := results(""); got != "" {
		t.Errorf("before its first item: %q", got)
	}
	// The last line is on its way into the file.
	write(t, filepath.Join(job.Dir, jobs.ResultsFile), someResults+`{"index":1,"it`)
	if got := results(""); got != someResults {
		t.Errorf("while it runs: %q", got)
	}
	_, second, _ := strings.Cut(someResults, "\n")
	if got := results("?failed=true"); got != second {
		t.Errorf("failed ones: %q", got)
	}
	if j := r.job(id); j.Summary != nil {
		t.Errorf("a job that runs has a summary: %+v", j.Summary)
	}
	write(t, filepath.Join(job.Dir, jobs.ResultsFile), someResults)
	write(t, filepath.Join(job.Dir, jobs.SummaryFile), `{"items":2,"ok":1,"failed":1,"pool":"goroutine","workers":2,"kind":{"x":3}}`)
	dev.emit(gpu.Failed{Job: id, Fault: train.Fault{Code: "items_failed", Message: "1 of 2 items failed"}})
	r.until(id, "failed")
	if s := r.job(id).Summary; s == nil || s.Items != 2 || s.Workers != 2 || s.Kind["x"] != 3.0 {
		t.Errorf("summary is %+v", s)
	}
	status, text := r.do("GET", fmt.Sprintf("/v1/jobs/%d/logs", id), "")
	want := "item failed: c\\nd: no such file (not_found)\nfailed: 1 of 2 items failed\n"
	if status != 200 || !strings.HasSuffix(string(text), want) {
		t.Errorf("log is %d %q", status, text)
	}
	// A retry begins again: nothing of the attempt before counts.
	r.act(id, "retry")
	if got := results(""); got != "" {
		t.Errorf("after a retry: %q", got)
	}
	if again := arrives(t, dev); !again.Restart || again.Dir != job.Dir {
		t.Errorf("retried as %+v", again)
	}
	training := r.submit(`,"hold":true`)
	p := ok[api.Problem](r, 409, "GET", fmt.Sprintf("/v1/jobs/%d/results", training), "")
	if p.Code != api.CodeWrongState || !strings.Contains(p.Detail, "trains a model") {
		t.Errorf("a training job: %+v", p)
	}
	p = ok[api.Problem](r, 409, "GET", fmt.Sprintf("/v1/jobs/%d/model", id), "")
	if p.Code != api.CodeWrongState || !strings.Contains(p.Hint, "weft results") {
		t.Errorf("a model of a CPU job: %+v", p)
	}
	if p := ok[api.Problem](r, 404, "GET", "/v1/jobs/999/results", ""); p.Code != api.CodeNotFound {
		t.Errorf("no such job: %+v", p)
	}
}

// A log that is followed tells failures as they come, each once.
func TestLogOfCPUJobIsFollowed(t *testing.T) {
	dev, pools := withPools(1)
	r := newRig(t, 1, pools)
	id := r.submitHash("")
	job := arrives(t, dev)
	dev.emit(gpu.Started{Job: id})
	dev.emit(gpu.Checkpointed{Job: id})
	r.until(id, "checkpoint")
	resp, err := r.client.Get(fmt.Sprintf("http://weft/v1/jobs/%d/logs?follow=true", id))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := make(chan string, 100)
	go func() { // ends with the body
		defer close(lines)
		buf := make([]byte, 4096)
		for {
			n, err := resp.Body.Read(buf)
			for line := range strings.Lines(string(buf[:n])) {
				lines <- strings.TrimSpace(line)
			}
			if err != nil {
				return
			}
		}
	}()
	await := func(want string) {
		t.Helper()
		timeout := time.After(limit)
		for {
			select {
			case line, open := <-lines:
				if line == want {
					return
				}
				if !open {
					t.Fatalf("the log ends without %q", want)
				}
			case <-timeout:
				t.Fatalf("no line %q", want)
			}
		}
	}
	await("checkpoint: its journal, with 0 items done")
	write(t, filepath.Join(job.Dir, jobs.ResultsFile), someResults)
	dev.emit(gpu.Progressed{Jobs: []gpu.Progress{{Job: id, Step: 2, Steps: 3, Metrics: map[string]float64{"failed": 1}}}})
	await(`item failed: c\nd: no such file (not_found)`)
	dev.emit(gpu.Finished{Job: id})
	select {
	case line := <-lines:
		if line != "succeeded" {
			t.Errorf("the last line is %q", line)
		}
	case <-time.After(limit):
		t.Error("the log does not end")
	}
	for line := range lines {
		t.Errorf("and then %q", line)
	}
}

// What the runner tells arrives in the owner's words, and workers' seconds of jobs
// that have left stay counted.
func TestPoolDeviceTranslates(t *testing.T) {
	d := &poolDevice{events: make(chan gpu.Event, 16), jobs: map[int64]jobs.Progress{}}
	p := jobs.Progress{ID: 4, Items: -1, Done: 3, Failed: 1, Bytes: 10, LeftSeconds: 2, Spent: jobs.Spent{CPUSeconds: 2}}
	d.on(jobs.Progressed{Jobs: []jobs.Progress{p}})
	got := (<-d.events).(gpu.Progressed).Jobs[0]
	if got.Step != 3 || got.Steps != 0 || got.DeviceSeconds != 2 || got.CPUSeconds != 2 || got.Metrics["ok"] != 2 || got.Metrics["left_seconds"] != 2 {
		t.Errorf("progress is %+v", got)
	}
	if a := d.Activity(); a.BusySeconds != 2 {
		t.Errorf("busy %v s", a.BusySeconds)
	}
	p.Done, p.Items, p.CPUSeconds = 4, 4, 2.5
	d.on(jobs.Finished{Job: 4, Progress: p, Summary: batch.Summary{Items: 4, OK: 3, Failed: 1, FirstFailed: []batch.Line{{Item: "x"}}}})
	<-d.events
	if f, failed := (<-d.events).(gpu.Failed); !failed || f.Fault.Code != string(api.CodeItemsFailed) || f.Fault.Message != "1 of 4 items failed" ||
		f.DeviceSeconds != 2.5 {
		t.Errorf("it ended with %+v", f)
	}
	if a := d.Activity(); a.BusySeconds != 2.5 {
		t.Errorf("busy %v s after its end", a.BusySeconds)
	}
	for killed, suspects := range map[bool][]int64{true: nil, false: {4}} {
		d.on(jobs.Down{Lost: []int64{4}, Killed: killed, Evidence: "x"})
		if down := (<-d.events).(gpu.Down); !slices.Equal(down.Suspects, suspects) || !slices.Equal(down.Lost, []int64{4}) {
			t.Errorf("killed by somebody %t: %+v", killed, down)
		}
	}
}
