package cpuwork

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// An item that asks for another turn has had no attempt, however often it asks.
func TestWaitingIsNoAttempt(t *testing.T) {
	for _, kind := range []Kind{Sequential, Goroutine, Event} {
		var asked atomic.Int64
		work := Work{Name: "patient", New: func([]byte) (Func, error) {
			return func(_ context.Context, _, out []byte) ([]byte, error) {
				if asked.Add(1) <= 20 {
					return out, &ItemError{Code: CodeWaiting, Message: "not yet", Retry: true, After: time.Millisecond}
				}
				return append(out, "done"...), nil
			}, nil
		}}
		p, err := New(kind, Options{Work: work})
		if err != nil {
			t.Fatal(err)
		}
		items := func(yield func(Item, error) bool) { yield(Item{Data: []byte("x")}, nil) }
		s, err := p.Run(t.Context(), items, func(r Result) error {
			if r.Err != nil || string(r.Output) != "done" || r.Attempts != 1 {
				t.Errorf("%s: %q after %d attempts: %v", kind, r.Output, r.Attempts, r.Err)
			}
			return nil
		})
		if err != nil || s.OK != 1 || asked.Load() != 21 {
			t.Errorf("%s: %+v after %d turns: %v", kind, s, asked.Load(), err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
