package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weft/daemon/api"
	"weft/gpu"
)

// TestStreamResumesWithoutGapOrDuplicate breaks the stream at random places
// while jobs come, run and end, and goes on from the last id.
func TestStreamResumesWithoutGapOrDuplicate(t *testing.T) {
	r := newRig(t, 8, func(r *rig) { r.dev.play = trains(4) })
	const jobs = 60
	go func() {
		for range jobs / 10 {
			r.do("POST", "/v1/jobs", sweep(10, ""))
		}
	}()
	rng := rand.New(rand.NewPCG(1, 2))
	var last int64
	ended, perJob := 0, map[int64]int{}
	for ended < jobs {
		f := r.stream("/v1/events", "Last-Event-ID", fmt.Sprint(last))
		for range 1 + rng.IntN(40) {
			e := f.next()
			if e.ID != last+1 { // ids are consecutive as long as no job is removed
				t.Fatalf("event %d comes after %d", e.ID, last)
			}
			last = e.ID
			perJob[e.Job]++
			if e.State.Final() {
				ended++
				if perJob[e.Job] != 7 {
					t.Errorf("job %d has %d events, want submitted, started, 4 epochs, succeeded", e.Job, perJob[e.Job])
				}
				if ended == jobs {
					break
				}
			}
		}
		f.close()
	}
}

// TestStreamOfSeveralJobsMissesNone resumes between the events of two jobs,
// the younger of which went on first.
func TestStreamOfSeveralJobsMissesNone(t *testing.T) {
	r := newRig(t, 2)
	a := r.submit("")
	b := r.submit("")
	r.arrived()
	r.arrived()
	r.dev.emit(gpu.Finished{Job: b})
	r.until(b, "succeeded")
	r.dev.emit(gpu.Finished{Job: a})
	r.until(a, "succeeded")
	all := ok[[]api.Event](r, 200, "GET", fmt.Sprintf("/v1/jobs/%d/events", a), "")
	all = append(all, ok[[]api.Event](r, 200, "GET", fmt.Sprintf("/v1/jobs/%d/events", b), "")...)
	slices.SortFunc(all, func(x, y api.Event) int { return int(x.ID - y.ID) })
	for i := range all {
		f := r.stream(fmt.Sprintf("/v1/events?job=%d&job=%d&after=%d", a, b, all[i].ID-1))
		for _, want := range all[i:] {
			if got := f.next(); got.ID != want.ID {
				t.Errorf("after %d: event %d, want %d", all[i].ID-1, got.ID, want.ID)
			}
		}
		f.close()
	}
}

func TestStreamOfOneJobTellsProgress(t *testing.T) {
	r := newRig(t, 2)
	a, b := r.submit(""), r.submit("")
	r.arrived()
	r.arrived()
	f := r.stream(fmt.Sprintf("/v1/events?job=%d&job=%d", b, b))
	defer f.close()
	r.dev.emit(gpu.Started{Job: b})
	r.dev.emit(gpu.Started{Job: a})
	r.dev.emit(gpu.Progressed{Jobs: []gpu.Progress{
		{Job: a, Epoch: 1, Epochs: 3, Step: 5, Steps: 27, TrainLoss: 0.9, Spent: gpu.Spent{DeviceSeconds: 1}},
		{Job: b, Epoch: 2, Epochs: 3, Step: 18, Steps: 27, TrainLoss: 0.5, Spent: gpu.Spent{DeviceSeconds: 2}},
	}})
	for {
		e, err := f.raw()
		if err != nil {
			t.Fatal(err)
		}
		if e.name != api.ProgressEvent {
			continue
		}
		want := fmt.Sprintf(`{"id":%d,`, b)
		if e.id != "" || !bytes.HasPrefix(e.data, []byte(want)) || !bytes.Contains(e.data,
			[]byte(`"progress":{"epoch":2,"epochs":3,"step":18,"steps":27},"metrics":{"train_loss":0.5}`)) {
			t.Fatalf("progress is id %q, %s", e.id, e.data)
		}
		break
	}
	j := r.job(b)
	if j.Progress.Step != 18 || j.Usage.DeviceSeconds != 2 || j.Usage.WallSeconds <= 0 ||
		j.Metrics["train_loss"] != 0.5 {
		t.Errorf("job is %+v", j.Job)
	}
}

func TestThousandIdleStreams(t *testing.T) {
	r := newRig(t, 1, func(r *rig) { r.dev.play = trains(1) })
	var feeds []*feed
	defer func() {
		for _, f := range feeds {
			f.close()
		}
	}()
	for range 1000 {
		feeds = append(feeds, r.stream("/v1/events?after=-1"))
	}
	began := time.Now()
	id := r.submit("")
	t.Logf("submission with 1,000 streams open: %v", time.Since(began))
	var wait sync.WaitGroup
	for _, f := range feeds {
		wait.Go(func() {
			for {
				e, err := f.raw()
				if err != nil {
					t.Errorf("stream ended: %v", err)
					return
				}
				if e.name == "succeeded" && strings.Contains(string(e.data), fmt.Sprintf(`"job":%d`, id)) {
					return
				}
			}
		})
	}
	wait.Wait()
	t.Logf("all have seen it end: %v", time.Since(began))
}

// TestSlowReaderIsCutOff publishes more than a stream may have waiting to one
// that does not read; another stream must not notice.
func TestSlowReaderIsCutOff(t *testing.T) {
	h := newHub(0)
	slow, _ := h.subscribe(everyKind)
	fast, _ := h.subscribe(everyKind)
	defer slow.close()
	defer fast.close()
	seen := 0
	for id := int64(1); id <= maxBacklog+1; id++ {
		h.publish([]api.Event{{ID: id, Job: 1, Type: "changed", Message: strings.Repeat("x", 10)}})
		h.progress([]api.Job{{ID: 1}})
		got, err := fast.take()
		if err != nil {
			t.Fatalf("a stream that keeps up is cut off: %v", err)
		}
		for _, b := range got.batches {
			seen += len(b)
		}
	}
	if _, err := slow.take(); err == nil {
		t.Error("a stream that does not read is not cut off")
	}
	if seen < maxBacklog+1 {
		t.Errorf("the other stream saw %d items", seen)
	}
}

// TestReaderThatStopsHoldsNothing opens a stream on a raw connection, never
// reads it, and sees its handler end once the backlog is full.
func TestReaderThatStopsHoldsNothing(t *testing.T) {
	r := newRig(t, 1)
	c, err := net.Dial("unix", r.cfg.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /v1/events?after=-1 HTTP/1.1\r\nHost: weft\r\n\r\n")
	waitFor(t, func() bool { return r.d.hub.watched(everyKind) })
	long := strings.Repeat("x", 4096)
	// Publishing is the owner's: this test stands in for it between its events.
	for r.d.hub.watched(everyKind) {
		batch := make([]api.Event, 1000)
		for i := range batch {
			batch[i] = api.Event{ID: 1 << 40, Type: "changed", Message: long}
		}
		r.d.hub.publish(batch)
		r.d.hub.mu.Lock()
		cut := false
		for s := range r.d.hub.subs {
			cut = cut || s.slow
		}
		r.d.hub.mu.Unlock()
		if cut {
			break
		}
	}
	if id := r.submit(""); id == 0 {
		t.Error("the daemon does not answer")
	}
	_ = c.(*net.UnixConn).CloseRead()
	_ = c.Close()
	waitFor(t, func() bool { return !r.d.hub.watched(everyKind) })
}

// waitFor polls what no channel tells of; it yields to the goroutines that
// bring it about.
func waitFor(t testing.TB, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for !done() {
		select {
		case <-deadline.C:
			t.Fatal("it does not come about")
		case <-poll.C:
		}
	}
}

func TestLogsFollowToTheEnd(t *testing.T) {
	r := newRig(t, 1)
	id := r.submit("")
	r.arrived()
	ctx, stop := context.WithTimeout(context.Background(), limit)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("http://weft/v1/jobs/%d/logs?follow=true", id), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r.dev.emit(gpu.Started{Job: id})
	r.dev.emit(gpu.Finished{Job: id})
	text, err := io.ReadAll(resp.Body)
	if err != nil || string(text) != "submitted\nstarted: on cpu\nsucceeded\n" {
		t.Errorf("%q %v", text, err)
	}
}
