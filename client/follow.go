package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"weft/client/table"
	"weft/daemon/api"
)

func (p *program) followVerb() verb {
	return verb{
		outputs: formatsRows,
		cmd: &cli.Command{
			Name: "follow", Category: groupLook, ArgsUsage: "ID… | --label KEY=VALUE | --all",
			Usage: "live progress of jobs until they end",
			Description: `Shows a bar for each job until all have ended, or plain lines where the output
is not a terminal. An interrupt ends the watching, not the jobs.`,
			Flags: selectionFlags("every job that has not ended"),
			Action: func(c *cli.Context) error {
				s, err := readSelection(c)
				if err != nil {
					return err
				}
				return p.followSelection(c.Context, s)
			},
		},
		examples: []example{
			{"weft follow 12 13", "two jobs"},
			{"weft follow --all | tee log", "plain lines, kept"},
		},
		exits: waitExits,
	}
}

func (p *program) followSelection(ctx context.Context, s selection) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.Close()
	ids, err := s.resolve(ctx, c, activeStates, nil)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		fmt.Fprintln(p.stderr, "no active jobs to follow")
		return nil
	}
	return p.follow(ctx, c, ids)
}

// follow shows jobs until all have ended: bars on a terminal, lines elsewhere,
// the machine's formats at the end only.
func (p *program) follow(ctx context.Context, c *api.Client, ids []int64) error {
	jobs, err := p.watchJobs(ctx, c, ids)
	if errors.Is(err, context.Canceled) {
		return &exitError{code: exitInterrupted, cause: err,
			message: "interrupted; " + goOn(len(ids)),
			hint:    "weft follow " + idsText(ids) + " to watch again, weft cancel to end"}
	}
	if err != nil {
		return err
	}
	if err := p.tellEnded(jobs); err != nil {
		return err
	}
	return outcome(jobs)
}

func goOn(n int) string {
	if n == 1 {
		return "the job goes on"
	}
	return "the jobs go on"
}

// watchJobs follows the jobs in the form that the output is for.
func (p *program) watchJobs(ctx context.Context, c *api.Client, ids []int64) ([]*api.Job, error) {
	switch {
	case p.global.chosen && p.global.output != outTable && p.global.output != outWide:
		return track(ctx, c, ids, silent{})
	case p.global.terminal && isTerminal(p.stdin):
		return p.trackBars(ctx, c, ids)
	default:
		return track(ctx, c, ids, &lines{w: p.stdout, now: p.app.Now})
	}
}

// idsText writes ids for a command line, runs as FIRST-LAST.
func idsText(ids []int64) string {
	var b strings.Builder
	for i := 0; i < len(ids); {
		n := i
		for n+1 < len(ids) && ids[n+1] == ids[n]+1 {
			n++
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		if n-i >= 2 {
			fmt.Fprintf(&b, "%d-%d", ids[i], ids[n])
			i = n + 1
			continue
		}
		fmt.Fprintf(&b, "%d", ids[i])
		i++
	}
	return b.String()
}

// lines follows jobs in plain lines: states as they change, epochs, ends.
type lines struct {
	w     io.Writer
	now   func() time.Time
	state map[int64]string    // what was last said of each job
	at    map[int64]time.Time // when the progress of a CPU job was last said
}

// progressEvery is how often a CPU job, which has no epochs, says how far it is.
const progressEvery = 5 * time.Second

var _ sink = (*lines)(nil)

func (l *lines) begin(jobs []*api.Job) {
	l.state = make(map[int64]string, len(jobs))
	l.at = map[int64]time.Time{}
	for _, j := range jobs {
		if !j.State.Final() {
			l.changed(j)
		}
	}
}

func (l *lines) epoch(j *api.Job, e *api.Epoch) {
	line := fmt.Sprintf("epoch %d", e.Epoch)
	if j.Progress.Epochs > 0 {
		line += fmt.Sprintf("/%d", j.Progress.Epochs)
	}
	l.say(j, fmt.Sprintf("%s step %d %s", line, e.Step, strings.ReplaceAll(metricsLine(e.Metrics), ",", "")))
}

func (l *lines) changed(j *api.Job) {
	what := string(j.State)
	switch {
	case j.Reason != "":
		what += ": " + j.Reason
	case j.Device != "" && j.State == api.Running:
		what += " on " + j.Device
	}
	if l.state[j.ID] == what {
		l.progress(j)
		return
	}
	l.state[j.ID], l.at[j.ID] = what, l.now()
	l.say(j, what)
}

// progress says how far a CPU job is, from time to time.
func (l *lines) progress(j *api.Job) {
	now := l.now()
	if !isCPU(j.Kind) || j.State != api.Running || now.Sub(l.at[j.ID]) < progressEvery {
		return
	}
	l.at[j.ID] = now
	what := progressText(j.Progress) + " " + metricText(j.Metrics)
	if left, ok := timeLeft(j, now); ok {
		what += ", " + durationText(left) + " left"
	}
	l.say(j, strings.TrimSpace(what))
}

func (l *lines) ended(j *api.Job) {
	what := string(j.State)
	if j.StartedAt != nil && j.FinishedAt != nil {
		what += " after " + elapsedText(j, *j.FinishedAt)
	}
	if j.Error != nil {
		what += ": " + j.Error.Message
	}
	if m := metricText(j.Metrics); m != "" {
		what += ", " + m
	}
	l.say(j, what)
}

func (l *lines) say(j *api.Job, what string) {
	_, _ = io.WriteString(l.w, jobLine(j, table.Clean(what))) // a broken pipe shows at the end
}
