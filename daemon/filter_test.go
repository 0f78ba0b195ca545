package daemon

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weft/daemon/api"
	"weft/daemon/store"
	"weft/gpu"
)

// ofTypes are the ids of all events of some types that the daemon has.
func (r *rig) ofTypes(types ...string) []int64 {
	r.t.Helper()
	var ids []int64
	for _, j := range ok[api.JobList](r, 200, "GET", "/v1/jobs?spec=false", "").Jobs {
		for _, e := range ok[[]api.Event](r, 200, "GET", fmt.Sprintf("/v1/jobs/%d/events", j.ID), "") {
			if slices.Contains(types, e.Type) {
				ids = append(ids, e.ID)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// TestFilteredStreamResumesWithoutGapOrDuplicate breaks streams of some types at
// random places while jobs come, run and end, and goes on from the last id.
func TestFilteredStreamResumesWithoutGapOrDuplicate(t *testing.T) {
	for query, types := range map[string][]string{
		"type=submitted&type=succeeded": {"submitted", "succeeded"},
		"type=epoch,succeeded":          {"epoch", "succeeded"},
		"type=succeeded":                {"succeeded"},
	} {
		t.Run(query, func(t *testing.T) {
			r := newRig(t, 8, func(r *rig) { r.dev.play = trains(4) })
			const jobs = 40
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				for range jobs / 5 {
					r.do("POST", "/v1/jobs", sweep(5, ""))
				}
			}()
			rng := rand.New(rand.NewPCG(3, 4))
			var got []int64
			for last, ended := int64(0), 0; ended < jobs; {
				f := r.stream("/v1/events?"+query, "Last-Event-ID", fmt.Sprint(last))
				for range 1 + rng.IntN(15) {
					e := f.next()
					if last = e.ID; e.Type == "succeeded" {
						ended++
					}
					if got = append(got, e.ID); ended == jobs {
						break
					}
				}
				f.close()
			}
			<-sent
			if diff := cmp.Diff(r.ofTypes(types...), got); diff != "" {
				t.Errorf("there are, and the stream told (+):\n%s", diff)
			}
		})
	}
}

// TestFilteredClientGoesOnOverRestarts reads a filtered stream through the client
// while the daemon goes away and comes back, between events and when only such
// came that the filter leaves out.
func TestFilteredClientGoesOnOverRestarts(t *testing.T) {
	r := newRig(t, 4, func(r *rig) { r.dev.play = trains(3) })
	c, err := api.New("unix://"+r.cfg.Socket, api.Options{
		Backoff: api.Backoff{First: time.Millisecond, Most: 10 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	types := []string{"held", "released", "succeeded"}
	told, opened, ended := make(chan api.Event, 1000), make(chan struct{}, 100), make(chan error, 1)
	go func() {
		for m, err := range c.Events(ctx, api.EventFilter{Types: types}, -1) {
			switch {
			case err != nil:
				ended <- err
				return
			case m.Reconnected:
				opened <- struct{}{}
			case m.Event != nil:
				told <- *m.Event
			default:
				t.Errorf("told %+v", m)
			}
		}
	}()
	// The client is there from the first id that it is told on.
	waitFor(t, func() bool { return r.d.hub.watched(everyKind) })
	var got []int64
	next := func(kind string) {
		t.Helper()
		select {
		case e := <-told:
			if e.Type != kind {
				t.Errorf("event %d is %s, want %s", e.ID, e.Type, kind)
			}
			got = append(got, e.ID)
		case <-ctx.Done():
			t.Fatalf("no event %s", kind)
		}
	}
	for range 3 {
		r.submit("")
		r.submit(`,"hold":true`)
		next("succeeded")
		r.restart()
		<-opened
		r.until(r.submit(""), "succeeded") // heard of before the next restart, or after it
		r.restart()
		<-opened
		next("succeeded")
	}
	held := ok[api.JobList](r, 200, "GET", "/v1/jobs?state=queued", "").Jobs
	r.act(held[0].ID, "release")
	next("released")
	next("succeeded")
	if diff := cmp.Diff(r.ofTypes(types...), got); diff != "" {
		t.Errorf("there are, and the stream told (+):\n%s", diff)
	}
	cancel()
	<-ended
}

// Progress is a type as others are, and comes only where it is asked for.
func TestStreamOfProgressOnly(t *testing.T) {
	r := newRig(t, 2)
	id := r.submit("")
	r.arrived()
	only, without := r.stream("/v1/events?type=progress"), r.stream("/v1/events?type=started,succeeded")
	defer only.close()
	defer without.close()
	r.dev.emit(gpu.Started{Job: id})
	r.dev.emit(gpu.Progressed{Jobs: []gpu.Progress{{Job: id, Epoch: 1, Epochs: 3, Step: 9, Steps: 27, TrainLoss: 0.9}}})
	if e, err := only.raw(); err != nil || e.name != api.ProgressEvent || e.id != "" {
		t.Errorf("a stream of progress tells %s %s, %v", e.name, e.data, err)
	}
	r.dev.emit(gpu.Finished{Job: id})
	for _, want := range []string{"started", "succeeded"} {
		if e, err := without.raw(); err != nil || e.name != want {
			t.Errorf("a stream without progress tells %s %s, %v; want %s", e.name, e.data, err, want)
		}
	}
}

// What a stream's filter leaves out is not made into a line, wakes nobody, and is
// passed over when the stream goes on later.
func TestFilteredOutCostsNothing(t *testing.T) {
	h := newHub(0)
	ends, _ := h.subscribe(kindOf("failed"))
	defer ends.close()
	all, _ := h.subscribe(everyKind)
	defer all.close()
	epochs := make([]api.Event, 100)
	for i := range epochs {
		epochs[i] = api.Event{ID: int64(i + 1), Job: 1, Type: api.EventEpoch, Epoch: &api.Epoch{Epoch: i + 1}}
	}
	h.publish(epochs)
	h.progress([]api.Job{{ID: 1}})
	select {
	case <-ends.signal:
		t.Error("a stream is woken for what it does not want")
	default:
	}
	if got, err := ends.take(); err != nil || len(got.batches) != 0 || got.upTo != 100 {
		t.Errorf("it takes %+v, %v", got, err)
	}
	all.close() // from now on nobody wants epochs
	if n := testing.AllocsPerRun(10, func() { h.publish(epochs) }); n > 0 {
		t.Errorf("100 epochs that nobody wants take %v allocations", n)
	}
	standings := []api.Job{{ID: 1}}
	if n := testing.AllocsPerRun(10, func() { h.progress(standings) }); n > 0 {
		t.Errorf("progress that nobody wants takes %v allocations", n)
	}
	h.publish([]api.Event{{ID: 101, Job: 1, Type: api.EventEpoch}, {ID: 102, Job: 1, Type: "failed"}})
	got, err := ends.take()
	if err != nil || len(got.batches) != 1 {
		t.Fatalf("it takes %+v, %v", got, err)
	}
	want := interest{types: []string{"failed"}}
	items := choose(got.batches, &want, 0)
	if len(items) != 1 || items[0].id != 102 || !strings.HasPrefix(string(items[0].bytes()), "id: 102\nevent: failed\n") {
		t.Errorf("it chooses %+v", items)
	}
	if got.batches[0][0].frame != nil {
		t.Errorf("an epoch that nobody wants is encoded: %s", got.batches[0][0].frame)
	}
}

// A stream that has nothing to tell for long says how far it is, so that its
// reader goes on behind all that was left out.
func TestIdleStreamTellsItsPlace(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		id := b.submit()
		s := &server{store: b.o.store, hub: b.o.hub}
		ctx, cancel := context.WithCancel(b.t.Context())
		places, ended := []int64{}, make(chan error, 1)
		go func() {
			ended <- s.follow(ctx, interest{types: []string{"failed"}}, -1, true, func(items []*item) (bool, error) {
				b.t.Errorf("told of %d items", len(items))
				return true, nil
			}, func(upTo int64) error {
				places = append(places, upTo)
				return nil
			})
		}()
		synctest.Wait()
		began := b.o.hub.lastID()
		b.dev.emit(gpu.Started{Job: id})
		b.dev.emit(gpu.EpochEnded{Job: id, Epoch: 1, Step: 9, Metrics: map[string]float64{"val_loss": 1}})
		b.pass(keepAlive)
		now := b.o.hub.lastID()
		cancel()
		<-ended
		if now <= began || !slices.Equal(places, []int64{began, now}) {
			b.t.Errorf("from %d to %d it says it is at %v", began, now, places)
		}
	})
}

// What happens between the subscription and the look into the store is in both, and
// told once.
func TestStreamTellsNothingTwice(t *testing.T) {
	for _, types := range [][]string{nil, {"submitted"}, {"held"}} {
		inBubble(t, 1, func(b *bubble) {
			s := &server{store: b.o.store, hub: b.o.hub}
			ctx, cancel := context.WithTimeout(b.t.Context(), 3*keepAlive) // fake time
			defer cancel()
			var told []string
			first := true
			_ = s.follow(ctx, interest{types: types}, -1, true, func(items []*item) (bool, error) {
				for _, it := range items {
					told = append(told, it.event.Type)
				}
				return true, nil
			}, func(int64) error {
				if first { // it has subscribed
					first = false
					b.submit(func(j *store.NewJob) { j.Hold = true })
				}
				return nil
			})
			want := []string{"submitted"}
			if slices.Contains(types, "held") {
				want = nil
			}
			if !slices.Equal(told, want) {
				b.t.Errorf("of %v it tells %v", types, told)
			}
		})
	}
}

func TestEventTypesAreThoseOfTheStore(t *testing.T) {
	for _, s := range api.States {
		for _, do := range []api.Transition{api.Start, api.Requeue, api.Pause, api.Resume, api.Succeed, api.Fail, api.Cancel, api.Retry} {
			if _, err := api.Next(s, do); err != nil {
				continue
			}
			if name := store.EventType(do); !slices.Contains(api.EventTypes, name) {
				t.Errorf("%s is told as %q, which is no type of event", do, name)
			}
		}
	}
	r := newRig(t, 1)
	doc := string(ok[raw](r, 200, "GET", "/openapi.json", ""))
	if list := strings.Join(api.EventTypes, ", "); !strings.Contains(doc, "There are "+list+`"`) {
		t.Errorf("the API's description does not say that there are %s", list)
	}
}

// raw is an answer as it came.
type raw []byte

func (r *raw) UnmarshalJSON(b []byte) error { *r = slices.Clone(b); return nil }

// Epochs are answered from one on, or the last of them, in their order.
func TestMetricsOfSomeEpochs(t *testing.T) {
	r := newRig(t, 1, func(r *rig) { r.dev.play = trains(9) })
	id := r.submit("")
	r.until(id, "succeeded")
	for query, want := range map[string][]int{"": {1, 2, 3, 4, 5, 6, 7, 8, 9}, "?last=3": {7, 8, 9}, "?after=7": {8, 9},
		"?after=4&last=2": {8, 9}, "?last=100": {1, 2, 3, 4, 5, 6, 7, 8, 9}, "?after=9": {}} {
		got := []int{}
		for _, e := range ok[[]api.Epoch](r, 200, "GET", fmt.Sprintf("/v1/jobs/%d/metrics%s", id, query), "") {
			got = append(got, e.Epoch)
			if e.Metrics["val_loss"] != 2/float64(e.Epoch) {
				t.Errorf("epoch %d has %v", e.Epoch, e.Metrics)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("metrics%s are of epochs %v, want %v", query, got, want)
		}
	}
	ok[api.Problem](r, 404, "GET", "/v1/jobs/99/metrics", "")
	ok[api.Problem](r, 422, "GET", fmt.Sprintf("/v1/jobs/%d/metrics?last=-1", id), "")
}
