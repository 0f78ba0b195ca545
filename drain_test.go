package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"weft/daemon/api"
)

const endlessSpec = `{"name": "endless", "data": {"source": "digits"}, "model": [{"linear": 32}, "relu", {"linear": 10}],
	"epochs": 1000000, "seed": %d, "checkpoint": {"every": "1h"}}`

// SIGTERM has every running job write a checkpoint, and the next daemon goes on
// from there: no step is trained twice.
func TestDrainAndGoOn(t *testing.T) {
	s := serve(t, t.TempDir())
	ids := s.submit(train(fmt.Sprintf(endlessSpec, 1)), train(fmt.Sprintf(endlessSpec, 2)), train(fmt.Sprintf(endlessSpec, 3)))
	steps := map[int64]int64{}
	for _, id := range ids {
		job := s.until(id, "steps", func(j api.JobDetail) bool { return j.Progress.Step > 0 })
		steps[id] = job.Progress.Step
	}
	s.stop()
	s.start()
	for _, id := range ids {
		job := s.until(id, "going on", func(j api.JobDetail) bool { return j.State == api.Running && j.Progress.Step > 0 })
		if job.Progress.Step < steps[id] {
			t.Errorf("job %d was at step %d and went on at %d", id, steps[id], job.Progress.Step)
		}
		if job.Attempt != 1 {
			t.Errorf("job %d is on attempt %d, though it went on from a checkpoint", id, job.Attempt)
		}
		requireEvent(t, job, "requeued")
		if _, err := s.client.Do(t.Context(), id, "cancel"); err != nil {
			t.Fatalf("cancel: %v", err)
		}
	}
	s.stop()
}

// A second signal does not wait for jobs: here for a worker that is stopped and
// cannot write its checkpoints.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	s := serve(t, t.TempDir())
	id := s.submit(train(fmt.Sprintf(endlessSpec, 1)))[0]
	s.until(id, "steps", func(j api.JobDetail) bool { return j.Progress.Step > 0 })
	worker := s.worker(t.Context())
	if err := syscall.Kill(worker, syscall.SIGSTOP); err != nil {
		t.Fatalf("stop the worker: %v", err)
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("send SIGTERM: %v", err)
	}
	s.stderr.await(t, "a second signal ends it at once")
	s.stop()
	if text := s.stderr.String(); strings.Contains(text, "panic") {
		t.Errorf("daemon's last words:\n%s", text)
	}
	if err := syscall.Kill(worker, 0); err == nil {
		t.Errorf("worker %d outlives its daemon", worker)
	}
	s.start()
	s.until(id, "going on", func(j api.JobDetail) bool { return j.State == api.Running && j.Progress.Step > 0 })
	s.kill()
}
