package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weft/daemon/api"
)

// recorded answers as the daemon does, from jobs written down here.
type recorded struct {
	mu      sync.Mutex // guards what follows
	jobs    []api.Job
	epochs  map[int64][]api.Epoch
	posts   []string // bodies of POST /v1/jobs, with their idempotency key
	refuse  *api.Problem
	health  string
	devices []api.Device // none: the CPU
	cpu     recordedCPU
}

func at(offset time.Duration) *time.Time {
	t := moment.Add(offset)
	return &t
}

func number(v float64) *float64 { return &v }

// recordedJobs has one job of every state, and the shapes that tables find
// difficult.
func recordedJobs() []api.Job {
	base := func(id int64, name string, state api.State) api.Job {
		return api.Job{ID: id, Node: "box", Name: name, Kind: api.KindTrain, State: state, Owner: "ann",
			SubmittedAt: *at(-time.Hour), Progress: api.Progress{Epochs: 20, Steps: 900}, Metrics: map[string]float64{}}
	}
	done := base(1, "digits-mlp", api.Succeeded)
	done.Device, done.Attempt, done.StartedAt, done.FinishedAt = "cpu", 1, at(-50*time.Minute),
		at(-49*time.Minute-18*time.Second)
	done.Progress.Epoch, done.Progress.Step = 20, 900
	done.Metrics = map[string]float64{"train_loss": 0.0314, "val_loss": 0.09, "val_accuracy": 0.975, "lr": 0.001}
	done.Usage = api.Usage{DeviceSeconds: 30.5, WallSeconds: 42, PeakMemoryBytes: 132_000, EnergyJoules: number(420)}
	done.Labels = map[string]string{"sweep": "a", "lr": "1e-3"}

	failed := base(2, "digits-mlp/lr=10", api.Failed)
	failed.Device, failed.Attempt, failed.Retries, failed.StartedAt, failed.FinishedAt = "cpu", 2, 1,
		at(-40*time.Minute), at(-39*time.Minute)
	failed.Error = &api.Error{Code: api.CodeNaN, Message: "the loss became NaN at step 17",
		Hint: "a smaller learning rate, or clip_grad_norm: 1"}
	failed.Labels = map[string]string{"sweep": "a", "lr": "10"}

	running := base(3, "boston\x1b[31m", api.Running) // a hostile name
	running.Device, running.Attempt, running.StartedAt, running.Priority = "cpu", 1, at(-90*time.Second), 5
	running.Progress.Epoch, running.Progress.Step = 5, 225
	running.Metrics = map[string]float64{"train_loss": 1234.5, "val_rmse": 12.25}

	queued := base(4, "big", api.Queued)
	queued.Owner, queued.Reason = "bob", "needs 1.2 GiB, 0.8 GiB free on cpu"
	queued.After, queued.At, queued.Timeout = []int64{1, 3}, at(2*time.Hour), 1800

	held := base(5, "", api.Queued)
	held.Held, held.Reason = true, "held"
	held.Labels = map[string]string{"sweep": "b"}

	paused := base(6, "tea", api.Paused)
	paused.Attempt, paused.StartedAt, paused.Progress = 1, at(-30*time.Hour), api.Progress{Step: 10, Steps: 100}

	cancelled := base(7, "oops", api.Cancelled)
	cancelled.FinishedAt = at(-time.Minute)
	return []api.Job{done, failed, running, queued, held, paused, cancelled}
}

func newRecorded() *recorded {
	epochs := []api.Epoch{
		{Epoch: 1, Step: 45, Metrics: map[string]float64{"train_loss": 1.91, "val_loss": 1.48,
			"val_accuracy": 0.8245, "lr": 0.001}},
		{Epoch: 2, Step: 90, Metrics: map[string]float64{"train_loss": 1.1, "val_loss": 0.77,
			"val_accuracy": 0.8747, "lr": 0.001}},
	}
	return &recorded{jobs: recordedJobs(), epochs: map[int64][]api.Epoch{1: epochs, 3: epochs}, health: "ok"}
}

// listen serves on a unix socket and returns the host to give to weft.
func (d *recorded) listen(t *testing.T) string {
	t.Helper()
	return serveHandler(t, d.handler())
}

func serveHandler(t testing.TB, h http.Handler) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "weft-cli-") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	s.Start()
	t.Cleanup(s.Close)
	return "unix://" + filepath.Join(dir, "s")
}

func (d *recorded) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/jobs", d.list)
	mux.HandleFunc("POST /v1/jobs", d.submit)
	mux.HandleFunc("GET /v1/events", d.events)
	mux.HandleFunc("GET /v1/usage", d.usage)
	mux.HandleFunc("GET /v1/jobs/{id}", d.one(func(w http.ResponseWriter, _ *http.Request, j *api.Job) {
		answer(w, api.JobDetail{Job: *j, Epochs: d.epochs[j.ID], Events: d.history(j), Summary: d.cpu.summary(j)})
	}))
	mux.HandleFunc("PATCH /v1/jobs/{id}", d.one(func(w http.ResponseWriter, r *http.Request, j *api.Job) {
		var p api.Patch
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil || p.Priority == nil {
			problem(w, &api.Problem{Status: 422, Detail: "no priority", Code: api.CodeInvalid})
			return
		}
		j.Priority = *p.Priority
		answer(w, j)
	}))
	mux.HandleFunc("DELETE /v1/jobs/{id}", d.one(func(w http.ResponseWriter, _ *http.Request, j *api.Job) {
		if !j.State.Final() {
			problem(w, &api.Problem{Status: 409, Detail: fmt.Sprintf("job %d is %s", j.ID, j.State),
				Code: api.CodeWrongState,
				Hint: "weft cancel it first"})
			return
		}
		d.jobs = slices.DeleteFunc(d.jobs, func(k api.Job) bool { return k.ID == j.ID })
		w.WriteHeader(http.StatusNoContent)
	}))
	mux.HandleFunc("POST /v1/jobs/{id}/{action}", d.one(d.act))
	mux.HandleFunc("GET /v1/jobs/{id}/logs", d.one(func(w http.ResponseWriter, _ *http.Request, j *api.Job) {
		for _, e := range d.epochs[j.ID] {
			fmt.Fprintf(w, "epoch %d/20 step %d train_loss %.4f\n", e.Epoch, e.Step, e.Metrics["train_loss"])
		}
	}))
	mux.HandleFunc("GET /v1/jobs/{id}/model", d.one(func(w http.ResponseWriter, _ *http.Request, j *api.Job) {
		if j.State != api.Succeeded {
			problem(w, &api.Problem{Status: 409, Detail: fmt.Sprintf("job %d has no model: it is %s", j.ID,
				j.State), Code: api.CodeWrongState})
			return
		}
		fmt.Fprintf(w, "model of %s\n", j.Name)
	}))
	mux.HandleFunc("GET /v1/jobs/{id}/results", d.one(d.cpu.results))
	for path, body := range map[string]any{
		"/v1/version": api.Version{Version: "v0.1.0", Commit: "abc1234", Go: "go1.26", PID: 42,
			StateDir: "/state", Node: "box"},
		"/v1/doctor": api.Doctor{Checks: []api.DoctorCheck{{Name: "store", Status: "ok",
			Found: "reads and takes changes"},
			{Name: "NVIDIA driver", Status: "warn", Found: "not found", Hint: "jobs run on the CPU"}}},
		"/v1/devices": d.deviceList(),
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { answer(w, body) })
	}
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w,
			api.Health{Status: d.health})
	})
	return mux
}

func (d *recorded) deviceList() []api.Device {
	if d.devices == nil {
		return []api.Device{{ID: "cpu", Kind: "cpu", Name: "test", Lanes: 2}}
	}
	return d.devices
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

func problem(w http.ResponseWriter, p *api.Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	answer(w, p)
}

// one finds the job of the path and holds the lock while f runs.
func (d *recorded) one(f func(http.ResponseWriter, *http.Request, *api.Job)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64)
		i := slices.IndexFunc(d.jobs, func(j api.Job) bool { return j.ID == id })
		if i < 0 {
			problem(w, &api.Problem{Status: 404, Detail: fmt.Sprintf("no job %d", id), Code: api.CodeNotFound,
				Hint: "weft ls -a lists all jobs"})
			return
		}
		f(w, r, &d.jobs[i])
	}
}

func (d *recorded) list(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := r.URL.Query()
	list := api.JobList{Jobs: []api.Job{}}
	for _, j := range d.jobs {
		ok := len(q["state"]) == 0 || slices.Contains(q["state"], string(j.State))
		ok = ok && (len(q["kind"]) == 0 || slices.Contains(q["kind"], string(j.Kind)))
		ok = ok && (len(q["id"]) == 0 || slices.Contains(q["id"], strconv.FormatInt(j.ID, 10)))
		for _, l := range q["label"] {
			k, v, _ := strings.Cut(l, "=")
			ok = ok && j.Labels[k] == v
		}
		if ok {
			list.Jobs = append(list.Jobs, j)
		}
	}
	answer(w, list)
}

func (d *recorded) act(w http.ResponseWriter, r *http.Request, j *api.Job) {
	if r.PathValue("action") == "predict" {
		io.Copy(w, strings.NewReader("class,p0\n0,0.9\n"))
		return
	}
	switch r.PathValue("action") {
	case "hold":
		j.Held, j.Reason = true, "held"
	case "release":
		j.Held, j.Reason = false, ""
	default:
		to, err := api.Next(j.State, api.Transition(r.PathValue("action")))
		if err != nil {
			e := api.AsError(err)
			problem(w, &api.Problem{Status: 409, Detail: e.Message, Code: e.Code, Hint: e.Hint})
			return
		}
		if j.State != api.Running { // a running job leaves its device later
			j.State = to
		}
	}
	answer(w, j)
}

func (d *recorded) submit(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	var subs []api.Submission
	if err := json.Unmarshal(body, &subs); err != nil {
		panic(err)
	}
	d.posts = append(d.posts, string(body))
	if d.refuse != nil {
		problem(w, d.refuse)
		return
	}
	if r.URL.Query().Get("dry_run") == "true" {
		var plans []api.DryRun
		for _, s := range subs {
			if isCPU(s.Kind) {
				plans = append(plans, api.DryRun{Name: string(s.Kind), MemoryBytes: 56 << 20, Device: "pools", Pool: "goroutine", Workers: 2})
				continue
			}
			plans = append(plans, api.DryRun{Name: s.Name, Parameters: 4810, MemoryBytes: 133_120,
				DataBytes: 470_000, Rows: 1438,
				Steps: 900, Device: "cpu", EstimatedSeconds: 0.06})
		}
		answer(w, plans)
		return
	}
	if len(r.Header.Get("Idempotency-Key")) != 32 && len(subs) != 0 && !strings.HasPrefix(subs[0].Name, "mlp-") {
		problem(w, &api.Problem{Status: 422, Detail: "no idempotency key", Code: api.CodeInvalid})
		return
	}
	var out api.Submitted
	for _, s := range subs {
		id := int64(1)
		if n := len(d.jobs); n > 0 {
			id = d.jobs[n-1].ID + 1
		}
		j := api.Job{ID: id, Name: s.Name, Kind: s.Kind, State: api.Queued, Owner: "ann", Labels: s.Labels,
			Priority:    s.Priority,
			SubmittedAt: moment, Progress: api.Progress{Epochs: 2, Steps: 90}}
		if isCPU(s.Kind) {
			j.Spec = s.Spec // how results are written is said there
		}
		d.jobs = append(d.jobs, j)
		out.Jobs = append(out.Jobs, j)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(out)
}

// history is what a job's events say; their ids grow with the job's.
func (d *recorded) history(j *api.Job) []api.Event {
	events := []api.Event{{Type: "submitted", State: api.Queued}}
	if j.StartedAt != nil {
		events = append(events, api.Event{Type: "started", State: api.Running, Message: "on cpu"})
		for _, e := range d.epochs[j.ID] {
			events = append(events, api.Event{Type: "epoch", State: api.Running, Epoch: &e})
		}
	}
	if j.State.Final() {
		events = append(events, api.Event{Type: string(j.State), State: j.State})
	}
	for i := range events {
		events[i].ID, events[i].Job, events[i].Time = j.ID*100+int64(i), j.ID,
			j.SubmittedAt.Add(time.Duration(i)*time.Minute)
	}
	return events
}

// events tells the history of the jobs asked for, after which every one of
// them that can end has ended: queued and running jobs succeed, but for those
// whose name says fail.
func (d *recorded) events(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range d.jobs {
		j := &d.jobs[i]
		ids := r.URL.Query()["job"]
		if len(ids) > 0 && !slices.Contains(ids, strconv.FormatInt(j.ID, 10)) {
			continue
		}
		if !j.State.Final() && j.State != api.Paused {
			d.finish(j)
		}
		for _, e := range d.history(j) {
			js, err := json.Marshal(e)
			if err != nil {
				panic(err)
			}
			fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", e.ID, e.Type, js)
		}
	}
}

func (d *recorded) finish(j *api.Job) {
	if isCPU(j.Kind) {
		d.cpu.finish(j)
		return
	}
	if j.StartedAt == nil {
		j.StartedAt = at(-10 * time.Second)
	}
	j.FinishedAt, j.Device, j.Attempt, j.Reason = at(-2*time.Second), "cpu", 1, ""
	if d.epochs[j.ID] == nil {
		d.epochs[j.ID] = d.epochs[1]
	}
	j.State, j.Progress.Epoch = api.Succeeded, j.Progress.Epochs
	j.Metrics = map[string]float64{"val_accuracy": 0.9712}
	j.Usage.WallSeconds = 8
	if strings.Contains(j.Name, "fail") {
		j.State = api.Failed
		j.Error = &api.Error{Code: api.CodeNaN, Message: "the loss became NaN at step 17",
			Hint: "a smaller learning rate"}
	}
	if strings.Contains(j.Name, "slow") {
		j.State = api.Failed
		j.Error = &api.Error{Code: api.CodeTimeout, Message: "ran for longer than 30m"}
	}
}

// serveRecorded is `weft serve --state-dir D --socket S` in a process of its
// own, for demo; it ends by SIGTERM.
func serveRecorded(args []string) int {
	socket := ""
	for i, a := range args {
		if a == "--socket" && i+1 < len(args) {
			socket = args[i+1]
		}
	}
	if os.Getenv("WEFT_TEST_SERVE") == "fail" {
		fmt.Fprintln(os.Stderr, "weft: no memory for a daemon")
		return 1
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	d := newRecorded()
	d.jobs = nil
	s := &http.Server{Handler: d.handler()}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		s.Close()
	}()
	_ = s.Serve(l)
	return 0
}
