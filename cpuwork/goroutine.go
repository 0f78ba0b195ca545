package cpuwork

import (
	"context"
	"iter"
	"slices"
	"sync"
)

// goroutines is the pool of kind [Goroutine].
type goroutines struct {
	o     Options
	slab  []byte // memory for items
	doers doers
}

var _ Pool = (*goroutines)(nil)

func (p *goroutines) Close() error {
	return closeSlab(&p.slab)
}

func (p *goroutines) Run(ctx context.Context, items iter.Seq2[Item, error], each func(Result) error) (Summary, error) {
	if err := openSlab(&p.slab, p.o.Memory); err != nil {
		return Summary{}, err
	}
	r := newRun(ctx, &p.o, p.slab)
	return r.do(ctx, items, each, func() {
		for range p.o.Workers {
			r.group.Go(func() { p.work(r) })
		}
	})
}

// work is one worker.
func (p *goroutines) work(r *run) {
	d, err := p.doers.get(r.o)
	if err != nil {
		r.stop(err)
		return
	}
	defer p.doers.put(d)
	w := inProcess{r: r, d: d, a: new(answers)}
	var tasks []*task
	for {
		if tasks = r.take(tasks); tasks == nil {
			return
		}
		w.do(tasks)
	}
}

// inProcess does tasks in this process.
type inProcess struct {
	r     *run
	d     *doer
	a     *answers // being filled
	spent []*answers
}

// do does the tasks and tells the run. When that takes long, it tells in pieces.
func (w *inProcess) do(tasks []*task) {
	w.d.start()
	started := w.d.mark
	for len(tasks) > 0 && !w.r.halted.Load() {
		n := w.d.group(tasks, w.d.stride)
		group := w.fill(tasks[:n])
		tasks = tasks[n:]
		if len(group) > 0 {
			w.d.do(w.r.ctx, group, w.a)
			w.a.add(group...)
		}
		if len(w.a.buf) > answersBytes || w.d.mark-started > answersTime {
			w.tell()
			started = w.d.mark
		}
	}
	w.tell()
}

// fill fills the tasks, and returns those that can be done.
func (w *inProcess) fill(group []*task) []*task {
	if !slices.ContainsFunc(group, func(t *task) bool { return !t.filled }) {
		return group
	}
	able := group[:0]
	for _, t := range group {
		if err := t.fill(w.r.mem.mem); err != nil {
			t.notFilled(err)
			w.a.add(t)
			continue
		}
		able = append(able, t)
	}
	w.d.start()
	return able
}

func (w *inProcess) tell() {
	w.r.answer(w.a)
	w.spent = append(w.spent, w.a)
	w.a = w.fresh()
}

// fresh returns answers to be filled: new ones, or some that nobody needs any more.
func (w *inProcess) fresh() *answers {
	for i, a := range w.spent {
		if a.left.Load() == 0 {
			last := len(w.spent) - 1
			w.spent[i] = w.spent[last]
			w.spent = w.spent[:last]
			a.reset()
			return a
		}
	}
	return new(answers)
}

// doers keeps functions for workers to come.
type doers struct {
	mu   sync.Mutex
	idle []*doer // guarded by mu
}

func (s *doers) get(o *Options) (*doer, error) {
	s.mu.Lock()
	if n := len(s.idle); n > 0 {
		d := s.idle[n-1]
		s.idle = s.idle[:n-1]
		s.mu.Unlock()
		return d, nil
	}
	s.mu.Unlock()
	return newDoer(&o.Work, o.Params, o.Timeout)
}

func (s *doers) put(d *doer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, d)
}
