package daemon

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weft/daemon/api"
	"weft/gpu"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig is a running daemon on memory devices with a client on its socket.
type rig struct {
	t       testing.TB
	cfg     Config
	dev     *memDevice
	loader  *memLoader
	gpus    []*memDevice
	found   gpu.Discovery // what a probe finds
	sensors sensors
	d       *Daemon
	client  *http.Client
	stop    context.CancelFunc
	ended   chan error
}

// limit is how long a test waits for what must happen.
const limit = 2 * time.Minute

func testConfig(t testing.TB) Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "weft") // t.TempDir's paths are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	level := slog.LevelError
	if testing.Verbose() {
		level = slog.LevelWarn
	}
	return Config{StateDir: filepath.Join(dir, "state"), Program: "weft",
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// newRig starts a daemon with one device of that many slots.
func newRig(t testing.TB, slots int, change ...func(*rig)) *rig {
	t.Helper()
	r := &rig{t: t, cfg: testConfig(t), dev: newMemDevice("cpu", slots), loader: newMemLoader()}
	for _, f := range change {
		f(r)
	}
	r.start()
	t.Cleanup(r.close)
	return r
}

func (r *rig) start() {
	r.t.Helper()
	cfg, err := r.cfg.complete()
	if err != nil {
		r.t.Fatal(err)
	}
	r.cfg = cfg
	ready := make(chan struct{})
	cfg.Ready = func(string) { close(ready) }
	r.d, err = open(context.Background(), cfg, func() (hardware, error) {
		hw := hardware{devices: []device{r.dev}, loader: r.loader, gpus: &gpuFinder{
			ask: func(context.Context) gpu.Discovery { return r.found }, last: r.found}, sensors: r.sensors}
		for _, g := range r.gpus {
			hw.devices = append(hw.devices, g)
		}
		return hw, nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.ended = make(chan error, 1)
	go func() { r.ended <- r.d.Run(ctx) }()
	<-ready
	r.client = &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 4,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", cfg.Socket)
		},
	}}
}

// close drains the daemon and returns when it has ended.
func (r *rig) close() {
	if r.stop == nil {
		return
	}
	r.client.CloseIdleConnections()
	r.stop()
	r.stop = nil
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Errorf("run: %v", err)
		}
	case <-time.After(limit):
		r.t.Error("the daemon does not end")
	}
}

// restart ends the daemon in order and starts it again on the same state.
func (r *rig) restart() {
	r.t.Helper()
	r.close()
	play := r.dev.play
	r.dev = newMemDevice("cpu", r.dev.info.Slots)
	r.dev.play = play
	r.start()
}

func (r *rig) do(method, path, body string, header ...string) (int, []byte) {
	r.t.Helper()
	req, err := http.NewRequest(method, "http://weft"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, b
}

// ok is do that wants a status and decodes the answer.
func ok[T any](r *rig, status int, method, path, body string, header ...string) T {
	r.t.Helper()
	var v T
	got, b := r.do(method, path, body, header...)
	if got != status {
		r.t.Fatalf("%s %s: status %d, want %d: %s", method, path, got, status, b)
	}
	if len(b) > 0 {
		if err := json.Unmarshal(b, &v); err != nil {
			r.t.Fatalf("%s %s: %v in %s", method, path, err, b)
		}
	}
	return v
}

const irisSpec = `{"name":"iris","data":{"source":"iris"},"model":[{"linear":8},"relu",{"linear":3}],` +
	`"loss":"cross_entropy","optimizer":{"name":"adam","lr":0.01},"batch_size":16,"epochs":3}`

func sub(extra string) string { return `{"kind":"train","spec":` + irisSpec + extra + `}` }

func (r *rig) submit(extra string) int64 {
	r.t.Helper()
	got := ok[api.Submitted](r, 201, "POST", "/v1/jobs", sub(extra))
	if len(got.Jobs) != 1 {
		r.t.Fatalf("%d jobs", len(got.Jobs))
	}
	return got.Jobs[0].ID
}

func (r *rig) job(id int64) api.JobDetail {
	r.t.Helper()
	return ok[api.JobDetail](r, 200, "GET", fmt.Sprintf("/v1/jobs/%d", id), "")
}

func (r *rig) act(id int64, verb string) api.Job {
	r.t.Helper()
	return ok[api.Job](r, 200, "POST", fmt.Sprintf("/v1/jobs/%d/%s", id, verb), "")
}

// arrived waits until the device is told of a job.
func (r *rig) arrived() int64 {
	r.t.Helper()
	select {
	case job := <-r.dev.arrivals:
		return job.ID
	case <-time.After(limit):
		r.t.Fatal("no job starts")
		return 0
	}
}

// until follows a job's events to the one of that type.
func (r *rig) until(id int64, kind string) api.Event {
	r.t.Helper()
	s := r.stream(fmt.Sprintf("/v1/events?job=%d", id))
	defer s.close()
	for {
		e := s.next()
		if e.Type == kind {
			return e
		}
	}
}

// A feed reads server-sent events.
type feed struct {
	t    testing.TB
	body io.ReadCloser
	in   *bufio.Reader
	stop context.CancelFunc
}

type sse struct {
	id, name string
	data     []byte
}

func (r *rig) stream(path string, header ...string) *feed {
	r.t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), limit)
	req, err := http.NewRequestWithContext(ctx, "GET", "http://weft"+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		b, _ := io.ReadAll(resp.Body)
		r.t.Fatalf("GET %s: %d %s", path, resp.StatusCode, b)
	}
	return &feed{r.t, resp.Body, bufio.NewReader(resp.Body), stop}
}

func (f *feed) close() {
	f.stop()
	_ = f.body.Close()
}

func (f *feed) raw() (sse, error) {
	var e sse
	for {
		line, err := f.in.ReadBytes('\n')
		if err != nil {
			return e, err
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		switch {
		case len(line) == 0 && e.data != nil:
			return e, nil
		case len(line) == 0: // a comment, or an id alone
			e = sse{}
		case bytes.HasPrefix(line, []byte("id: ")):
			e.id = string(line[4:])
		case bytes.HasPrefix(line, []byte("event: ")):
			e.name = string(line[7:])
		case bytes.HasPrefix(line, []byte("data: ")):
			e.data = append([]byte{}, line[6:]...)
		}
	}
}

// next returns the next durable event.
func (f *feed) next() api.Event {
	f.t.Helper()
	for {
		e, err := f.raw()
		if err != nil {
			f.t.Fatalf("stream ended: %v", err)
		}
		if e.id == "" {
			continue
		}
		var ev api.Event
		if err := json.Unmarshal(e.data, &ev); err != nil {
			f.t.Fatal(err)
		}
		if fmt.Sprint(ev.ID) != e.id || ev.Type != e.name {
			f.t.Fatalf("line %s %s carries event %d %s", e.id, e.name, ev.ID, ev.Type)
		}
		return ev
	}
}
