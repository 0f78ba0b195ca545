package nvml

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"weft/cpuwork/proc"
)

// The test program is its own worker.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "worker" && os.Args[2] == "nvml" {
		os.Exit(asWorker())
	}
	goleak.VerifyTestMain(m)
}

func asWorker() int {
	conn, err := proc.Inherited()
	if err == nil {
		err = WorkerMain(context.Background(), conn, os.Args[3:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

const (
	firstGPU  = "GPU-11111111-1111-1111-1111-111111111111"
	secondGPU = "GPU-22222222-2222-2222-2222-222222222222"
)

// play returns the source of a recording.
func play(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "samples.json")
	text = strings.NewReplacer("FIRST", firstGPU, "SECOND", secondGPU).Replace(text)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return recordedPrefix + file
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// rounds reads a recording n times, a second apart.
func rounds(t *testing.T, source string, n int) []Frame {
	t.Helper()
	r := NewReader(source)
	defer r.Close()
	var frames []Frame
	for i := range n {
		frames = append(frames, r.Read(start.Add(time.Duration(i)*time.Second)))
	}
	return frames
}

// A field that a card or an old driver has not is null, never 0; a 0 that was
// read stays one.
func TestAbsentFieldsAreNull(t *testing.T) {
	f := rounds(t, play(t, `{"driver":"470.1","frames":[{"samples":[
		{"uuid":"FIRST","name":"old card","utilization":0,"memory_used_bytes":1024,"processes":[{"pid":7}]}]}]}`), 1)[0]
	if f.Fault != nil || f.Driver != "470.1" || len(f.Samples) != 1 {
		t.Fatalf("%+v", f)
	}
	b, err := json.Marshal(f.Samples[0])
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"uuid": firstGPU, "name": "old card", "state": "ok", "utilization": 0.0,
		"memory_used_bytes": 1024.0,
		"processes":         []any{map[string]any{"pid": 7.0, "memory_bytes": nil, "sm_utilization": nil}}}
	for _, absent := range []string{"memory_utilization", "memory_total_bytes", "memory_reserved_bytes", "power_watts",
		"power_limit_watts", "temperature_celsius", "sm_clock_hertz", "memory_clock_hertz", "throttled",
		"pcie_sent_bytes_per_second", "pcie_received_bytes_per_second", "pcie_generation", "pcie_width", "ecc_corrected",
		"ecc_uncorrected", "mig", "energy_joules", "xid", "load1", "load5", "load15"} {
		want[absent] = nil
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A GPU that is lost says so and why; the other is read on, and it is read again
// when it is back.
func TestLostAndBack(t *testing.T) {
	frames := rounds(t, play(t, `{"frames":[
		{"samples":[{"uuid":"FIRST","power_watts":100},{"uuid":"SECOND","power_watts":200}]},
		{"samples":[{"uuid":"FIRST","error":{"code":"gpu_lost","message":"the GPU is lost: GPU is lost, after Xid 79"}},
			{"uuid":"SECOND","power_watts":201}]},
		{"samples":[{"uuid":"SECOND","power_watts":202}]},
		{"samples":[{"uuid":"FIRST","power_watts":103},{"uuid":"SECOND","error":{"code":"failed","message":"read: Unknown Error"}}]}
	]}`), 4)
	type line struct {
		UUID, State, Reason, Hint string
		Power                     float64
	}
	var got []line
	for _, f := range frames {
		if f.Fault != nil {
			t.Fatal(f.Fault)
		}
		for _, s := range f.Samples {
			l := line{s.UUID, s.State, s.Reason, s.Hint, -1}
			if s.Power != nil {
				l.Power = *s.Power
			}
			got = append(got, l)
		}
	}
	want := []line{
		{firstGPU, "ok", "", "", 100}, {secondGPU, "ok", "", "", 200},
		{firstGPU, "lost", "the GPU is lost: GPU is lost, after Xid 79", lostHint, -1}, {secondGPU, "ok", "", "", 201},
		{secondGPU, "ok", "", "", 202},
		{firstGPU, "lost", "the driver does not know the GPU any more", lostHint, -1},
		{firstGPU, "ok", "", "", 103}, {secondGPU, "failing", "read: Unknown Error", "", -1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A library that is begun anew for a lost GPU is so every ten seconds, not at
// each sample.
func TestLibraryBeginsAnewForALostGPU(t *testing.T) {
	opens := 0
	r := &Reader{known: map[string]Device{}, open: func() (Backend, error) { opens++; return lostBackend{}, nil }}
	defer r.Close()
	for i := range 25 {
		r.Read(start.Add(time.Duration(i) * time.Second))
	}
	if opens != 3 {
		t.Errorf("opened %d times in 25 s, not 3", opens)
	}
}

type lostBackend struct{ none }

func (lostBackend) Devices() ([]Device, error) { return []Device{{UUID: firstGPU}}, nil }
func (lostBackend) Sample(Device) (Sample, error) {
	return Sample{}, lostError("GPU is lost", ptr(int64(79)))
}

// No driver: the reason is told, and asked for again only now and then.
func TestAbsent(t *testing.T) {
	frames := rounds(t, play(t, `{"frames":[{"error":{"code":"no_nvml","message":"no library","hint":"install it"}},
		{"samples":[{"uuid":"FIRST"}]}]}`), 2)
	if e := frames[0].Fault; e == nil || e.Code != CodeAbsent || e.Message != "no library" || e.Hint != "install it" {
		t.Errorf("%+v", frames[0])
	}
	if len(frames[1].Samples) != 1 {
		t.Errorf("it is not read when it is there: %+v", frames[1])
	}
	b := Open(recordedPrefix + "/does/not/exist")
	if _, err := b.Devices(); err == nil ||
		err.Error() != "read recorded samples: open /does/not/exist: no such file or directory" {
		t.Errorf("%v", err)
	}
	opens := 0
	r := &Reader{known: map[string]Device{}, open: func() (Backend, error) {
		opens++
		return nil, &Error{Code: CodeAbsent, Message: "none"}
	}}
	for i := range 61 {
		if f := r.Read(start.Add(time.Duration(i) * time.Second)); f.Fault == nil || f.Fault.Message != "none" {
			t.Fatalf("%+v", f)
		}
	}
	if opens != 3 {
		t.Errorf("looked for %d times in a minute, not 3", opens)
	}
}

func TestBadRecordings(t *testing.T) {
	for text, want := range map[string]string{`{`: "unexpected end of JSON input", `{"frames":[]}`: "it has no frames"} {
		if _, err := Open(play(t, text)).Devices(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// watch runs a worker on a recording and passes on what it tells; limit is for a
// round of readings.
func watch(t *testing.T, limit time.Duration, recording string) (frames chan Frame, downs chan *Error) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	frames, downs = make(chan Frame, 1000), make(chan *Error, 1000)
	w := Watch(WatchConfig{Program: program, Source: play(t, recording), Every: 10 * time.Millisecond,
		Limit: limit, Log: slog.New(slog.DiscardHandler),
		OnFrame: func(f Frame) { frames <- f }, OnDown: func(e *Error) { downs <- e }})
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
		defer stop()
		if err := w.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return frames, downs
}

func next[T any](t *testing.T, c chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatal("nothing is told")
		panic("not reached")
	}
}

// A worker that hangs in the library, or is taken down by it, is started again.
func TestWorkerHangsOrDies(t *testing.T) {
	for name, what := range map[string]string{"hang": `{"hang_seconds":3600}`, "crash": `{"crash":true}`} {
		t.Run(name, func(t *testing.T) {
			frames, downs := watch(t, 400*time.Millisecond, `{"frames":[{"samples":[{"uuid":"FIRST","utilization":0.5}]},`+what+`]}`)
			for range 2 { // lives
				if f := next(t, frames); len(f.Samples) != 1 || *f.Samples[0].Utilization != 0.5 {
					t.Fatalf("%+v", f)
				}
				if e := next(t, downs); e.Code != CodeWorker || !strings.HasPrefix(e.Message, "the process that reads the GPUs' sensors ended: ") {
					t.Errorf("%+v", e)
				}
			}
		})
	}
}

func TestWorkerPlaysARecording(t *testing.T) {
	frames, _ := watch(t, time.Minute, `{"loop":true,"frames":[{"samples":[{"uuid":"FIRST","power_watts":1}]},{"samples":[{"uuid":"FIRST","power_watts":2}]}]}`)
	for i := range 6 {
		f := next(t, frames)
		if got, want := *f.Samples[0].Power, float64(i%2+1); got != want {
			t.Errorf("frame %d: %g W, want %g", i, got, want)
		}
	}
}
