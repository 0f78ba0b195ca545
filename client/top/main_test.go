package top

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"go.uber.org/goleak"

	"weft/client/table"
	"weft/daemon/api"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) {
	time.Local = time.UTC
	goleak.VerifyTestMain(m)
}

// moment is when everything is looked at.
var moment = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read golden file: %v; go test -update writes it", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; go test -update rewrites it\n--- got\n%s--- want\n%s", path, got, want)
	}
}

// client is one of a daemon that the handler plays; nil: of none.
func client(t testing.TB, h http.Handler) *api.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "weft-top-") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	c, err := api.New("unix://"+path, api.Options{Backoff: api.Backoff{First: time.Millisecond, Most: time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if h != nil {
		serveAt(t, path, h)
	}
	return c
}

func serveAt(t testing.TB, path string, h http.Handler) *httptest.Server {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	server.Start()
	t.Cleanup(server.Close)
	return server
}

// fixed returns a screen of the given size at a fixed moment.
func fixed(t testing.TB, c *api.Client, width, height int) *Screen {
	t.Helper()
	s, err := New(Options{Client: c, Refresh: time.Second, Now: func() time.Time { return moment }})
	if err != nil {
		t.Fatal(err)
	}
	s.Bind(t.Context())
	send(t, s, tea.WindowSizeMsg{Width: width, Height: height})
	return s
}

// send gives the screen a message, runs what it sets off, and so on, until
// nothing is.
func send(t testing.TB, s *Screen, msg tea.Msg) (quit bool) {
	t.Helper()
	_, cmd := s.Update(msg)
	if cmd == nil {
		return false
	}
	switch m := cmd().(type) {
	case nil:
	case tea.QuitMsg:
		return true
	case tea.BatchMsg:
		for _, c := range m {
			if c != nil {
				send(t, s, c())
			}
		}
	default:
		return send(t, s, m)
	}
	return false
}

var named = map[string]rune{"enter": tea.KeyEnter, "esc": tea.KeyEscape, "up": tea.KeyUp, "down": tea.KeyDown,
	"tab": tea.KeyTab, "backspace": tea.KeyBackspace, "end": tea.KeyEnd, "home": tea.KeyHome, "pgdown": tea.KeyPgDown,
	"pgup": tea.KeyPgUp, "delete": tea.KeyDelete}

// press presses keys one after the other; those of one rune are typed.
func press(t testing.TB, s *Screen, keys ...string) (quit bool) {
	t.Helper()
	for _, name := range keys {
		k := tea.KeyPressMsg{Text: name, Code: []rune(name)[0]}
		if code, ok := named[name]; ok {
			k = tea.KeyPressMsg{Code: code}
		} else if len([]rune(name)) > 1 {
			switch name {
			case "space":
				k = tea.KeyPressMsg{Text: " ", Code: ' '}
			case "ctrl+c":
				k = tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl}
			case "shift+tab":
				k = tea.KeyPressMsg{Code: tea.KeyTab, Mod: tea.ModShift}
			default:
				t.Fatalf("no key %q", name)
			}
		}
		quit = send(t, s, k)
	}
	return quit
}

// text is the frame as it is seen, after it was checked to fit.
func text(t testing.TB, s *Screen) string {
	t.Helper()
	frame := s.View().Content
	if fault := misfit(frame, s.width, s.height); fault != "" {
		t.Fatalf("%s\n%s", fault, frame)
	}
	return frame + "\n"
}

var sgr = regexp.MustCompile("\x1b\\[[0-9;]*m")

// misfit says what is wrong with a frame on a terminal of a size; "": nothing.
func misfit(frame string, width, height int) string {
	lines := strings.Split(frame, "\n")
	if len(lines) > max(height, 1) {
		return fmt.Sprintf("%d lines on a terminal of %d", len(lines), height)
	}
	for _, l := range lines {
		bare := sgr.ReplaceAllString(l, "")
		if w := table.Width(bare); w > width {
			return fmt.Sprintf("a line of %d cells on a terminal of %d: %q", w, width, bare)
		}
		if table.Clean(bare) != bare {
			return fmt.Sprintf("control characters: %q", bare)
		}
	}
	return ""
}

func contain(t testing.TB, frame string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(frame, w) {
			t.Errorf("no %q in\n%s", w, frame)
		}
	}
}

func lack(t testing.TB, frame string, words ...string) {
	t.Helper()
	for _, w := range words {
		if strings.Contains(frame, w) {
			t.Errorf("%q is in\n%s", w, frame)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// someDevices are a GPU with all readings, one that is lost, and the CPU.
func someDevices(at time.Time) []api.Device {
	full := &api.Sample{At: at, State: api.SampleOK, Readings: api.Readings{Utilization: ptr(0.934),
		MemoryUsed: ptr(int64(12 << 30)), MemoryTotal: ptr(int64(141 << 30)), Power: ptr(412.3), PowerLimit: ptr(700.0),
		Temperature: ptr(61.0), SMClock: ptr(int64(1_980_000_000)), MemoryClock: ptr(int64(3_201_000_000)),
		Throttled: []string{"power_cap"}}}
	lost := &api.Sample{At: at, State: api.SampleLost, Reason: "the GPU is lost, after Xid 79"}
	cpu := &api.Sample{At: at, State: api.SampleOK, Readings: api.Readings{Utilization: ptr(0.0),
		MemoryUsed: ptr(int64(3 << 30)), MemoryTotal: ptr(int64(8 << 30)), Load1: ptr(1.5)}}
	return []api.Device{
		{ID: "gpu0", Kind: "gpu", Name: "NVIDIA H200\x1b[31m", State: api.DeviceReady, MemoryBytes: 140 << 30,
			FreeBytes: 128 << 30, Running: []int64{3, 8}, Sample: full,
			Gangs: []api.Gang{{Lane: 0, Jobs: []int64{3, 8, 9, 10, 11}, Working: true}, {Lane: 2, Jobs: []int64{5}}}},
		{ID: "gpu1", Kind: "gpu", Name: "NVIDIA H200", State: api.DeviceReady, MemoryBytes: 140 << 30,
			FreeBytes: 140 << 30, Sample: lost},
		{ID: "cpu", Kind: "cpu", Name: "AMD EPYC 9654", State: api.DeviceReady, MemoryBytes: 6 << 30,
			FreeBytes: 5 << 30, Sample: cpu},
	}
}

// someJobs has one job of every state, and names that terminals find difficult.
func someJobs() []api.Job {
	ago := func(d time.Duration) *time.Time { return ptr(moment.Add(-d)) }
	base := func(id int64, name string, state api.State) api.Job {
		return api.Job{ID: id, Name: name, Kind: api.KindTrain, State: state, Owner: "ann",
			Progress: api.Progress{Epochs: 20, Steps: 900}, SubmittedAt: *ago(time.Hour)}
	}
	done := base(1, "digits-mlp", api.Succeeded)
	done.Progress.Epoch, done.Progress.Step, done.Device = 20, 900, "gpu0"
	done.StartedAt, done.FinishedAt = ago(50*time.Minute), ago(49*time.Minute)
	done.Metrics = map[string]float64{"val_accuracy": 0.975}
	failed := base(2, "digits-mlp/lr=10", api.Failed)
	failed.Error = &api.Error{Code: api.CodeNaN, Message: "the loss became NaN at step 17", Hint: "a smaller learning rate"}
	failed.Labels = map[string]string{"sweep": "a", "lr": "10"}
	running := base(3, "boston\x1b[31m", api.Running)
	running.Device, running.StartedAt, running.Priority = "gpu0", ago(90*time.Second), 5
	running.Progress.Epoch, running.Progress.Step = 5, 225
	running.Metrics = map[string]float64{"train_loss": 1234.5, "val_rmse": 12.25}
	running.Labels = map[string]string{"sweep": "a"}
	running.Usage = api.Usage{DeviceSeconds: 30, PeakMemoryBytes: 132_000}
	queued := base(4, "большой-набор-данных-с-длинным-именем", api.Queued)
	queued.Owner, queued.Reason, queued.Priority = "bob", "needs 1.2 GiB, 0.8 GiB free on gpu0", 9
	wide := base(5, "日本語の名前がとても長いモデル", api.Running)
	wide.Device, wide.StartedAt, wide.Progress.Step = "gpu0", ago(10*time.Second), 450
	wide.Usage.DeviceSeconds = 5
	paused := base(6, "tea", api.Paused)
	paused.Progress = api.Progress{Step: 10, Steps: 100}
	cancelled := base(7, "oops", api.Cancelled)
	cancelled.FinishedAt = ago(time.Minute)
	return []api.Job{done, failed, running, queued, wide, paused, cancelled}
}

// fill shows the screen the devices over some seconds, and the jobs, whose
// running ones get on.
func fill(t testing.TB, s *Screen, all []api.Job) {
	t.Helper()
	const seconds = 8
	for i := range seconds + 1 {
		at := moment.Add(time.Duration(i-seconds) * time.Second)
		devices := someDevices(at)
		devices[0].Sample.Utilization = ptr(float64(i+1) / 10)
		jobs := make([]api.Job, len(all))
		for k := range all {
			jobs[k] = all[k]
			if jobs[k].State == api.Running {
				jobs[k].Progress.Step -= int64(5 * (seconds - i))
				jobs[k].Usage.DeviceSeconds -= float64(seconds-i) / float64(jobs[k].ID)
			}
		}
		s.Update(news{at: at, devices: devices, whole: true, ended: true, jobs: jobs})
	}
	for i := range all {
		j := s.jobs.all[all[i].ID]
		if all[i].State == api.Running && len(all[i].Metrics) > 0 {
			j.series = &series{values: []float64{30, 25, 20, 16, 14, 13, 12.25}, epoch: 7}
		}
	}
}
