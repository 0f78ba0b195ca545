package store

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"weft/daemon/api"
)

func types(events []api.Event) (types []string) {
	for _, ev := range events {
		types = append(types, ev.Type)
	}
	return types
}

// at is t0 and n seconds.
func at(n int) time.Time { return t0.Add(time.Duration(n) * time.Second) }

// TestLife follows a job over two attempts, a fault, a pause and a retry.
func TestLife(t *testing.T) {
	s := open(t)
	id := submit(t, s, newJob("a"))[0].ID
	lost := &api.Error{Code: api.CodeNaN, Message: "the loss is not a number", Hint: "lower lr"}
	steps := []struct {
		do   Change
		want func(*Record)
	}{
		{Change{Do: api.Start, At: at(1), Device: "cpu"}, func(r *Record) {
			r.State, r.Device, r.Attempt, r.StartedAt = api.Running, "cpu", 1, new(at(1))
		}},
		{Change{Do: api.Requeue, At: at(4), Message: "worker died", Fault: true, DeviceSeconds: 2, PeakBytes: 100,
			Progress: &api.Progress{Epoch: 1, Step: 45}, Metrics: map[string]float64{"x": 1, "inf": math.Inf(1)}},
			func(r *Record) {
				r.State, r.Faults, r.Queued = api.Queued, 1, at(4)
				r.Usage = api.Usage{DeviceSeconds: 2, WallSeconds: 3, PeakMemoryBytes: 100}
				r.Progress.Epoch, r.Progress.Step = 1, 45
				r.Metrics = map[string]float64{"x": 1}
			}},
		{Change{Do: api.Start, At: at(5), Device: "gpu0"}, func(r *Record) { // no checkpoint: a new attempt
			r.State, r.Device, r.Attempt, r.StartedAt = api.Running, "gpu0", 2, new(at(5))
		}},
		{Change{Do: api.Pause, At: at(6), PeakBytes: 50}, func(r *Record) {
			r.State,
				r.Usage.WallSeconds = api.Paused, 4
		}},
		{Change{Do: api.Resume, At: at(8)}, func(r *Record) { r.State, r.Queued = api.Queued, at(8) }},
		{Change{Do: api.Start, At: at(9), Device: "cpu"}, func(r *Record) {
			r.State, r.Device, r.Attempt, r.StartedAt = api.Running, "cpu", 3, new(at(9))
		}},
		{Change{Do: api.Requeue, At: at(10), Error: lost, Used: true, FromScratch: true, NewAttempt: true},
			func(r *Record) {
				r.State, r.RetriesUsed, r.Queued, r.Usage.WallSeconds = api.Queued, 1, at(10), 5
				r.Progress.Epoch, r.Progress.Step, r.Metrics = 0, 0, map[string]float64{}
			}},
		{Change{Do: api.Start, At: at(11), Device: "cpu", NewAttempt: true}, func(r *Record) {
			r.State, r.Attempt, r.StartedAt = api.Running, 4, new(at(11))
		}},
		{Change{Do: api.Fail, At: at(12), Error: lost}, func(r *Record) {
			r.State, r.Error, r.FinishedAt, r.Usage.WallSeconds = api.Failed, lost, new(at(12)), 6
		}},
		{Change{Do: api.Retry, At: at(20)}, func(r *Record) {
			r.State, r.Error, r.StartedAt, r.FinishedAt, r.Queued = api.Queued, nil, nil, nil, at(20)
			r.Faults, r.RetriesUsed = 0, 0
		}},
		{Change{Do: api.Start, At: at(21), Device: "cpu"}, func(r *Record) {
			r.State, r.Attempt, r.StartedAt = api.Running, 5, new(at(21))
		}},
		{Change{Do: api.Succeed, At: at(22), Progress: &api.Progress{Epoch: 2, Epochs: 2, Step: 60, Steps: 60}},
			func(r *Record) {
				r.State, r.FinishedAt, r.Usage.WallSeconds = api.Succeeded, new(at(22)), 7
				r.Progress = api.Progress{Epoch: 2, Epochs: 2, Step: 60, Steps: 60}
			}},
	}
	want := get(t, s, id)
	for i, step := range steps {
		step.do.ID = id
		step.want(&want)
		recs, _ := apply(t, s, step.do)
		if diff := cmp.Diff(want, recs[0], cmpopts.IgnoreFields(api.Job{}, "Spec")); diff != "" {
			t.Fatalf("step %d, %s (-want +got) %s", i, step.do.Do, diff)
		}
		if diff := cmp.Diff(want, get(t, s, id)); diff != "" {
			t.Fatalf("step %d, %s, read again (-want +got) %s", i, step.do.Do, diff)
		}
	}
	events, err := s.Events(ctx, id, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	wantTypes := []string{"submitted", "started", "requeued", "started", "paused", "resumed", "started", "requeued",
		"started", "failed", "retried", "started", "succeeded"}
	if diff := cmp.Diff(wantTypes, types(events)); diff != "" {
		t.Error(diff)
	}
	if events[2].Message != "worker died" || events[7].Message != lost.Message || !events[7].Time.Equal(at(10)) {
		t.Error(events[2], events[7])
	}
}

func TestCheckpointKeepsTheAttempt(t *testing.T) {
	s := open(t)
	submit(t, s, newJob("a"))
	apply(t, s, Change{ID: 1, Do: api.Start, At: at(1)})
	if _, err := s.Report(ctx, []Report{{ID: 1, Checkpoint: true, Message: "step 40", At: at(2)}}); err != nil {
		t.Fatal(err)
	}
	recs, _ := apply(t, s, Change{ID: 1, Do: api.Requeue, At: at(3)}, Change{ID: 1, Do: api.Start, At: at(4)})
	if r := recs[1]; r.Attempt != 1 || !r.StartedAt.Equal(at(1)) || !r.HasCheckpoint {
		t.Errorf("%+v", r)
	}
	recs, _ = apply(t, s, Change{ID: 1, Do: api.Requeue, At: at(5)},
		Change{ID: 1, Do: api.Start, At: at(6), NewAttempt: true})
	if r := recs[1]; r.Attempt != 2 || !r.StartedAt.Equal(at(6)) || !r.HasCheckpoint {
		t.Errorf("%+v", r)
	}
}

func TestApplyRefusesOneByOne(t *testing.T) {
	s := open(t)
	submit(t, s, newJobs(2)...)
	recs, events, errs, err := s.Apply(ctx, []Change{
		{ID: 1, Do: api.Resume, At: t0},
		{ID: 9, Do: api.Start, At: t0},
		{ID: 2, Do: api.Cancel, At: t0},
		{ID: 2, Do: api.Cancel, At: t0},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := isCode(errs[0], api.CodeWrongState, "cannot resume a job that is queued"); err != nil {
		t.Error(err)
	}
	if err := isCode(errs[1], api.CodeNotFound, "no job 9"); err != nil {
		t.Error(err)
	}
	if err := isCode(errs[3], api.CodeWrongState, "cannot cancel a job that is cancelled"); err != nil {
		t.Error(err)
	}
	if errs[2] != nil || recs[0].State != api.Queued || recs[1].ID != 0 || recs[3].State != api.Cancelled {
		t.Error(errs, recs)
	}
	if diff := cmp.Diff([]string{"cancelled"}, types(events)); diff != "" {
		t.Error(diff)
	}
}

func TestReport(t *testing.T) {
	s := open(t)
	submit(t, s, newJobs(2)...)
	apply(t, s, Change{ID: 1, Do: api.Start, At: at(0), Device: "cpu"})
	epoch := &api.Epoch{Epoch: 1, Step: 45, Metrics: map[string]float64{"val_loss": 0.5, "nan": math.NaN()}}
	events, err := s.Report(ctx, []Report{
		{ID: 1, Progress: &api.Progress{Epoch: 1, Step: 40}, Metrics: map[string]float64{"train_loss": 2},
			DeviceSeconds: 1,
			At:            at(1)},
		{ID: 2, Progress: &api.Progress{Step: 7}, Message: "not running", Checkpoint: true, At: at(1)},
		{ID: 3, Epoch: epoch, At: at(1)},
		{ID: 1, Epoch: epoch, Checkpoint: true, At: at(2)},
		{ID: 1, Message: "the checkpoint could not be written: no space", At: at(3)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"epoch", "checkpoint", "changed"}, types(events)); diff != "" {
		t.Error(diff)
	}
	stored := api.Epoch{Epoch: 1, Step: 45, Metrics: map[string]float64{"val_loss": 0.5}}
	if diff := cmp.Diff(&stored, events[0].Epoch); diff != "" {
		t.Error(diff)
	}
	rec := get(t, s, 1)
	if rec.Progress != (api.Progress{Epoch: 1, Epochs: 20, Step: 40, Steps: 900}) || rec.Usage.WallSeconds != 3 ||
		rec.Usage.DeviceSeconds != 1 || !rec.HasCheckpoint ||
		!cmp.Equal(rec.Metrics, map[string]float64{"train_loss": 2, "val_loss": 0.5}) {
		t.Errorf("%+v", rec)
	}
	if rec := get(t, s, 2); rec.Progress.Step != 0 || rec.HasCheckpoint {
		t.Errorf("a queued job took a report: %+v", rec)
	}

	// Resumed, it trains the epoch again and overwrites it.
	stored.Metrics["val_loss"] = 0.25
	if _, err := s.Report(ctx, []Report{{ID: 1, Epoch: &stored, At: at(3)}}); err != nil {
		t.Fatal(err)
	}
	detail, err := s.Detail(ctx, 1)
	if diff := cmp.Diff([]api.Epoch{stored}, detail.Epochs); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if diff := cmp.Diff([]string{"submitted", "started", "checkpoint", "changed"}, types(detail.Events)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(get(t, s, 1).Job, detail.Job); diff != "" {
		t.Error(diff)
	}
	apply(t, s, Change{ID: 1, Do: api.Cancel, At: at(4)}, Change{ID: 1, Do: api.Retry, At: at(5)})
	if detail, err = s.Detail(ctx, 1); len(detail.Epochs) != 0 || err != nil {
		t.Error("a retry kept epochs", detail.Epochs, err)
	}
	if _, err := s.Detail(ctx, 9); isCode(err, api.CodeNotFound, "no job 9") != nil {
		t.Error(err)
	}
}

func TestEventsResume(t *testing.T) {
	s := open(t)
	if last, err := s.LastEvent(ctx); last != 0 || err != nil {
		t.Error(last, err)
	}
	submit(t, s, newJobs(3)...)
	_, told := apply(t, s, Change{ID: 2, Do: api.Start, At: at(1)}, Change{ID: 1, Do: api.Cancel, At: at(2)},
		Change{ID: 2, Do: api.Succeed, At: at(3)})
	var all []api.Event
	for after := int64(0); ; {
		page, err := s.Events(ctx, 0, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		all, after = append(all, page...), page[len(page)-1].ID
	}
	if diff := cmp.Diff([]string{"submitted", "submitted", "submitted", "started", "cancelled", "succeeded"},
		types(all)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(told, all[3:]); diff != "" {
		t.Error("told and read differ", diff)
	}
	for job, want := range map[int64][]string{0: {"started", "succeeded"}, 2: {"started", "succeeded"}, 1: nil} {
		some, err := s.Events(ctx, job, 0, 2, "started", "succeeded")
		if diff := cmp.Diff(want, types(some)); diff != "" || err != nil {
			t.Error(job, diff, err)
		}
	}
	own, err := s.Events(ctx, 2, 2, 0)
	if diff := cmp.Diff([]string{"started", "succeeded"}, types(own)); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if last, err := s.LastEvent(ctx); last != all[5].ID || err != nil {
		t.Error(last, err)
	}
}

func TestRecover(t *testing.T) {
	s := open(t)
	submit(t, s, newJobs(4)...)
	apply(t, s, Change{ID: 1, Do: api.Start, At: at(0)}, Change{ID: 2, Do: api.Pause, At: at(0)},
		Change{ID: 3, Do: api.Start, At: at(0)}, Change{ID: 3, Do: api.Succeed, At: at(1)})
	if _, err := s.Report(ctx, []Report{{ID: 1, At: at(5)}}); err != nil {
		t.Fatal(err)
	}
	recs, events, err := s.Recover(ctx, at(3600))
	if err != nil {
		t.Fatal(err)
	}
	if len(recs) != 1 || recs[0].ID != 1 || recs[0].State != api.Queued || !recs[0].Queued.Equal(at(3600)) {
		t.Errorf("%+v", recs)
	}
	if got := recs[0].Usage.WallSeconds; got != 5 {
		t.Error("wall seconds count the time when nothing ran:", got)
	}
	if len(events) != 1 || events[0].Type != "requeued" || events[0].Message != "the daemon was restarted" {
		t.Error(events)
	}
	if recs, _, err := s.Recover(ctx, at(3601)); len(recs) != 0 || err != nil {
		t.Error("recovered twice", recs, err)
	}
}

func TestEdit(t *testing.T) {
	s := open(t)
	submit(t, s, newJobs(3)...)
	apply(t, s, Change{ID: 2, Do: api.Start, At: t0}, Change{ID: 3, Do: api.Cancel, At: t0})
	recs, events, errs, err := s.Edit(ctx, []Edit{
		{ID: 1, Priority: new(5), Labels: map[string]string{"b": "2", "a": "1"}, Held: new(true), At: t0},
		{ID: 1, Priority: new(5), Held: new(true), At: t0},
		{ID: 1, Held: new(false), At: t0},
		{ID: 2, Priority: new(-1), At: t0},
		{ID: 2, Held: new(true), At: t0},
		{ID: 3, Labels: map[string]string{}, At: t0},
		{ID: 3, Priority: new(1), At: t0},
		{ID: 3, Held: new(true), At: t0},
		{ID: 9, At: t0},
	})
	if err != nil {
		t.Fatal(err)
	}
	wantErrs := map[int]string{4: "cannot hold a job that is running",
		6: "cannot change the priority of a job that is cancelled",
		7: "cannot hold a job that is cancelled", 8: "no job 9"}
	for i, err := range errs {
		if (err == nil) != (wantErrs[i] == "") || err != nil && err.Error() != wantErrs[i] {
			t.Error(i, err)
		}
	}
	if r := recs[1]; r.Priority != 5 || !r.Held || !cmp.Equal(r.Labels, map[string]string{"a": "1", "b": "2"}) {
		t.Errorf("%+v", r)
	}
	if diff := cmp.Diff([]string{"held", "released", "changed", "changed"}, types(events)); diff != "" {
		t.Error(diff)
	}
	if got := events[0].Message; got != "priority 5, labels a=1 b=2" {
		t.Error(got)
	}
	if got := events[3].Message; got != "labels none" || len(get(t, s, 3).Labels) != 0 {
		t.Error(got)
	}
	if r := get(t, s, 1); r.Held || r.Priority != 5 {
		t.Errorf("%+v", r)
	}
}
