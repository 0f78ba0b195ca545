package sched

import (
	"cmp"
	"slices"
)

// overdue starts the jobs of a level that have been passed for too long, or
// keeps a device free for each.
func (p *planner) overdue(level []entry) {
	var late []*entry
	for i := range level {
		if since := level[i].job.Blocked; !since.IsZero() && p.snap.Now.Sub(since) >= Patience {
			late = append(late, &level[i])
		}
	}
	slices.SortFunc(late, func(a, b *entry) int {
		return cmp.Or(a.job.Blocked.Compare(b.job.Blocked), cmp.Compare(a.job.ID, b.job.ID))
	})
	for _, e := range late {
		if d := p.room(e); d != nil {
			p.start(e, d)
		} else if d := p.nearest(e); d != nil {
			d.keptFor = e.job.ID
			p.empty(e, d)
		}
	}
}

// empty takes everybody off the device that is kept for a job that must be
// alone: neighbours may run for days, and it needs the device for seconds. It
// waits for those that must be alone themselves and for its betters.
func (p *planner) empty(e *entry, d *device) {
	if !e.job.Alone {
		return
	}
	for i := range d.Running {
		if r := &d.Running[i]; !d.leaving[i] && (r.Alone || r.Priority > e.job.Priority) {
			return
		}
	}
	for i := range d.Running {
		if !d.leaving[i] {
			p.takeOff(d, i, e)
		}
	}
}

// takeOff preempts the i-th of those that run on d.
func (p *planner) takeOff(d *device, i int, e *entry) {
	r := &d.Running[i]
	d.leaving[i] = true
	d.later.remove(r.need())
	p.plan.Preempt = append(p.plan.Preempt, Preempt{Job: r.Job, Device: d.ID, For: e.job.ID})
}

// nearest is the device on which the least has to be freed for e, of those
// that are kept for nobody. While a device is kept its account only falls, so
// the choice settles although it is made anew in each plan.
func (p *planner) nearest(e *entry) *device {
	var best *device
	var least int64
	for _, i := range p.classes[e.class].devices {
		d := &p.devices[i]
		n := e.job.need(d.Kind)
		if !d.Ready || d.keptFor != 0 || !d.later.could(n) {
			continue
		}
		missing := d.later.used + d.later.taken + d.later.total(n) - d.later.memory
		if !d.later.admits(n) { // everything has to leave
			missing = d.later.used + int64(d.later.jobs)
		}
		missing = max(missing, 0)
		if best == nil || missing < least || missing == least && d.ID < best.ID {
			best, least = d, missing
		}
	}
	return best
}

// place goes through a level in order: start, else claim the room of jobs
// that are stopping, else preempt, else wait.
func (p *planner) place(level []entry) {
	for i := range p.classes {
		p.classes[i].higher = p.classes[i].waiting
	}
	for e := range p.fairOrder(level) {
		if d := p.room(e); d != nil {
			p.start(e, d)
			continue
		}
		if d := p.promised(e); d != nil {
			p.claim(e, d)
			p.wait(e, Reason{kind: leaving, device: d.ID})
			continue
		}
		if d := p.preempt(e); d != nil {
			p.wait(e, Reason{kind: leaving, device: d.ID})
			continue
		}
		blocked := p.block(e)
		p.wait(e, p.explain(e, blocked))
		if !p.anySlot() {
			// Nothing more starts. Counting what waits as if it did puts the
			// rest into the order in which it will.
			p.owners[e.owner].charge()
		}
	}
}

// room is the best device that e can start on now without taking what is
// promised or kept; nil when there is none.
func (p *planner) room(e *entry) *device {
	var best *device
	for _, i := range p.classes[e.class].devices {
		d := &p.devices[i]
		n := e.job.need(d.Kind)
		if p.usable(d, e) && d.now.fits(n) && d.later.fits(n) && (best == nil || better(d, best, n)) {
			best = d
		}
	}
	return best
}

func (p *planner) usable(d *device, e *entry) bool {
	return d.Ready && (d.keptFor == 0 || d.keptFor == e.job.ID)
}

// better prefers a GPU, then the emptier device, then one that has the data,
// then the one with more free memory. n is what the job needs on either, for
// they are of one kind once kinds have been compared.
func better(a, b *device, n need) bool {
	if x, y := a.Kind == kindGPU, b.Kind == kindGPU; x != y {
		return x
	}
	if x, y := a.later.jobs*b.Slots, b.later.jobs*a.Slots; x != y {
		return x < y
	}
	if x, y := a.later.total(n), b.later.total(n); x != y {
		return x < y
	}
	if x, y := a.later.free(), b.later.free(); x != y {
		return x > y
	}
	return a.ID < b.ID
}

// promised is the best device that e fits on once stopping jobs have left.
func (p *planner) promised(e *entry) *device {
	var best *device
	for _, i := range p.classes[e.class].devices {
		d := &p.devices[i]
		n := e.job.need(d.Kind)
		if p.usable(d, e) && d.later.fits(n) && (best == nil || better(d, best, n)) {
			best = d
		}
	}
	return best
}

// claim promises e a place on d.
func (p *planner) claim(e *entry, d *device) {
	d.promise(e.job.need(d.Kind))
	p.owners[e.owner].charge()
}

// block notes since when e has been passed for want of memory, if it is the
// first that a device has none for, and reports whether no device has any.
func (p *planner) block(e *entry) bool {
	candidates, first := 0, false
	for _, i := range p.classes[e.class].devices {
		d := &p.devices[i]
		n := e.job.need(d.Kind)
		if !d.Ready || !d.later.could(n) {
			continue
		}
		if d.later.holds(n) && d.later.admits(n) {
			return false
		}
		candidates++
		first = first || !d.passed
	}
	if candidates == 0 {
		return false
	}
	if first && e.job.Blocked.IsZero() {
		p.plan.Blocked[e.job.ID] = p.snap.Now
	}
	for _, i := range p.classes[e.class].devices {
		d := &p.devices[i]
		d.passed = d.passed || d.later.could(e.job.need(d.Kind))
	}
	return true
}

// wait records that e stays queued, and why.
func (p *planner) wait(e *entry, why Reason) {
	p.plan.Reasons[e.job.ID] = why
	c, memory := &p.classes[e.class], p.size(e)
	if why.kind == leaving {
		memory = 0 // its room is promised, whatever its size
	}
	if c.waiting == 0 || memory < c.least {
		c.least = memory
	}
	c.waiting++
	since, isNew := p.plan.Blocked[e.job.ID]
	if !isNew {
		if since = e.job.Blocked; since.IsZero() {
			return
		}
		p.plan.Blocked[e.job.ID] = since // until it starts, come what may
	}
	if due := since.Add(Patience); due.After(p.snap.Now) {
		p.wakeAt(due)
	}
}

// size is the job's own reservation as far as jobs are compared: on the host,
// unless it asks for GPUs alone.
func (p *planner) size(e *entry) int64 {
	for _, i := range p.classes[e.class].devices {
		if p.devices[i].Kind != kindGPU {
			return e.job.MemoryBytes
		}
	}
	return e.job.GPUBytes
}

// anySlot reports whether a ready device has a slot that is not promised.
func (p *planner) anySlot() bool {
	for i := range p.devices {
		if d := &p.devices[i]; d.Ready && d.later.jobs < d.later.slots {
			return true
		}
	}
	return false
}
