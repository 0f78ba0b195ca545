package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"weft/daemon/api"
)

type waitOptions struct {
	selection selection
	timeout   time.Duration
}

func (p *program) waitVerb() verb {
	return verb{
		outputs: formatsRows,
		cmd: &cli.Command{
			Name: "wait", Category: groupLook, ArgsUsage: "ID… | --label KEY=VALUE | --all",
			Usage: "block until jobs have ended",
			Description: `Waits until every job has ended, and succeeds only if every job did. It prints
nothing but the failures; -o table lists the jobs at the end.`,
			Flags: append(selectionFlags("every job that has not ended"),
				&cli.DurationFlag{Name: "timeout", Aliases: []string{"t"},
					Usage: "give up after `DURATION`, as 90s or 2h; the jobs go on"}),
			Action: func(c *cli.Context) error {
				s, err := readSelection(c)
				if err != nil {
					return err
				}
				if c.Duration("timeout") < 0 {
					return usagef("--timeout 90s", "--timeout %s is negative", c.Duration("timeout"))
				}
				return p.wait(c.Context, waitOptions{s, c.Duration("timeout")})
			},
		},
		examples: []example{
			{"weft wait 12 && weft model 12 -o m.safetensors", "the model, as soon as it is there"},
			{"weft wait --label sweep=digits-mlp --timeout 1h", "a sweep, for an hour at most"},
		},
		exits: waitExits,
	}
}

var waitExits = []exit{
	{exitFailed, "a job failed or was cancelled"},
	{exitNotFound, "there is no such job"},
	{exitUnreachable, "no daemon answers"},
	{exitTimeout, "time ran out, here or for every job that failed"},
	{exitInterrupted, "interrupted; the jobs go on"},
}

func (p *program) wait(ctx context.Context, o waitOptions) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.Close()
	ids, err := o.selection.resolve(ctx, c, activeStates, nil)
	if err != nil {
		return err
	}
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.timeout)
		defer cancel()
	}
	jobs, err := track(ctx, c, ids, silent{})
	if errors.Is(err, context.DeadlineExceeded) {
		return &exitError{code: exitTimeout, message: fmt.Sprintf("not all of the jobs ended within %s", o.timeout),
			hint: "weft ls shows what they wait for"}
	}
	if err != nil {
		return err
	}
	if err := p.tellEnded(jobs); err != nil {
		return err
	}
	return outcome(jobs)
}

// tellEnded lists ended jobs where an output format was asked for.
func (p *program) tellEnded(jobs []*api.Job) error {
	if !p.global.chosen {
		return nil
	}
	list := make([]api.Job, len(jobs))
	for i, j := range jobs {
		list[i] = *j
	}
	if p.global.output == outTable || p.global.output == outWide {
		return p.jobTable(list, p.global.output == outWide).Write(p.stdout)
	}
	return p.writeJobs(list)
}

// silent follows jobs without a word.
type silent struct{}

func (silent) begin([]*api.Job)           {}
func (silent) epoch(*api.Job, *api.Epoch) {}
func (silent) changed(*api.Job)           {}
func (silent) ended(*api.Job)             {}

var (
	_ sink    = silent{}
	_ chooser = silent{}
)

func (silent) types() []string { return stateTypes }
