package daemon

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"weft/daemon/api"
	"weft/daemon/store"
	"weft/gpu"
)

// maxAloneFaults is how many workers a job may take down with nobody else to
// blame before it fails.
const maxAloneFaults = 2

// probation is how long a suspect runs alone before it may have company
// again.
const probation = 10 * time.Second

// onEvent takes in what a device tells.
func (o *owner) onEvent(s *seat, e gpu.Event) {
	switch e := e.(type) {
	case gpu.Up:
		o.up(s, e)
	case gpu.Down:
		o.down(s, e)
	case gpu.Started:
		o.with(s, e.Job, func(r *residency) { o.runs(r, e.Step) })
	case gpu.Progressed:
		o.allProgressed(s, e.Jobs)
	case gpu.EpochEnded:
		o.with(s, e.Job, func(r *residency) { o.epochEnded(r, e) })
	case gpu.Checkpointed:
		o.with(s, e.Job, func(r *residency) { o.checkpointed(r, e) })
	case gpu.Stopped:
		o.with(s, e.Job, func(r *residency) { r.spent(e.Spent); o.stopped(r) })
	case gpu.Finished:
		o.with(s, e.Job, func(r *residency) {
			r.spent(e.Spent)
			p := r.progress
			o.leave(r, store.Change{Do: api.Succeed, Metrics: e.Metrics, PeakBytes: e.PeakBytes, Progress: &p})
		})
	case gpu.Returned:
		o.with(s, e.Job, func(r *residency) { r.spent(e.Spent); o.returned(r, e) })
	case gpu.Memory:
		s.short.told = e.TakenBytes
		o.dirty = true
	case gpu.Failed:
		o.with(s, e.Job, func(r *residency) {
			r.spent(e.Spent)
			f := e.Fault
			o.failed(r, &api.Error{Code: api.Code(f.Code), Message: f.Message, Hint: f.Hint})
		})
	}
}

// with calls f with the job's residency on s, if the device has been told of
// one; other events are echoes.
func (o *owner) with(s *seat, id int64, f func(*residency)) {
	if o.touched[id] {
		o.settle()
	}
	if r := s.residents[id]; r != nil && r.phase != loading {
		f(r)
	}
}

func (o *owner) up(s *seat, e gpu.Up) {
	s.info = e.Info
	s.ready, s.was = true, true
	s.evidence, s.message, s.hint = "", "", ""
	s.short = shortage{told: e.Info.TakenBytes}
	s.killedFor = 0
	o.dirty = true
	o.log.Info("worker is ready", "device", s.info.ID, "pid", s.info.PID, "restarts", s.info.Restarts)
}

func (o *owner) down(s *seat, e gpu.Down) {
	s.ready = false
	s.evidence, s.message, s.hint = e.Evidence, e.Reason, e.Hint
	if s.message == "" {
		s.message = firstLine(e.Evidence)
	}
	s.info.PID = 0
	suspects := e.Suspects
	if s.killedFor != 0 {
		suspects = []int64{s.killedFor}
		s.killedFor = 0
	}
	o.dirty = true
	if o.draining && len(e.Lost) == 0 {
		o.log.Info("worker ended", "device", s.info.ID)
		return
	}
	o.meter.WorkerRestarted(s.info.ID)
	o.log.Warn("worker died", "device", s.info.ID, "jobs", len(e.Lost), "suspects", suspects, "evidence", e.Evidence)
	suspects = slices.DeleteFunc(slices.Clone(suspects), func(id int64) bool { return !slices.Contains(e.Lost, id) })
	o.divide(suspects)
	for _, id := range e.Lost {
		o.with(s, id, func(r *residency) {
			alone := r.alone && r.ward == 0 || len(e.Lost) == 1
			o.lost(r, slices.Contains(suspects, id), alone, e.Evidence)
		})
	}
}

// divide puts the suspects of a fault into two wards, each of which runs by
// itself next: so the culprit of a gang of a thousand is alone after ten more
// faults, and the others lose a minute or two instead of hours.
func (o *owner) divide(suspects []int64) {
	half := len(suspects) / 2
	for i, members := range [][]int64{suspects[:half], suspects[half:]} {
		ward := int64(0)
		if len(members) > 1 {
			o.wards++
			ward = o.wards
		}
		for _, id := range suspects[i*half : i*half+len(members)] {
			if j := o.jobs[id]; j != nil {
				j.ward = ward
			}
		}
	}
}

// lost decides what becomes of a job whose worker died. A job is blamed only
// for what happened while it was being worked on, and fails only when nobody
// else could have been the cause, twice.
func (o *owner) lost(r *residency, suspect, alone bool, evidence string) {
	switch r.wish {
	case cancel, pause, timeout:
		o.stopped(r)
		return
	default:
	}
	j := r.job
	if suspect {
		j.suspect = true
		if alone {
			j.aloneFaults++
		}
	}
	if j.aloneFaults >= maxAloneFaults {
		o.failed(r, &api.Error{Code: api.CodeWorkerLost,
			Message: fmt.Sprintf("its worker died %d times with this job alone on it: %s", j.aloneFaults, evidence),
			Hint:    "this is a defect of weft or of the machine; look at the daemon's log, then weft retry the job"})
		return
	}
	msg := "its worker died; it goes on from its last checkpoint"
	if suspect {
		msg = "its worker died while working on it; it goes on from its last checkpoint, alone: " + evidence
		if j.ward != 0 {
			msg = "its worker died while working on it and others; it goes on from its last checkpoint, " +
				"with some of them: " + evidence
		}
	}
	o.leave(r, store.Change{Do: api.Requeue, Fault: suspect, Message: msg})
}

func (o *owner) runs(r *residency, step int64) {
	r.phase = running
	r.job.tries = 0
	r.seat.short.started(r.seat.reserves(&r.job.rec))
	r.progress.Step, r.metered.Steps = step, step
	o.stand(r)
}

func (o *owner) progressed(r *residency, p gpu.Progress) {
	r.progress = api.Progress{Epoch: p.Epoch, Epochs: p.Epochs, Step: p.Step, Steps: p.Steps}
	r.metrics = latestOf(&p)
	r.spent(p.Spent)
	r.news, r.unsaved = true, true
	o.stand(r)
}

// latestOf is what a job's news says of its metrics.
func latestOf(p *gpu.Progress) map[string]float64 {
	if p.Metrics != nil {
		return finite(p.Metrics)
	}
	if loss := finiteOr0(p.TrainLoss); loss != 0 {
		return map[string]float64{"train_loss": loss}
	}
	return nil
}

// allProgressed takes in how far jobs are. That a job has begun to train is
// news that somebody may wait for; the rest of its way is told by the clock.
func (o *owner) allProgressed(s *seat, jobs []gpu.Progress) {
	var begun []api.Job
	for _, p := range jobs {
		o.with(s, p.Job, func(r *residency) {
			o.progressed(r, p)
			if !r.shown && p.Step > 0 {
				r.shown = true
				begun = append(begun, o.standingOf(r, time.Now()))
			}
		})
	}
	o.hub.progress(begun)
}

func (o *owner) epochEnded(r *residency, e gpu.EpochEnded) {
	r.progress.Epoch = max(r.progress.Epoch, e.Epoch)
	r.progress.Step = max(r.progress.Step, e.Step)
	r.metrics = nil
	r.news = true
	o.stand(r)
	m := finite(e.Metrics)
	known := maps.Clone(r.job.rec.Metrics) // requests may be reading it
	if known == nil {
		known = map[string]float64{}
	}
	maps.Copy(known, m)
	r.job.rec.Metrics = known
	rep := o.report(r)
	rep.Metrics = m
	rep.Epoch = &api.Epoch{Epoch: e.Epoch, Step: e.Step, Metrics: m}
	o.reports = append(o.reports, rep)
}

func (o *owner) checkpointed(r *residency, e gpu.Checkpointed) {
	if e.Err != "" {
		o.log.Warn("checkpoint was not written", "job", e.Job, "error", e.Err)
		o.reports = append(o.reports, store.Report{ID: e.Job, Message: e.Err, At: time.Now()})
		return
	}
	rep := o.report(r)
	rep.Checkpoint = true
	rep.Message = fmt.Sprintf("step %d", e.Step)
	if r.job.rec.Kind != api.KindTrain {
		rep.Message = fmt.Sprintf("its journal, with %s done", english.Plural(int(e.Step), "item", ""))
	}
	o.reports = append(o.reports, rep)
}

// stopped records the departure that was wished for, and how far the job came: it
// may have done more than was last reported.
func (o *owner) stopped(r *residency) {
	if r.unsaved {
		r.unsaved = false
		o.reports = append(o.reports, o.report(r))
	}
	switch r.wish {
	case cancel:
		o.leave(r, store.Change{Do: api.Cancel})
	case pause:
		o.leave(r, store.Change{Do: api.Pause})
	case timeout:
		limit := time.Duration(r.job.rec.Timeout * float64(time.Second))
		o.failed(r, &api.Error{Code: api.CodeTimeout,
			Message: fmt.Sprintf("the job ran longer than its time limit of %s", limit),
			Hint:    "submit it again with a longer --timeout, or with fewer epochs"})
	case preempt:
		o.leave(r, store.Change{Do: api.Requeue, Message: "made room for another job"})
	default:
		o.leave(r, store.Change{Do: api.Requeue, Message: o.whyStopped()})
	}
}

// returned puts a job back that its device had no memory for. It is not the
// job's fault, and it will be planned when there is room.
func (o *owner) returned(r *residency, e gpu.Returned) {
	if r.wish > preempt {
		o.stopped(r)
		return
	}
	s := r.seat
	now := time.Now()
	s.short.refused(now, s.reserves(&r.job.rec), s.view().FreeBytes, e.TakenBytes)
	msg := fmt.Sprintf("%s had no memory for it after all", s.info.ID)
	if e.TakenBytes > 0 {
		msg = fmt.Sprintf("waits for memory on %s: another process holds %s", s.info.ID,
			humanize.IBytes(uint64(e.TakenBytes)))
	}
	o.log.Warn("device has no memory for a job", "device", s.info.ID, "job", e.Job, "needs", e.NeedBytes,
		"others_hold", e.TakenBytes)
	o.leave(r, store.Change{Do: api.Requeue, Message: msg})
}

func (o *owner) whyStopped() string {
	if o.draining {
		return "the daemon is stopping; the job goes on when it runs again"
	}
	return "the device put it back"
}

// failed ends an attempt: the job is tried again from its beginning if it has
// retries left and nobody wants it gone.
func (o *owner) failed(r *residency, e *api.Error) {
	rec := &r.job.rec
	switch {
	case r.wish == cancel:
		o.leave(r, store.Change{Do: api.Cancel, Message: "failed while being cancelled: " + e.Message})
	case rec.RetriesUsed < rec.Retries:
		o.leave(r, store.Change{Do: api.Requeue, FromScratch: true, NewAttempt: true, Used: true,
			Fault: e.Code == api.CodeWorkerLost,
			Message: fmt.Sprintf("attempt %d failed: %s; retry %d of %d",
				rec.Attempt, e.Message, rec.RetriesUsed+1, rec.Retries)})
		r.job.ran, r.job.aloneFaults = 0, 0
	default:
		p := r.progress
		o.leave(r, store.Change{Do: api.Fail, Error: e, Fault: e.Code == api.CodeWorkerLost,
			Progress: &p, Metrics: r.metrics})
	}
}

// leave ends a residency that a device knew of, and records why.
func (o *owner) leave(r *residency, c store.Change) {
	o.meter.worked(r)
	j := r.job
	c.ID = j.rec.ID
	seconds, cpu := r.unreported()
	c.DeviceSeconds += seconds
	c.CPUSeconds += cpu
	r.draw()
	r.cancel()
	j.res = nil
	j.ran += time.Since(r.since)
	delete(r.seat.residents, c.ID)
	o.board.update(func(b *board) { delete(b.standings, c.ID) })
	o.dirty = true
	waiters := j.waiters
	j.waiters = nil
	if c.Do == api.Requeue {
		o.meter.JobRequeued(j.rec.Kind)
	}
	o.do(pending{change: c, told: true, done: func(rec store.Record, err error) {
		for _, w := range waiters {
			o.resolve(w, c, rec, err)
		}
	}})
}

// resolve answers a request that waited for its job to leave the device: the
// job may have left for another reason.
func (o *owner) resolve(w waiter, c store.Change, rec store.Record, err error) {
	if err != nil || w.do == c.Do {
		w.done(rec, err)
		return
	}
	if _, err := api.Next(rec.State, w.do); err != nil {
		w.done(rec, err)
		return
	}
	o.do(pending{change: store.Change{ID: rec.ID, Do: w.do}, done: w.done})
}

// takeOff asks a job's device to let it go; a weaker wish than one before is
// part of it.
func (o *owner) takeOff(r *residency, w wish) {
	if r.phase == loading {
		o.drop(r)
		return
	}
	if w <= r.wish {
		return
	}
	before := r.wish
	r.wish = w
	r.deadline = time.Now().Add(w.patience())
	o.dirty = true
	if before != stay && before.mode() == w.mode() {
		return
	}
	if err := r.seat.dev.Stop(r.job.rec.ID, w.mode()); err != nil {
		// Its worker is on its way down, which settles it; or the deadline does.
		o.log.Warn("job was not asked to stop", "job", r.job.rec.ID, "device", r.seat.info.ID, "error", err)
	}
}

// seatGone is the end of a device that was closed: nothing more will be told
// of its jobs.
func (o *owner) seatGone(s *seat) {
	s.gone, s.ready = true, false
	o.dirty = true
	for _, r := range s.residents {
		if r.phase == loading {
			o.drop(r)
		} else {
			o.stopped(r)
		}
	}
	o.finishIfDrained()
}
