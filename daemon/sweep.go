package daemon

import (
	"fmt"
	"maps"
	"math"
	"time"

	"weft/daemon/api"
	"weft/daemon/store"
)

// sweep does what is due by the clock.
func (o *owner) sweep(now time.Time) {
	if o.failing != nil {
		o.retryCommit()
	}
	var news []api.Job
	watched := o.hub.watched(progressKind)
	for _, s := range o.seats {
		for _, r := range s.residents {
			if r.phase == loading {
				continue
			}
			o.checkTime(r, now)
			if r.news && watched {
				news = append(news, o.standingOf(r, now))
			}
			r.news = false
		}
	}
	o.hub.progress(news)
	if now.Sub(o.lastShares) >= sharesEvery {
		o.lastShares = now
		o.readShares(now)
		o.thinLedger(now)
	}
	if now.Sub(o.lastReport) >= reportEvery {
		o.lastReport = now
		o.reportAll()
		o.accounts(now, false)
		o.showSeats()
	}
}

// readShares learns anew what owners have used: the store lets it fade.
func (o *owner) readShares(now time.Time) {
	shares, err := o.store.OwnerShares(o.ctx, now)
	if err != nil {
		o.log.Warn("owners' shares are not known anew", "error", err)
		return
	}
	o.seconds = shares
}

// thinLedger lets the store forget what was used long ago.
func (o *owner) thinLedger(now time.Time) {
	if err := o.store.ThinLedger(o.ctx, now); err != nil {
		o.log.Warn("the ledger is not thinned", "error", err)
	}
}

// retryCommit tries to record what devices told while the disk refused.
func (o *owner) retryCommit() {
	kept := o.kept
	o.kept = nil
	if len(kept) > 0 {
		o.commit(kept)
		return
	}
	// Nothing is waiting: the next change will show whether the disk is well.
	o.storeWorks()
	o.dirty = true
}

// checkTime enforces the job's time limit and the device's patience.
func (o *owner) checkTime(r *residency, now time.Time) {
	rec := &r.job.rec
	ran := r.job.ran + now.Sub(r.since)
	if rec.Timeout > 0 && ran.Seconds() > rec.Timeout {
		o.takeOff(r, timeout)
	}
	if r.alone && r.wish == stay && r.phase == running && now.Sub(r.since) > probation {
		r.alone, r.job.suspect, r.job.ward = false, false, 0
		o.dirty = true
	}
	if r.wish != stay && now.After(r.deadline) && r.seat.killedFor == 0 && r.seat.ready {
		o.log.Error("worker does not let a job go and is killed", "device", r.seat.info.ID, "job", rec.ID)
		r.seat.killedFor = rec.ID
		r.seat.dev.Restart(fmt.Sprintf("job %d does not leave when asked", rec.ID))
	}
}

// stand shows readers how far a running job is.
func (o *owner) stand(r *residency) {
	s := r.standing()
	o.board.update(func(b *board) { b.standings[r.job.rec.ID] = s })
}

func (r *residency) standing() standing {
	return standing{
		progress: r.progress, metrics: r.metrics,
		seconds: r.base.DeviceSeconds + r.seconds,
		cpu:     r.base.CPUSeconds + r.cpu,
		wall:    r.base.WallSeconds, since: r.since,
	}
}

// standingOf is the job as a stream shows it.
func (o *owner) standingOf(r *residency, now time.Time) api.Job {
	j := r.job.rec.Job
	r.standing().apply(&j, now)
	return j
}

// reportAll queues what running jobs have done since the last time.
func (o *owner) reportAll() {
	for _, s := range o.seats {
		for _, r := range s.residents {
			if r.unsaved && r.phase != loading {
				rep := o.report(r)
				rep.DeviceSeconds, rep.CPUSeconds = r.unreported()
				o.seconds[r.job.rec.Owner] += rep.DeviceSeconds
				r.unsaved = false
				o.reports = append(o.reports, rep)
			}
		}
	}
}

// report is a job's standing for the store. What it used is told once a second,
// together with what its device did, so that the books balance also when the
// daemon is killed.
func (o *owner) report(r *residency) store.Report {
	o.meter.worked(r)
	p := r.progress
	return store.Report{ID: r.job.rec.ID, Progress: &p, Metrics: r.metrics, At: time.Now()}
}

// unreported returns the device and processor seconds that the store does not
// know of, and takes them as told.
func (r *residency) unreported() (seconds, cpu float64) {
	seconds, cpu = max(0, r.seconds-r.reported), max(0, r.cpu-r.cpuReported)
	r.reported, r.cpuReported = max(r.reported, r.seconds), max(r.cpuReported, r.cpu)
	return seconds, cpu
}

// flushReports stores reports, before any change that takes their job off its
// device. Of reports that a failing disk refuses, epochs and events are lost.
func (o *owner) flushReports() {
	if len(o.reports) == 0 && len(o.uses) == 0 {
		return
	}
	reports, uses := o.reports, o.uses
	o.reports, o.uses = nil, nil
	events, err := o.store.Report(o.ctx, reports, uses...)
	if err != nil {
		o.untold(reports, uses)
		o.storeFailed(nil, err)
		return
	}
	o.meter.charged(reports)
	o.hub.publish(events)
}

func finiteOr0(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

// finite returns m without the values that JSON cannot carry.
func finite(m map[string]float64) map[string]float64 {
	out := maps.Clone(m)
	maps.DeleteFunc(out, func(_ string, v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
	return out
}
