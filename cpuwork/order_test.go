package cpuwork

import (
	"context"
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"
)

// An input whose next item depends on the result before: no pool waits for items
// to hand over together when there are none to come.
func TestEachItemWaitsForTheLastResult(t *testing.T) {
	const n = 300
	for i := range 2 * len(Kinds) {
		kind, o := Kinds[i/2], options(noop)
		o.Workers = 1 + i%2
		p := open(t, kind, o)
		results := make(chan struct{}, 1)
		results <- struct{}{}
		items := func(yield func(Item, error) bool) {
			for i := range n {
				select {
				case <-results:
				case <-time.After(20 * time.Second):
					t.Errorf("%s, %d workers: no result of item %d", kind, o.Workers, i-1)
					return
				}
				if !yield(Item{Data: binary.LittleEndian.AppendUint64(nil, uint64(i))}, nil) {
					return
				}
			}
		}
		s, err := p.Run(t.Context(), items, func(Result) error {
			results <- struct{}{}
			return nil
		})
		if err != nil || s.OK != n {
			t.Errorf("%s, %d workers: %+v, %v", kind, o.Workers, s, err)
		}
	}
}

// The item for which all results wait is tried again first, however much output
// waits for it.
func TestTheOneInTurnComesFirst(t *testing.T) {
	const memory, output, items = 64 << 10, 32 << 10, 40
	enough := make(chan struct{}) // results wait, more than there is memory for
	var done, tried atomic.Int64
	work := Work{Name: "large", New: func([]byte) (Func, error) {
		return func(_ context.Context, in, out []byte) ([]byte, error) {
			if in[0] == 0 && tried.Add(1) == 1 {
				<-enough
				return out, &ItemError{Code: "busy", Message: "come again", Retry: true}
			}
			if done.Add(1) == memory/output+1 {
				close(enough)
			}
			return append(out, make([]byte, output)...), nil
		}, nil
	}}
	p := open(t, Goroutine, Options{Work: work, Workers: 2, Memory: memory, Ordered: true, Retries: 1, Backoff: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	input := func(yield func(Item, error) bool) {
		for i := range items {
			if !yield(Item{Data: []byte{byte(i)}}, nil) {
				return
			}
		}
	}
	next := int64(0)
	s, err := p.Run(ctx, input, func(r Result) error {
		if r.Index != next || len(r.Output) != output || r.Err != nil {
			t.Errorf("result %d is of item %d: %d bytes, %v", next, r.Index, len(r.Output), r.Err)
		}
		next++
		return nil
	})
	if err != nil || s.OK != items {
		t.Errorf("%+v, %v", s, err)
	}
}
