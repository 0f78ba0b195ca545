package cpuwork

import (
	"context"
	"iter"
	"time"
)

// sequential is the pool of kind [Sequential].
type sequential struct {
	o   Options
	d   *doer
	buf []byte // of the item that is being done
}

var _ Pool = (*sequential)(nil)

func (p *sequential) Close() error { return nil }

func (p *sequential) Run(ctx context.Context, items iter.Seq2[Item, error], each func(Result) error) (s Summary, err error) {
	begin := now()
	defer func() { s.Elapsed = now() - begin }()
	s.Workers, s.Chunk = 1, 1
	if p.d == nil {
		if p.d, err = newDoer(&p.o.Work, p.o.Params, p.o.Timeout); err != nil {
			return s, err
		}
	}
	tell := teller{o: &p.o, s: &s, each: each}
	var a answers
	var t task
	for item, err := range items {
		if err != nil {
			return s, err
		}
		if ctx.Err() != nil {
			return s, context.Cause(ctx)
		}
		t = task{}
		a.reset()
		if t.begin(s.Items, &item, p.o.Memory) {
			p.do(ctx, &t, &a)
		}
		if ctx.Err() != nil {
			return s, context.Cause(ctx)
		}
		if done, err := tell.tell(&t); done || err != nil {
			return s, err
		}
	}
	return s, nil
}

// do does one item to its end.
func (p *sequential) do(ctx context.Context, t *task, a *answers) {
	if t.fillIn != nil && t.size > 0 {
		if int64(len(p.buf)) < t.size {
			p.buf = make([]byte, t.size)
		}
		t.placed = true
	}
	if err := t.fill(p.buf); err != nil {
		t.notFilled(err)
		return
	}
	for {
		p.d.start()
		p.d.do(ctx, []*task{t}, a)
		if t.err == nil || ctx.Err() != nil {
			return
		}
		d := p.o.again(t)
		if d < 0 || !wait(ctx, d) {
			return
		}
	}
}

// wait waits for d, and reports false if ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
