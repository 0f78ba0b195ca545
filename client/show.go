package client

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"weft/client/table"
	"weft/daemon/api"
)

func (p *program) showVerb() verb {
	return verb{
		outputs: formatsPlain,
		cmd: &cli.Command{
			Name: "show", Category: groupLook, ArgsUsage: "ID",
			Usage: "everything about one job: why it waits, metrics by epoch, history",
			Description: `Shows one job: its state and why it waits, what it used, its metrics epoch by
epoch, its history, and what went wrong if it failed.`,
			Action: func(c *cli.Context) error {
				if err := exactly(c, 1); err != nil {
					return err
				}
				id, err := parseID(c.Args().First())
				if err != nil {
					return err
				}
				return p.show(c.Context, id)
			},
		},
		examples: []example{
			{"weft show 12", "for a person"},
			{"weft show 12 -o json", "with the specification, epochs and events"},
		},
		exits: []exit{{exitNotFound, "there is no such job"}, {exitUnreachable, "no daemon answers"}},
	}
}

func (p *program) show(ctx context.Context, id int64) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.Close()
	d, err := c.Job(ctx, id)
	if err != nil {
		return err
	}
	if p.global.output == outJSON {
		return p.writeJSON(d)
	}
	var b strings.Builder
	p.writeFacts(&b, d)
	if err := p.writeEpochs(&b, d.Epochs); err != nil {
		return err
	}
	if err := p.writeHistory(&b, d.Events); err != nil {
		return err
	}
	_, err = fmt.Fprint(p.stdout, b.String())
	return err
}

// writeFacts writes what is known of the job as a whole, one line each.
func (p *program) writeFacts(b *strings.Builder, d *api.JobDetail) {
	j, now := &d.Job, p.app.Now()
	fmt.Fprintf(b, "%s\n", p.heading(strings.TrimSpace(fmt.Sprintf("job %d  %s", j.ID, table.Clean(j.Name)))))
	fact := func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "  %-11s %s\n", name, table.Clean(value))
		}
	}
	state := string(j.State)
	if p.global.colour {
		state = paintState(state)
	}
	if j.Device != "" && j.State == api.Running {
		state += " on " + j.Device
	}
	fmt.Fprintf(b, "  %-11s %s\n", "state", state)
	fact("waits", j.Reason)
	if e := j.Error; e != nil {
		fact("error", e.Message+" ("+string(e.Code)+")")
		fact("try", e.Hint)
	}
	fact("progress", progressLine(j, now))
	fact("metrics", metricsLine(j.Metrics))
	if s := d.Summary; s != nil {
		fact("ran as", fmt.Sprintf("%s pool, %s", s.Pool, counted(s.Workers, "worker")))
		for _, line := range summaryLines(s) {
			name, value, found := strings.Cut(line, ": ")
			if !found {
				name, value = "note", line
			}
			fact(name, value)
		}
	}
	fact("submitted", timeText(j.SubmittedAt)+" by "+j.Owner)
	if j.StartedAt != nil {
		fact("started", timeText(*j.StartedAt))
	}
	if j.FinishedAt != nil {
		fact("ended", timeText(*j.FinishedAt)+" after "+elapsedText(j, now))
	}
	fact("used", usedLine(j.Usage))
	if j.State != api.Running {
		fact("device", j.Device)
	}
	if j.Priority != 0 {
		fact("priority", strconv.Itoa(j.Priority))
	}
	if j.Attempt > 1 || j.Retries > 0 {
		fact("attempt", fmt.Sprintf("%d, retries allowed: %d", j.Attempt, j.Retries))
	}
	if len(j.After) > 0 {
		after := make([]string, len(j.After))
		for i, id := range j.After {
			after[i] = strconv.FormatInt(id, 10)
		}
		fact("after", "job "+strings.Join(after, ", job "))
	}
	if j.At != nil {
		fact("not before", timeText(*j.At))
	}
	if j.Timeout > 0 {
		fact("time limit", durationText(seconds(j.Timeout)))
	}
	fact("labels", labelsText(j.Labels))
}

func progressLine(j *api.Job, now time.Time) string {
	pr := j.Progress
	if pr.Epochs == 0 && pr.Steps == 0 {
		if pr.Step > 0 {
			return itemsText(pr.Step) + ", of how many is not known yet"
		}
		return ""
	}
	line := fmt.Sprintf("step %d of %d", pr.Step, pr.Steps)
	if isCPU(j.Kind) {
		line = fmt.Sprintf("%s of %s", humanize.Comma(pr.Step), itemsText(pr.Steps))
	}
	if pr.Epochs > 0 {
		line = fmt.Sprintf("epoch %d of %d, %s", pr.Epoch, pr.Epochs, line)
	}
	if left, ok := timeLeft(j, now); ok {
		line += ", about " + durationText(left) + " to go"
	}
	return line
}

// timeLeft is what a CPU job has measured, or it extrapolates from the share of
// steps done since the job started.
func timeLeft(j *api.Job, now time.Time) (time.Duration, bool) {
	if left, ok := j.Metrics["left_seconds"]; ok && j.State == api.Running {
		return seconds(left), left > 0
	}
	f := fraction(j.Progress)
	if j.State != api.Running || j.StartedAt == nil || f <= 0 || f >= 1 {
		return 0, false
	}
	return time.Duration(float64(now.Sub(*j.StartedAt)) * (1 - f) / f), true
}

func metricsLine(m map[string]float64) string {
	if _, isCPU := m["items_per_second"]; isCPU {
		line := fmt.Sprintf("%s ok, %s failed", humanize.Comma(int64(m["ok"])), humanize.Comma(int64(m["failed"])))
		if m["bytes"] > 0 {
			line += ", " + sizeText(int64(m["bytes"]))
		}
		rate := maps.Clone(m)
		delete(rate, "failed")
		return line + ", " + metricText(rate)
	}
	names := sortedMetrics(m)
	for i, n := range names {
		names[i] = n + " " + valueText(n, m[n])
	}
	return strings.Join(names, ", ")
}

// sortedMetrics returns the names in m: the usual ones in their usual order,
// then the rest by name.
func sortedMetrics(m map[string]float64) []string {
	var names []string
	for n := range m {
		names = append(names, n)
	}
	rank := func(n string) int {
		if i := slices.Index(metricNames, n); i >= 0 {
			return i
		}
		return len(metricNames)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names
}

func usedLine(u api.Usage) string {
	if u.WallSeconds == 0 && u.DeviceSeconds == 0 {
		return ""
	}
	line := fmt.Sprintf("%s on the device in %s", durationText(seconds(u.DeviceSeconds)),
		durationText(seconds(u.WallSeconds)))
	if u.CPUSeconds > 0 {
		line += ", " + durationText(seconds(u.CPUSeconds)) + " of a processor"
	}
	if u.PeakMemoryBytes > 0 {
		line += ", " + sizeText(u.PeakMemoryBytes)
	}
	if u.EnergyJoules != nil {
		line += ", " + joulesText(*u.EnergyJoules)
	}
	return line
}

// shownEpochs is how many epochs show prints for people: a page of them.
const shownEpochs = 40

func (p *program) writeEpochs(b *strings.Builder, epochs []api.Epoch) error {
	if len(epochs) == 0 {
		return nil
	}
	all := map[string]float64{}
	for _, e := range epochs {
		for n := range e.Metrics {
			all[n] = 0
		}
	}
	names := sortedMetrics(all)
	t := &table.Table{Columns: []table.Column{{Head: "EPOCH", Right: true}, {Head: "STEP", Right: true}}}
	for _, n := range names {
		t.Columns = append(t.Columns, table.Column{Head: strings.ToUpper(n), Right: true})
	}
	heading := "epochs"
	if n := len(epochs); n > shownEpochs {
		epochs = epochs[n-shownEpochs:]
		heading = fmt.Sprintf("the last %d of %d epochs; -o json has all", shownEpochs, n)
	}
	for _, e := range epochs {
		row := []string{strconv.Itoa(e.Epoch), strconv.FormatInt(e.Step, 10)}
		for _, n := range names {
			cell := ""
			if v, ok := e.Metrics[n]; ok {
				cell = valueText(n, v)
			}
			row = append(row, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	fmt.Fprintf(b, "\n%s\n", p.heading(heading))
	return t.Write(b)
}

// writeHistory writes the job's events but for its epochs, which have a table.
func (p *program) writeHistory(b *strings.Builder, events []api.Event) error {
	t := &table.Table{Width: p.global.width, Columns: []table.Column{{Head: "TIME"}, {Head: "EVENT"},
		{Head: "MESSAGE", Flexible: true}}}
	for _, e := range events {
		if e.Epoch == nil {
			t.Rows = append(t.Rows, []string{timeText(e.Time), e.Type, e.Message})
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	fmt.Fprintf(b, "\n%s\n", p.heading("history"))
	return t.Write(b)
}
