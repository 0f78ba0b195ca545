package main

import (
	"bytes"
	"fmt"
	"testing"

	"weft/daemon/api"
)

// bitsSpec is a job with everything that could carry state or chance from one
// step to the next: shuffling, dropout, batch norm's running statistics, Adam's
// moments, a schedule, early stopping's best copy.
const bitsSpec = `{"name": "bits", "data": {"source": "digits"},
	"model": [{"linear": 96}, "batchnorm1d", "relu", {"dropout": 0.2}, {"linear": 64}, "tanh", {"linear": 10}],
	"optimizer": {"name": "adamw", "lr": 0.002}, "schedule": "cosine", "clip_grad_norm": 1,
	"early_stopping": {"metric": "val_loss", "patience": 1000}, "checkpoint": {"every": "50ms"},
	"epochs": %d, "seed": 7}`

// TestSameBitsInAnyCompany trains one job four ways; the models are equal byte
// for byte.
func TestSameBitsInAnyCompany(t *testing.T) {
	epochs := 120
	if raceEnabled {
		epochs = 30
	}
	spec := fmt.Sprintf(bitsSpec, epochs)
	alone := func() []byte {
		s := serve(t, t.TempDir())
		defer s.stop()
		return s.succeeded(s.submit(train(spec))[0])
	}()
	compare := func(t *testing.T, model []byte) {
		t.Helper()
		if !bytes.Equal(model, alone) {
			t.Errorf("the model differs from that of the job trained alone (%d and %d bytes)", len(model), len(alone))
		}
	}
	started := func(j api.JobDetail) bool { return j.State == api.Running && j.Progress.Step > 0 }

	t.Run("beside nine others", func(t *testing.T) {
		s := serve(t, t.TempDir())
		defer s.stop()
		var jobs []api.Submission
		for i := range 9 {
			jobs = append(jobs, train(fmt.Sprintf(`{"name": "other", "data": {"source": "digits"}, "model":
				[{"linear": %d}, "relu", {"linear": 10}], "batch_size": %d, "seed": %d, "epochs": %d}`,
				16+8*i, 8+5*i, i, epochs)))
		}
		jobs = append(jobs[:5], append([]api.Submission{train(spec)}, jobs[5:]...)...)
		compare(t, s.succeeded(s.submit(jobs...)[5]))
	})
	t.Run("paused and resumed", func(t *testing.T) {
		s := serve(t, t.TempDir())
		defer s.stop()
		compare(t, s.succeeded(s.inTime(train(spec), started, func(id int64) bool {
			for range 3 {
				if !s.act(id, api.ActionPause) ||
					s.until(id, "its pause", func(j api.JobDetail) bool { return j.State != api.Running }).State.Final() {
					break
				}
				s.act(id, api.ActionResume)
				if s.until(id, "steps or its end", func(j api.JobDetail) bool { return started(j) || j.State.Final() }).State.Final() {
					break
				}
			}
			return hasEvent(s.ended(id), "paused")
		})))
	})
	t.Run("daemon killed half-way", func(t *testing.T) {
		s := serve(t, t.TempDir())
		halfWay := func(j api.JobDetail) bool { return hasEvent(j, "checkpoint") && 4*j.Progress.Step > j.Progress.Steps }
		id := s.inTime(train(spec), halfWay, func(id int64) bool {
			s.kill()
			s.start()
			return hasEvent(s.ended(id), "requeued")
		})
		defer s.stop()
		compare(t, s.succeeded(id))
	})
}

func hasEvent(j api.JobDetail, kind string) bool {
	for _, e := range j.Events {
		if e.Type == kind {
			return true
		}
	}
	return false
}

func requireEvent(t *testing.T, j api.JobDetail, kind string) {
	t.Helper()
	if !hasEvent(j, kind) {
		t.Errorf("job %d has no event %q, so this did not test what it should: %+v", j.ID, kind, j.Events)
	}
}
