package sched

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"weft/daemon/api"
)

// stopTime is how long a preempted job takes to write its checkpoint.
const stopTime = 500 * time.Millisecond

// simulation runs jobs on devices as plans say, from event to event: a job
// arrives, ends or has left, or the plan wanted to be woken.
type simulation struct {
	now     time.Time
	devices []Device
	owners  map[string]Owner
	jobs    map[int64]*simJob
	ids     []int64 // of jobs, in order
	live    []int64 // those of them that have not ended
	blocked map[int64]time.Time
	check   func(Snapshot, Plan) error
	plans   int
}

// simJob is a job with its future.
type simJob struct {
	Job
	arrive time.Time
	left   time.Duration // work to do
	state  api.State
	device int
	since  time.Time // runs since
	leave  time.Time // when it is gone, stopping; zero: not
	first  time.Time // first start
	used   time.Duration
}

func newSimulation(devices []Device, owners ...Owner) *simulation {
	s := &simulation{now: noon, devices: devices, owners: map[string]Owner{}, jobs: map[int64]*simJob{},
		blocked: map[int64]time.Time{}, check: checkPlan}
	for _, o := range owners {
		s.owners[o.Name] = o
	}
	return s
}

// add makes a job arrive; its id grows with the order of calls.
func (s *simulation) add(job Job, arrive time.Time, work time.Duration) *simJob {
	job.ID = int64(len(s.ids) + 1)
	s.ids = append(s.ids, job.ID)
	s.live = append(s.live, job.ID)
	sj := &simJob{Job: job, arrive: arrive, left: max(work, time.Millisecond), state: api.Queued}
	s.jobs[job.ID] = sj
	return sj
}

// run plans and advances until the given time, or until nothing is left to
// happen.
func (s *simulation) run(until time.Time) error {
	for {
		snap := s.snapshot()
		plan := Schedule(snap)
		s.plans++
		if err := s.check(snap, plan); err != nil {
			return fmt.Errorf("plan %d at %s: %w", s.plans, s.now.Sub(noon), err)
		}
		if err := s.carryOut(plan); err != nil {
			return err
		}
		next := s.next(plan)
		if next.IsZero() || next.After(until) {
			if !until.IsZero() && s.now.Before(until) {
				s.advance(until)
			}
			return nil
		}
		if !next.After(s.now) {
			return fmt.Errorf("plan %d asks to be woken at %s, now is %s", s.plans, next.Sub(noon), s.now.Sub(noon))
		}
		s.advance(next)
	}
}

func (s *simulation) snapshot() Snapshot {
	snap := Snapshot{Now: s.now, Owners: s.owners, States: map[int64]api.State{}}
	for _, d := range s.devices {
		d.Running = nil
		snap.Devices = append(snap.Devices, d)
	}
	for _, id := range s.live {
		j := s.jobs[id]
		if j.arrive.After(s.now) {
			continue
		}
		switch j.state {
		case api.Queued:
			j.Job.Blocked = s.blocked[id]
			snap.Queue = append(snap.Queue, j.Job)
		case api.Running:
			d := &snap.Devices[j.device]
			d.Running = append(d.Running, Running{Job: id, Owner: j.Owner, Priority: j.Priority,
				MemoryBytes: bytesOn(d, &j.Job), DataBytes: j.DataBytes, DataHash: j.DataHash,
				Stopping: !j.leave.IsZero(), Alone: j.Alone, Ward: j.Ward, Since: j.since})
		}
		for _, dep := range j.After {
			snap.States[dep] = s.jobs[dep].state
		}
	}
	return snap
}

func (s *simulation) carryOut(plan Plan) error {
	s.blocked = plan.Blocked
	for _, start := range plan.Start {
		j := s.jobs[start.Job]
		if j.state != api.Queued {
			return fmt.Errorf("job %d started, but is %s", j.ID, j.state)
		}
		j.state, j.since, j.leave = api.Running, s.now, time.Time{}
		j.device = slices.IndexFunc(s.devices, func(d Device) bool { return d.ID == start.Device })
		if j.first.IsZero() {
			j.first = s.now
		}
	}
	for _, p := range plan.Preempt {
		s.jobs[p.Job].leave = s.now.Add(stopTime)
	}
	for _, r := range plan.Refuse {
		s.jobs[r.Job].state = api.Failed
	}
	return nil
}

// next is when something happens; zero: never.
func (s *simulation) next(plan Plan) time.Time {
	next := plan.Wake
	at := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, id := range s.live {
		switch j := s.jobs[id]; {
		case j.state == api.Running && !j.leave.IsZero():
			at(j.leave)
		case j.state == api.Running:
			at(s.now.Add(j.left))
		case j.arrive.After(s.now):
			at(j.arrive)
		}
	}
	return next
}

// advance lets the running jobs work until t. One that stops does no work,
// and is queued again when it has left.
func (s *simulation) advance(t time.Time) {
	passed := t.Sub(s.now)
	s.now = t
	for _, id := range s.live {
		j := s.jobs[id]
		if j.state != api.Running {
			continue
		}
		if !j.leave.IsZero() {
			if !j.leave.After(t) {
				j.state, j.leave = api.Queued, time.Time{}
			}
			continue
		}
		j.left -= passed
		j.used += passed
		o := s.owners[j.Owner]
		o.Seconds += passed.Seconds()
		s.owners[j.Owner] = o
		if j.left <= 0 {
			j.state = api.Succeeded
		}
	}
	s.live = slices.DeleteFunc(s.live, func(id int64) bool { return s.jobs[id].state.Final() })
}

// bytesOn is what a job reserves on d for itself.
func bytesOn(d *Device, j *Job) int64 {
	if d.Kind == "gpu" {
		return j.GPUBytes
	}
	return j.MemoryBytes
}

// load is what is on a device, counted anew from the definition.
type load struct {
	jobs, alone int
	wards       map[int64]bool
	bytes       int64
	data        map[string]int64
	never       bool
}

func (l *load) add(memory, data int64, hash string, alone bool, ward int64) {
	l.jobs++
	l.bytes += memory
	if alone {
		l.alone++
		l.wards[ward] = true
	}
	if hash == "" {
		l.bytes += data
	} else {
		l.bytes += max(data, l.data[hash]) - l.data[hash]
		l.data[hash] = max(data, l.data[hash])
	}
}

func (l *load) legal(d *Device) bool {
	company := l.alone == 0 || l.jobs == 1 || l.jobs == l.alone && len(l.wards) == 1 && !l.wards[0]
	return l.jobs <= d.Slots && l.bytes <= d.MemoryBytes-d.TakenBytes && company && !l.never
}

// world is a snapshot and its plan, for the checks.
type world struct {
	snap    Snapshot
	plan    Plan
	queued  map[int64]*Job
	started map[int64]string
}

// load counts what is on a device after the plan's starts, of jobs that keep
// says yes to.
func (w *world) load(d *Device, keep func(priority int, stopping bool) bool) *load {
	l := &load{data: map[string]int64{}, wards: map[int64]bool{}}
	for _, r := range d.Running {
		if keep(r.Priority, r.Stopping) {
			l.add(r.MemoryBytes, r.DataBytes, r.DataHash, r.Alone, r.Ward)
		}
	}
	for _, start := range w.plan.Start {
		if j := w.queued[start.Job]; start.Device == d.ID && keep(j.Priority, false) {
			l.addJob(d, j)
		}
	}
	return l
}

func (l *load) addJob(d *Device, j *Job) {
	l.add(bytesOn(d, j), j.DataBytes, j.DataHash, j.Alone, j.Ward)
	l.never = l.never || d.Kind == "gpu" && j.GPUBytes == 0
}

func (w *world) fits(d *Device, j *Job, keep func(priority int, stopping bool) bool) bool {
	l := w.load(d, keep)
	l.addJob(d, j)
	return l.legal(d)
}

// checkPlan holds a plan to every rule that can be seen from one plan.
func checkPlan(snap Snapshot, plan Plan) error {
	w := &world{snap, plan, map[int64]*Job{}, map[int64]string{}}
	for i := range snap.Queue {
		w.queued[snap.Queue[i].ID] = &snap.Queue[i]
	}
	for _, check := range []func() error{w.starts, w.preempts, w.complete, w.nothingIdle, w.priority,
		w.deterministic} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func anyone(int, bool) bool { return true }

// starts: queued, eligible, wanted, at most once, and all of it fits.
func (w *world) starts() error {
	for _, start := range w.plan.Start {
		j := w.queued[start.Job]
		i := slices.IndexFunc(w.snap.Devices, func(d Device) bool { return d.ID == start.Device })
		switch {
		case j == nil || w.started[j.ID] != "":
			return fmt.Errorf("job %d started twice, or is not queued", start.Job)
		case i < 0 || !w.snap.Devices[i].Ready || !wanted(j.WantDevice, &w.snap.Devices[i]):
			return fmt.Errorf("job %d, which wants %q, started on %q", j.ID, j.WantDevice, start.Device)
		case j.Held || j.At.After(w.snap.Now) || w.snap.Draining:
			return fmt.Errorf("job %d started, but may not run", j.ID)
		}
		for _, dep := range j.After {
			if w.snap.States[dep] != api.Succeeded {
				return fmt.Errorf("job %d started before job %d has succeeded", j.ID, dep)
			}
		}
		w.started[j.ID] = start.Device
	}
	for i := range w.snap.Devices {
		d := &w.snap.Devices[i]
		if l := w.load(d, anyone); l.jobs > len(d.Running) && !l.legal(d) {
			return fmt.Errorf("%s has %d jobs and %d bytes, and %d jobs that must be alone", d.ID, l.jobs, l.bytes, l.alone)
		}
	}
	return nil
}

// preempts: running, of those that may be preempted for what it is for, which waits.
func (w *world) preempts() error {
	seen := map[int64]bool{}
	for _, p := range w.plan.Preempt {
		for _, d := range w.snap.Devices {
			for _, r := range d.Running {
				if r.Job != p.Job {
					continue
				}
				j := w.queued[p.For]
				if seen[p.Job] || r.Stopping || d.ID != p.Device || j == nil || w.started[p.For] != "" ||
					!w.mayPreempt(j, &r) || !wanted(j.WantDevice, &d) {
					return fmt.Errorf("wrong: %+v of %+v", p, r)
				}
				seen[p.Job] = true
			}
		}
		if !seen[p.Job] {
			return fmt.Errorf("preempts job %d, which does not run", p.Job)
		}
	}
	return nil
}

// mayPreempt: for higher priority, or to be alone after long patience.
func (w *world) mayPreempt(j *Job, r *Running) bool {
	if r.Priority < j.Priority {
		return true
	}
	late := !j.Blocked.IsZero() && w.snap.Now.Sub(j.Blocked) >= Patience
	return j.Alone && late && !r.Alone && r.Priority == j.Priority
}

// complete: every queued job starts, is refused, or has a reason.
func (w *world) complete() error {
	refused := map[int64]bool{}
	for _, r := range w.plan.Refuse {
		refused[r.Job] = true
		if r.Error.Message == "" || r.Error.Code == "" {
			return fmt.Errorf("job %d is refused without words", r.Job)
		}
	}
	for id := range w.queued {
		why, waits := w.plan.Reasons[id]
		if n := count01(w.started[id] != "") + count01(refused[id]) + count01(waits); n != 1 {
			return fmt.Errorf("job %d has %d outcomes", id, n)
		}
		if waits && why.String() == "" {
			return fmt.Errorf("job %d has an empty reason %+v", id, why)
		}
	}
	if n := len(w.started) + len(refused) + len(w.plan.Reasons); n != len(w.queued) {
		return fmt.Errorf("%d outcomes for %d jobs", n, len(w.queued))
	}
	return nil
}

func count01(b bool) int {
	if b {
		return 1
	}
	return 0
}

// settled gives the eligible jobs that wait and the devices that they want,
// where no room is promised to another job or kept for one.
func (w *world) settled(f func(j *Job, d *Device) error) error {
	if w.snap.Draining {
		return nil
	}
	for _, j := range w.queued {
		if !j.Blocked.IsZero() && w.snap.Now.Sub(j.Blocked) >= Patience {
			return nil // devices may be kept
		}
	}
	for id := range w.plan.Reasons {
		j := w.queued[id]
		if j.Held || j.At.After(w.snap.Now) || slices.ContainsFunc(j.After, func(dep int64) bool {
			return w.snap.States[dep] != api.Succeeded
		}) {
			continue
		}
		for i := range w.snap.Devices {
			d := &w.snap.Devices[i]
			leaving := slices.ContainsFunc(d.Running, func(r Running) bool { return r.Stopping }) ||
				slices.ContainsFunc(w.plan.Preempt, func(p Preempt) bool { return p.Device == d.ID })
			if leaving || !d.Ready || !wanted(j.WantDevice, d) {
				continue
			}
			if err := f(j, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// nothingIdle: no job waits that fits.
func (w *world) nothingIdle() error {
	return w.settled(func(j *Job, d *Device) error {
		if w.fits(d, j, anyone) {
			return fmt.Errorf("job %d waits (%s) but fits %s", j.ID, w.plan.Reasons[j.ID], d.ID)
		}
		return nil
	})
}

// priority: no job waits that would fit beside its equals and betters alone.
func (w *world) priority() error {
	return w.settled(func(j *Job, d *Device) error {
		if w.fits(d, j, func(priority int, _ bool) bool { return priority >= j.Priority }) {
			if w.plan.Reasons[j.ID].kind == leaving {
				return nil // on another device
			}
			return fmt.Errorf("job %d waits (%s) for lower priorities on %s", j.ID, w.plan.Reasons[j.ID], d.ID)
		}
		return nil
	})
}

// deterministic: the same, whatever the order of the queue and the devices.
func (w *world) deterministic() error {
	again := w.snap
	again.Queue, again.Devices = slices.Clone(again.Queue), slices.Clone(again.Devices)
	r := rand.New(rand.NewPCG(1, uint64(len(w.queued))))
	r.Shuffle(len(again.Queue), func(i, j int) { again.Queue[i], again.Queue[j] = again.Queue[j], again.Queue[i] })
	r.Shuffle(len(again.Devices), func(i, j int) {
		again.Devices[i], again.Devices[j] = again.Devices[j], again.Devices[i]
	})
	if diff := diffPlans(w.plan, Schedule(again)); diff != "" {
		return fmt.Errorf("another plan for the same snapshot: %s", diff)
	}
	return nil
}
