package sched

import (
	"cmp"
	"iter"
	"slices"
)

// startCharge is the device time, in seconds, that a job is taken to use
// beyond what is known of it, while it runs and when it starts. It makes
// owners alternate in a burst; being the same in every plan it does not add
// up, so in the long run only what was used counts.
const startCharge = 1.0

// owner is a user with its account.
type owner struct {
	seconds, weight float64
	// next and end bound the owner's jobs at the present priority, in p.queue.
	next, end int
}

func (o *owner) charge() { o.seconds += startCharge }

func (o *owner) share() float64 { return o.seconds / o.weight }

// owner finds an owner's account, opening one for a newcomer.
func (p *planner) owner(name string) int {
	if i, ok := p.names[name]; ok {
		return i
	}
	o := owner{weight: 1}
	if known, ok := p.snap.Owners[name]; ok {
		o.seconds = known.Seconds
		if known.Weight > 0 {
			o.weight = known.Weight
		}
	}
	p.names[name] = len(p.owners)
	p.owners = append(p.owners, o)
	return len(p.owners) - 1
}

// order sorts the queue so that each priority is one run, higher ones first,
// in which each owner's jobs are one run, by id.
func (p *planner) order() {
	slices.SortFunc(p.queue, func(a, b entry) int {
		if a.job.Priority != b.job.Priority {
			return cmp.Compare(b.job.Priority, a.job.Priority)
		}
		if a.owner != b.owner {
			return cmp.Compare(a.owner, b.owner)
		}
		return cmp.Compare(a.job.ID, b.job.ID)
	})
}

// levels gives the part of the ordered queue of each priority.
func (p *planner) levels() iter.Seq[[]entry] {
	return func(yield func([]entry) bool) {
		for rest := p.queue; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n].job.Priority == rest[0].job.Priority {
				n++
			}
			if !yield(rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// fairOrder gives the jobs of a level in turn: each time the first of the
// owner who then has the least share, of equals the one submitted first. The
// loop's body charges owners as it goes.
func (p *planner) fairOrder(level []entry) iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		p.heap = p.heap[:0]
		for i := range level {
			o := &p.owners[level[i].owner]
			if i == 0 || level[i-1].owner != level[i].owner {
				o.next = i
				p.heap = append(p.heap, level[i].owner)
			}
			o.end = i + 1
		}
		for i := len(p.heap)/2 - 1; i >= 0; i-- {
			p.sink(level, i)
		}
		for len(p.heap) > 0 {
			o := &p.owners[p.heap[0]]
			e := &level[o.next]
			if !e.done && !yield(e) {
				return
			}
			if o.next++; o.next == o.end {
				last := len(p.heap) - 1
				p.heap[0] = p.heap[last]
				p.heap = p.heap[:last]
			}
			p.sink(level, 0)
		}
	}
}

// sink restores the heap below i, whose owner's share has grown.
func (p *planner) sink(level []entry, i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(p.heap); child++ {
			if p.before(level, p.heap[child], p.heap[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		p.heap[i], p.heap[least] = p.heap[least], p.heap[i]
		i = least
	}
}

func (p *planner) before(level []entry, a, b int) bool {
	x, y := &p.owners[a], &p.owners[b]
	if s, t := x.share(), y.share(); s != t {
		return s < t
	}
	return level[x.next].job.ID < level[y.next].job.ID
}
