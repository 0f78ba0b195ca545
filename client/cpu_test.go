package client

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"weft/daemon/api"
)

// recordedCPU is what the recorded daemon knows of CPU jobs: what the items of a
// kind came to.
type recordedCPU struct {
	lines map[api.Kind]string // results, as the daemon sends them
	kind  map[string]any      // what only the kind has in its summary
}

// results answers GET /v1/jobs/{id}/results.
func (d *recordedCPU) results(w http.ResponseWriter, r *http.Request, j *api.Job) {
	if !isCPU(j.Kind) {
		problem(w, &api.Problem{Status: 409, Detail: fmt.Sprintf("job %d trains a model, and has no items", j.ID), Code: api.CodeWrongState})
		return
	}
	for line := range strings.Lines(d.lines[j.Kind]) {
		if r.URL.Query().Get("failed") != "true" || strings.Contains(line, `"ok":false`) {
			_, _ = fmt.Fprint(w, line) // the test sees what is missing
		}
	}
}

func (d *recordedCPU) counts(j *api.Job) (all, failed int) {
	return strings.Count(d.lines[j.Kind], "\n"), strings.Count(d.lines[j.Kind], `"ok":false`)
}

func (d *recordedCPU) summary(j *api.Job) *api.Summary {
	if !isCPU(j.Kind) || !j.State.Final() {
		return nil
	}
	all, failed := d.counts(j)
	return &api.Summary{Items: int64(all), OK: int64(all - failed), Failed: int64(failed), Bytes: 3 << 20, Seconds: 1.5,
		Pool: "goroutine", Workers: 2, Kind: d.kind}
}

// finish ends a job, as its results say.
func (d *recordedCPU) finish(j *api.Job) {
	all, failed := d.counts(j)
	j.StartedAt, j.FinishedAt, j.Device, j.Attempt, j.Reason = at(-10*time.Second), at(-2*time.Second), "pools", 1, ""
	j.State, j.Progress = api.Succeeded, api.Progress{Step: int64(all), Steps: int64(all)}
	j.Metrics = map[string]float64{"ok": float64(all - failed), "failed": float64(failed), "bytes": 3 << 20,
		"items_per_second": float64(all) / 1.5, "bytes_per_second": 2 << 20, "left_seconds": 0}
	j.Usage = api.Usage{WallSeconds: 1.5, DeviceSeconds: 2.5, CPUSeconds: 2.75}
	if failed > 0 {
		j.State = api.Failed
		j.Error = &api.Error{Code: api.CodeItemsFailed, Message: fmt.Sprintf("%d of %d items failed", failed, all),
			Hint: fmt.Sprintf("weft results %d --failed lists them", j.ID)}
	}
}

const hashed = `{"index":1,"item":"b\nc","ok":true,"bytes":3,"seconds":0.25,"attempts":1,"output":{"sha256":"aa11"}}
{"index":0,"item":"a","ok":true,"bytes":3,"seconds":0.25,"attempts":1,"output":{"sha256":"aa00","changed":true}}
{"index":3,"item":"gone","ok":false,"seconds":0,"attempts":1,"error":{"code":"not_found","message":"no such file","hint":"look at the name"}}
{"index":2,"item":"\ufffd","ok":true,"bytes":3,"seconds":0.25,"attempts":1,"output":{"sha256":"aa22","name_base64":"/w=="}}
`

const checked = `{"index":0,"item":"a","ok":true,"bytes":3,"seconds":0.25,"attempts":1,"output":{"sha256":"aa00"}}
{"index":1,"item":"b\nc","ok":false,"seconds":0.25,"attempts":1,"error":{"code":"mismatch","message":"the digest is another one"}}
{"index":2,"item":"gone","ok":false,"seconds":0,"attempts":1,"error":{"code":"not_found","message":"no such file"}}
{"index":3,"item":"lost","ok":false,"seconds":0,"attempts":1,"error":{"code":"not_found","message":"no such file"}}
{"index":4,"item":"notes.txt","ok":false,"seconds":0,"attempts":1,"error":{"code":"no_checksums","message":"no line of it is a SHA256 checksum"}}
`

const pictures = `{"index":0,"item":"a.png","ok":true,"bytes":300000,"seconds":0.25,"attempts":1,"output":{"bytes_in":300000,"bytes_out":41000,"encoder":"jpegn","format":"png","height":32,"output":"a.jpg","width":48}}
{"index":1,"item":"b.png","ok":false,"bytes":3,"seconds":0.01,"attempts":1,"error":{"code":"broken_image","message":"PNG: it ends in a chunk","hint":"copy it again"}}
`

const fetched = `{"index":0,"item":"https://example.com/a","ok":true,"bytes":300000,"seconds":0.25,"attempts":3,"output":{"status":200,"file":"a"}}
`

const decided = `{"index":0,"item":"97","ok":true,"seconds":0.0000012,"attempts":1,"output":{"prime":true}}
{"index":1,"item":"98","ok":true,"seconds":0.0000002,"attempts":1,"output":{"prime":false}}
{"index":2,"item":"1..131071","ok":true,"seconds":0.00032,"attempts":1,"output":{"primes":12251,"first":"2","last":"131071"}}
{"index":3,"item":"24..28","ok":true,"seconds":0.0032,"attempts":1,"output":{"primes":0}}
{"index":4,"item":"nine","ok":false,"seconds":0,"attempts":1,"error":{"code":"bad_number","message":"it is no number"}}
`

func withItems(kind api.Kind, lines string, only map[string]any) *recorded {
	d := newRecorded()
	d.cpu = recordedCPU{lines: map[api.Kind]string{kind: lines}, kind: only}
	return d
}

func TestCPUJobs(t *testing.T) {
	inDir(t, map[string]string{"a": "a", "urls.txt": "https://example.com/a\n"})
	session(t, "cpu-sha256", withItems(api.KindSHA256, hashed, map[string]any{"changed_while_read": 1}), "a\x00b\nc\x00",
		line("cpu sha256 a b gone --wait"), line("cpu sha256 a --tag --wait"), line("cpu sha256 a --zero --wait"),
		line("cpu sha256 -r . --out SUMS -f"), line("cpu sha256 --list - -0"), line("cpu sha256 a -o id"),
		line("results 8"), line("results 8 --failed"), line("results 8 -o jsonl"), line("results 8 --failed -o json"), line("results 8 -o wide"),
		line("show 8"), line("logs 8"), line("ls -a 8 9"), line("results 1"), line("results 99"), line("results"))
	session(t, "cpu-check", withItems(api.KindSHA256, checked, map[string]any{"verified": 1, "mismatched": 1, "malformed_lines": 2}), "",
		line("cpu sha256 --check SUMS --wait"), line("cpu sha256 -c SUMS --quiet --wait"), line("results 8"))
	session(t, "cpu-jpeg", withItems(api.KindJPEG, pictures, map[string]any{"bytes_out": 41000, "skipped": 0,
		"encoders": map[string]any{"jpegn": 1}}), "",
		line("cpu jpeg -r . --to out --max-width 100 --wait"), line("results 8"), line("results 8 --failed"), line("show 8"))
	session(t, "cpu-fetch", withItems(api.KindFetch, fetched, map[string]any{"status": map[string]any{"200": 1}}), "# a comment\nhttps://example.com/a\r\n",
		line("cpu fetch --list - --rate 20 -f"), line("cpu fetch https://example.com/a --discard --wait"), line("results 8"))
	session(t, "cpu-primes", withItems(api.KindPrimes, decided, map[string]any{"primes": 12252}), "97 98",
		line("cpu primes 97 98 1..131071 24..28 nine --wait"), line("cpu primes --file - -f"), line("results 8 --failed"))
	session(t, "cpu-dry-run", newRecorded(), "", line("cpu sha256 a -n"), line("cpu primes 1..10 --dry-run -o json"),
		line("cpu jpeg a --dry-run -o id"))
}

// What is submitted is what the daemon's kinds read, in full.
func TestCPUSpecifications(t *testing.T) {
	inDir(t, nil)
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	files := fmt.Sprintf(`"files":{"dir":%q,`, dir)
	for _, c := range []struct{ args, kind, spec string }{
		{"cpu sha256 a --pool process -j 3 --item-retries 0 --item-timeout 2s", "sha256",
			`{"pool":"process","workers":3,"item_retries":-1,"item_timeout_seconds":2,"task":{` + files + `"paths":["a"]}}}`},
		{"cpu sha256 -r a --hidden --follow-links --glob *.iso --list l -0 --out S --tag -z --special", "sha256",
			`{"pool":"auto","task":{` + files + `"paths":["a"],"globs":["*.iso"],"lists":["l"],"zero":true,"recursive":true,"follow":true,"hidden":true},` +
				`"special":true,"output":"` + dir + `/S","zero":true,"tag":true}}`},
		{"cpu sha256 -c a --ignore-missing --strict --quiet", "sha256", `{"pool":"auto","task":{` + files +
			`"paths":["a"]},"check":true,"quiet":true,"ignore_missing":true,"strict":true}}`},
		{"cpu sha256 \xff", "sha256", `{"pool":"auto","task":{` + files + `"paths":[{"bytes":"/w=="}]}}}`},
		{"cpu jpeg a -q 92 --subsampling 4:4:4 --encoder jpegn --max-width 5 --max-height 6 --background #000000 --max-pixels 7 --keep-time --existing refuse --force --to out",
			"jpeg", `{"pool":"auto","task":{` + files + `"paths":["a"]},"output":"` + dir + `/out","quality":92,"subsampling":"4:4:4","encoder":"jpegn",` +
				`"max_width":5,"max_height":6,"background":"#000000","max_pixels":7,"keep_time":true,"existing":"refuse","force":true}}`},
		{"cpu fetch http://a/b --list l --to out --as {host}/{path} --existing update --rate 2.5 --burst 3 --host-rate 1 --concurrency 4 --host-concurrency 2 " +
			"--user-agent me --connect-timeout 1s --idle-timeout 2s --total-timeout 3s --max-size 1KiB --max-redirects 0 --keep-partial --allow-private",
			"fetch", `{"pool":"auto","task":{"urls":["http://a/b"],"lists":["` + dir + `/l"],"to":"` + dir + `/out","name":"{host}/{path}","existing":"update",` +
				`"user_agent":"me","rate":2.5,"burst":3,"host_rate":1,"concurrency":4,"host_concurrency":2,"connect_timeout":1,"idle_timeout":2,` +
				`"total_timeout":3,"max_bytes":1024,"max_redirects":-1,"keep_partial":true,"allow_private":true}}`},
		{"cpu fetch http://a/b --head", "fetch", `{"pool":"auto","task":{"urls":["http://a/b"],"method":"HEAD"}}`},
		{"cpu primes 97 1..5 --file n.txt --each", "primes",
			`{"pool":"auto","task":{"numbers":["97","1..5"],` + files + `"paths":["n.txt"]},"list":true}}`},
		{"cpu primes 97 --first", "primes", `{"pool":"auto","task":{"numbers":["97"],"first":true}}`},
	} {
		d := newRecorded()
		got := weft(t.Context(), d.listen(t), "", line(c.args)...)
		want := fmt.Sprintf(`[{"kind":%q,"spec":%s}]`, c.kind, c.spec)
		if len(d.posts) != 1 || d.posts[0] != want {
			t.Errorf("weft %s:\n%s\n%s\nwant\n%s", c.args, got, d.posts, want)
		}
	}
}

func TestCPUErrors(t *testing.T) {
	inDir(t, nil)
	session(t, "cpu-errors", newRecorded(), "",
		line("cpu sha256"), line("cpu sha256 -"), line("cpu sha256 --check -"), line("cpu sha256 a --pool threads"), line("cpu sha256 a -j -1"),
		line("cpu sha256 a --item-timeout -1s"), line("cpu sha256 a --hidden"), line("cpu sha256 a -0"), line("cpu sha256 a -1"), line("cpu sha256 a --quiet"),
		line("cpu sha256 -c a --tag"), line("cpu sha256 a --recursiv"), line("cpu jpeg a -q 0"), line("cpu jpeg"), line("cpu fetch"),
		line("cpu fetch http://a --max-size big"), line("cpu fetch http://a --header Accept"), line("cpu fetch http://a --discard --to x"),
		line("cpu primes"), line("cpu primes 5 --first --each"), line("cpu md5 a"), line("cpu"))
	d := newRecorded()
	d.refuse = &api.Problem{Status: 422, Detail: "2 faults", Code: api.CodeInvalid, Errors: []api.FieldError{
		{Location: "/0/spec/task/max_bytes", Message: "-1 is not between 0 and 10"}, {Location: "/0/after/0", Message: "no job 99", Hint: "weft ls -a"},
		{Location: "/0/spec/task", Message: "no such template", Hint: "{base}"}, {Location: "/0/spec/workers", Message: "too many"}}}
	session(t, "cpu-refused", d, "", line("cpu fetch http://a"))
	session(t, "cpu-none", nil, "", line("cpu sha256 a -H unix:///no/such/socket"))
}

func TestCPUCompletion(t *testing.T) {
	session(t, "cpu-completion", newRecorded(), "", append(line("__complete cpu"), ""), line("__complete cpu p"),
		line("__complete cpu sha256 --re"), append(line("__complete cpu jpeg --pool"), ""), append(line("__complete cpu jpeg --encoder"), ""),
		append(line("__complete cpu jpeg --subsampling"), ""), append(line("__complete cpu fetch --existing"), ""), append(line("__complete results"), ""))
}

// A CPU job that is watched in lines says how far it is from time to time.
func TestCPUProgressLines(t *testing.T) {
	now := moment
	var b strings.Builder
	l := &lines{w: &b, now: func() time.Time { return now }}
	j := &api.Job{ID: 3, Name: "x", Kind: api.KindSHA256, State: api.Running, Device: "pools", Progress: api.Progress{Step: 10},
		Metrics: map[string]float64{"items_per_second": 2.5, "bytes_per_second": 3 << 20, "failed": 1, "left_seconds": 0}}
	l.begin([]*api.Job{j})
	for range 3 {
		now = now.Add(2 * time.Second)
		l.changed(j)
	}
	j.Progress.Steps, j.Metrics["left_seconds"], now = 40, 12, now.Add(time.Minute)
	l.changed(j)
	want := "3 x running on pools\n3 x 10 2.50/s, 3.0 MiB/s, 1 failed\n3 x 10/40 2.50/s, 3.0 MiB/s, 1 failed, 12.0s left\n"
	if b.String() != want {
		t.Errorf("lines are\n%swant\n%s", &b, want)
	}
	v := newBars(globals{width: 100, height: 10}, func() time.Time { return now })
	if _, cmd := v.Update(jobMsg(*j)); cmd != nil || !strings.Contains(v.render(), " 10/40 2.50/s, 3.0 MiB/s, 1 failed, 12.0s left") {
		t.Errorf("bar is %q", v.render())
	}
}

// The device of CPU jobs is no hardware: tables leave it out, JSON has it, and what
// is wrong with it is told.
func TestGPULeavesPoolsOut(t *testing.T) {
	d := newRecorded()
	d.devices = []api.Device{{ID: "pools", Kind: "pools", Name: "CPU jobs", State: api.DeviceRestarting, Message: "exit status 2"},
		{ID: "cpu", Kind: "cpu", Name: "test", State: api.DeviceReady}}
	session(t, "gpu-pools", d, "", line("gpu"), line("gpu -o jsonl"))
}
