package client

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"weft/daemon/api"
)

// sink is told what happens to followed jobs, from one goroutine. Jobs are
// valid until the call returns.
type sink interface {
	// begin is called once, with all jobs as they are.
	begin(jobs []*api.Job)
	// epoch: a job ended an epoch. Jobs that run already tell their past
	// epochs first.
	epoch(j *api.Job, e *api.Epoch)
	// changed: a job's state or progress is another.
	changed(j *api.Job)
	// ended: a job has reached a final state; it is not mentioned again.
	ended(j *api.Job)
}

// A chooser is a sink that is not told of epochs one by one: its jobs may end
// thousands a second.
type chooser interface {
	// types are those of the events that it has a use for.
	types() []string
}

// The events by which a job comes to another state, and those that show also how
// far it is.
var (
	stateTypes    = api.EventTypesBut(api.EventEpoch, api.EventCheckpoint, api.ProgressEvent)
	standingTypes = api.EventTypesBut(api.EventEpoch, api.EventCheckpoint)
)

// tracker follows jobs until all have ended.
type tracker struct {
	c    *api.Client
	sink sink
	jobs map[int64]*api.Job
	ids  []int64 // in the order asked for
	open int     // jobs that have not ended
}

// track follows the jobs until all have ended, or the context is, and returns
// them as they ended, in the order of ids.
func track(ctx context.Context, c *api.Client, ids []int64, s sink) ([]*api.Job, error) {
	t := &tracker{c: c, sink: s, ids: ids, jobs: make(map[int64]*api.Job, len(ids))}
	jobs, err := c.Jobs(ctx, api.Filter{IDs: ids})
	if err != nil {
		return nil, err
	}
	if err := missing(ids, jobs); err != nil {
		return nil, err
	}
	for i := range jobs {
		t.jobs[jobs[i].ID] = &jobs[i]
	}
	s.begin(t.list())
	var open []int64
	for _, id := range ids {
		if j := t.jobs[id]; j.State.Final() {
			s.ended(j)
		} else {
			open = append(open, id)
		}
	}
	t.open = len(open)
	if t.open == 0 {
		return t.list(), nil
	}
	return t.list(), t.stream(ctx, open)
}

func (t *tracker) list() []*api.Job {
	out := make([]*api.Job, len(t.ids))
	for i, id := range t.ids {
		out[i] = t.jobs[id]
	}
	return out
}

// stream reads events, from the beginning of history so that none is lost
// between the list and the stream, until no job is open.
func (t *tracker) stream(ctx context.Context, open []int64) error {
	f := api.EventFilter{Jobs: open}
	if c, ok := t.sink.(chooser); ok {
		f.Types = c.types()
	}
	for m, err := range t.c.Events(ctx, f, 0) {
		switch {
		case err != nil:
			return err
		case m.Reconnected:
			err = t.refresh(ctx, t.openIDs(), true)
		case m.Progress != nil:
			t.progress(m.Progress)
		case m.Event != nil:
			err = t.event(ctx, m.Event)
		}
		if err != nil {
			return err
		}
		if t.open == 0 {
			return nil
		}
	}
	return errors.New("follow jobs: the event stream ended")
}

func (t *tracker) openIDs() []int64 {
	var ids []int64
	for _, id := range t.ids {
		if !t.jobs[id].State.Final() {
			ids = append(ids, id)
		}
	}
	return ids
}

func (t *tracker) progress(now *api.Job) {
	j, ok := t.jobs[now.ID]
	if !ok || j.State.Final() || now.State.Final() {
		return // an end is believed only as a durable event
	}
	*j = *now
	t.sink.changed(j)
}

// event takes one line of history. It may be an old one, told again from the
// beginning, so a change of state is looked up, not believed; and a job that
// has ended meanwhile ends here only when its history has come to that, so
// that its epochs are told first.
func (t *tracker) event(ctx context.Context, e *api.Event) error {
	j, ok := t.jobs[e.Job]
	if !ok || j.State.Final() {
		return nil
	}
	if e.Epoch != nil {
		if e.Epoch.Epoch >= j.Progress.Epoch {
			j.Progress.Epoch, j.Progress.Step = e.Epoch.Epoch, e.Epoch.Step
			j.Metrics = maps.Clone(e.Epoch.Metrics)
		}
		t.sink.epoch(j, e.Epoch)
		return nil
	}
	if e.State == j.State && !e.State.Final() {
		return nil
	}
	return t.refresh(ctx, []int64{e.Job}, e.State.Final())
}

// refresh asks the daemon how jobs are now; those that have ended are left as
// they were unless ends are wanted.
func (t *tracker) refresh(ctx context.Context, ids []int64, ends bool) error {
	jobs, err := t.c.Jobs(ctx, api.Filter{IDs: ids})
	if err != nil {
		return err
	}
	if err := missing(ids, jobs); err != nil {
		return fmt.Errorf("follow jobs: %w", err)
	}
	for i := range jobs {
		j := t.jobs[jobs[i].ID]
		if jobs[i].State.Final() && !ends {
			continue
		}
		*j = jobs[i]
		if j.State.Final() {
			t.open--
			t.sink.ended(j)
		} else {
			t.sink.changed(j)
		}
	}
	return nil
}

// outcome turns ended jobs into the verb's result: nil if all succeeded.
func outcome(jobs []*api.Job) error {
	var failed faults
	timeouts := 0
	for _, j := range jobs {
		switch {
		case j.State == api.Succeeded:
			continue
		case j.Error != nil:
			if j.Error.Code == api.CodeTimeout {
				timeouts++
			}
			failed = append(failed, &exitError{code: exitFailed, hint: j.Error.Hint,
				message: fmt.Sprintf("job %d%s %s: %s", j.ID, named(j), j.State, j.Error.Message)})
		default:
			failed = append(failed, &exitError{code: exitFailed,
				message: fmt.Sprintf("job %d%s was %s", j.ID, named(j), j.State)})
		}
	}
	switch {
	case len(failed) == 0:
		return nil
	case timeouts == len(failed):
		return &exitError{code: exitTimeout, message: failed.Error(), hint: hint(failed[0])}
	case len(failed) > maxTold:
		untold := len(failed) - maxTold
		more := &exitError{code: exitFailed,
			message: fmt.Sprintf("and %d more of %d jobs did not succeed", untold, len(jobs)),
			hint:    "weft ls -a --state failed,cancelled"}
		return append(failed[:maxTold:maxTold], more)
	}
	return failed
}

// maxTold is how many failures are told one by one.
const maxTold = 20

func named(j *api.Job) string {
	if j.Name == "" {
		return ""
	}
	return " (" + j.Name + ")"
}
