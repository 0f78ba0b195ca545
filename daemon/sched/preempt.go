package sched

import (
	"cmp"
	"slices"
)

// reach is what a device's account would be if everything below a priority
// left: the quick answer to whether preemption can help.
type reach struct {
	ledger
	priority int
	any      bool // something would leave
	stale    bool // the account has changed since
	made     bool
}

// preempt makes room for e by taking jobs of lower priority off a device, and
// promises it the room. It returns that device, or nil when it would not help.
func (p *planner) preempt(e *entry) *device {
	n := e.job.need()
	var best *device
	var fewest []int
	for _, i := range p.classes[e.class].devices {
		d := &p.devices[i]
		if !p.usable(d, e) || !d.reachable(n, e.job.Priority) {
			continue
		}
		victims := d.victims(n, e.job.Priority)
		if best == nil || cheaper(d, victims, best, fewest) {
			best, fewest = d, victims
		}
	}
	if best == nil {
		return nil
	}
	for _, i := range fewest {
		r := &best.Running[i]
		best.leaving[i] = true
		best.later.remove(r.need())
		p.plan.Preempt = append(p.plan.Preempt, Preempt{Job: r.Job, Device: best.ID, For: e.job.ID})
	}
	p.claim(e, best)
	return best
}

// reachable reports whether n would fit if every job below priority left.
func (d *device) reachable(n need, priority int) bool {
	r := &d.reach
	if !r.made || r.stale || r.priority != priority {
		d.later.copyTo(&r.ledger)
		r.made, r.stale, r.priority, r.any = true, false, priority, false
		for i := range d.Running {
			if d.evictable(i, priority) {
				r.any = true
				r.remove(d.Running[i].need())
			}
		}
	}
	return r.any && r.fits(n)
}

func (d *device) evictable(i, priority int) bool {
	return !d.leaving[i] && d.Running[i].Priority < priority
}

// victims chooses the jobs that have to leave for n, which is reachable: by
// priority, of equals the youngest first, and then without those that turn
// out not to be needed.
func (d *device) victims(n need, priority int) []int {
	var order []int
	for i := range d.Running {
		if d.evictable(i, priority) {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &d.Running[i], &d.Running[j]
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), b.Since.Compare(a.Since), cmp.Compare(b.Job, a.Job))
	})
	var trial ledger
	d.later.copyTo(&trial)
	count := 0
	for !trial.fits(n) {
		trial.remove(d.Running[order[count]].need())
		count++
	}
	chosen := order[:count]
	for i := count - 1; i >= 0; i-- {
		r := &d.Running[chosen[i]]
		if trial.add(r.need()); trial.fits(n) {
			chosen = slices.Delete(chosen, i, i+1)
		} else {
			trial.remove(r.need())
		}
	}
	return chosen
}

// cheaper prefers victims of lower priority, then fewer, then the first device.
func cheaper(a *device, victims []int, b *device, others []int) bool {
	highest := func(d *device, indices []int) int {
		return d.Running[slices.MaxFunc(indices, func(i, j int) int {
			return cmp.Compare(d.Running[i].Priority, d.Running[j].Priority)
		})].Priority
	}
	return cmp.Or(cmp.Compare(highest(a, victims), highest(b, others)),
		cmp.Compare(len(victims), len(others)), cmp.Compare(a.ID, b.ID)) < 0
}
