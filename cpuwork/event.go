package cpuwork

import (
	"context"
	"iter"
)

// events is the pool of kind [Event]. A goroutine exists for each item that is
// in flight, as long as there are items for it; one that waits for its next
// attempt is an entry in a heap.
type events struct {
	o     Options
	slab  []byte // memory for items
	doers doers
}

var _ Pool = (*events)(nil)

func (p *events) Close() error {
	return closeSlab(&p.slab)
}

func (p *events) Run(ctx context.Context, items iter.Seq2[Item, error], each func(Result) error) (Summary, error) {
	if err := openSlab(&p.slab, p.o.Memory); err != nil {
		return Summary{}, err
	}
	r := newRun(ctx, &p.o, p.slab)
	r.spawn = func() { r.group.Go(func() { p.work(r) }) }
	return r.do(ctx, items, each, func() {})
}

// work does items as long as there are some.
func (p *events) work(r *run) {
	var w inProcess
	first := true
	for {
		tasks := r.takeNow(nil, first)
		if tasks == nil {
			break
		}
		if first {
			d, err := p.doers.get(r.o)
			if err != nil {
				r.stop(err)
				return
			}
			defer p.doers.put(d)
			w = inProcess{r: r, d: d, a: new(answers)}
		}
		first = false
		w.do(tasks)
	}
}
