package client

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"weft/daemon/api"
)

// watch is ls -w: on a terminal the table, redrawn; with -o jsonl a line for
// each job that changes.
func (p *program) watch(ctx context.Context, c *api.Client, o lsOptions, order func(a, b api.Job) int) error {
	switch {
	case p.global.output == outJSONL:
		return p.watchJSON(ctx, c, o)
	case p.global.output == outTable || p.global.output == outWide:
		if p.global.terminal && isTerminal(p.stdin) {
			return p.watchTable(ctx, c, o, order)
		}
		return usagef("weft ls -w -o jsonl, or weft follow --all",
			"weft ls -w redraws a terminal, and the output is none")
	}
	return usagef("-o jsonl", "weft ls -w cannot write %s", p.global.output)
}

// watchJSON writes every job once, then each as often as it changes.
func (p *program) watchJSON(ctx context.Context, c *api.Client, o lsOptions) error {
	list := func(ids []int64) error {
		f := o.filter()
		if ids != nil {
			f.IDs, f.States = ids, o.states
		}
		jobs, err := c.Jobs(ctx, f)
		if err != nil {
			return err
		}
		return p.writeJobs(jobs)
	}
	if err := list(nil); err != nil {
		return err
	}
	changes := api.EventTypesBut(api.EventCheckpoint, api.ProgressEvent)
	for m, err := range c.Events(ctx, api.EventFilter{Jobs: o.ids, Types: changes}, -1) {
		switch {
		case err != nil:
			return err
		case m.Reconnected:
			err = list(nil)
		case m.Event != nil:
			err = list([]int64{m.Event.Job})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// watchQuiet is how long the table is not asked for again, whatever happens.
const watchQuiet = 200 * time.Millisecond

// watchTable shows the table until interrupted, which is how it ends well.
func (p *program) watchTable(ctx context.Context, c *api.Client, o lsOptions, order func(a, b api.Job) int) error {
	wide := p.global.output == outWide
	return p.liveTable(ctx, "jobs", func(ctx context.Context, show func(drawing)) error {
		return feedTable(ctx, c, o, order, func(jobs []api.Job) {
			show(func(w io.Writer) error { return p.writeWatched(w, jobs, wide) })
		})
	})
}

// writeWatched writes as many jobs as the terminal has lines for, and counts
// all of them.
func (p *program) writeWatched(w io.Writer, jobs []api.Job, wide bool) error {
	if len(jobs) == 0 {
		_, err := io.WriteString(w, "no active jobs\n")
		return err
	}
	shown := jobs[:min(len(jobs), max(p.global.height-3, 1))]
	if err := p.jobTable(shown, wide).Write(w); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, countLine(jobs))
	return err
}

// feedTable shows the list, and again whenever something happened, at most
// five times a second.
func feedTable(ctx context.Context, c *api.Client, o lsOptions, order func(a, b api.Job) int,
	show func([]api.Job)) error {
	list := func() error {
		jobs, err := c.Jobs(ctx, o.filter())
		if err != nil {
			return err
		}
		slices.SortStableFunc(jobs, order)
		show(jobs)
		return nil
	}
	if err := list(); err != nil {
		return err
	}
	happened, failed := make(chan struct{}, 1), make(chan error, 1)
	go func() { // ends with ctx; failed has room for its last word
		for _, err := range c.Events(ctx, api.EventFilter{Jobs: o.ids, Types: standingTypes}, -1) {
			if err != nil {
				failed <- err
				return
			}
			select {
			case happened <- struct{}{}:
			default: // one is already owed
			}
		}
		failed <- nil
	}()
	for {
		select {
		case err := <-failed:
			return err
		case <-happened:
		}
		if err := list(); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return <-failed
		case <-time.After(watchQuiet):
		}
	}
}
