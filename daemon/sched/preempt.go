package sched

import (
	"cmp"
	"slices"
)

// reach is a device's account as it would be if everything below a priority
// left: the quick answer to whether preemption can help.
type reach struct {
	ledger
	priority int
	any      bool // something would leave
	made     bool
}

// preempt makes room for e by taking jobs of lower priority off a device, and
// promises it the room. It returns that device, or nil when it would not help.
func (p *planner) preempt(e *entry) *device {
	var best *device
	var fewest []int
	for _, i := range p.classes[e.class].devices {
		d := &p.devices[i]
		n := e.job.need(d.Kind)
		if !p.usable(d, e) || !d.reachable(n, e.job.Priority) {
			continue
		}
		victims := d.victims(n)
		if best == nil || cheaper(d, victims, best, fewest) {
			best, fewest = d, victims
		}
	}
	if best == nil {
		return nil
	}
	for _, i := range fewest {
		p.takeOff(best, i, e)
	}
	p.claim(e, best)
	return best
}

// reachable reports whether n would fit if every job below priority left. The
// account is made once a level; after that promise keeps it.
func (d *device) reachable(n need, priority int) bool {
	r := &d.reach
	if !r.made || r.priority != priority {
		d.later.copyTo(&r.ledger)
		r.made, r.priority, r.any = true, priority, false
		for i := range d.Running {
			if !d.leaving[i] && d.Running[i].Priority < priority {
				r.any = true
				r.remove(d.Running[i].need())
			}
		}
	}
	return r.any && r.fits(n)
}

// promise enters n into the accounts of what will be.
func (d *device) promise(n need) {
	d.later.add(n)
	if d.reach.made {
		d.reach.add(n)
	}
}

// victims chooses the jobs that have to leave for n, which is reachable: by
// priority, of equals the youngest first, and then without those that turn
// out not to be needed.
func (d *device) victims(n need) []int {
	if d.order == nil {
		d.order = make([]int, len(d.Running))
		for i := range d.order {
			d.order[i] = i
		}
		slices.SortFunc(d.order, func(i, j int) int {
			a, b := &d.Running[i], &d.Running[j]
			return cmp.Or(cmp.Compare(a.Priority, b.Priority), b.Since.Compare(a.Since), cmp.Compare(b.Job, a.Job))
		})
	}
	// The account is tried out in place, and restored.
	var chosen []int
	for _, i := range d.order {
		if d.later.fits(n) {
			break
		}
		if !d.leaving[i] {
			d.later.remove(d.Running[i].need())
			chosen = append(chosen, i)
		}
	}
	for k := len(chosen) - 1; k >= 0; k-- {
		r := &d.Running[chosen[k]]
		if d.later.add(r.need()); d.later.fits(n) {
			chosen = slices.Delete(chosen, k, k+1)
		} else {
			d.later.remove(r.need())
		}
	}
	for _, i := range chosen {
		d.later.add(d.Running[i].need())
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
