package daemon

import (
	"testing"

	"weft/daemon/api"
	"weft/gpu"
)

// A job that leaves its device tells how far it came, also what it has done since
// it was last reported to the store.
func TestStoppedJobTellsHowFarItCame(t *testing.T) {
	for do, end := range map[api.Transition]api.State{api.Cancel: api.Cancelled, api.Pause: api.Paused} {
		inBubble(t, 1, func(b *bubble) {
			id := b.submit()
			b.dev.emit(gpu.Started{Job: id})
			b.dev.emit(gpu.Progressed{Jobs: []gpu.Progress{{Job: id, Epoch: 2, Epochs: 3, Step: 18, Steps: 27, TrainLoss: 0.5}}})
			if _, err := b.move(id, do); err != nil {
				t.Fatal(err)
			}
			b.settle()
			want := api.Progress{Epoch: 2, Epochs: 3, Step: 18, Steps: 27}
			if rec := b.state(id, end); rec.Progress != want || rec.Metrics["train_loss"] != 0.5 {
				t.Errorf("%s: progress %+v, metrics %v", end, rec.Progress, rec.Metrics)
			}
		})
	}
}
