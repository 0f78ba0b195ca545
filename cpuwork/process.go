package cpuwork

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"weft/cpuwork/proc"
)

// processes is the pool of kind [Process].
type processes struct {
	o       Options
	items   *proc.Arena // what workers read
	states  *proc.Arena // what workers have in their hands
	workers []*worker
}

var _ Pool = (*processes)(nil)

func newProcesses(o Options) Pool { return &processes{o: o} }

// prepare makes the arenas, once.
func (p *processes) prepare() (err error) {
	if p.items != nil {
		return nil
	}
	if p.states, err = proc.NewArena("weft states", int64(p.o.Workers)*stateBytes); err != nil {
		return err
	}
	if p.items, err = proc.NewArena("weft items", rounded(p.o.Memory)); err != nil {
		return errors.Join(err, p.states.Close())
	}
	for line := range p.o.Workers {
		w := &worker{p: p, line: line}
		w.changed.L = &w.mu
		p.workers = append(p.workers, w)
	}
	return nil
}

func (p *processes) Run(ctx context.Context, items iter.Seq2[Item, error], each func(Result) error) (Summary, error) {
	if err := p.prepare(); err != nil {
		return Summary{}, err
	}
	r := newRun(ctx, &p.o, p.items.Bytes())
	r.staged = true
	r.onStop = func() {
		for _, w := range p.workers {
			w.wake()
		}
	}
	watching, end := context.WithCancel(context.WithoutCancel(ctx))
	var watch sync.WaitGroup
	defer watch.Wait()
	defer end()
	if p.o.Timeout > 0 || p.o.RecycleBytes > 0 {
		watch.Go(func() { p.watch(watching, r) })
	}
	return r.do(ctx, items, each, func() {
		for _, w := range p.workers {
			r.group.Go(func() { w.work(r) })
		}
	})
}

// drainTime is how long an idle worker may take to end.
const drainTime = 5 * time.Second

// Close asks the workers to end, which have nothing to do, and waits.
func (p *processes) Close() error {
	var group sync.WaitGroup
	errs := make([]error, len(p.workers))
	for i, w := range p.workers {
		group.Go(func() { errs[i] = w.retire() })
	}
	group.Wait()
	p.workers = nil
	err := errors.Join(errs...)
	if p.items != nil {
		err = errors.Join(err, p.items.Close(), p.states.Close())
		p.items, p.states = nil, nil
	}
	if err != nil {
		return fmt.Errorf("close process pool: %w", err)
	}
	return nil
}

// helloFrame is the payload of the first frame to the worker of a line.
func (p *processes) helloFrame(line int) ([]byte, error) {
	return json.Marshal(hello{Work: p.o.Work.Name, Params: p.o.Params, Timeout: p.o.Timeout, Line: line})
}
