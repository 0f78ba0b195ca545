package daemon

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"weft/daemon/api"
	"weft/daemon/store"
	"weft/gpu"
	"weft/gpu/train"
)

// arrows are the transitions by the events that tell of them.
var arrows = map[string]api.Transition{
	"started": api.Start, "requeued": api.Requeue, "paused": api.Pause, "resumed": api.Resume,
	"succeeded": api.Succeed, "failed": api.Fail, "cancelled": api.Cancel, "retried": api.Retry,
}

// TestNoJobIsLostInChaos does random things to random jobs, kills workers and
// the daemon between them, and then lets everything end. Whatever happened,
// every job ends, its history is one the state machine allows, and no job was
// ever on the device twice or there without being recorded as running (the
// memory device panics on the former).
func TestNoJobIsLostInChaos(t *testing.T) {
	for seed := range uint64(4) {
		chaos(t, seed)
	}
}

func chaos(t *testing.T, seed uint64) {
	const slots = 3
	cfg, err := testConfig(t).complete()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Log = quiet()
	if err := makeStateDir(cfg.StateDir); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 7))
		b := &bubble{t: t, dev: newMemDevice("cpu", slots), loader: newMemLoader()}
		b.open(cfg)
		var ids []int64
		for range 120 {
			ids = b.disturb(rng, ids, slots)
			b.settle()
			b.check(slots)
		}
		b.letEnd(ids)
		for _, id := range ids {
			b.history(id)
		}
		if b.loader.open != 0 {
			t.Errorf("%d sets are not released", b.loader.open)
		}
		b.end()
	})
}

// disturb does one random thing.
func (b *bubble) disturb(rng *rand.Rand, ids []int64, slots int) []int64 {
	n := rng.IntN(20)
	if len(ids) == 0 || n < 4 {
		return append(ids, b.submit(func(j *store.NewJob) {
			j.Priority = rng.IntN(3)
			j.Retries = rng.IntN(2)
			if len(ids) > 0 && rng.IntN(5) == 0 {
				j.After = []int64{ids[rng.IntN(len(ids))]}
			}
		}))
	}
	id := ids[rng.IntN(len(ids))]
	moves := []api.Transition{api.Cancel, api.Pause, api.Resume, api.Resume, api.Retry}
	switch {
	case n < 9:
		// Refusals are part of it: the job may be in any state.
		_, _ = b.move(id, moves[n-4])
	case n == 9:
		_, _ = b.o.hold(b.t.Context(), id, rng.IntN(2) == 0, anyone)
	case n == 10:
		b.dev.crash("signal: killed")
	case n == 11:
		if on := b.resident(); len(on) > 0 {
			b.dev.crash("signal: segmentation fault", on[rng.IntN(len(on))])
		}
	case n == 12 && rng.IntN(3) == 0:
		b.kill()
		b.dev = newMemDevice("cpu", slots)
		b.open(b.o.cfg)
	case n == 13:
		b.pass(time.Duration(rng.IntN(20)) * time.Second)
	default:
		b.advance(rng, n)
	}
	return ids
}

// advance has the device tell something of one of its jobs.
func (b *bubble) advance(rng *rand.Rand, n int) {
	on := b.resident()
	if len(on) == 0 {
		return
	}
	id := on[rng.IntN(len(on))]
	switch n {
	case 14:
		b.dev.emit(gpu.Failed{Job: id, Fault: train.Fault{Code: "nan_loss", Message: "not a number"}, Spent: gpu.Spent{DeviceSeconds: 1}})
	case 15:
		b.dev.emit(gpu.Checkpointed{Job: id, Step: 3})
	case 16:
		b.dev.emit(gpu.EpochEnded{Job: id, Epoch: 1, Step: 9, Metrics: map[string]float64{"val_loss": rng.Float64()}})
	case 17:
		b.dev.emit(gpu.Started{Job: id})
	case 18:
		b.dev.emit(gpu.Progressed{Jobs: []gpu.Progress{{Job: id, Epoch: 1, Epochs: 3, Step: 10, Steps: 30, TrainLoss: 1}}})
	default:
		b.dev.emit(gpu.Finished{Job: id, Spent: gpu.Spent{DeviceSeconds: 1}})
	}
}

func (b *bubble) resident() []int64 {
	b.dev.mu.Lock()
	defer b.dev.mu.Unlock()
	return slices.Sorted(maps.Keys(b.dev.resident))
}

// check compares the device, the table and the store.
func (b *bubble) check(slots int) {
	b.t.Helper()
	on := b.resident()
	if len(on) > slots {
		b.t.Fatalf("%d jobs on %d slots", len(on), slots)
	}
	for _, id := range on {
		b.state(id, api.Running)
	}
	running, _, err := b.o.store.List(b.t.Context(), store.Filter{States: []api.State{api.Running}})
	if err != nil {
		b.t.Fatal(err)
	}
	if len(running) != len(on) {
		b.t.Fatalf("%d jobs are recorded as running, %d are on the device", len(running), len(on))
	}
	queued, _, err := b.o.store.List(b.t.Context(), store.Filter{States: []api.State{api.Queued}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.o.board.complete(queued, time.Now())
	for _, j := range queued {
		if j.Reason == "" {
			b.t.Errorf("job %d waits for no reason", j.ID)
		}
	}
}

// letEnd lets every job run to an end.
func (b *bubble) letEnd(ids []int64) {
	b.t.Helper()
	for range 3 * len(ids) {
		open := 0
		for _, id := range ids {
			rec := b.job(id)
			if rec.State.Final() {
				continue
			}
			open++
			if rec.State == api.Paused {
				_, _ = b.move(id, api.Resume)
			}
			_, _ = b.o.hold(b.t.Context(), id, false, anyone)
		}
		if open == 0 {
			return
		}
		b.settle()
		for _, id := range b.resident() {
			b.dev.emit(gpu.Finished{Job: id})
		}
		b.pass(time.Second)
	}
	for _, id := range ids {
		if rec := b.job(id); !rec.State.Final() {
			b.t.Errorf("job %d is %s because %q", id, rec.State, rec.Reason)
		}
	}
}

// history walks a job's events through the state machine.
func (b *bubble) history(id int64) {
	b.t.Helper()
	events, err := b.o.store.Events(b.t.Context(), id, 0, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	state := api.Queued
	for _, e := range events {
		if do, moves := arrows[e.Type]; moves {
			if state, err = api.Next(state, do); err != nil {
				b.t.Fatalf("job %d, event %d %s: %v", id, e.ID, e.Type, err)
			}
		}
		if state != e.State {
			b.t.Fatalf("job %d is %s after %s, and told %s", id, state, e.Type, e.State)
		}
	}
	if rec := b.job(id); rec.State != state {
		b.t.Errorf("job %d is %s, its history ends %s", id, rec.State, state)
	}
}
