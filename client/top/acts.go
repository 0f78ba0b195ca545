package top

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"weft/daemon/api"
)

// act is something that a key does to jobs.
type act struct {
	verb, doing, done string
	do                func(context.Context, *api.Client, *api.Job) (*api.Job, error)
}

func endpoint(verb, doing, done string, a api.Action) act {
	return act{verb, doing, done, func(ctx context.Context, c *api.Client, j *api.Job) (*api.Job, error) {
		return c.Do(ctx, j.ID, a)
	}}
}

var (
	cancelling = endpoint("cancel", "cancelling", "cancelled", api.ActionCancel)
	pausing    = endpoint("pause", "pausing", "paused", api.ActionPause)
	resuming   = endpoint("resume", "resuming", "resumed", api.ActionResume)
	holding    = endpoint("hold", "holding", "held", api.ActionHold)
	releasing  = endpoint("release", "releasing", "released", api.ActionRelease)
	retrying   = endpoint("retry", "retrying", "queued again", api.ActionRetry)
)

// actedMsg is what became of an act.
type actedMsg struct {
	act    act
	jobs   []api.Job // as they are afterwards
	failed int
	err    error // of the first that failed
	which  int64 // its job
}

const (
	actsAtOnce = 8
	actWithin  = 30 * time.Second // for one job
)

// copied are jobs as they are now, for a command that runs beside the screen.
func copied(jobs []*api.Job) []api.Job {
	out := make([]api.Job, len(jobs))
	for i, j := range jobs {
		out[i] = *j
	}
	return out
}

// perform does it to the jobs, in a command of its own.
func (s *Screen) perform(a act, copies []api.Job) tea.Cmd {
	if len(copies) == 0 {
		return nil
	}
	s.say(dim, a.doing+" "+whichText(copies))
	ctx, c := s.ctx, s.client
	return func() tea.Msg { return performed(ctx, c, a, copies) }
}

// performed does an act to jobs, some at once, and waits for all.
func performed(ctx context.Context, c *api.Client, a act, jobs []api.Job) actedMsg {
	results, errs := make([]*api.Job, len(jobs)), make([]error, len(jobs))
	var g sync.WaitGroup
	next := make(chan int)
	for range min(actsAtOnce, len(jobs)) {
		g.Go(func() {
			for i := range next {
				within, cancel := context.WithTimeout(ctx, actWithin)
				results[i], errs[i] = a.do(within, c, &jobs[i])
				cancel()
			}
		})
	}
	for i := range jobs {
		next <- i
	}
	close(next)
	g.Wait()
	m := actedMsg{act: a}
	for i, err := range errs {
		if err == nil {
			m.jobs = append(m.jobs, *results[i])
			continue
		}
		if m.failed++; m.err == nil {
			m.err, m.which = err, jobs[i].ID
		}
	}
	return m
}

// acted says what became of an act, and shows it before the stream does.
func (s *Screen) acted(m actedMsg) {
	for i := range m.jobs {
		s.jobs.put(&m.jobs[i], s.now)
		if s.followed != nil && s.followed.job.ID == m.jobs[i].ID {
			s.followed.job = m.jobs[i]
		}
	}
	s.unsure = true
	if m.err == nil {
		s.say(good, m.act.done+" "+whichText(m.jobs))
		if m.act.verb == "cancel" || m.act.verb == "retry" {
			clear(s.marks)
		}
		return
	}
	text := reasonOf(m.err)
	if name := fmt.Sprintf("job %d", m.which); !strings.Contains(text, name) {
		text = name + ": " + text
	}
	if total := len(m.jobs) + m.failed; total > 1 {
		text = fmt.Sprintf("could not %s %d of %d jobs; %s", m.act.verb, m.failed, total, text)
	}
	s.say(bad, text)
}

// ask has an act done only when it is meant.
func (s *Screen) ask(a act) tea.Cmd {
	to := s.meant()
	if len(to) == 0 {
		return nil
	}
	copies := copied(to)
	s.question = &question{text: a.verb + " " + whichText(copies) + "?", from: s.mode,
		yes: func() tea.Cmd { return s.perform(a, copies) }}
	s.mode = asking
	return nil
}

// question is one that the reader answers before something is done.
type question struct {
	text string
	from mode // to which it returns
	yes  func() tea.Cmd
}

func (s *Screen) answerKey(name string) tea.Cmd {
	q := s.question
	s.mode, s.question = q.from, nil
	if name == "y" || name == "Y" {
		return q.yes()
	}
	s.say(dim, "nothing was done")
	return nil
}

// prioritize adds to the priority of the jobs that are meant.
func (s *Screen) prioritize(by int) tea.Cmd {
	a := act{verb: "change the priority of", doing: "changing the priority of", done: "changed the priority of",
		do: func(ctx context.Context, c *api.Client, j *api.Job) (*api.Job, error) {
			to := j.Priority + by
			return c.Patch(ctx, j.ID, api.Patch{Priority: &to})
		}}
	to := s.meant()
	copies := copied(to)
	for _, j := range to {
		j.Priority += by // so that the next key adds to it, before the daemon has answered
	}
	return s.perform(a, copies)
}

// whichText names one job, or counts them.
func whichText(jobs []api.Job) string {
	if len(jobs) != 1 {
		return counted(len(jobs), "job")
	}
	text := fmt.Sprintf("job %d", jobs[0].ID)
	if jobs[0].Name != "" {
		text += " (" + jobs[0].Name + ")"
	}
	return text
}
