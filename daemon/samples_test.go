package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weft/daemon/api"
	"weft/daemon/store"
	"weft/daemon/watchdog"
	"weft/gpu"
	"weft/gpu/nvml"
)

func num[T any](v T) *T { return &v }

// fakeSensors play what a test tells them.
type fakeSensors struct {
	sensors
	frame func(nvml.Frame)
	down  func(*nvml.Error)
	reads int
	ended bool
}

func newFakeSensors() *fakeSensors {
	f := &fakeSensors{}
	f.gpus = map[string]string{"GPU-1": "gpu0", "00000000:02:00.0": "gpu1"}
	f.host = func() api.Readings {
		f.reads++
		return api.Readings{Utilization: num(float64(f.reads % 2)), Load1: num(0.5)}
	}
	f.watch = func(frame func(nvml.Frame), down func(*nvml.Error)) func(context.Context) error {
		f.frame, f.down = frame, down
		return func(context.Context) error { f.ended = true; return nil }
	}
	return f
}

// sampling runs a sampler in a bubble until the test's end.
func sampling(t *testing.T, f *fakeSensors) (*sampler, *store.Store) {
	t.Helper()
	// The store's goroutines are the bubble's, too: it is closed before the end.
	st, err := store.Open(context.Background(), filepath.Join(t.TempDir(), "weft.db"))
	if err != nil {
		t.Fatal(err)
	}
	seats := []*seat{{info: gpu.Info{ID: "cpu", Kind: "cpu"}}, {info: gpu.Info{ID: "gpu0", Kind: kindGPU}},
		{info: gpu.Info{ID: "gpu1", Kind: kindGPU}}}
	s := newSampler(Config{SampleEvery: time.Second, Log: quiet()}, st, f.sensors, seats)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	go func() { s.run(ctx, watchdog.New(watchdog.Config{}).Loop("samples")); done <- struct{}{} }()
	go func() { s.keep(ctx); done <- struct{}{} }()
	t.Cleanup(func() {
		stop()
		<-done
		<-done
		if !f.ended {
			t.Error("the watch over GPUs was not ended")
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	return s, st
}

func at(s *sampler, id string) api.Sample {
	sample := s.latest(id, time.Now())
	if sample == nil {
		return api.Sample{}
	}
	return *sample
}

// pass lets time pass, and everything be done that was due.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// What GPUs drew is added up from their samples; the host does not say.
func TestSamplerAddsEnergyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSensors()
		s, _ := sampling(t, f)
		for i := range 5 {
			f.frame(nvml.Frame{At: time.Now(), Samples: []nvml.Sample{
				{Device: nvml.Device{UUID: "GPU-1"}, State: api.SampleOK, Readings: nvml.Readings{Energy: num(7e6 + 50*float64(i))}},
				{Device: nvml.Device{PCI: "00000000:02:00.0"}, State: api.SampleOK, Readings: nvml.Readings{Power: num(30.)}}}})
			pass(time.Second)
		}
		f.frame(nvml.Frame{At: time.Now(), Samples: []nvml.Sample{{Device: nvml.Device{UUID: "GPU-1"}, State: api.SampleLost}}})
		for id, want := range map[string]float64{"gpu0": 200, "gpu1": 120} {
			if got := s.drawn(id); !near(got.joules, want) || got.gaps != 0 || time.Since(got.at) != time.Second {
				t.Errorf("%s drew %+v, want %g J", id, got, want)
			}
		}
		for _, id := range []string{"cpu", "gpu7"} {
			if got := s.drawn(id); got != (drawn{}) {
				t.Errorf("%s drew %+v", id, got)
			}
		}
	})
}

// The host is sampled every second; an hour of it is in memory and every minute
// in the store, and a history shows both as one.
func TestSamplerKeepsAnHourAndMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSensors()
		s, st := sampling(t, f)
		begun := time.Now() // midnight
		pass(2*time.Hour + 500*time.Millisecond)
		if f.reads != 7201 {
			t.Errorf("%d samples in two hours, not 7201", f.reads)
		}
		if n := len(s.devices["cpu"].ring.all); n != 3601 {
			t.Errorf("%d readings in memory, not 3601", n)
		}
		stored, err := st.Samples(t.Context(), "cpu", begun, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if len(stored) != 119 && len(stored) != 120 {
			t.Errorf("%d minutes in the store, not 120", len(stored))
		}
		want := api.Point{At: begun.UTC(), Samples: 60, Mean: map[string]float64{"utilization": 0.5, "load1": 0.5},
			Max: map[string]float64{"utilization": 1, "load1": 0.5}}
		if diff := cmp.Diff(want, stored[0]); diff != "" {
			t.Error(diff)
		}
		h, err := s.history(t.Context(), &historyInput{ID: "cpu", Since: "3h", Step: "1m"}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if len(h.Points) != 121 {
			t.Errorf("%d minutes, not 121", len(h.Points))
		}
		for i, p := range h.Points[:120] {
			if !p.At.Equal(begun.Add(time.Duration(i)*time.Minute)) || p.Samples != 60 || p.Mean["utilization"] != 0.5 {
				t.Fatalf("point %d: %+v", i, p)
			}
		}
		h, err = s.history(t.Context(), &historyInput{ID: "cpu", Since: "10s"}, time.Now())
		if err != nil || len(h.Points) != 10 || h.Step != 1 {
			t.Errorf("%+v, %v", h, err)
		}
	})
}

// What a GPU's sensors tell comes to the device of that name; what is old is
// stale, with the reason, and never 0.
func TestSamplerOfGPUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSensors()
		s, _ := sampling(t, f)
		if got := s.latest("gpu0", time.Now()); got != nil {
			t.Errorf("before anything is told: %+v", got)
		}
		tell := func(samples ...nvml.Sample) { f.frame(nvml.Frame{At: time.Now(), Samples: samples}) }
		good := nvml.Sample{Device: nvml.Device{UUID: "GPU-1"}, State: nvml.StateOK,
			Readings:  nvml.Readings{Utilization: num(0.75), Throttled: []string{"power_cap"}},
			Processes: []nvml.Process{{PID: 7, MemoryBytes: num(int64(1 << 20))}}}
		other := nvml.Sample{Device: nvml.Device{UUID: "GPU-x", PCI: "00000000:02:00.0"}, State: nvml.StateOK,
			Readings: nvml.Readings{Utilization: num(0.25)}}
		unknown := nvml.Sample{Device: nvml.Device{UUID: "GPU-9"}, State: nvml.StateOK}
		tell(good, other, unknown)
		want := api.Sample{At: time.Now(), State: "ok", Readings: api.Readings{Utilization: num(0.75), Throttled: []string{"power_cap"}},
			Processes: []api.DeviceProcess{{PID: 7, MemoryBytes: num(int64(1 << 20))}}}
		if diff := cmp.Diff(want, at(s, "gpu0")); diff != "" {
			t.Error(diff)
		}
		if got := at(s, "gpu1"); got.Utilization == nil || *got.Utilization != 0.25 {
			t.Errorf("by its place on the bus: %+v", got)
		}

		pass(4 * time.Second) // the worker hangs
		if got := at(s, "gpu0"); !got.Stale || got.Reason != "its sensors have told nothing for 4s" || *got.Utilization != 0.75 {
			t.Errorf("hang: %+v", got)
		}
		f.down(&nvml.Error{Code: nvml.CodeWorker, Message: "it died", Hint: "look"})
		if got := at(s, "gpu0"); !got.Stale || got.Reason != "it died" || got.Hint != "look" || *got.Utilization != 0.75 {
			t.Errorf("death: %+v", got)
		}
		if got := at(s, "cpu"); got.Stale {
			t.Errorf("the host has nothing to do with it: %+v", got)
		}
		tell(nvml.Sample{Device: nvml.Device{UUID: "GPU-1"}, State: nvml.StateLost, Reason: "Xid 79", Hint: "reset"}, other)
		if got := at(s, "gpu0"); got.Stale || got.State != api.SampleLost || got.Reason != "Xid 79" || got.Utilization != nil {
			t.Errorf("lost: %+v", got)
		}
		pass(time.Second)
		tell(good, other)
		if got := at(s, "gpu0"); got.State != api.SampleOK || got.Stale || *got.Utilization != 0.75 {
			t.Errorf("back: %+v", got)
		}
		h, err := s.history(t.Context(), &historyInput{ID: "gpu0"}, time.Now().Add(time.Second))
		if err != nil || len(h.Points) != 1 || h.Points[0].Samples != 2 {
			t.Errorf("a lost GPU has no readings: %+v, %v", h, err)
		}
	})
}

// Without a driver's library every GPU says why.
func TestSamplerWithoutNVML(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSensors()
		s, _ := sampling(t, f)
		f.frame(nvml.Frame{At: time.Now(), Fault: &nvml.Error{Code: nvml.CodeAbsent, Message: "no library", Hint: "install it"}})
		want := api.Sample{At: time.Now(), State: api.SampleFailing, Reason: "no library", Hint: "install it"}
		if diff := cmp.Diff(want, at(s, "gpu0")); diff != "" {
			t.Error(diff)
		}
	})
}

// The store knows series by their place in api.Series.
func TestSeriesAreTheAPIs(t *testing.T) {
	var names []string
	for i := range series {
		names = append(names, series[i].name)
	}
	if diff := cmp.Diff(api.Series, names); diff != "" {
		t.Error(diff)
	}
}

func TestHistoryQueries(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		in   historyInput
		span time.Duration
		step time.Duration
		err  string
	}{
		{in: historyInput{}, span: time.Hour, step: 6 * time.Second},
		{in: historyInput{Since: "24h"}, span: 24 * time.Hour, step: 2 * time.Minute},
		{in: historyInput{Since: "2026-03-01T11:00:00Z", Until: "30m", Step: "10s"}, span: 30 * time.Minute, step: 10 * time.Second},
		{in: historyInput{Since: "x"}, err: `since "x" is neither a time nor a duration`},
		{in: historyInput{Since: "5m", Until: "10m"}, err: "since is not before until"},
		{in: historyInput{Step: "fast"}, err: `step "fast" is not a duration`},
		{in: historyInput{Since: "100h", Step: "1s"}, err: "that would be 360000 points, more than 10000"},
	} {
		var h api.History
		step, err := c.in.read(now, time.Second, &h)
		if c.err != "" {
			if err == nil || err.Error() != c.err {
				t.Errorf("%+v: %v, not %s", c.in, err, c.err)
			}
			continue
		}
		if err != nil || step != c.step || h.Until.Sub(h.Since) != c.span {
			t.Errorf("%+v: %s of %s, %v", c.in, step, h.Until.Sub(h.Since), err)
		}
	}
}

// Over HTTP: what a device has not is null.
func TestDevicesTellSamples(t *testing.T) {
	f := newFakeSensors()
	f.host = func() api.Readings { return api.Readings{Utilization: num(0.0), Load1: num(1.5)} }
	r := newRig(t, 1, func(r *rig) { r.sensors = f.sensors })
	for { // the first sample is taken while the daemon begins to serve
		if ok[[]api.Device](r, 200, "GET", "/v1/devices", "")[0].Sample != nil {
			break
		}
	}
	_, body := r.do("GET", "/v1/devices", "")
	var devices []map[string]json.RawMessage
	if err := json.Unmarshal(body, &devices); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"state":"ok"`, `"utilization":0`, `"load1":1.5`, `"power_watts":null`, `"throttled":null`,
		`"processes":null`, `"stale":false`} {
		if sample := string(devices[0]["sample"]); !strings.Contains(sample, want) {
			t.Errorf("no %s in %s", want, sample)
		}
	}
	h := ok[api.History](r, 200, "GET", "/v1/devices/cpu/history?since=15m&step=1m", "")
	if h.Device != "cpu" || h.Step != 60 || len(h.Points) == 0 || h.Points[0].Mean["load1"] != 1.5 {
		t.Errorf("%+v", h)
	}
	p := ok[api.Problem](r, 404, "GET", "/v1/devices/gpu7/history", "")
	if got := fmt.Sprint(p.Detail, "; ", p.Hint); got != `no device "gpu7"; there is cpu` {
		t.Error(got)
	}
	ok[api.Problem](r, 422, "GET", "/v1/devices/cpu/history?step=x", "")
}
