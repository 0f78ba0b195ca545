package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weft/daemon/api"
	"weft/daemon/store"
	"weft/daemon/watchdog"
	"weft/gpu"
	"weft/gpu/train"
	"weft/gpu/train/dataset"
)

// A bubble is an owner with memory devices on fake time and no listener.
type bubble struct {
	t      *testing.T
	o      *owner
	dev    *memDevice
	gpu    *memDevice // nil: none
	loader *memLoader
	info   *dataset.Info
}

// inBubble runs f with an owner whose one device has that many slots.
func inBubble(t *testing.T, slots int, f func(*bubble)) {
	t.Helper()
	bubbled(t, func(t *testing.T) *bubble {
		return &bubble{t: t, dev: newMemDevice("cpu", slots), loader: newMemLoader()}
	}, f)
}

func bubbled(t *testing.T, make func(*testing.T) *bubble, f func(*bubble)) {
	t.Helper()
	cfg, err := testConfig(t).complete()
	if err != nil {
		t.Fatal(err)
	}
	if err := makeStateDir(cfg.StateDir); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		b := make(t)
		b.open(cfg)
		f(b)
		b.end()
	})
}

func (b *bubble) open(cfg Config) {
	b.t.Helper()
	st, err := store.Open(b.t.Context(), filepath.Join(cfg.StateDir, storeName))
	if err != nil {
		b.t.Fatal(err)
	}
	hw := hardware{devices: []device{b.dev}, loader: b.loader}
	if b.gpu != nil {
		hw.devices = append(hw.devices, b.gpu)
	}
	b.o = newOwner(cfg, st, newHub(0), newMeter(), hw)
	if err := b.o.restore(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	go b.o.run()
	for _, s := range b.o.seats {
		go b.o.pump(s, watchdog.New(watchdog.Config{}).Loop("device"))
	}
	synctest.Wait()
}

// end drains and closes; kill does not drain.
func (b *bubble) end() {
	b.t.Helper()
	b.o.drain(b.t.Context())
	b.closeStore()
}

func (b *bubble) kill() {
	b.t.Helper()
	b.o.abort()
	<-b.o.done
	b.dev.Kill()
	b.closeStore()
}

func (b *bubble) closeStore() {
	b.t.Helper()
	synctest.Wait()
	if err := b.o.store.Close(); err != nil {
		b.t.Error(err)
	}
}

// submit stores a job, changed as wished, and waits until it is planned.
func (b *bubble) submit(change ...func(*store.NewJob)) int64 {
	b.t.Helper()
	spec, err := train.Parse([]byte(irisSpec))
	if err != nil {
		b.t.Fatal(err)
	}
	if b.info == nil {
		set, err := dataset.Load(b.t.Context(), &spec.Data, spec.Loss.Task())
		if err != nil {
			b.t.Fatal(err)
		}
		b.info = &set.Info
	}
	job := store.NewJob{
		Submission: api.Submission{Kind: api.KindTrain, Name: "iris", Spec: spec.JSON()},
		Owner:      "alice", Node: "here", Device: "auto",
		MemoryBytes: 1000, GPUBytes: 1000, DataBytes: b.info.Bytes, DataHash: b.info.Hash,
	}
	for _, f := range change {
		f(&job)
	}
	recs, err := b.o.submit(b.t.Context(), "", "", []store.NewJob{job})
	if err != nil {
		b.t.Fatal(err)
	}
	b.settle()
	return recs[0].ID
}

// settle lets everything happen that needs no time but the planner's pause.
func (b *bubble) settle() {
	for range 3 {
		synctest.Wait()
		<-time.After(planGap) // fake time
	}
	synctest.Wait()
}

func (b *bubble) pass(d time.Duration) {
	<-time.After(d) // fake time
	b.settle()
}

func (b *bubble) job(id int64) store.Record {
	b.t.Helper()
	rec, err := b.o.store.Job(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	jobs := []api.Job{rec.Job}
	b.o.board.complete(jobs, time.Now())
	rec.Job = jobs[0]
	return rec
}

func (b *bubble) state(id int64, want api.State) store.Record {
	b.t.Helper()
	rec := b.job(id)
	if rec.State != want {
		b.t.Fatalf("job %d is %s (%+v), want %s", id, rec.State, rec.Error, want)
	}
	return rec
}

func (b *bubble) failed(id int64, code api.Code, words string) {
	b.t.Helper()
	rec := b.state(id, api.Failed)
	if rec.Error == nil || rec.Error.Code != code || rec.Error.Hint == "" ||
		!strings.Contains(rec.Error.Message, words) {
		b.t.Errorf("job %d failed with %+v, want %s: %s", id, rec.Error, code, words)
	}
}

func anyone(string) error { return nil }

func (b *bubble) move(id int64, do api.Transition) (store.Record, error) {
	return b.o.move(b.t.Context(), id, do, anyone)
}

func TestTimeout(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		id := b.submit(func(j *store.NewJob) { j.Timeout = 60; j.Retries = 1 })
		for range 2 {
			b.state(id, api.Running)
			b.dev.emit(gpu.Started{Job: id})
			b.pass(59 * time.Second)
			b.state(id, api.Running)
			b.pass(2 * time.Second)
		}
		b.failed(id, api.CodeTimeout, "the job ran longer than its time limit of 1m0s")
		if rec := b.job(id); rec.Attempt != 2 {
			t.Errorf("%d attempts", rec.Attempt)
		}
	})
}

func TestTimeLimitCountsAllStaysOfAnAttempt(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		id := b.submit(func(j *store.NewJob) { j.Timeout = 60 })
		b.dev.emit(gpu.Started{Job: id})
		b.pass(40 * time.Second)
		b.dev.crash("signal: killed")
		b.settle()
		b.dev.emit(gpu.Started{Job: id})
		b.pass(10 * time.Second)
		b.state(id, api.Running)
		b.pass(11 * time.Second)
		b.failed(id, api.CodeTimeout, "time limit")
	})
}

func TestDependencies(t *testing.T) {
	inBubble(t, 4, func(b *bubble) {
		first := b.submit()
		second := b.submit(func(j *store.NewJob) { j.After = []int64{first} })
		third := b.submit(func(j *store.NewJob) { j.After = []int64{second} })
		if rec := b.state(second, api.Queued); rec.Reason != fmt.Sprintf("after job %d", first) {
			t.Errorf("it waits because %q", rec.Reason)
		}
		b.dev.emit(gpu.Finished{Job: first})
		b.settle()
		b.state(second, api.Running)
		b.dev.emit(gpu.Failed{Job: second, Fault: train.Fault{Code: "nan_loss", Message: "not a number", Hint: "lower lr"}})
		b.settle()
		b.settle()
		rec := b.state(third, api.Failed)
		if want := fmt.Sprintf("job %d, which this waits for, failed", second); rec.Error.Code != api.CodeDependency ||
			rec.Error.Message != want {
			t.Errorf("it failed with %+v, want %q", rec.Error, want)
		}
		late := b.submit(func(j *store.NewJob) { j.After = []int64{first} })
		b.state(late, api.Running)
	})
}

func TestWorkerDeathIsBlamedOnWhoWasAloneTwice(t *testing.T) {
	inBubble(t, 4, func(b *bubble) {
		good, bad := b.submit(), b.submit()
		b.dev.emit(gpu.Started{Job: good})
		b.dev.emit(gpu.Started{Job: bad})
		b.settle()
		b.dev.crash("signal: segmentation fault", bad)
		b.settle()
		// The suspect waits for the device to be empty, or has it alone.
		for range maxAloneFaults {
			b.finishOthers(bad)
			b.state(bad, api.Running)
			b.dev.emit(gpu.Started{Job: bad})
			b.settle()
			b.dev.crash("signal: segmentation fault", bad)
			b.settle()
		}
		b.failed(bad, api.CodeWorkerLost, "its worker died 2 times with this job alone on it: signal: segmentation fault")
		b.state(good, api.Succeeded)
	})
}

// finishOthers ends what runs beside a job that is to run alone.
func (b *bubble) finishOthers(id int64) {
	b.t.Helper()
	b.dev.mu.Lock()
	var others []int64
	for other := range b.dev.resident {
		if other != id {
			others = append(others, other)
		}
	}
	b.dev.mu.Unlock()
	for _, other := range others {
		b.dev.emit(gpu.Finished{Job: other})
	}
	b.settle()
}

func TestKilledWorkersBlameNobody(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		id := b.submit()
		for range 10 {
			b.state(id, api.Running)
			b.dev.emit(gpu.Started{Job: id})
			b.dev.crash("signal: killed")
			b.settle()
		}
		b.dev.emit(gpu.Finished{Job: id})
		b.settle()
		b.state(id, api.Succeeded)
	})
}

func TestStubbornJobCostsItsWorker(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		id, other := b.submit(), b.submit()
		b.dev.emit(gpu.Started{Job: id})
		b.dev.emit(gpu.Started{Job: other})
		b.settle()
		b.dev.mu.Lock()
		b.dev.stubborn = true
		b.dev.mu.Unlock()
		began := time.Now()
		rec, err := b.move(id, api.Cancel)
		if err != nil || rec.State != api.Cancelled {
			t.Errorf("%v %v", rec.State, err)
		}
		if took := time.Since(began); took < cancel.patience() || took > cancel.patience()+time.Second {
			t.Errorf("it took %v", took)
		}
		b.settle()
		if rec := b.state(other, api.Running); rec.Faults != 0 {
			t.Errorf("the neighbour is blamed %d times", rec.Faults)
		}
		b.dev.mu.Lock()
		b.dev.stubborn = false
		b.dev.mu.Unlock()
	})
}

func TestCancelThatCameTooLate(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		id := b.submit()
		b.dev.mu.Lock()
		b.dev.stubborn = true
		b.dev.mu.Unlock()
		answer := make(chan error)
		go func() {
			_, err := b.move(id, api.Cancel)
			answer <- err
		}()
		b.settle()
		b.dev.emit(gpu.Finished{Job: id})
		var e *api.Error
		if err := <-answer; !errors.As(err, &e) || e.Message != "cannot cancel a job that is succeeded" {
			t.Errorf("answer is %v", err)
		}
		b.state(id, api.Succeeded)
	})
}

func TestPriorityPreempts(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		low := b.submit()
		b.dev.emit(gpu.Started{Job: low})
		b.settle()
		high := b.submit(func(j *store.NewJob) { j.Priority = 5 })
		b.settle()
		b.state(high, api.Running)
		if rec := b.state(low, api.Queued); !rec.HasCheckpoint || rec.Reason == "" {
			t.Errorf("the preempted job has checkpoint %v and waits because %q", rec.HasCheckpoint, rec.Reason)
		}
		b.dev.emit(gpu.Finished{Job: high})
		b.settle()
		if rec := b.state(low, api.Running); rec.Attempt != 1 {
			t.Errorf("going on is attempt %d", rec.Attempt)
		}
	})
}

func TestChangedData(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		b.loader.hash = "another"
		b.failed(b.submit(), api.CodeChangedData, "its files have changed")
		b.loader.hash, b.loader.err = "", &train.Fault{Code: "not_found", Message: "no file /data.csv"}
		b.failed(b.submit(), api.CodeChangedData, "no file /data.csv")
		b.loader.err = errors.New("the loader is down")
		id := b.submit()
		b.pass(time.Second)
		b.failed(id, api.CodeData, "could not be loaded in 5 tries: the loader is down")
		if b.loader.open != 0 {
			t.Errorf("%d sets are not released", b.loader.open)
		}
	})
}

func TestJobThatLoadsCanBeCalledOff(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		b.loader.hold = make(chan struct{})
		id := b.submit()
		if rec := b.state(id, api.Queued); rec.Reason != "loading its data for cpu" {
			t.Errorf("it waits because %q", rec.Reason)
		}
		if rec, err := b.move(id, api.Pause); err != nil || rec.State != api.Paused {
			t.Errorf("%v %v", rec.State, err)
		}
		if rec, err := b.move(id, api.Resume); err != nil || rec.State != api.Queued {
			t.Errorf("%v %v", rec.State, err)
		}
		b.settle()
		if rec, err := b.o.hold(b.t.Context(), id, true, anyone); err != nil || !rec.Held {
			t.Errorf("%+v %v", rec, err)
		}
		b.settle()
		close(b.loader.hold)
		b.settle()
		if rec := b.state(id, api.Queued); rec.Reason != "held" {
			t.Errorf("it waits because %q", rec.Reason)
		}
		if len(b.dev.started) != 0 || b.loader.open != 0 {
			t.Errorf("%d jobs started, %d sets not released", len(b.dev.started), b.loader.open)
		}
	})
}

func TestDeviceThatRefusesAJob(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		b.dev.refuse = errors.New("no room")
		id := b.submit()
		b.state(id, api.Queued)
		b.dev.mu.Lock()
		b.dev.refuse = nil
		b.dev.mu.Unlock()
		b.pass(coolDown)
		b.state(id, api.Running)
	})
}

func TestKilledDaemonLosesNothing(t *testing.T) {
	cfg, err := testConfig(t).complete()
	if err != nil {
		t.Fatal(err)
	}
	if err := makeStateDir(cfg.StateDir); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, dev: newMemDevice("cpu", 2), loader: newMemLoader()}
		b.open(cfg)
		ran, waits := b.submit(), b.submit(func(j *store.NewJob) { j.Hold = true })
		b.dev.emit(gpu.Started{Job: ran})
		b.dev.emit(gpu.Checkpointed{Job: ran, Step: 9})
		b.settle()
		b.kill()
		b.dev = newMemDevice("cpu", 2)
		b.open(cfg)
		b.settle()
		if rec := b.state(ran, api.Running); rec.Attempt != 1 {
			t.Errorf("going on is attempt %d", rec.Attempt)
		}
		if b.dev.started[0].Restart {
			t.Error("it starts from the beginning")
		}
		if rec := b.state(waits, api.Queued); rec.Reason != "held" {
			t.Errorf("it waits because %q", rec.Reason)
		}
		b.dev.emit(gpu.Finished{Job: ran})
		b.settle()
		b.state(ran, api.Succeeded)
		b.end()
	})
}

func TestFullDiskLosesNothing(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		id := b.submit()
		b.dev.emit(gpu.Started{Job: id})
		b.settle()
		good := b.o.store
		broken, err := store.Open(context.Background(), filepath.Join(b.o.cfg.StateDir, "other.db"))
		if err != nil {
			t.Fatal(err)
		}
		if err := broken.Close(); err != nil {
			t.Fatal(err)
		}
		onOwner(b.o, func() { b.o.store = broken })
		b.dev.emit(gpu.Finished{Job: id})
		b.pass(3 * time.Second)
		var e *api.Error
		_, err = b.o.submit(b.t.Context(), "", "", []store.NewJob{{Owner: "alice"}})
		if !errors.As(err, &e) || e.Code != api.CodeDisk {
			t.Errorf("a submission is answered %v", err)
		}
		onOwner(b.o, func() { b.o.store = good })
		b.pass(time.Second)
		b.state(id, api.Succeeded)
		if b.o.board.storeErr != nil {
			t.Errorf("the store still fails: %v", b.o.board.storeErr)
		}
	})
}

func onOwner(o *owner, f func()) {
	done := make(chan struct{})
	o.inbox.post(func() { f(); close(done) })
	<-done
}
