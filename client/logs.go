package client

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"weft/client/table"
	"weft/daemon/api"
)

type logsOptions struct {
	ids    []int64
	follow bool
}

func (p *program) logsVerb() verb {
	return verb{
		cmd: &cli.Command{
			Name: "logs", Category: groupLook, ArgsUsage: "ID…",
			Usage: "progress lines of jobs",
			Description: `Writes a job's lines: one for each epoch with its metrics, and one for each
thing that happened to it. With several jobs each line begins with the job's id.`,
			Flags: []cli.Flag{
				&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on until the jobs have ended"},
			},
			Action: func(c *cli.Context) error {
				o := logsOptions{follow: c.Bool("follow")}
				var err error
				if o.ids, err = parseIDs(c.Args().Slice()); err != nil {
					return err
				}
				if len(o.ids) == 0 {
					return usagef("weft logs ID", "weft logs needs to know which jobs")
				}
				return p.logs(c.Context, o)
			},
		},
		examples: []example{
			{"weft logs 12", "all lines so far"},
			{"weft logs 12 13 -f", "two jobs, until both have ended"},
		},
		exits: []exit{
			{exitNotFound, "there is no such job"},
			{exitUnreachable, "no daemon answers"},
			{exitInterrupted, "interrupted; the jobs go on"},
		},
	}
}

// logsAtOnce bounds the streams that are open together.
const logsAtOnce = 64

func (p *program) logs(ctx context.Context, o logsOptions) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.Close()
	if len(o.ids) == 1 {
		return p.copyLog(ctx, c, o.ids[0], o.follow, func(line []byte) error {
			_, err := fmt.Fprintf(p.stdout, "%s\n", table.Clean(string(line)))
			return err
		})
	}
	var g *errgroup.Group
	g, ctx = errgroup.WithContext(ctx)
	g.SetLimit(1) // whole logs, in the order asked for
	if o.follow {
		if len(o.ids) > logsAtOnce {
			return usagef("weft follow shows more", "weft logs -f takes at most %d jobs", logsAtOnce)
		}
		g.SetLimit(logsAtOnce)
	}
	var mu sync.Mutex // guards stdout
	for _, id := range o.ids {
		g.Go(func() error {
			return p.copyLog(ctx, c, id, o.follow, func(line []byte) error {
				mu.Lock()
				defer mu.Unlock()
				_, err := fmt.Fprintf(p.stdout, "%d %s\n", id, table.Clean(string(line)))
				return err
			})
		})
	}
	return g.Wait()
}

// maxLogLine is the longest line that is passed on whole.
const maxLogLine = 1 << 20

func (p *program) copyLog(ctx context.Context, c *api.Client, id int64, follow bool, write func([]byte) error) error {
	body, err := c.Logs(ctx, id, follow)
	if err != nil {
		return err
	}
	defer body.Close()
	if !follow {
		return eachLine(body, write)
	}
	// A reader that blocks on the stream must end with the context.
	stop := context.AfterFunc(ctx, func() { body.Close() })
	defer stop()
	if err := eachLine(body, write); ctx.Err() != nil {
		return ctx.Err()
	} else if err != nil {
		return fmt.Errorf("follow log of job %d: %w", id, err)
	}
	return nil
}

func eachLine(r io.Reader, write func([]byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 16<<10), maxLogLine)
	for lines.Scan() {
		if err := write(lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}
