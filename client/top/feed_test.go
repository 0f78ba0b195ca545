package top

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
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
	types  string // of events that were asked for
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
		d.mu.Lock()
		d.types = r.URL.Query().Get("type")
		d.mu.Unlock()
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
	d.mu.Lock()
	if strings.Contains(d.types, "epoch") || strings.Contains(d.types, "checkpoint") ||
		!strings.Contains(d.types, "succeeded") || !strings.Contains(d.types, api.ProgressEvent) {
		t.Errorf("asked for events of types %q", d.types)
	}
	delete(d.jobs, 2)
	d.mu.Unlock()
	event("cancelled", "id: 6\n", api.Event{ID: 6, Job: 2, Type: "cancelled", State: api.Cancelled})
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

// The sparklines of jobs in view are asked for as these end epochs, and no more
// than so many at a time.
func TestSeriesFollowEpochs(t *testing.T) {
	epoch, queries := 2, map[string]int{}
	c := client(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		queries[r.URL.RequestURI()]++
		fmt.Fprintf(w, `[{"epoch":%d,"metrics":{"val_loss":3}},{"epoch":%d,"metrics":{"val_loss":%d}}]`, epoch-1, epoch, epoch)
	}))
	s := fixed(t, c, 120, 24)
	all := manyJobs(20)
	for i := range all[:10] {
		all[i].Progress.Epoch = epoch
	}
	at := moment
	look := func(times int) (asked int) {
		clear(queries)
		for range times {
			at = at.Add(time.Second)
			send(t, s, news{at: at, whole: true, jobs: all})
			text(t, s)
		}
		for uri, n := range queries {
			if !strings.HasSuffix(uri, fmt.Sprintf("/metrics?last=%d", seriesValues)) {
				t.Errorf("asked for %s", uri)
			}
			asked += n
		}
		return asked
	}
	if n := look(5); n != 10 || len(queries) != 10 {
		t.Errorf("asked %d times for the metrics of 10 jobs: %v", n, queries)
	}
	contain(t, text(t, s), "█▁ 1.0000 val_loss")
	epoch = 5
	for i := range all[:3] {
		all[i].Progress.Epoch = epoch
	}
	if n := look(3); n != 3 || len(queries) != 3 {
		t.Errorf("3 jobs have ended epochs, asked for %v", queries)
	}
	contain(t, text(t, s), "▁█ 1.0000 val_loss", "█▁ 1.0000 val_loss")
	for i := range all[:10] {
		all[i].Progress.Epoch = 1_000 + i // further than what is answered: it has just ended
	}
	if n := look(10); n != 10*seriesAtOnce || len(queries) != 10 {
		t.Errorf("asked %d times in 10 refreshes: %v", n, queries)
	}
	at = at.Add(-time.Second) // again at once: nothing is asked for twice in so short a time
	if n := look(1); n > 2 {
		t.Errorf("asked %d times in one moment", n)
	}
}

// A job's view asks for the epochs after the last that it has, once at a time,
// and for all of them where the job begins anew.
func TestFollowedEpochs(t *testing.T) {
	var asked []string
	c := client(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RequestURI())
		if strings.Contains(r.URL.Path, "metrics") {
			fmt.Fprint(w, `[{"epoch":3,"step":3,"metrics":{"val_loss":0.75}},{"epoch":4,"step":4,"metrics":{"val_loss":0.5}}]`)
			return
		}
		fmt.Fprint(w, `{"id":1,"state":"running","attempt":1,"epochs":[{"epoch":1,"metrics":{"val_loss":2}},{"epoch":2,"metrics":{"val_loss":1}}]}`)
	}))
	s := fixed(t, c, 120, 40)
	all := manyJobs(1)
	all[0].Progress.Epoch, all[0].Attempt, all[0].Metrics = 2, 1, nil
	send(t, s, news{at: moment, whole: true, jobs: all})
	text(t, s)
	press(t, s, "enter")
	send(t, s, news{at: moment, jobs: all})
	contain(t, text(t, s), "val_loss 1.0000, best 1.0000")
	all[0].Progress.Epoch = 4
	send(t, s, news{at: moment, jobs: all})
	send(t, s, news{at: moment, jobs: all})
	contain(t, text(t, s), "val_loss 0.5000, best 0.5000", "4         4        0.5000", "3         3        0.7500", "1         0        2.0000")
	all[0].Attempt, all[0].Progress.Epoch = 2, 0
	send(t, s, news{at: moment, jobs: all})
	contain(t, text(t, s), "val_loss 1.0000, best 1.0000")
	want := []string{"/v1/jobs/1", "/v1/jobs/1/metrics?after=2", "/v1/jobs/1"}
	if !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

var _ http.Handler = (*played)(nil)
