package sched

import "cmp"

// explain says why e, which fits nowhere now, waits. blocked: no device has
// memory for it.
func (p *planner) explain(e *entry, blocked bool) Reason {
	c := &p.classes[e.class]
	if len(c.devices) == 0 {
		return Reason{kind: noDevice, device: c.want}
	}
	if why := p.impossible(e); why.kind != 0 {
		return why
	}
	if blocked && !p.passedByLess(e) {
		return p.obstacle(e)
	}
	if why := p.kept(e); why.kind != 0 {
		return why
	}
	waiting, higher := 0, 0
	for _, i := range c.meets {
		waiting += p.classes[i].waiting
		higher += p.classes[i].higher
	}
	switch {
	case higher > 0:
		return Reason{kind: behindHigher, a: int64(higher)}
	case waiting > 0:
		return Reason{kind: behind, a: int64(waiting)}
	}
	return p.obstacle(e)
}

// impossible is a reason that no job's end would remove: e is too large for
// every device it asks for, or those that it is not too large for are down.
func (p *planner) impossible(e *entry) Reason {
	c := &p.classes[e.class]
	var largest *device
	possible := false
	for _, i := range c.devices {
		d := &p.devices[i]
		n := e.job.need(d.Kind)
		if d.later.could(n) {
			if d.Ready {
				return Reason{}
			}
			possible = true
		}
		if !n.never && (largest == nil || d.MemoryBytes > largest.MemoryBytes ||
			d.MemoryBytes == largest.MemoryBytes && d.ID < largest.ID) {
			largest = d
		}
	}
	if possible {
		return Reason{kind: notReady, device: c.want}
	}
	if largest == nil {
		return Reason{kind: noDevice, device: c.want}
	}
	n := e.job.need(largest.Kind)
	return Reason{kind: tooLarge, a: n.memory + n.data, b: largest.MemoryBytes, device: largest.ID}
}

// kept is the reason when e would fit, were it not for one that has waited
// longer.
func (p *planner) kept(e *entry) Reason {
	for _, i := range p.classes[e.class].devices {
		d := &p.devices[i]
		if n := e.job.need(d.Kind); d.Ready && d.keptFor != 0 && d.keptFor != e.job.ID && d.now.fits(n) {
			return d.obstacle(n, e.job.ID)
		}
	}
	return Reason{}
}

// passedByLess reports whether a job before e needs no more memory than e: it
// will have the room first, so e is behind it.
func (p *planner) passedByLess(e *entry) bool {
	for _, i := range p.classes[e.class].meets {
		if c := &p.classes[i]; c.waiting > 0 && c.least <= p.size(e) {
			return true
		}
	}
	return false
}

// obstacle is what hinders e on the device where the least does, or where of
// too little memory the most is free.
func (p *planner) obstacle(e *entry) Reason {
	var best Reason
	for _, i := range p.classes[e.class].devices {
		d := &p.devices[i]
		n := e.job.need(d.Kind)
		if !d.Ready || !d.later.could(n) {
			continue
		}
		why := d.obstacle(n, e.job.ID)
		order := cmp.Or(cmp.Compare(why.kind, best.kind), cmp.Compare(best.b, why.b), cmp.Compare(why.device, best.device))
		if best.kind == 0 || order < 0 {
			best = why
		}
	}
	return best
}

func (d *device) obstacle(n need, job int64) Reason {
	// What is promised is not free.
	l := &d.now
	if d.later.used > l.used {
		l = &d.later
	}
	switch {
	case d.keptFor != 0 && d.keptFor != job:
		return Reason{kind: keptFree, a: d.keptFor, device: d.ID}
	case n.alone && !l.admits(n):
		return Reason{kind: companyWanted, device: d.ID}
	case !l.admits(n):
		return Reason{kind: companyBarred, device: d.ID}
	case !l.holds(n) && l.used+l.total(n) <= l.memory:
		return Reason{kind: memoryTaken, a: l.taken, device: d.ID}
	case !l.holds(n):
		return Reason{kind: memoryShort, a: l.total(n), b: l.free(), device: d.ID}
	}
	return Reason{kind: slotsShort, a: int64(d.Slots), device: d.ID}
}
