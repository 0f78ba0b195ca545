package client

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/urfave/cli/v2"

	"weft/daemon/api"
)

func (p *program) priorityVerb() verb {
	return verb{
		outputs: formatsResult,
		cmd: &cli.Command{
			Name: "priority", Category: groupAct, ArgsUsage: "ID N",
			Usage: "change a job's priority",
			Description: `Jobs of higher priority start first, and take the place of running jobs of
lower priority when there is no room. The default is 0; negative numbers are
for work that can wait.`,
			Action: func(c *cli.Context) error {
				if err := exactly(c, 2); err != nil {
					return err
				}
				id, err := parseID(c.Args().Get(0))
				if err != nil {
					return err
				}
				n, err := strconv.Atoi(c.Args().Get(1))
				if err != nil {
					return usagef(fmt.Sprintf("weft priority %d 10", id),
						"%q is not a priority: a whole number", c.Args().Get(1))
				}
				return p.priority(c.Context, id, n)
			},
		},
		examples: []example{
			{"weft priority 12 10", "before the others"},
			{"weft priority 12 -5", "after the others"},
		},
		exits: []exit{
			{exitFailed, "the job has ended"},
			{exitNotFound, "there is no such job"},
			{exitUnreachable, "no daemon answers"},
		},
	}
}

func (p *program) priority(ctx context.Context, id int64, n int) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.Close()
	j, err := c.Patch(ctx, id, api.Patch{Priority: &n})
	if err != nil {
		return err
	}
	if p.global.output != outTable {
		return p.writeJobs([]api.Job{*j})
	}
	_, err = io.WriteString(p.stdout, jobLine(j, fmt.Sprintf("has priority %d", j.Priority)))
	return err
}
