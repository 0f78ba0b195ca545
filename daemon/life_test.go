package daemon

import (
	"fmt"
	"strings"
	"testing"

	"weft/daemon/api"
	"weft/gpu"
	"weft/gpu/train"
)

func TestJobRunsToItsEnd(t *testing.T) {
	r := newRig(t, 4, func(r *rig) { r.dev.play = trains(3) })
	id := r.submit(`,"labels":{"sweep":"a"},"name":"mine"`)
	r.until(id, "succeeded")
	j := r.job(id)
	if j.State != api.Succeeded || j.Name != "mine" || j.Labels["sweep"] != "a" || j.Attempt != 1 || j.Device != "cpu" {
		t.Errorf("job is %+v", j.Job)
	}
	if len(j.Epochs) != 3 || j.Epochs[2].Metrics["val_loss"] != 2.0/3 {
		t.Errorf("epochs are %+v", j.Epochs)
	}
	if j.Usage.DeviceSeconds != 1.5 || j.Usage.PeakMemoryBytes != 4096 || j.Metrics["val_accuracy"] != 0.75 {
		t.Errorf("usage is %+v, metrics are %v", j.Usage, j.Metrics)
	}
	status, body := r.do("GET", fmt.Sprintf("/v1/jobs/%d/model", id), "")
	if status != 200 || string(body) != "model of iris" {
		t.Errorf("model: %d %q", status, body)
	}
	_, logs := r.do("GET", fmt.Sprintf("/v1/jobs/%d/logs?follow=true", id), "")
	want := `submitted
started: on cpu
epoch 1/3 step 10 train_loss 1.0000 val_loss 2.0000 val_accuracy 0.5000
epoch 2/3 step 20 train_loss 0.5000 val_loss 1.0000 val_accuracy 0.5000
epoch 3/3 step 30 train_loss 0.3333 val_loss 0.6667 val_accuracy 0.5000
succeeded
`
	if string(logs) != want {
		t.Errorf("logs are\n%swant\n%s", logs, want)
	}
	if r.loader.open != 0 {
		t.Errorf("%d data sets are not released", r.loader.open)
	}
}

func TestActions(t *testing.T) {
	r := newRig(t, 1)
	a := r.submit("")
	b := r.submit("")
	if got := r.arrived(); got != a {
		t.Fatalf("job %d starts first", got)
	}
	r.dev.emit(gpu.Started{Job: a})
	if j := r.job(b); j.State != api.Queued || j.Reason == "" {
		t.Errorf("second job is %s because %q", j.State, j.Reason)
	}
	if j := r.act(b, "hold"); !j.Held || j.Reason != "held" && j.Reason == "" {
		t.Errorf("held job: %+v", j)
	}
	if j := r.act(a, "pause"); j.State != api.Paused {
		t.Errorf("paused job is %s", j.State)
	}
	if j := r.act(b, "release"); j.Held {
		t.Error("released job is held")
	}
	if got := r.arrived(); got != b {
		t.Fatalf("job %d starts", got)
	}
	if j := r.act(a, "resume"); j.State != api.Queued {
		t.Errorf("resumed job is %s", j.State)
	}
	if j := r.act(b, "cancel"); j.State != api.Cancelled {
		t.Errorf("cancelled job is %s", j.State)
	}
	if got := r.arrived(); got != a {
		t.Fatalf("job %d goes on", got)
	}
	r.dev.mu.Lock()
	if again := r.dev.resident[a]; again.Restart {
		t.Error("a paused job starts from the beginning")
	}
	r.dev.mu.Unlock()
	if j := r.act(b, "retry"); j.State != api.Queued || j.Error != nil {
		t.Errorf("retried job: %+v", j)
	}
	if j := r.act(b, "cancel"); j.State != api.Cancelled {
		t.Errorf("cancelled job is %s", j.State)
	}
	status, _ := r.do("DELETE", fmt.Sprintf("/v1/jobs/%d", b), "")
	if status != 204 {
		t.Errorf("delete: %d", status)
	}
	if status, _ = r.do("GET", fmt.Sprintf("/v1/jobs/%d", b), ""); status != 404 {
		t.Errorf("deleted job: %d", status)
	}
}

func TestRetriesStartFromTheBeginning(t *testing.T) {
	r := newRig(t, 1)
	id := r.submit(`,"retries":1`)
	for attempt := 1; attempt <= 2; attempt++ {
		r.arrived()
		r.dev.emit(gpu.Started{Job: id})
		r.dev.emit(gpu.Checkpointed{Job: id, Step: 5})
		r.dev.emit(gpu.Failed{Job: id, Fault: train.Fault{
			Code: "nan_loss", Message: "the loss is not a number", Hint: "lower lr"}})
	}
	r.until(id, "failed")
	j := r.job(id)
	if j.Attempt != 2 || j.Error == nil || j.Error.Code != api.CodeNaN || j.Error.Hint != "lower lr" {
		t.Errorf("job is %+v, error %+v", j.Job, j.Error)
	}
	if !r.dev.started[1].Restart {
		t.Error("the second attempt goes on from the first one's checkpoint")
	}
	var words []string
	for _, e := range j.Events {
		words = append(words, e.Type+" "+e.Message)
	}
	want := "requeued attempt 1 failed: the loss is not a number; retry 1 of 1"
	if got := strings.Join(words, "\n"); !strings.Contains(got, want) {
		t.Errorf("history is\n%s", got)
	}
}
