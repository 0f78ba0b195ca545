package client

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"weft/client/table"
	"weft/daemon/api"
)

// act is what the verbs share that do one thing to many jobs.
type act struct {
	verb   string
	states []api.State         // which jobs --label and --all choose among
	keep   func(*api.Job) bool // and which of those; nil: all
	do     func(context.Context, *api.Client, int64) (*api.Job, error)
	done   func(*api.Job) string // what to say of a job afterwards
}

// actsAtOnce is how many requests are under way together.
const actsAtOnce = 8

var (
	activeStates = []api.State{api.Queued, api.Running, api.Paused}
	finalStates  = []api.State{api.Succeeded, api.Failed, api.Cancelled}
)

// actVerb builds the command of an act.
func (p *program) actVerb(a act, usage, description, all string, examples []example) verb {
	return verb{
		outputs: formatsResult,
		cmd: &cli.Command{
			Name: a.verb, Category: groupAct, ArgsUsage: "ID… | --label KEY=VALUE | --all",
			Usage: usage, Description: description,
			Flags: selectionFlags(all),
			Action: func(c *cli.Context) error {
				s, err := readSelection(c)
				if err != nil {
					return err
				}
				return p.act(c.Context, a, s)
			},
		},
		examples: examples,
		exits: []exit{
			{exitFailed, "a job is in no state for it; the others were dealt with"},
			{exitNotFound, "there is no such job"},
			{exitUnreachable, "no daemon answers"},
		},
	}
}

// action is the do of an act that is one endpoint.
func action(a api.Action) func(context.Context, *api.Client, int64) (*api.Job, error) {
	return func(ctx context.Context, c *api.Client, id int64) (*api.Job, error) { return c.Do(ctx, id, a) }
}

// act does it to every selected job, tells the outcome of each in the order
// selected, and fails if one failed.
func (p *program) act(ctx context.Context, a act, s selection) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.Close()
	ids, err := s.resolve(ctx, c, a.states, a.keep)
	if err != nil {
		return err
	}
	jobs, errs := make([]*api.Job, len(ids)), make([]error, len(ids))
	var g errgroup.Group
	g.SetLimit(actsAtOnce)
	for i, id := range ids {
		g.Go(func() error {
			jobs[i], errs[i] = a.do(ctx, c, id)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := p.tellActs(a, ids, jobs, errs); err != nil {
		return err
	}
	return actError(a.verb, ids, errs)
}

// tellActs writes what became of the jobs that it worked for.
func (p *program) tellActs(a act, ids []int64, jobs []*api.Job, errs []error) error {
	var done []api.Job
	for i, j := range jobs {
		if errs[i] == nil && j != nil {
			done = append(done, *j)
		}
	}
	if p.global.output != outTable {
		return p.writeJobs(done)
	}
	if len(ids) == 0 {
		fmt.Fprintf(p.stderr, "no jobs to %s\n", a.verb)
		return nil
	}
	var b strings.Builder
	for i := range done {
		b.WriteString(jobLine(&done[i], a.done(&done[i])))
	}
	_, err := fmt.Fprint(p.stdout, b.String())
	return err
}

// jobLine is one line about a job: its id, its name, and what became of it.
func jobLine(j *api.Job, what string) string {
	if j.Name == "" {
		return fmt.Sprintf("%d %s\n", j.ID, what)
	}
	return fmt.Sprintf("%d %s %s\n", j.ID, table.Clean(j.Name), what)
}

// actError collects the failures: one job's failure is the verb's own, several
// jobs' are told one by one and fail with 1, and a daemon that went away is
// told once.
func actError(verb string, ids []int64, errs []error) error {
	var failed faults
	for i, err := range errs {
		if err == nil {
			continue
		}
		e := api.AsError(err)
		if e != nil && e.Code == api.CodeUnreachable {
			return err
		}
		if e == nil {
			e = &api.Error{Code: api.CodeInternal, Message: err.Error()}
		}
		if name := fmt.Sprintf("job %d", ids[i]); !strings.Contains(e.Message, name) {
			e = &api.Error{Code: e.Code, Message: name + ": " + e.Message, Hint: e.Hint}
		}
		if len(ids) == 1 {
			return e
		}
		failed = append(failed, &exitError{code: exitFailed, message: e.Message, hint: e.Hint})
	}
	if len(failed) == 0 {
		return nil
	}
	summary := fmt.Sprintf("could not %s %d of %d jobs", verb, len(failed), len(ids))
	return append(slices.Clip(failed), &exitError{code: exitFailed, message: summary})
}

// became says that a job is in the state asked for, or will be once its device
// lets go of it.
func became(want api.State, now, soon string) func(*api.Job) string {
	return func(j *api.Job) string {
		if j.State == want {
			return now
		}
		return soon
	}
}
