package sched

import (
	"strings"
	"time"

	"weft/daemon/api"
)

// Patience is how long a job is passed by smaller ones before a device is
// kept free for it.
const Patience = 30 * time.Second

// Schedule plans what to start, to preempt and to refuse now. Equal snapshots
// give equal plans, whatever the order of their queue and devices. It
// keeps no reference to the snapshot and changes nothing in it.
func Schedule(s Snapshot) Plan {
	p := newPlanner(&s)
	p.filter()
	if s.Draining {
		for i := range p.queue {
			p.plan.Reasons[p.queue[i].job.ID] = Reason{kind: draining}
		}
		p.plan.Wake = time.Time{}
		return p.plan
	}
	p.order()
	for level := range p.levels() {
		p.overdue(level)
		p.place(level)
	}
	return p.plan
}

// planner holds what one call of Schedule works with.
type planner struct {
	snap    *Snapshot
	plan    Plan
	devices []device
	classes []class
	wants   map[string]int // index into classes by Job.WantDevice
	owners  []owner
	names   map[string]int // index into owners by name
	queue   []entry        // what filter let through; then in order
	heap    []int          // of owners, see fairOrder
}

// device is a device with its accounts.
type device struct {
	*Device
	now     ledger // what is there, and what this plan starts
	later   ledger // the same once stopping jobs have left, and what is promised their room
	leaving []bool // by index into Running: stopping already, or preempted by this plan
	// keptFor is the job that has waited too long for memory here; nothing
	// else starts. 0: nobody.
	keptFor int64
	// passed is set once a job of this plan found too little memory here.
	passed bool
	reach  reach
	order  []int // indices into Running in the order of preemption, once needed
}

// class is the set of devices that a job asks for.
type class struct {
	want    string
	devices []int
	meets   []int // indices of classes that share a device with it, itself among them
	// What has been passed in order and still waits: how many, how many of
	// them at higher priorities than the present, the least memory they need.
	waiting, higher int
	least           int64
}

// entry is a queued job on its way through the pipeline.
type entry struct {
	job          *Job
	class, owner int
	done         bool // started
}

func newPlanner(s *Snapshot) *planner {
	p := &planner{
		snap:    s,
		devices: make([]device, len(s.Devices)),
		wants:   map[string]int{},
		names:   map[string]int{},
		queue:   make([]entry, 0, len(s.Queue)),
	}
	p.plan.Reasons = make(map[int64]Reason, len(s.Queue))
	p.plan.Blocked = map[int64]time.Time{}
	for i := range s.Devices {
		p.open(&p.devices[i], &s.Devices[i])
	}
	return p
}

// open enters what runs on a device into its accounts, and its owners'.
func (p *planner) open(d *device, from *Device) {
	d.Device = from
	d.now, d.later = newLedger(from), newLedger(from)
	d.leaving = make([]bool, len(from.Running))
	for i := range from.Running {
		r := &from.Running[i]
		d.now.add(r.need())
		if d.leaving[i] = r.Stopping; !r.Stopping {
			d.later.add(r.need())
		}
		p.owners[p.owner(r.Owner)].charge()
	}
}

// classOf finds or makes the class of a wish.
func (p *planner) classOf(want string) int {
	if i, ok := p.wants[want]; ok {
		return i
	}
	i := len(p.classes)
	c := class{want: want}
	for d := range p.devices {
		if wanted(want, p.devices[d].Device) {
			c.devices = append(c.devices, d)
		}
	}
	p.wants[want] = i
	p.classes = append(p.classes, c)
	return i
}

// KindPools is the kind, and the id, of the device that runs CPU jobs. No other
// job runs there, and they nowhere else.
const KindPools = "pools"

// Wanted reports whether a job with that wish may run on a device.
func Wanted(want, id, kind string) bool {
	if want == "" || want == "auto" {
		return kind != KindPools
	}
	return want == kind || want == id || strings.Replace(want, ":", "", 1) == id
}

func wanted(want string, d *Device) bool { return Wanted(want, d.ID, d.Kind) }

func (p *planner) start(e *entry, d *device) {
	n := e.job.need(d.Kind)
	d.now.add(n)
	d.promise(n)
	e.done = true
	p.owners[e.owner].charge()
	p.plan.Start = append(p.plan.Start, Start{Job: e.job.ID, Device: d.ID})
}

// wakeAt makes the plan be looked at again at t.
func (p *planner) wakeAt(t time.Time) {
	if p.plan.Wake.IsZero() || t.Before(p.plan.Wake) {
		p.plan.Wake = t
	}
}

func (p *planner) refuse(id int64, e api.Error) {
	p.plan.Refuse = append(p.plan.Refuse, Refuse{Job: id, Error: e})
}
