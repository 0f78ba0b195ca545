package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"weft/client/specfile"
	"weft/client/table"
	"weft/daemon/api"
)

type trainOptions struct {
	files   []string // specifications; - is the standard input
	edits   []edit   // what flags change in each, in this order
	sweep   sweepOptions
	submit  submitOptions
	dryRun  bool
	fromSet bool // a data set was named by flags: no file is needed
}

func (p *program) trainVerb() verb {
	return verb{
		outputs: formatsRows,
		cmd: &cli.Command{
			Name: "train", Category: groupSubmit, ArgsUsage: "[SPEC.yaml…]",
			Usage: "submit training jobs, from files or flags, one or a sweep",
			Description: `Submits training jobs: one for each document of each file (- is the standard
input), or one made of flags. Flags change what the files say. A sweep makes a
job of every combination of values. All jobs are accepted, or none.

A specification:

  name: digits-mlp
  data: {source: digits}        # or csv: train.csv, with target: COLUMN
  model:
    - linear: 64
    - relu
    - linear: 10
  optimizer: {name: adamw, lr: 1e-3}
  epochs: 20`,
			Flags: append(append(specFlags(), sweepFlags()...), submitFlags()...),
			Action: func(c *cli.Context) error {
				o, err := readTrain(c)
				if err != nil {
					return err
				}
				if o.submit, err = readSubmit(c, p.app.Now()); err != nil {
					return err
				}
				return p.train(c.Context, o)
			},
		},
		examples: []example{
			{"weft train spec.yaml -f", "one job, watched until it ends"},
			{"weft train --data digits --mlp 64,64 --lr 1e-3 --epochs 20", "no file; the outputs come from the data"},
			{"weft train spec.yaml --sweep lr=1e-4,1e-3 --sweep 'mlp=64;128;64,64' --seeds 5", "30 jobs"},
			{"weft train spec.yaml --sweep lr=log:1e-4:1e-1:8", "8 rates, evenly spaced by factor"},
			{"weft train spec.yaml --sweep lr=randlog:1e-4:1e-1 --samples 20", "20 draws"},
			{"weft train --data train.csv --target price --loss mse --mlp 32", "a CSV file"},
			{"weft train spec.yaml --set data.split.validation=0.1 --dry-run", "what it would take"},
		},
		exits: []exit{
			{exitFailed, "with -f or --wait: a job failed or was cancelled"},
			{exitNotFound, "a file or a job named by --after is not there"},
			{exitUnreachable, "no daemon answers; weft serve starts one"},
			{exitTimeout, "with -f or --wait: every job that failed ran out of its --timeout"},
			{exitInterrupted, "interrupted; submitted jobs go on"},
		},
	}
}

// submitOptions are those of every verb that submits.
type submitOptions struct {
	name     string
	labels   map[string]string
	priority int
	after    []int64
	at       *time.Time
	hold     bool
	retries  int
	timeout  time.Duration
	follow   bool
	wait     bool
}

func submitFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "name", Usage: "`NAME` of the job; default the specification's"},
		&cli.StringSliceFlag{Name: "label", Aliases: []string{"l"},
			Usage: "label `KEY=VALUE` of the jobs; may be repeated"},
		&cli.IntFlag{Name: "priority", Aliases: []string{"p"},
			Usage: "higher `N` starts first, and takes the place of lower ones"},
		&cli.StringSliceFlag{Name: "after", Usage: "start when job `ID` has succeeded; may be repeated"},
		&cli.StringFlag{Name: "at", Usage: "not before `TIME`: 15:04, 2006-01-02 15:04, RFC 3339, or 2h from now"},
		&cli.BoolFlag{Name: "hold", Usage: "wait for weft release"},
		&cli.IntFlag{Name: "retries", Usage: "start again after a failure, up to `N` times"},
		&cli.DurationFlag{Name: "timeout", Aliases: []string{"t"}, Usage: "fail a job that ran for `DURATION`, as 30m"},
		&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "show live progress until the jobs end"},
		&cli.BoolFlag{Name: "wait", Usage: "wait in silence until the jobs end"},
	}
}

func readSubmit(c *cli.Context, now time.Time) (submitOptions, error) {
	o := submitOptions{name: c.String("name"), priority: c.Int("priority"), hold: c.Bool("hold"),
		retries: c.Int("retries"), timeout: c.Duration("timeout"), follow: c.Bool("follow"), wait: c.Bool("wait")}
	var err error
	if o.labels, err = parseLabels(c.StringSlice("label")); err != nil {
		return o, err
	}
	if o.after, err = parseIDs(c.StringSlice("after")); err != nil {
		return o, err
	}
	if s := c.String("at"); s != "" {
		t, err := parseAt(s, now)
		if err != nil {
			return o, err
		}
		o.at = &t
	}
	switch {
	case o.retries < 0:
		return o, usagef("--retries 2", "--retries %d is negative", o.retries)
	case o.timeout < 0:
		return o, usagef("--timeout 30m", "--timeout %s is negative", o.timeout)
	}
	return o, nil
}

// parseAt reads a moment: a time of day is the next one, a duration counts
// from now.
func parseAt(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(strings.TrimPrefix(s, "+")); err == nil && d >= 0 {
		return now.Add(d), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04",
		"2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			y, m, d := now.Date()
			at := time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), 0, now.Location())
			if !at.After(now) {
				at = at.AddDate(0, 0, 1)
			}
			return at, nil
		}
	}
	return time.Time{}, usagef(`--at 18:30, --at "2026-01-02 18:30", --at 2h`, "--at %q is not a time", s)
}

// draft is a job about to be submitted, with the document it comes from.
type draft struct {
	api.Submission
	doc *specfile.Node
}

func (p *program) train(ctx context.Context, o trainOptions) error {
	drafts, err := p.drafts(o)
	if err != nil {
		return err
	}
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.Close()
	jobs := make([]api.Submission, len(drafts))
	for i := range drafts {
		jobs[i] = drafts[i].Submission
	}
	if o.dryRun {
		plans, err := c.DryRun(ctx, jobs)
		if err != nil {
			return locate(err, drafts)
		}
		return p.tellPlans(plans)
	}
	key := make([]byte, 16)
	if _, err := rand.Read(key); err != nil {
		return fmt.Errorf("draw idempotency key: %w", err)
	}
	accepted, err := c.Submit(ctx, jobs, hex.EncodeToString(key))
	if err != nil {
		return locate(err, drafts)
	}
	return p.submitted(ctx, c, accepted, o.submit)
}

// submitted tells the jobs' ids, and stays with them if asked to. The JSON
// formats are written once: at the end where there is one to wait for.
func (p *program) submitted(ctx context.Context, c *api.Client, jobs []api.Job, o submitOptions) error {
	stay := o.follow || o.wait
	asJSON := p.global.output == outJSON || p.global.output == outJSONL
	switch {
	case asJSON && !stay, p.global.output == outID:
		if err := p.writeJobs(jobs); err != nil {
			return err
		}
	case !asJSON:
		if err := p.tellSubmitted(jobs); err != nil {
			return err
		}
	}
	if !stay {
		return nil
	}
	ids := make([]int64, len(jobs))
	for i := range jobs {
		ids[i] = jobs[i].ID
	}
	if p.global.output == outID {
		p.global.output, p.global.chosen = outTable, false // the ids are told
		o.follow = false
	}
	if o.follow {
		return p.follow(ctx, c, ids)
	}
	ended, err := track(ctx, c, ids, silent{})
	if err != nil {
		return err
	}
	if err := p.tellEnded(ended); err != nil {
		return err
	}
	return outcome(ended)
}

// fewJobs is how many submitted jobs are told one by one.
const fewJobs = 20

func (p *program) tellSubmitted(jobs []api.Job) error {
	var b strings.Builder
	if len(jobs) > fewJobs {
		ids := make([]int64, len(jobs))
		for i := range jobs {
			ids[i] = jobs[i].ID
		}
		fmt.Fprintf(&b, "submitted %d jobs: %s\n", len(jobs), idsText(ids))
	} else {
		for i := range jobs {
			b.WriteString(jobLine(&jobs[i], "submitted"))
		}
	}
	_, err := fmt.Fprint(p.stdout, b.String())
	return err
}

// tellPlans writes what a dry run found.
func (p *program) tellPlans(plans []api.DryRun) error {
	switch p.global.output {
	case outJSON:
		return p.writeJSON(plans)
	case outJSONL:
		for i := range plans {
			if err := p.writeJSON(&plans[i]); err != nil {
				return err
			}
		}
		return nil
	case outID:
		return usagef("leave out -o id", "--dry-run submits nothing, so there are no ids")
	}
	if len(plans) > 0 && plans[0].Pool != "" {
		return p.tellCPUPlans(plans)
	}
	t := &table.Table{Width: p.global.width, Columns: []table.Column{{Head: "NAME", Flexible: true},
		{Head: "PARAMETERS", Right: true}, {Head: "MEMORY", Right: true}, {Head: "DATA", Right: true},
		{Head: "ROWS", Right: true}, {Head: "STEPS", Right: true}, {Head: "DEVICE"}, {Head: "ALONE", Right: true}}}
	for _, d := range plans {
		t.Rows = append(t.Rows, []string{d.Name, strconv.FormatInt(d.Parameters, 10), sizeText(d.MemoryBytes),
			sizeText(d.DataBytes), strconv.Itoa(d.Rows), strconv.FormatInt(d.Steps, 10), d.Device,
			"~" + durationText(seconds(d.EstimatedSeconds))})
	}
	return t.Write(p.stdout)
}
