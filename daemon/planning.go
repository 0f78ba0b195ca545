package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"weft/daemon/api"
	"weft/daemon/sched"
	"weft/daemon/store"
	"weft/gpu"
	"weft/gpu/train"
)

const (
	planGap  = 2 * time.Millisecond   // plans are at least so far apart, and twice what one costs
	coolDown = 250 * time.Millisecond // a device that refused a job is left alone for so long
	maxTries = 5                      // starts in a row that may be refused before the job fails
)

// planning is the part of the owner's state that only plans use.
type planning struct {
	dirty     bool // something a plan depends on has changed
	planTimer *time.Timer
	lastPlan  time.Time
	lastCost  time.Duration
	wake      time.Time // the plan changes at this moment if nothing else happens; zero: never
	blocked   map[int64]time.Time
}

// planIfDue plans at once after a pause, so that a job starts the moment it
// is submitted, and at a bounded rate when much is going on.
func (o *owner) planIfDue(now time.Time) {
	if !o.dirty || o.failing != nil {
		o.arm(o.wake, now)
		return
	}
	due := o.lastPlan.Add(max(planGap, 2*o.lastCost))
	if now.Before(due) {
		o.arm(due, now)
		return
	}
	o.plan(now)
	o.settle()
	if o.dirty {
		o.arm(now.Add(max(planGap, 2*o.lastCost)), now)
		return
	}
	o.arm(o.wake, now)
}

// arm sets the timer for the next plan; it marks the table dirty.
func (o *owner) arm(at, now time.Time) {
	if at.IsZero() {
		o.planTimer.Reset(time.Hour)
		return
	}
	o.planTimer.Reset(max(0, at.Sub(now)))
}

func (o *owner) plan(now time.Time) {
	o.dirty = false
	snap := o.snapshot(now)
	began := time.Now()
	plan := sched.Schedule(snap)
	o.lastCost = time.Since(began)
	o.lastPlan = now
	o.blocked = plan.Blocked
	o.wake = o.earliest(plan.Wake, now)
	starved := o.starved(plan.Reasons)
	o.board.update(func(b *board) { b.reasons, b.starved = plan.Reasons, starved })
	for _, r := range plan.Refuse {
		e := r.Error
		o.do(pending{change: store.Change{ID: r.Job, Do: api.Fail, Error: &e}})
	}
	for _, p := range plan.Preempt {
		if j := o.jobs[p.Job]; j != nil && j.res != nil {
			o.takeOff(j.res, preempt)
		}
	}
	for _, s := range plan.Start {
		if j, seat := o.jobs[s.Job], o.seat(s.Device); j != nil && seat != nil {
			o.begin(j, seat)
		}
	}
}

// earliest adds the moments that only the owner knows to the plan's own.
func (o *owner) earliest(wake, now time.Time) time.Time {
	for _, s := range o.seats {
		for _, at := range []time.Time{s.resumeAt, s.short.until} {
			if at.After(now) && (wake.IsZero() || at.Before(wake)) {
				wake = at
			}
		}
	}
	return wake
}

func (o *owner) seat(id string) *seat {
	for _, s := range o.seats {
		if s.info.ID == id {
			return s
		}
	}
	return nil
}

// starved names the devices without a worker that jobs wait for: those jobs
// have no other device to go to.
func (o *owner) starved(reasons map[int64]sched.Reason) []string {
	down := slices.DeleteFunc(slices.Clone(o.seats), func(s *seat) bool { return s.ready })
	if len(down) == 0 {
		return nil
	}
	wants := map[string]bool{}
	for _, r := range reasons {
		if want, waits := r.WaitsForWorker(); waits {
			wants[want] = true
		}
	}
	var ids []string
	for _, s := range down {
		for want := range wants {
			if sched.Wanted(want, s.info.ID, s.info.Kind) {
				ids = append(ids, s.info.ID)
				break
			}
		}
	}
	return ids
}

func (o *owner) snapshot(now time.Time) sched.Snapshot {
	snap := sched.Snapshot{
		Now:      now,
		Owners:   make(map[string]sched.Owner, len(o.seconds)),
		States:   make(map[int64]api.State, len(o.waited)),
		Draining: o.draining,
		Queue:    make([]sched.Job, 0, len(o.jobs)),
	}
	for _, s := range o.seats {
		snap.Devices = append(snap.Devices, s.snapshot(now))
	}
	for name, seconds := range o.seconds {
		snap.Owners[name] = sched.Owner{Name: name, Weight: o.cfg.Owners[name], Seconds: seconds}
	}
	for _, j := range o.jobs {
		if j.rec.State == api.Queued && j.res == nil {
			snap.Queue = append(snap.Queue, o.queued(j))
		}
		if _, ok := snap.Owners[j.rec.Owner]; !ok {
			snap.Owners[j.rec.Owner] = sched.Owner{Name: j.rec.Owner, Weight: o.cfg.Owners[j.rec.Owner]}
		}
	}
	for id := range o.waited {
		if j := o.jobs[id]; j != nil {
			snap.States[id] = j.rec.State
		} else if s, ok := o.ended[id]; ok {
			snap.States[id] = s
		}
	}
	return snap
}

func (o *owner) queued(j *job) sched.Job {
	r := &j.rec
	q := sched.Job{
		ID: r.ID, Owner: r.Owner, Priority: r.Priority,
		Submitted: r.SubmittedAt, Queued: r.Queued,
		MemoryBytes: r.MemoryBytes, GPUBytes: r.GPUBytes, DataBytes: r.DataBytes, DataHash: r.DataHash,
		WantDevice: o.wants(r), After: r.After, Held: r.Held,
		Blocked: o.blocked[r.ID], Alone: j.suspect, Ward: j.ward,
	}
	if r.At != nil {
		q.At = *r.At
	}
	return q
}

// wants is the device that a job is to have next. One that takes any goes on
// where it made its checkpoint, on that kind of device, for its numbers are the
// same bits there and nearly the same elsewhere; unless there is none any more.
func (o *owner) wants(r *store.Record) string {
	if r.WantDevice != "" && r.WantDevice != "auto" || !r.HasCheckpoint || r.Device == "" {
		return r.WantDevice
	}
	kind := strings.TrimRight(r.Device, "0123456789")
	for _, s := range o.seats {
		if s.info.Kind == kind && !s.gone && s.state() != api.DeviceFailing {
			return kind
		}
	}
	return r.WantDevice
}

func (s *seat) snapshot(now time.Time) sched.Device {
	d := sched.Device{
		ID: s.info.ID, Kind: s.info.Kind,
		Ready:       s.ready && !s.gone && !s.resumeAt.After(now),
		MemoryBytes: s.info.MemoryBytes, TakenBytes: s.short.bytes(now), Slots: s.info.Slots,
		Running: make([]sched.Running, 0, len(s.residents)),
	}
	for _, r := range s.residents {
		rec := &r.job.rec
		d.Running = append(d.Running, sched.Running{
			Job: rec.ID, Owner: rec.Owner, Priority: rec.Priority,
			MemoryBytes: s.reserves(rec), DataBytes: rec.DataBytes, DataHash: rec.DataHash,
			Stopping: r.wish != stay, Alone: r.alone, Ward: r.ward, Since: r.since,
		})
	}
	return d
}

// begin reserves the device for a job and loads its data; the job stays
// queued until that is done.
func (o *owner) begin(j *job, s *seat) {
	if j.res != nil || j.rec.State != api.Queued {
		return
	}
	ctx, stop := context.WithCancel(o.ctx)
	r := &residency{job: j, seat: s, phase: loading, alone: j.suspect, ward: j.ward, cancel: stop, since: time.Now()}
	j.res = r
	s.residents[j.rec.ID] = r
	o.board.update(func(b *board) { b.loading[j.rec.ID] = s.info.ID })
	id := j.rec.ID
	o.loads.Go(func() {
		spec, set, err := o.fetch(ctx, id)
		if !o.inbox.post(func() { o.loaded(r, spec, set, err) }) && set != nil {
			set.Release()
		}
	})
}

// fetch reads what a start needs; it runs on its own goroutine. A CPU job has no
// training specification, and its order for data.
func (o *owner) fetch(ctx context.Context, id int64) (*train.Spec, data, error) {
	rec, err := o.store.Job(ctx, id)
	if err != nil {
		return nil, nil, fmt.Errorf("read job %d: %w", id, err)
	}
	if err := os.MkdirAll(o.cfg.jobDir(id), 0o700); err != nil {
		return nil, nil, fmt.Errorf("make job's directory: %w", err)
	}
	if rec.Kind != api.KindTrain {
		return nil, order{kind: rec.Kind, spec: rec.Spec}, nil
	}
	spec, err := train.Parse(rec.Spec)
	if err != nil {
		return nil, nil, fmt.Errorf("read specification of job %d: %w", id, err)
	}
	set, err := o.loader.Load(ctx, spec.Data, spec.Loss.Task())
	return spec, set, err
}

// loaded starts a job whose data has arrived, unless it was called off.
func (o *owner) loaded(r *residency, spec *train.Spec, set data, err error) {
	j := r.job
	release := func() {
		if set != nil {
			set.Release()
		}
	}
	if j.res != r {
		release()
		return
	}
	if err != nil {
		o.drop(r)
		o.notLoaded(j, err)
		return
	}
	if have, want := set.About().Hash, j.rec.DataHash; want != "" && have != want {
		release()
		o.drop(r)
		o.do(pending{change: store.Change{ID: j.rec.ID, Do: api.Fail, Error: errChanged("")}})
		return
	}
	if !r.seat.ready || o.draining {
		release()
		o.drop(r)
		return
	}
	where := "on " + r.seat.info.ID
	if j.rec.HasCheckpoint {
		where += ", from its checkpoint"
	}
	o.do(pending{
		change: store.Change{ID: j.rec.ID, Do: api.Start, Device: r.seat.info.ID, Message: where},
		done: func(rec store.Record, err error) {
			defer release()
			o.started(r, rec, spec, set, err)
		},
	})
}

func errChanged(why string) *api.Error {
	msg := "the data is not what was submitted: its files have changed"
	if why != "" {
		msg = "the data is not what was submitted: " + why
	}
	return &api.Error{Code: api.CodeChangedData, Message: msg,
		Hint: "put the files back and weft retry the job, or submit it again with the new data"}
}

// notLoaded is what becomes of a job whose data could not be loaded.
func (o *owner) notLoaded(j *job, err error) {
	var fault *train.Fault
	if errors.As(err, &fault) {
		// It could be read when the job was submitted.
		o.do(pending{change: store.Change{ID: j.rec.ID, Do: api.Fail, Error: errChanged(fault.Message)}})
		return
	}
	if j.tries++; j.tries < maxTries {
		o.log.Warn("data was not loaded; trying again", "job", j.rec.ID, "try", j.tries, "error", err)
		o.dirty = true
		return
	}
	o.do(pending{change: store.Change{ID: j.rec.ID, Do: api.Fail, Error: &api.Error{
		Code:    api.CodeData,
		Message: fmt.Sprintf("the data could not be loaded in %d tries: %v", j.tries, err),
		Hint:    "look at the daemon's log, then weft retry the job"}}})
}

// started tells the device of a job that is recorded as started.
func (o *owner) started(r *residency, rec store.Record, spec *train.Spec, set data, err error) {
	if err != nil { // not recorded: the disk is full, or the job was deleted
		o.drop(r)
		return
	}
	r.phase = starting
	r.since = time.Now()
	r.base = rec.Usage
	r.progress = rec.Progress
	o.stand(r)
	o.board.update(func(b *board) { delete(b.loading, rec.ID) })
	o.meter.JobStarted(rec.Kind, r.since.Sub(rec.Queued))
	err = r.seat.dev.Start(gpu.Job{
		ID: rec.ID, Spec: spec, Dir: o.cfg.jobDir(rec.ID),
		Memory: r.seat.reserves(&rec), Restart: !rec.HasCheckpoint, Priority: rec.Priority,
	}, set)
	if err == nil {
		return
	}
	r.seat.resumeAt = time.Now().Add(coolDown)
	r.job.tries++
	msg := fmt.Sprintf("device %s did not take the job: %v", r.seat.info.ID, err)
	if r.job.tries < maxTries {
		o.leave(r, store.Change{Do: api.Requeue, Message: msg})
		return
	}
	o.leave(r, store.Change{Do: api.Fail, Error: &api.Error{Code: api.CodeInternal, Message: msg,
		Hint: "look at the daemon's log: weft doctor says where"}})
}

// drop ends a residency that no device has heard of.
func (o *owner) drop(r *residency) {
	r.cancel()
	id := r.job.rec.ID
	if r.job.res == r {
		r.job.res = nil
	}
	delete(r.seat.residents, id)
	o.board.update(func(b *board) { delete(b.loading, id) })
	o.dirty = true
}
