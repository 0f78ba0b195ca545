package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"weft/daemon/api"
)

const usageSpec = `{"name": "%s", "data": {"source": "digits"}, "model": [{"linear": %d}, "relu", {"linear": 10}],
	"optimizer": {"name": "sgd", "lr": %g}, "epochs": %d, "checkpoint": {"every": "50ms"}}`

// used reads the whole ledger.
func (s *served) used(by string) api.UsageReport {
	s.t.Helper()
	now := time.Now()
	r, err := s.client.Usage(s.t.Context(), api.UsageFilter{Since: now.Add(-24 * time.Hour), Until: now, By: by})
	if err != nil {
		s.t.Fatalf("read usage: %v", err)
	}
	return *r
}

// busy waits until the device has worked for that many seconds more.
func (s *served) busy(seconds float64) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for first := math.NaN(); ; {
		devices, err := s.client.Devices(ctx)
		if err != nil {
			s.t.Fatalf("list devices: %v", err)
		}
		now := devices[slices.IndexFunc(devices, func(d api.Device) bool { return d.ID == "cpu" })].BusySeconds
		if math.IsNaN(first) {
			first = now
		}
		if now >= first+seconds {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			s.t.Fatalf("the device worked for %g s, not %g", now-first, seconds)
		}
	}
}

// killWhenTold kills the worker at a moment when it has told nearly all that its
// jobs used. The rest is lost with it, and on a busy machine that can be much: it
// goes on working while those who tell wait for their turn.
func (s *served) killWhenTold() {
	s.t.Helper()
	signal := func(worker int, what syscall.Signal) {
		if err := syscall.Kill(worker, what); err != nil {
			s.t.Fatal(err)
		}
	}
	for began := time.Now(); time.Since(began) < patience; s.busy(0.05) {
		worker := s.worker(s.t.Context())
		if worker == 0 {
			s.t.Fatal("the worker is down")
		}
		signal(worker, syscall.SIGSTOP)
		if d := s.used(api.UsageByJob).Devices[0]; d.BusySeconds-d.JobSeconds < 0.1 {
			signal(worker, syscall.SIGKILL)
			return
		}
		signal(worker, syscall.SIGCONT)
	}
	s.t.Fatalf("for %v, the worker has not told what its jobs used", patience)
}

// Whatever happens to jobs, their device seconds add up to what the device was
// busy for, within two per cent, and what they used outlives them.
func TestUsageAddsUp(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	s := serve(t, t.TempDir(), "--threads", "2")
	endless := func(name string) api.Submission { return train(fmt.Sprintf(usageSpec, name, 256, 0.01, 1_000_000)) }
	broken := train(fmt.Sprintf(usageSpec, "broken", 32, 1e30, 40))
	broken.Retries = 1
	ids := s.submit(endless("cancelled"), endless("paused"), broken, train(fmt.Sprintf(usageSpec, "retried", 64, 0.01, 40)), endless("lost"))
	cancelled, paused, failed, retried, lost := ids[0], ids[1], ids[2], ids[3], ids[4]
	act := func(id int64, do api.Action) {
		t.Helper()
		if _, err := s.client.Do(t.Context(), id, do); err != nil {
			t.Fatalf("%s job %d: %v", do, id, err)
		}
	}
	s.ended(failed)
	s.succeeded(retried)
	act(retried, api.ActionRetry)
	s.busy(3)
	act(cancelled, api.ActionCancel)
	act(paused, api.ActionPause)
	s.succeeded(retried)
	act(paused, api.ActionResume)
	s.busy(3)
	s.killWhenTold()
	s.until(lost, "its restart", func(j api.JobDetail) bool {
		return strings.Contains(messages(j), "its worker died") && j.State == api.Running
	})
	s.busy(14)
	act(lost, api.ActionCancel)
	act(paused, api.ActionCancel)

	r := s.used(api.UsageByJob)
	if len(r.Devices) != 1 || len(r.Rows) != len(ids) {
		t.Fatalf("%+v", r)
	}
	busy, charged := r.Devices[0].BusySeconds, r.Devices[0].JobSeconds
	t.Logf("busy for %.3f s, jobs were charged %.3f s: %.2f %% apart", busy, charged, 100*(charged/busy-1))
	if busy < 20 || math.Abs(charged-busy) > 0.02*busy {
		t.Errorf("the device was busy for %g s, jobs were charged %g s", busy, charged)
	}
	sum := 0.0
	for _, row := range r.Rows {
		sum += row.DeviceSeconds
		j, err := s.client.Job(t.Context(), row.Job)
		if err != nil {
			t.Fatalf("get job %d: %v", row.Job, err)
		}
		u := j.Usage
		if math.Abs(u.DeviceSeconds-row.DeviceSeconds)+math.Abs(u.CPUSeconds-row.CPUSeconds)+math.Abs(u.WallSeconds-row.WallSeconds) > 1e-6 {
			t.Errorf("job %d %s says %+v, the ledger %+v", row.Job, j.Name, u, row.UsageSum)
		}
		if u.DeviceSeconds <= 0 || u.CPUSeconds <= 0 || u.CPUSeconds > 1.1*u.DeviceSeconds+0.1 || row.EnergyJoules != nil {
			t.Errorf("job %d %s: %+v", row.Job, j.Name, row.UsageSum)
		}
	}
	if math.Abs(sum-charged) > 1e-6 || math.Abs(r.Total.DeviceSeconds-charged) > 1e-6 {
		t.Errorf("rows add up to %g, the total is %g, the device's jobs have %g", sum, r.Total.DeviceSeconds, charged)
	}

	for _, id := range ids {
		if err := s.client.Delete(t.Context(), id); err != nil {
			t.Fatalf("remove job %d: %v", id, err)
		}
	}
	s.stop()
	s.start("--threads", "2")
	after := s.used(api.UsageByOwner)
	if after.Total != r.Total || after.Devices[0] != r.Devices[0] || len(after.Rows) != 1 || after.Rows[0].Key == "" {
		t.Errorf("after removal and restart %+v, before %+v", after, r)
	}
	s.stop()
}

// A daemon that is killed loses of the books what it was not told and what it
// had not told the store: a second or so.
func TestUsageOutlivesAKill(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	s := serve(t, t.TempDir(), "--threads", "1")
	id := s.submit(train(fmt.Sprintf(usageSpec, "long", 256, 0.01, 1_000_000)))[0]
	s.until(id, "its start", func(j api.JobDetail) bool { return j.Progress.Step > 0 })
	s.busy(2.5) // told as it came
	s.kill()
	s.start("--threads", "1")
	got := s.used(api.UsageByJob)
	// What the job used is told after the device has counted it, and never more.
	if len(got.Rows) != 1 || got.Rows[0].DeviceSeconds < 1 || got.Devices[0].BusySeconds < 1 ||
		got.Devices[0].JobSeconds > got.Devices[0].BusySeconds+0.01 {
		t.Errorf("after the kill: %+v, %+v", got.Rows, got.Devices)
	}
	before := got.Rows[0].DeviceSeconds
	s.busy(1)
	now := s.used(api.UsageByJob)
	if now.Rows[0].DeviceSeconds < before+0.8 {
		t.Errorf("%g s after the kill, %g s later", before, now.Rows[0].DeviceSeconds)
	}
	s.stop()
}
