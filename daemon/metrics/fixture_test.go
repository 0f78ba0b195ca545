package metrics

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"weft/daemon/api"
)

func num[T any](v T) *T { return &v }

// fullReadings has a value for every sensor there is.
func fullReadings() api.Readings {
	var r api.Readings
	v := reflect.ValueOf(&r).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Pointer {
			f.Set(reflect.New(f.Type().Elem()))
		}
	}
	r.Throttled = []string{"power_cap", "a_reason_of_tomorrow"}
	r.Xid = num(int64(79))
	return r
}

func sampleOf(r api.Readings) *api.Sample {
	return &api.Sample{At: time.Now(), State: api.SampleOK, Readings: r, Processes: []api.DeviceProcess{{PID: 1}}}
}

// fixture is a source that tells everything there is to tell. Its fields may be
// changed before a scrape.
type fixture struct {
	devices []Device
	jobs    Jobs
	loops   []Loop
	disk    Disk
	dropped int64
}

func newFixture() *fixture {
	return &fixture{
		devices: []Device{{ID: "gpu0", Kind: "gpu", Name: "H200", State: api.DeviceReady, Lanes: 4, Slots: 64, Running: 3,
			MemoryBytes: 100, ReservedBytes: 40, Sample: sampleOf(fullReadings()),
			Activity: &Activity{BusySeconds: 7, Bounds: []float64{0.001, 0.01}, Counts: []uint64{5, 3, 1}, Sum: 0.25}}},
		jobs: Jobs{Active: map[Class]int{{api.KindTrain, api.Queued}: 2, {"later", api.Running}: 1},
			Waiting: map[string]int{"held": 1, "slots": 0}},
		loops:   []Loop{{"owner", 0}, {"accept", time.Second}, {"accept", 3 * time.Second}},
		disk:    Disk{10, 20, 30, 40},
		dropped: 6,
	}
}

// watched is a daemon's metrics with something in each.
func (f *fixture) watched() *Metrics {
	m := New()
	m.Watch(Source{
		Devices: func() []Device { return f.devices }, Jobs: func() Jobs { return f.jobs },
		Loops: func() []Loop { return f.loops }, Disk: func() Disk { return f.disk },
		StreamsDropped: func() int64 { return f.dropped },
		Version:        api.Version{Version: "v1.2.3", Commit: "abc", Go: "go1.26"},
	})
	m.AddDevice("gpu0")
	m.WorkerRestarted("gpu0")
	m.Tripped("owner")
	m.JobSubmitted(api.KindTrain)
	m.JobStarted(api.KindTrain, 20*time.Millisecond)
	m.JobRequeued(api.KindTrain)
	m.JobEnded(api.KindTrain, api.Failed, 1.5)
	m.Worked("gpu0", Work{Steps: 12, DeviceSeconds: 3, CPUSeconds: 2})
	m.EnergyUsed("gpu0", 400)
	m.Committed("synced", 2*time.Millisecond, false)
	m.Committed("written", time.Millisecond, false)
	m.Committed("written", time.Millisecond, true)
	request(m, "GET", "/jobs/7")
	return m
}

// request has m observe one request of a handler with one route.
func request(m *Metrics, method, path string) *httptest.ResponseRecorder {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /jobs/{id}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	rec := httptest.NewRecorder()
	m.Observe(mux).ServeHTTP(rec, httptest.NewRequest(method, path, nil))
	return rec
}

func scrape(t testing.TB, m *Metrics) string {
	t.Helper()
	rec := httptest.NewRecorder()
	m.Handler(slog.New(slog.NewTextHandler(testLog{t}, nil))).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("scrape: %d %s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

// A testLog fails the test that logs: a scrape has nothing to complain about.
type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Errorf("scrape logs %s", b)
	return len(b), nil
}

var _ io.Writer = testLog{}

// lines are those of a scrape that begin so.
func lines(text, prefix string) []string {
	var found []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

func hasLine(t *testing.T, text, want string) {
	t.Helper()
	if !slices.Contains(strings.Split(text, "\n"), want) {
		name, _, _ := strings.Cut(want, "{")
		name, _, _ = strings.Cut(name, " ")
		t.Errorf("no line %s\nthere is %s", want, strings.Join(lines(text, name), "\n         "))
	}
}
