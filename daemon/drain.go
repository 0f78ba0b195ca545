package daemon

import (
	"context"
	"sync"
)

// drain stops starting jobs, closes every device and ends the owner when the
// last word on every job is recorded. It does not run on the owner.
func (o *owner) drain(ctx context.Context) {
	o.inbox.post(o.beginDrain)
	var closing sync.WaitGroup
	for _, s := range o.seats {
		closing.Go(func() {
			if err := s.dev.Close(ctx); err != nil {
				o.log.Warn("device did not close in order", "device", s.info.ID, "error", err)
			}
		})
	}
	closing.Wait()
	o.inbox.post(func() { o.finishIfDrained() })
	<-o.done
}

func (o *owner) beginDrain() {
	o.draining = true
	o.dirty = true
	o.board.update(func(b *board) { b.draining = true })
	for _, s := range o.seats {
		for _, r := range s.residents {
			if r.phase == loading {
				o.drop(r)
			}
		}
	}
}

// finishIfDrained ends the owner once every device's events have been heard.
// What a failing disk still refuses then is not lost: the jobs stay recorded
// as running, and the next start queues them again.
func (o *owner) finishIfDrained() {
	if !o.draining {
		return
	}
	for _, s := range o.seats {
		if !s.gone {
			return
		}
	}
	o.drained = true
}
