package main

import (
	"bytes"
	"testing"

	"weft/daemon/api"
)

// A job whose loss stops being a number fails alone: its neighbours end with
// the bits they would have had, and the daemon does not notice.
func TestNaNLossHarmsNobody(t *testing.T) {
	const good = `{"name": "good", "data": {"source": "digits"}, "model": [{"linear": 32}, "relu", {"linear": 10}],
		"epochs": 40, "seed": 5}`
	const bad = `{"name": "bad", "data": {"source": "digits"}, "model": [{"linear": 32}, "relu", {"linear": 10}],
		"optimizer": {"name": "sgd", "lr": 1e30}, "epochs": 40}`
	s := serve(t, t.TempDir(), "--threads", "1")
	defer s.stop()
	worker := s.worker(t.Context())
	alone := s.succeeded(s.submit(train(good))[0])
	ids := s.submit(train(good), train(bad), train(good), train(bad))
	for i, id := range ids {
		if i%2 == 0 {
			if !bytes.Equal(s.succeeded(id), alone) {
				t.Errorf("job %d has another model than without bad neighbours", id)
			}
			continue
		}
		job := s.ended(id)
		if job.State != api.Failed || job.Error == nil || job.Error.Code != api.CodeNaN {
			t.Fatalf("job %d %s: %+v", id, job.State, job.Error)
		}
		if want := "loss is NaN at step 2 (epoch 1)"; job.Error.Message != want {
			t.Errorf("job %d: %q, want %q", id, job.Error.Message, want)
		}
		if want := "lower optimizer.lr (1e+30), set clip_grad_norm: 1"; job.Error.Hint != want {
			t.Errorf("job %d: hint %q, want %q", id, job.Error.Hint, want)
		}
	}
	if now := s.worker(t.Context()); now != worker || now == 0 {
		t.Errorf("the worker was %d and is %d", worker, now)
	}
}
