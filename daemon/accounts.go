package daemon

import (
	"context"
	"time"

	"weft/daemon/store"
	"weft/gpu"
)

// idleEvery is how often an idle device's energy is recorded.
const idleEvery = time.Minute

// An account is what a seat's device did and the store does not know yet.
type account struct {
	counted float64 // of the device's busy seconds, those that have been taken in here
	window  window
	due     store.DeviceUse
	dueAt   time.Time         // when due was recorded last
	owed    map[int64]float64 // joules by job
}

// spent takes in what a job's work has taken so far in this residency.
func (r *residency) spent(s gpu.Spent) {
	r.seconds = max(r.seconds, s.DeviceSeconds)
	r.cpu = max(r.cpu, s.CPUSeconds)
}

// draw counts the job's device seconds for its part of the device's energy.
func (r *residency) draw() {
	if d := r.seconds - r.drawn; d > 0 {
		r.seat.account.window.use(r.job.rec.ID, d)
		r.drawn = r.seconds
	}
}

func (w *window) use(job int64, seconds float64) {
	if w.used == nil {
		w.used = map[int64]float64{}
	}
	w.used[job] += seconds
}

// lanesOf is how many seconds of work a device can do in a second, as it
// counts them: a GPU's lanes share it.
func (s *seat) lanesOf() int {
	if s.info.Kind == kindGPU {
		return 1
	}
	return max(1, s.info.Lanes)
}

// accounts queues what devices did since the last time, and the jobs' parts of
// their energy; all: also what could wait.
func (o *owner) accounts(now time.Time, all bool) {
	for _, s := range o.seats {
		for _, r := range s.residents {
			r.draw()
		}
		a := &s.account
		a.take(s.dev.Activity().BusySeconds, o.drawn(s.info.ID), now, s.lanesOf())
		if a.due.BusySeconds > 0 || len(a.owed) > 0 || all || now.Sub(a.dueAt) >= idleEvery {
			o.queueAccount(s, now)
		}
	}
}

// take brings the account up to date.
func (a *account) take(busy float64, energy drawn, now time.Time, lanes int) {
	worked := max(0, busy-a.counted)
	a.counted = max(a.counted, busy)
	a.due.BusySeconds += worked
	a.window.busy += worked
	total, idle, jobs, ok := a.window.close(energy, now, lanes)
	if !ok {
		return
	}
	a.due.EnergyJoules, a.due.IdleJoules = plus(a.due.EnergyJoules, total), plus(a.due.IdleJoules, idle)
	for id, joules := range jobs {
		a.owe(id, joules)
	}
}

func (a *account) owe(job int64, joules float64) {
	if a.owed == nil {
		a.owed = map[int64]float64{}
	}
	a.owed[job] += joules
}

func plus(sum *float64, v float64) *float64 {
	if sum != nil {
		v += *sum
	}
	return &v
}

// queueAccount has the next reports say what an account holds.
func (o *owner) queueAccount(s *seat, now time.Time) {
	a := &s.account
	a.dueAt = now
	for id, joules := range a.owed {
		o.reports = append(o.reports, store.Report{ID: id, Device: s.info.ID, EnergyJoules: &joules, At: now})
	}
	a.owed = nil
	if a.due.BusySeconds > 0 || a.due.EnergyJoules != nil {
		a.due.Device, a.due.At = s.info.ID, now
		o.uses = append(o.uses, a.due)
	}
	a.due = store.DeviceUse{}
}

// book has the store know what was used up to now.
func (o *owner) book(ctx context.Context) error {
	_, err := o.ask(ctx, func(answer reply) {
		o.reportAll()
		o.accounts(time.Now(), true)
		o.settle()
		answer(store.Record{}, nil)
	})
	return err
}

// untold takes back what reports said that the store refused: the next ones say
// it again. Progress and metrics need not be kept, for the next ones know more.
func (o *owner) untold(reports []store.Report, uses []store.DeviceUse) {
	for i := range reports {
		rep := &reports[i]
		if rep.EnergyJoules != nil {
			if s := o.seat(rep.Device); s != nil {
				s.account.owe(rep.ID, *rep.EnergyJoules)
			}
			continue
		}
		o.untoldOf(rep)
	}
	for _, u := range uses {
		s := o.seat(u.Device)
		if s == nil {
			continue
		}
		due := &s.account.due
		due.BusySeconds += u.BusySeconds
		if u.EnergyJoules != nil {
			due.EnergyJoules, due.IdleJoules = plus(due.EnergyJoules, *u.EnergyJoules), plus(due.IdleJoules, *u.IdleJoules)
		}
	}
}

// untoldOf gives device and processor seconds back to the job's residency, or
// to the change that ends it.
func (o *owner) untoldOf(rep *store.Report) {
	if rep.DeviceSeconds == 0 && rep.CPUSeconds == 0 {
		return
	}
	for i := range o.batch {
		if c := &o.batch[i].change; c.ID == rep.ID {
			c.DeviceSeconds += rep.DeviceSeconds
			c.CPUSeconds += rep.CPUSeconds
			return
		}
	}
	if j := o.jobs[rep.ID]; j != nil && j.res != nil {
		j.res.reported -= rep.DeviceSeconds
		j.res.cpuReported -= rep.CPUSeconds
		j.res.unsaved = true
		o.seconds[j.rec.Owner] -= rep.DeviceSeconds
	}
}
