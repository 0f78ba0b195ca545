package top

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"weft/daemon/api"
)

// played is a daemon of a few jobs, with a stream that a test writes to.
type played struct {
	mu     sync.Mutex // guards what follows
	jobs   map[int64]api.Job
	asked  []string
	stream chan string
}

func play(jobs ...api.Job) *played {
	d := &played{jobs: map[int64]api.Job{}, stream: make(chan string)}
	for _, j := range jobs {
		d.jobs[j.ID] = j
	}
	return d
}

func (d *played) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/events" {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for {
			select {
			case <-r.Context().Done():
				return
			case text := <-d.stream:
				fmt.Fprint(w, text)
				w.(http.Flusher).Flush()
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, r.Method+" "+r.URL.Path)
	var id int64
	var what string
	n, _ := fmt.Sscanf(strings.ReplaceAll(r.URL.Path, "/", " "), " v1 jobs %d %s", &id, &what)
	answer := any(nil)
	switch j, there := d.jobs[id]; {
	case r.URL.Path == "/v1/devices":
		answer = someDevices(moment)
	case strings.HasSuffix(r.URL.Path, "/history"):
		answer = api.History{Device: "cpu", Step: 1, Points: []api.Point{{At: moment, Mean: map[string]float64{"utilization": 0.5}}}}
	case r.URL.Path == "/v1/jobs":
		list := api.JobList{Jobs: []api.Job{}}
		for _, j := range d.jobs {
			if ids := r.URL.Query()["id"]; len(ids) == 0 || strings.Contains(strings.Join(ids, ","), fmt.Sprint(j.ID)) {
				list.Jobs = append(list.Jobs, j)
			}
		}
		answer = list
	case n > 0 && !there:
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		answer = api.Problem{Status: 404, Detail: fmt.Sprintf("no job %d", id), Code: api.CodeNotFound, Hint: "weft ls -a"}
	case what == "cancel":
		j.State = api.Cancelled
		d.jobs[id] = j
		answer = j
	case r.Method == http.MethodPatch:
		var p api.Patch
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			panic(err)
		}
		j.Priority = *p.Priority
		d.jobs[id] = j
		answer = j
	default:
		answer = j
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		panic(err)
	}
}

// Acts are for the job under the cursor or those marked; cancelling asks first,
// and what went wrong is said with what to try.
func TestActs(t *testing.T) {
	all := manyJobs(4)
	for i := range all {
		all[i].State = api.Queued
	}
	d := play(all[:3]...) // not the fourth
	s := fixed(t, client(t, d), 120, 24)
	send(t, s, news{at: moment, whole: true, jobs: all})
	text(t, s)
	press(t, s, "c", "n")
	contain(t, text(t, s), "nothing was done")
	if len(d.asked) != 0 {
		t.Errorf("asked %v", d.asked)
	}
	press(t, s, "c")
	contain(t, text(t, s), "cancel job 1 (job-1)? y/n")
	press(t, s, "y")
	contain(t, text(t, s), "cancelled job 1 (job-1)", "3 queued", "1 cancelled")
	press(t, s, "+", "+", "+", "-")
	if got := d.jobs[2].Priority; got != 2 {
		t.Errorf("priority of job 2 is %d, want 2", got)
	}
	press(t, s, "a", "p")
	contain(t, text(t, s), "could not pause 1 of 3 jobs; no job 4; try: weft ls -a", "3 marked")
	press(t, s, "esc")
	lack(t, text(t, s), "marked")
}

// The feed lists jobs and devices, then tells what the stream says; a job that
// changed is asked for, and when the daemon goes away and comes back it says so.
func TestFeed(t *testing.T) {
	all := manyJobs(3)
	d := play(all...)
	c := client(t, nil)
	path := strings.TrimPrefix(c.Host(), "unix://")
	server := serveAt(t, filepath.Clean(path), d)
	f := newFeed(c, 5*time.Millisecond, time.Now)
	told := make(chan tea.Msg, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.run(ctx, func(m tea.Msg) { told <- m }) }()
	n := await(t, told, func(n news) bool { return n.whole })
	if len(n.jobs) != 3 {
		t.Errorf("%d jobs", len(n.jobs))
	}
	event := func(name, id string, v any) {
		js, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		d.stream <- id + "event: " + name + "\ndata: " + string(js) + "\n\n"
	}
	event(api.ProgressEvent, "", api.Job{ID: 1, State: api.Running, Progress: api.Progress{Step: 7}})
	await(t, told, func(n news) bool { return len(n.jobs) > 0 && n.jobs[0].Progress.Step == 7 })
	event("epoch", "id: 5\n", api.Event{ID: 5, Job: 1, Epoch: &api.Epoch{Epoch: 2}})
	await(t, told, func(n news) bool { return len(n.epochs) > 0 && n.epochs[0].Job == 1 })
	d.mu.Lock()
	delete(d.jobs, 2)
	d.mu.Unlock()
	event("cancelled", "id: 6\n", api.Event{ID: 6, Job: 2, State: api.Cancelled})
	await(t, told, func(n news) bool { return len(n.missing) > 0 && n.missing[0] == 2 })

	server.CloseClientConnections()
	server.Close()
	await(t, told, func(l lost) bool { return l.err != nil && !l.since.IsZero() })
	serveAt(t, filepath.Clean(path), d)
	await(t, told, func(found) bool { return true })
	await(t, told, func(n news) bool { return n.whole && len(n.jobs) == 2 })
	cancel()
	go func() {
		for range told { // what is under way is let go
		}
	}()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	close(told)
}

// await returns the first message of a type that is as wanted.
func await[T any](t *testing.T, told <-chan tea.Msg, as func(T) bool) T {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case m := <-told:
			if v, ok := m.(T); ok && as(v) {
				return v
			}
		case <-deadline:
			t.Fatal("it is not told")
		}
	}
}

// Without a daemon at the beginning there is nothing to show.
func TestFeedWithoutDaemon(t *testing.T) {
	s := fixed(t, client(t, nil), 80, 24)
	err := s.Feed(t.Context(), func(tea.Msg) {})
	if e := api.AsError(err); e == nil || e.Code != api.CodeUnreachable {
		t.Errorf("%v", err)
	}
}

// The sparklines of jobs in view are asked for once.
func TestSeriesAreAskedForOnce(t *testing.T) {
	asked := 0
	c := client(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		fmt.Fprint(w, `[{"epoch":1,"metrics":{"val_loss":3}},{"epoch":2,"metrics":{"val_loss":1}}]`)
	}))
	s := fixed(t, c, 120, 24)
	all := manyJobs(20)
	for range 3 {
		send(t, s, news{at: moment, whole: true, jobs: all})
		text(t, s)
	}
	if asked != 10 {
		t.Errorf("asked %d times for the metrics of 10 jobs", asked)
	}
	contain(t, text(t, s), "█▁ 1.0000 val_loss")
}

var _ http.Handler = (*played)(nil)
