package api

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is exponential waiting with jitter.
type Backoff struct {
	First time.Duration // at most this before the second try; default 100 ms
	Most  time.Duration // default 5 s
}

func (b Backoff) withDefaults() Backoff {
	return Backoff{First: orDefault(b.First, 100*time.Millisecond), Most: orDefault(b.Most, 5*time.Second)}
}

// Duration returns the wait after the n-th failure in a row, n from 1: half of
// First·2ⁿ⁻¹, at most Most, and up to as much again at random.
func (b Backoff) Duration(n int) time.Duration {
	d := b.Most
	if shift := n - 1; shift < 30 && b.First<<shift < b.Most {
		d = b.First << shift
	}
	return d/2 + rand.N(d/2+1) // #nosec G404 -- spreads retries, guards nothing
}

// Wait sleeps after the n-th failure in a row, or returns the context's error.
func (b Backoff) Wait(ctx context.Context, n int) error {
	t := time.NewTimer(b.Duration(n))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
