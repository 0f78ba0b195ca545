package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"weft/daemon/api"
	"weft/daemon/store"
)

// Commands are what people ask for. Each runs on the owner and answers when
// what it asked for is recorded.

// find returns the record of any job, ended or not, after what is queued for
// it has been recorded.
func (o *owner) find(id int64) (store.Record, *job, error) {
	if o.touched[id] {
		o.settle()
	}
	if o.failing != nil {
		return store.Record{}, nil, errStore(o.failing)
	}
	if j := o.jobs[id]; j != nil {
		return j.rec, j, nil
	}
	rec, err := o.store.Job(o.ctx, id)
	return rec, nil, err
}

// submit stores jobs and takes them into the table; the records answer in
// the order of jobs.
func (o *owner) submit(ctx context.Context, key, fingerprint string, jobs []store.NewJob) ([]store.Record, error) {
	var recs []store.Record
	_, err := o.ask(ctx, func(answer reply) {
		if o.draining {
			answer(store.Record{}, errStopped())
			return
		}
		if o.failing != nil {
			answer(store.Record{}, errStore(o.failing))
			return
		}
		before := o.hub.lastID()
		got, replayed, err := o.store.Submit(o.ctx, key, fingerprint, jobs, time.Now())
		if err != nil {
			answer(store.Record{}, err)
			return
		}
		recs = got
		if !replayed {
			o.admit(got, before)
		}
		answer(store.Record{}, nil)
	})
	if err != nil {
		return nil, err // the owner may still be about to write recs
	}
	return recs, nil
}

// admit takes newly stored jobs into the table and announces them.
func (o *owner) admit(recs []store.Record, before int64) {
	for _, rec := range recs {
		o.note(rec)
		o.meter.JobSubmitted(rec.Kind)
	}
	o.dirty = true
	if err := o.lookUpEnded(o.ctx); err != nil {
		o.log.Error("jobs waited for are not known", "error", err)
	}
	if !o.hub.watched(everyKind) { // who comes later reads them from the store
		last, err := o.store.LastEvent(o.ctx)
		if err != nil {
			o.log.Error("the last event is not known", "error", err)
			return
		}
		o.hub.skip(last)
		return
	}
	for {
		events, err := o.store.Events(o.ctx, 0, before, 1000)
		if err != nil {
			o.log.Error("submitted jobs are not announced", "error", err)
			return
		}
		o.hub.publish(events)
		if len(events) < 1000 {
			return
		}
		before = events[len(events)-1].ID
	}
}

// A permit answers whether whoever asks may change an owner's job.
type permit func(owner string) error

// move is cancel, pause, resume and retry.
func (o *owner) move(ctx context.Context, id int64, do api.Transition, may permit) (store.Record, error) {
	return o.ask(ctx, func(answer reply) {
		rec, j, err := o.find(id)
		if err == nil {
			err = may(rec.Owner)
		}
		if err != nil {
			answer(rec, err)
			return
		}
		if j == nil || j.res == nil {
			o.do(pending{change: store.Change{ID: id, Do: do}, done: answer})
			return
		}
		o.moveResident(j, do, answer)
	})
}

// moveResident is move for a job that is on a device or on its way there.
func (o *owner) moveResident(j *job, do api.Transition, answer reply) {
	w := stay
	switch do {
	case api.Cancel:
		w = cancel
	case api.Pause:
		w = pause
	default:
	}
	r := j.res
	if _, err := api.Next(j.rec.State, do); err != nil || w == stay {
		answer(j.rec, err)
		return
	}
	if r.wish > w {
		answer(j.rec, &api.Error{Code: api.CodeWrongState,
			Message: fmt.Sprintf("cannot %s a job that is about to end", do)})
		return
	}
	if r.phase == loading {
		o.drop(r)
		o.do(pending{change: store.Change{ID: j.rec.ID, Do: do}, done: answer})
		return
	}
	j.waiters = append(j.waiters, waiter{do: do, done: answer})
	o.takeOff(r, w)
}

// hold keeps a queued job from starting, or lets it.
func (o *owner) hold(ctx context.Context, id int64, held bool, may permit) (store.Record, error) {
	return o.ask(ctx, func(answer reply) {
		rec, j, err := o.find(id)
		if err == nil {
			err = may(rec.Owner)
		}
		if err != nil {
			answer(rec, err)
			return
		}
		rec, err = o.edit(store.Edit{ID: id, Held: &held, At: time.Now()})
		if err == nil && held && j != nil && j.res != nil && j.res.phase == loading {
			o.drop(j.res)
		}
		answer(rec, err)
	})
}

// patch changes priority and labels.
func (o *owner) patch(ctx context.Context, id int64, p api.Patch, may permit) (store.Record, error) {
	return o.ask(ctx, func(answer reply) {
		rec, _, err := o.find(id)
		if err == nil {
			err = may(rec.Owner)
		}
		if err != nil {
			answer(rec, err)
			return
		}
		labels, err := mergeLabels(rec.Labels, p.Labels)
		if err != nil {
			answer(rec, err)
			return
		}
		if p.Priority == nil && labels == nil {
			answer(rec, nil)
			return
		}
		rec, err = o.edit(store.Edit{ID: id, Priority: p.Priority, Labels: labels, At: time.Now()})
		if err == nil && p.Priority != nil {
			o.prioritize(id, *p.Priority)
		}
		answer(rec, err)
	})
}

// prioritize tells a job's device of its new priority.
func (o *owner) prioritize(id int64, priority int) {
	j := o.jobs[id]
	if j == nil || j.res == nil || j.res.phase == loading {
		return // the start tells
	}
	s := j.res.seat
	if err := s.dev.Prioritize(id, priority); err != nil {
		// Its worker is on its way down, and the next start tells.
		o.log.Warn("device was not told of a priority", "job", id, "device", s.info.ID, "error", err)
	}
}

// mergeLabels returns nil when nothing changes.
func mergeLabels(have map[string]string, patch map[string]*string) (map[string]string, error) {
	if len(patch) == 0 {
		return nil, nil
	}
	merged := map[string]string{}
	for k, v := range have {
		merged[k] = v
	}
	for k, v := range patch {
		if v == nil {
			delete(merged, k)
		} else {
			merged[k] = *v
		}
	}
	if len(merged) > api.MaxLabels {
		return nil, &api.Error{Code: api.CodeInvalid,
			Message: fmt.Sprintf("a job can have %d labels at most, this would make %d", api.MaxLabels, len(merged))}
	}
	return merged, nil
}

// edit records one edit at once.
func (o *owner) edit(e store.Edit) (store.Record, error) {
	recs, events, errs, err := o.store.Edit(o.ctx, []store.Edit{e})
	if err != nil {
		o.storeFailed(nil, err)
		return store.Record{}, errStore(err)
	}
	if errs[0] != nil {
		return store.Record{}, errs[0]
	}
	o.note(recs[0])
	o.hub.publish(events)
	o.dirty = true
	return recs[0], nil
}

// remove deletes a job that has ended, and its files. The directory is
// renamed first, so that a crash leaves either the job with its files or a
// name that the next start cleans up.
func (o *owner) remove(ctx context.Context, id int64, may permit) error {
	dir := o.cfg.jobDir(id)
	_, err := o.ask(ctx, func(answer reply) {
		rec, _, err := o.find(id)
		if err == nil {
			err = may(rec.Owner)
		}
		if err == nil && !rec.State.Final() {
			err = &api.Error{Code: api.CodeWrongState,
				Message: fmt.Sprintf("cannot remove a job that is %s", rec.State),
				Hint:    "weft cancel it first"}
		}
		if err != nil {
			answer(rec, err)
			return
		}
		answer(rec, o.delete(id, dir))
	})
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir + removedSuffix); err != nil {
		return &api.Error{Code: api.CodeDisk, Message: fmt.Sprintf("the job is removed, but not its files: %v", err)}
	}
	return nil
}

const removedSuffix = ".removed"

func (o *owner) delete(id int64, dir string) error {
	renamed := os.Rename(dir, dir+removedSuffix)
	if renamed != nil && !errors.Is(renamed, fs.ErrNotExist) {
		return &api.Error{Code: api.CodeDisk, Message: fmt.Sprintf("the job's files cannot be removed: %v", renamed)}
	}
	err := o.store.Delete(o.ctx, id, time.Now())
	if err == nil {
		if o.waited[id] > 0 {
			delete(o.ended, id)
			o.dirty = true
		}
		return nil
	}
	if renamed == nil {
		if back := os.Rename(dir+removedSuffix, dir); back != nil {
			o.log.Error("a job's files were not put back", "job", id, "error", back)
		}
	}
	return err
}

// views returns the devices as clients see them.
func (o *owner) views(ctx context.Context) ([]api.Device, error) {
	var views []api.Device
	_, err := o.ask(ctx, func(answer reply) {
		for _, s := range o.seats {
			views = append(views, s.view())
		}
		answer(store.Record{}, nil)
	})
	if err != nil {
		return nil, err // the owner may still be about to write views
	}
	return views, nil
}
