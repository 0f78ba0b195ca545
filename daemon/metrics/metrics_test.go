package metrics

import (
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"pgregory.net/rapid"

	"weft/daemon/api"
)

func TestScrapeTellsEverything(t *testing.T) {
	text := scrape(t, newFixture().watched())
	for _, want := range []string{
		`weft_build_info{commit="abc",go_version="go1.26",version="v1.2.3"} 1`,
		`weft_jobs{kind="train",state="queued"} 2`,
		`weft_jobs{kind="train",state="paused"} 0`,
		`weft_jobs{kind="later",state="running"} 1`,
		`weft_jobs{kind="sha256",state="queued"} 0`,
		`weft_queue_jobs{reason="held"} 1`,
		`weft_queue_jobs{reason="slots"} 0`,
		`weft_jobs_submitted_total{kind="train"} 1`,
		`weft_jobs_requeued_total{kind="train"} 1`,
		`weft_jobs_ended_total{kind="train",state="failed"} 1`,
		`weft_jobs_ended_total{kind="train",state="succeeded"} 0`,
		`weft_queue_wait_seconds_bucket{kind="train",le="0.016"} 0`,
		`weft_queue_wait_seconds_bucket{kind="train",le="0.064"} 1`,
		`weft_job_running_seconds_sum{kind="train"} 1.5`,
		`weft_jobs_steps_total{device="gpu0"} 12`,
		`weft_jobs_device_seconds_total{device="gpu0"} 3`,
		`weft_jobs_cpu_seconds_total{device="gpu0"} 2`,
		`weft_jobs_energy_joules_total{device="gpu0"} 400`,
		`weft_worker_restarts_total{device="gpu0"} 1`,
		`weft_watchdog_trips_total{loop="owner"} 1`,
		`weft_watchdog_trips_total{loop="accept"} 0`,
		`weft_loop_age_seconds{loop="accept"} 3`,
		`weft_http_requests_total{code="2xx",method="GET",route="/jobs/{id}"} 1`,
		`weft_http_request_duration_seconds_count{method="GET",route="/jobs/{id}"} 1`,
		`weft_http_requests_in_flight 0`,
		`weft_http_streams_dropped_total 6`,
		`weft_store_commit_duration_seconds_count{durability="written"} 1`,
		`weft_store_failures_total 1`,
		`weft_store_writable 1`,
		`weft_draining 0`,
		`weft_store_size_bytes{file="database"} 10`,
		`weft_store_size_bytes{file="wal"} 20`,
		`weft_state_filesystem_free_bytes 30`,
		`weft_state_filesystem_size_bytes 40`,
		`weft_device_info{device="gpu0",kind="gpu",name="H200"} 1`,
		`weft_device_state{device="gpu0",state="ready"} 1`,
		`weft_device_state{device="gpu0",state="restarting"} 0`,
		`weft_device_running_jobs{device="gpu0"} 3`,
		`weft_device_job_memory_bytes{device="gpu0"} 100`,
		`weft_device_job_memory_reserved_bytes{device="gpu0"} 40`,
		`weft_device_busy_seconds_total{device="gpu0"} 7`,
		`weft_device_quantum_duration_seconds_bucket{device="gpu0",le="0.001"} 5`,
		`weft_device_quantum_duration_seconds_bucket{device="gpu0",le="0.01"} 8`,
		`weft_device_quantum_duration_seconds_bucket{device="gpu0",le="+Inf"} 9`,
		`weft_device_quantum_duration_seconds_count{device="gpu0"} 9`,
		`weft_device_quantum_duration_seconds_sum{device="gpu0"} 0.25`,
		`weft_device_sensors{device="gpu0",state="ok"} 1`,
		`weft_device_sensors{device="gpu0",state="stale"} 0`,
		`weft_device_last_xid{device="gpu0"} 79`,
		`weft_device_clock_hertz{clock="sm",device="gpu0"} 0`,
		`weft_device_load_average{device="gpu0",minutes="15"} 0`,
		`weft_device_throttled{device="gpu0",reason="power_cap"} 1`,
		`weft_device_throttled{device="gpu0",reason="other"} 1`,
		`weft_device_throttled{device="gpu0",reason="gpu_idle"} 0`,
		`weft_device_processes{device="gpu0"} 1`,
	} {
		hasLine(t, text, want)
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}

// A pedantic registry compares what is collected with what is described.
func TestCollectorDescribesItself(t *testing.T) {
	f := newFixture()
	m := f.watched()
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(&collector{m, Source{
		Devices: func() []Device { return append(f.devices, Device{ID: "cpu", Name: "bad \xff name"}) },
		Jobs:    func() Jobs { return f.jobs }, Loops: func() []Loop { return f.loops },
		Disk: func() Disk { return f.disk }, StreamsDropped: func() int64 { return 0 },
	}}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Gather(); err != nil {
		t.Error(err)
	}
}

// Whatever sensors a device has, exactly their readings are exported: what is
// missing is not 0 but absent.
func TestReadingsThatAreMissingAreAbsent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		full := fullReadings()
		v := reflect.ValueOf(&full).Elem()
		want := 0
		for i := range v.NumField() {
			if rapid.Bool().Draw(rt, v.Type().Field(i).Name) {
				if v.Field(i).Kind() == reflect.Pointer {
					want++
				} else {
					want += len(throttles)
				}
			} else {
				v.Field(i).SetZero()
			}
		}
		to := make(chan prometheus.Metric, 100)
		collectReadings(to, "gpu0", &api.Sample{State: api.SampleOK, Readings: full})
		if len(to) != want {
			rt.Errorf("%d samples, not %d", len(to), want)
		}
	})
}

// Old readings are not shown as if they were new.
func TestStaleReadingsAreAbsent(t *testing.T) {
	for _, c := range []struct {
		name   string
		sample *api.Sample
		state  string
		aged   bool
	}{
		{"ok", sampleOf(fullReadings()), "ok", true},
		{"none", nil, "none", false},
		{"stale", func() *api.Sample { s := sampleOf(fullReadings()); s.Stale = true; return s }(), "stale", true},
		{"lost", &api.Sample{At: time.Now(), State: api.SampleLost, Readings: fullReadings()}, "lost", false},
		{"failing", &api.Sample{At: time.Now(), State: api.SampleFailing}, "failing", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture()
			f.devices[0].Sample = c.sample
			text := scrape(t, f.watched())
			hasLine(t, text, `weft_device_sensors{device="gpu0",state="`+c.state+`"} 1`)
			on := 0
			for _, line := range lines(text, "weft_device_sensors{") {
				if strings.HasSuffix(line, " 1") {
					on++
				}
			}
			if on != 1 {
				t.Errorf("sensors are in %d states", on)
			}
			if shown := len(lines(text, "weft_device_utilization_ratio{")) > 0; shown != (c.name == "ok") {
				t.Errorf("readings are shown: %v", shown)
			}
			if aged := len(lines(text, "weft_device_sample_age_seconds{")) > 0; aged != c.aged {
				t.Errorf("age is shown: %v", aged)
			}
		})
	}
}

func TestWhatIsNotKnownIsAbsent(t *testing.T) {
	f := newFixture()
	f.disk = Disk{DatabaseBytes: 5, WALBytes: -1, FreeBytes: -1, SizeBytes: 0}
	f.devices[0].Activity = nil
	text := scrape(t, f.watched())
	hasLine(t, text, `weft_store_size_bytes{file="database"} 5`)
	hasLine(t, text, `weft_state_filesystem_size_bytes 0`)
	for _, name := range []string{`weft_store_size_bytes{file="wal"}`, "weft_state_filesystem_free_bytes ",
		"weft_device_busy_seconds_total", "weft_device_quantum_duration_seconds"} {
		if got := lines(text, name); len(got) > 0 {
			t.Errorf("there is %v", got)
		}
	}
}

// A client cannot make time series by asking for what is not there.
func TestRequestsCannotMakeSeries(t *testing.T) {
	m := New()
	for _, path := range []string{"/jobs/1", "/jobs/2", "/nowhere", "/elsewhere/" + strings.Repeat("x", 100), "/jobs/\xff"} {
		for _, method := range []string{"GET", "HEAD", "POST", "BREW", "FETCH"} {
			r := httptest.NewRequest(method, "/", nil)
			r.URL.Path = path
			mux := http.NewServeMux()
			mux.HandleFunc("GET /jobs/{id}", func(http.ResponseWriter, *http.Request) {})
			m.Observe(mux).ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	text := scrape(t, m)
	if got := lines(text, "weft_http_requests_total{"); len(got) != 6 {
		t.Errorf("%d series:\n%s", len(got), strings.Join(got, "\n"))
	}
	hasLine(t, text, `weft_http_requests_total{code="2xx",method="GET",route="/jobs/{id}"} 3`)
	hasLine(t, text, `weft_http_requests_total{code="4xx",method="other",route="other"} 10`)
}

// Streams are told apart from answers: hours of listening are no slow request.
func TestStreams(t *testing.T) {
	m := New()
	began, end := make(chan struct{}), make(chan struct{})
	handler := m.Observe(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := errors.Join(http.NewResponseController(w).Flush(), http.NewResponseController(w).Flush()); err != nil {
			t.Error(err)
		}
		close(began)
		<-end
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	}()
	<-began
	text := scrape(t, m)
	hasLine(t, text, `weft_http_streams 1`)
	hasLine(t, text, `weft_http_requests_in_flight 1`)
	close(end)
	<-done
	text = scrape(t, m)
	hasLine(t, text, `weft_http_streams 0`)
	hasLine(t, text, `weft_http_requests_in_flight 0`)
	hasLine(t, text, `weft_http_requests_total{code="2xx",method="GET",route="other"} 1`)
	if got := lines(text, "weft_http_request_duration_seconds_count"); len(got) > 0 {
		t.Errorf("a stream has a duration: %v", got)
	}
}

// An answer that is broken off counts with the status that it began with.
func TestAnswersThatEndEarly(t *testing.T) {
	m := New()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is swallowed")
			}
		}()
		m.Observe(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusInternalServerError)
			w.WriteHeader(http.StatusOK) // too late
			panic(http.ErrAbortHandler)
		})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	}()
	hasLine(t, scrape(t, m), `weft_http_requests_total{code="5xx",method="GET",route="other"} 1`)
}

// What goes backwards, as a job's steps do when it goes on from a checkpoint,
// neither panics nor counts.
func TestCountersOnlyGrow(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := New()
		var before Work
		work := rapid.Custom(func(rt *rapid.T) Work {
			return Work{rapid.Int64Range(-5, 50).Draw(rt, "steps"), rapid.Float64Range(-1, 9).Draw(rt, "seconds"),
				rapid.Float64Range(-1, 9).Draw(rt, "cpu")}
		})
		steps, seconds := int64(0), 0.0
		for _, w := range rapid.SliceOf(work).Draw(rt, "works") {
			m.Worked("gpu0", w.Less(before))
			steps += max(0, w.Steps-before.Steps)
			seconds += max(0, w.DeviceSeconds-before.DeviceSeconds)
			before = w
		}
		m.EnergyUsed("gpu0", -1)
		m.JobEnded(api.KindTrain, api.Failed, -1)
		m.JobStarted(api.KindTrain, -time.Second) // the clock was set back
		families, err := m.registry.Gather()
		if err != nil {
			rt.Fatal(err)
		}
		for _, f := range families {
			want := map[string]float64{"weft_jobs_steps_total": float64(steps), "weft_jobs_device_seconds_total": seconds}
			if v, ok := want[f.GetName()]; ok && math.Abs(f.GetMetric()[0].GetCounter().GetValue()-v) > 1e-9 {
				rt.Errorf("%s is %v, not %v", f.GetName(), f.GetMetric()[0].GetCounter().GetValue(), v)
			}
		}
	})
}
