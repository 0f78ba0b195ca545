package daemon

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weft/daemon/api"
	"weft/daemon/sched"
	"weft/daemon/store"
	"weft/gpu"
)

// scrape reads /metrics.
func (r *rig) scrape() string {
	r.t.Helper()
	status, text := r.do("GET", "/metrics", "")
	if status != 200 {
		r.t.Fatalf("scrape: %d %s", status, text)
	}
	return string(text)
}

func wantLines(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, line := range want {
		if !strings.Contains(text, "\n"+line+"\n") {
			name, _, _ := strings.Cut(line, "{")
			t.Errorf("no line %s; there is %q", line, regexp.MustCompile(`(?m)^`+name+`.*$`).FindAllString(text, -1))
		}
	}
}

// untilScrape waits until a scrape has a line: the owner shows devices by the
// clock.
func (r *rig) untilScrape(line string) string {
	r.t.Helper()
	for began := time.Now(); time.Since(began) < limit; {
		if text := r.scrape(); strings.Contains(text, "\n"+line+"\n") {
			return text
		}
	}
	r.t.Fatalf("no scrape has %s", line)
	return ""
}

func TestScrapeCountsWhatHappens(t *testing.T) {
	r := newRig(t, 2, func(r *rig) {
		r.dev.play = trains(3)
		r.dev.activity = gpu.Activity{BusySeconds: 4.5, Quanta: gpu.Histogram{Bounds: []float64{0.001, 0.01},
			Counts: []uint64{2, 4, 1}, Sum: 0.5}}
		r.sensors.host = func() api.Readings { return api.Readings{Utilization: num(0.25), Load1: num(2.0)} }
	})
	var last int64
	for range 3 {
		last = r.submit("")
		r.until(last, "succeeded")
	}
	r.submit(`,"hold":true`)
	r.submit(fmt.Sprintf(`,"at":"%s"`, time.Now().Add(time.Hour).Format(time.RFC3339)))
	r.do("GET", fmt.Sprintf("/v1/jobs/%d", last), "")
	r.do("GET", "/v1/jobs/99999", "")
	r.do("GET", "/nowhere/at/all", "")
	r.untilScrape(`weft_device_utilization_ratio{device="cpu"} 0.25`)
	r.untilScrape(`weft_device_state{device="cpu",state="ready"} 1`)
	text := r.untilScrape(`weft_queue_jobs{reason="not_before"} 1`)
	wantLines(t, text,
		`weft_jobs_submitted_total{kind="train"} 5`,
		`weft_jobs_ended_total{kind="train",state="succeeded"} 3`,
		`weft_jobs{kind="train",state="queued"} 2`,
		`weft_jobs{kind="train",state="running"} 0`,
		`weft_queue_jobs{reason="held"} 1`,
		`weft_queue_jobs{reason="unplanned"} 0`,
		`weft_queue_wait_seconds_count{kind="train"} 3`,
		`weft_job_running_seconds_count{kind="train"} 3`,
		`weft_jobs_steps_total{device="cpu"} 90`,
		`weft_jobs_device_seconds_total{device="cpu"} 4.5`,
		`weft_device_busy_seconds_total{device="cpu"} 4.5`,
		`weft_device_quantum_duration_seconds_bucket{device="cpu",le="0.01"} 6`,
		`weft_device_quantum_duration_seconds_count{device="cpu"} 7`,
		`weft_device_state{device="cpu",state="ready"} 1`,
		`weft_device_slots{device="cpu"} 2`,
		`weft_device_job_memory_bytes{device="cpu"} `+strconv.FormatFloat(1<<30, 'g', -1, 64),
		`weft_device_sensors{device="cpu",state="ok"} 1`,
		`weft_device_load_average{device="cpu",minutes="1"} 2`,
		`weft_worker_restarts_total{device="cpu"} 0`,
		`weft_watchdog_trips_total{loop="owner"} 0`,
		`weft_watchdog_trips_total{loop="device cpu"} 0`,
		`weft_store_writable 1`, `weft_store_failures_total 0`, `weft_draining 0`,
		`weft_http_requests_total{code="2xx",method="POST",route="/v1/jobs"} 5`,
		`weft_http_requests_total{code="2xx",method="GET",route="/v1/jobs/{id}"} 1`,
		`weft_http_requests_total{code="4xx",method="GET",route="/v1/jobs/{id}"} 1`,
		`weft_http_requests_total{code="4xx",method="GET",route="other"} 1`,
		`weft_http_requests_total{code="2xx",method="GET",route="/v1/events"} 3`,
		`weft_http_streams 0`)
	if strings.Contains(text, `weft_http_request_duration_seconds_count{method="GET",route="/v1/events"}`) {
		t.Error("streams have a duration")
	}
	if strings.Contains(text, "weft_device_power_watts") {
		t.Error("a CPU that does not tell its power has one")
	}
	for _, name := range []string{`weft_store_commit_duration_seconds_count{durability="synced"}`,
		`weft_store_size_bytes{file="database"}`, "weft_state_filesystem_size_bytes", "process_cpu_seconds_total",
		`weft_jobs_device_seconds_total{device="cpu"}`} {
		if v := valueOf(t, text, name); v <= 0 {
			t.Errorf("%s is %v", name, v)
		}
	}
}

// valueOf is a sample's value; -1 where there is none.
func valueOf(t *testing.T, text, name string) float64 {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(text)
	if found == nil {
		return -1
	}
	v, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A scrape is answered while the owner hangs, the sensors hang, a device hangs
// with its lock held, and the store is gone: that is when it is wanted most.
func TestScrapeWaitsForNobody(t *testing.T) {
	release, stuck := make(chan struct{}), make(chan struct{}, 2)
	r := newRig(t, 1, func(r *rig) {
		r.cfg.Log = quiet()
		reads := 0
		r.sensors.host = func() api.Readings {
			if reads++; reads > 1 {
				stuck <- struct{}{}
				<-release
			}
			return api.Readings{Utilization: num(0.25)}
		}
		r.dev.activity.BusySeconds = 3
	})
	id := r.submit("")
	if got := r.arrived(); got != id {
		t.Fatalf("job %d runs", got)
	}
	r.untilScrape(`weft_device_running_jobs{device="cpu"} 1`)
	<-stuck // the sensors
	r.d.owner.inbox.post(func() { stuck <- struct{}{}; <-release })
	<-stuck // the owner
	r.dev.mu.Lock()
	store := r.d.store
	defer func() {
		r.dev.mu.Unlock()
		close(release)
	}()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	wantLines(t, r.scrape(),
		`weft_device_busy_seconds_total{device="cpu"} 3`, // as last told
		`weft_device_utilization_ratio{device="cpu"} 0.25`,
		`weft_device_running_jobs{device="cpu"} 1`,
		`weft_jobs{kind="train",state="running"} 1`)
}

// A watchdog that finds a loop silent is seen, and so is how long.
func TestScrapeShowsLoopsThatHang(t *testing.T) {
	r := newRig(t, 1, func(r *rig) {
		r.cfg.Watchdog = 100 * time.Millisecond
		r.cfg.Log = quiet()
	})
	release := make(chan struct{})
	r.d.owner.inbox.post(func() { <-release })
	text := r.untilScrape(`weft_watchdog_trips_total{loop="owner"} 1`)
	close(release)
	if age := valueOf(t, text, `weft_loop_age_seconds{loop="owner"}`); age < 0.1 {
		t.Errorf("the owner has been silent for %v s", age)
	}
	r.untilScrape(`weft_loop_age_seconds{loop="device cpu"} 0`)
}

func TestScrapeShowsAFailingStore(t *testing.T) {
	r := newRig(t, 1, func(r *rig) { r.cfg.Log = quiet() })
	id := r.submit("")
	r.arrived()
	if err := r.d.store.Close(); err != nil {
		t.Fatal(err)
	}
	r.dev.emit(gpu.Started{Job: id})
	r.dev.emit(gpu.EpochEnded{Job: id, Epoch: 1, Step: 10})
	wantLines(t, r.untilScrape(`weft_store_writable 0`), `weft_jobs{kind="train",state="running"} 1`)
}

// bubbleScrape is a scrape of an owner without a daemon around it.
func (b *bubble) scrape() string {
	b.t.Helper()
	rec := httptest.NewRecorder()
	b.o.meter.Handler(quiet()).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	return rec.Body.String()
}

// What a job does again after a crash is work; where it goes on from is not.
func TestStepsAreCountedAsTheyAreTaken(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		id := b.submit()
		progress := func(step int64, seconds float64) {
			b.dev.emit(gpu.Progressed{Jobs: []gpu.Progress{{Job: id, Step: step, Steps: 1000, TrainLoss: 1,
				Spent: gpu.Spent{DeviceSeconds: seconds, CPUSeconds: seconds / 2}}}})
			b.settle()
		}
		b.dev.emit(gpu.Started{Job: id})
		progress(80, 1)
		b.pass(2 * reportEvery)
		wantLines(b.t, b.scrape(), `weft_jobs_steps_total{device="cpu"} 80`, `weft_jobs_device_seconds_total{device="cpu"} 1`)
		progress(100, 2)
		b.dev.emit(gpu.Checkpointed{Job: id, Step: 60})
		b.dev.crash("signal: killed")
		b.settle()
		wantLines(b.t, b.scrape(), `weft_jobs_steps_total{device="cpu"} 100`, `weft_jobs_requeued_total{kind="train"} 1`,
			`weft_worker_restarts_total{device="cpu"} 1`)
		b.pass(time.Minute) // it is started again, and has said nothing yet
		wantLines(b.t, b.scrape(), `weft_jobs_steps_total{device="cpu"} 100`)
		b.dev.emit(gpu.Started{Job: id, Step: 60})
		progress(90, 0.5)
		b.dev.emit(gpu.EpochEnded{Job: id, Epoch: 3, Step: 120})
		b.dev.emit(gpu.Finished{Job: id, Spent: gpu.Spent{DeviceSeconds: 0.75, CPUSeconds: 0.5}})
		b.settle()
		wantLines(b.t, b.scrape(), `weft_jobs_steps_total{device="cpu"} 160`,
			`weft_jobs_device_seconds_total{device="cpu"} 2.75`, `weft_jobs_cpu_seconds_total{device="cpu"} 1.5`,
			`weft_jobs_ended_total{kind="train",state="succeeded"} 1`, `weft_job_running_seconds_count{kind="train"} 1`,
			`weft_queue_wait_seconds_count{kind="train"} 2`)
	})
}

// Energy counts once the store has it: what it refuses comes again.
func TestEnergyIsCountedOnceItIsStored(t *testing.T) {
	m := newMeter()
	m.charged([]store.Report{{Device: "gpu0", EnergyJoules: num(40.0)}, {Device: "gpu0"}, {Device: "gpu0", EnergyJoules: num(2.5)}})
	rec := httptest.NewRecorder()
	m.Handler(quiet()).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	wantLines(t, rec.Body.String(), `weft_jobs_energy_joules_total{device="gpu0"} 42.5`)
}

// A reader that is cut off is counted, once.
func TestDroppedStreamsAreCounted(t *testing.T) {
	h := newHub(0)
	slow, _ := h.subscribe(everyKind)
	defer slow.close()
	burst := make([]api.Event, maxBacklog)
	for range 3 {
		h.publish(burst)
	}
	if n := h.dropped.Load(); n != 1 {
		t.Errorf("%d readers are dropped, not 1", n)
	}
}

// A device that does not answer is asked once, however often it is scraped.
func TestHangingDeviceIsAskedOnce(t *testing.T) {
	asked, answer := make(chan struct{}, 10), make(chan gpu.Activity)
	r := &recaller{ask: func() gpu.Activity { asked <- struct{}{}; return <-answer }}
	over, stop := context.WithCancel(t.Context())
	stop()
	for range 5 {
		if a := r.recall(over.Done()); a != nil {
			t.Fatalf("it answers %v", a)
		}
	}
	<-asked
	answer <- gpu.Activity{BusySeconds: 2}
	for began := time.Now(); ; { // the answer is on its way
		if a := r.recall(over.Done()); a != nil {
			if a.BusySeconds != 2 {
				t.Errorf("it answers %v", a)
			}
			break
		}
		if time.Since(began) > limit {
			t.Fatal("the answer does not come")
		}
	}
	if len(asked) > 1 {
		t.Errorf("it was asked %d times more", len(asked))
	}
	close(answer)
}

func TestDiskIsMeasured(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, storeName), make([]byte, 1234), 0o600); err != nil {
		t.Fatal(err)
	}
	d := lookAtDisk(dir)
	if d.DatabaseBytes != 1234 || d.WALBytes != -1 || d.SizeBytes <= 0 || d.FreeBytes < 0 || d.FreeBytes > d.SizeBytes {
		t.Errorf("%+v", d)
	}
	if d := lookAtDisk(filepath.Join(dir, "gone")); d.SizeBytes != -1 || d.FreeBytes != -1 || d.DatabaseBytes != -1 {
		t.Errorf("of nothing: %+v", d)
	}
}

// The documentation explains every value of the queue's label, and the alerts
// leave out none that does not exist.
func TestReasonsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	alerts, err := os.ReadFile("../docs/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `reason` in the queue .*$").Find(doc)
	all := append(slices.Clone(sched.Classes), loadingReason, unplannedReason)
	for _, class := range all {
		if !bytes.Contains(row, []byte("`"+class+"`")) {
			t.Errorf("docs/monitoring.md does not explain the reason %s", class)
		}
	}
	for _, name := range regexp.MustCompile("`(\\w+)`").FindAllSubmatch(row[len("| `reason`"):], -1) {
		if !slices.Contains(all, string(name[1])) {
			t.Errorf("docs/monitoring.md explains %s, which there is not", name[1])
		}
	}
	left := regexp.MustCompile(`reason!~"([^"]*)"`).FindSubmatch(alerts)
	for name := range strings.SplitSeq(string(left[1]), "|") {
		if !slices.Contains(all, name) {
			t.Errorf("alerts leave out the reason %s, which there is not", name)
		}
	}
	for _, kind := range api.Kinds {
		if !bytes.Contains(doc, []byte("`"+string(kind)+"`")) {
			t.Errorf("docs/monitoring.md does not name the kind %s", kind)
		}
	}
}

// BenchmarkScrape10000 is a whole scrape, over the socket, of a daemon with ten
// thousand jobs in its queue.
func BenchmarkScrape10000(b *testing.B) {
	r := newRig(b, 1)
	for range 10 {
		ok[api.Submitted](r, 201, "POST", "/v1/jobs", sweep(1000, ""))
	}
	r.untilScrape(`weft_queue_jobs{reason="unplanned"} 0`)
	b.ReportAllocs()
	for b.Loop() {
		status, body := r.do("GET", "/metrics", "")
		if status != 200 {
			b.Fatalf("%d %s", status, body)
		}
		b.SetBytes(int64(len(body)))
	}
}
