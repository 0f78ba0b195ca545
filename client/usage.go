package client

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"weft/client/nearest"
	"weft/client/table"
	"weft/daemon/api"
)

type usageOptions struct {
	since, until, by string
	owner            string
	labels           map[string]string
}

func (p *program) usageVerb() verb {
	return verb{
		outputs: []string{outTable, outWide, outJSON, outJSONL},
		cmd: &cli.Command{
			Name: "usage", Category: groupLook,
			Usage: "what jobs used, by owner, job, device, kind or label, over a period",
			Description: `Adds up what jobs used since midnight, or over another period: time on devices,
in state running and of processors, energy, and the most memory of any of them.
It comes from a ledger, which counts by the hour: a period is widened to whole
hours. Removed jobs are in it, for 400 days. A - is energy that no device told.

TIME is a date (2026-01-31), a date and time (2026-01-31T18:00), both in local
time unless a zone follows, or how long ago: 90m, 24h, 7d, 2w.`,
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "since", Usage: "`TIME`: when the period begins; default the last midnight"},
				&cli.StringFlag{Name: "until", Usage: "`TIME`: when it ends; default now"},
				&cli.StringFlag{Name: "by", Value: api.UsageByOwner,
					Usage: "`WHAT`: what a row is: owner, job, device, kind, or label=KEY"},
				&cli.StringFlag{Name: "owner", Usage: "only jobs of `NAME`"},
				&cli.StringSliceFlag{Name: "label", Aliases: []string{"l"},
					Usage: "only jobs with the label `KEY=VALUE`; several must all match"},
			},
			Action: func(c *cli.Context) error {
				if err := exactly(c, 0); err != nil {
					return err
				}
				labels, err := parseLabels(c.StringSlice("label"))
				if err != nil {
					return err
				}
				return p.usage(c.Context, usageOptions{since: c.String("since"), until: c.String("until"),
					by: c.String("by"), owner: c.String("owner"), labels: labels})
			},
		},
		examples: []example{
			{"weft usage", "today, by owner"},
			{"weft usage --since 7d --by job", "a week's jobs, the longest on a device first"},
			{"weft usage --since 2026-01-01 --until 2026-02-01", "January"},
			{"weft usage --by label=sweep --owner ann", "one owner's sweeps"},
			{"weft usage --by device --since 24h", "how busy devices were, and their energy"},
			{"weft usage --since 30d --by job -o jsonl", "one JSON object a job, for jq"},
		},
		exits: []exit{{exitUnreachable, "no daemon answers"}},
	}
}

func (p *program) usage(ctx context.Context, o usageOptions) error {
	f, err := o.filter(p.app.Now().In(time.Local))
	if err != nil {
		return err
	}
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.Close()
	r, err := c.Usage(ctx, f)
	if err != nil {
		return err
	}
	switch p.global.output {
	case outJSON:
		return p.writeJSON(r)
	case outJSONL:
		for i := range r.Rows {
			if err := p.writeJSON(&r.Rows[i]); err != nil {
				return err
			}
		}
		return nil
	}
	return p.writeUsage(r)
}

// filter is what the daemon is asked for.
func (o usageOptions) filter(now time.Time) (f api.UsageFilter, err error) {
	f.Owner, f.Labels = o.owner, o.labels
	if f.By, err = parseBy(o.by); err != nil {
		return f, err
	}
	f.Since, f.Until = midnight(now), now
	if o.since != "" {
		if f.Since, err = parsePast("since", o.since, now); err != nil {
			return f, err
		}
	}
	if o.until != "" {
		if f.Until, err = parsePast("until", o.until, now); err != nil {
			return f, err
		}
		if o.since == "" && !f.Since.Before(f.Until) {
			f.Since = midnight(f.Until.Add(-1)) // the day that it ends
		}
	}
	if !f.Since.Before(f.Until) {
		return f, usagef("--since 7d --until 24h", "the period ends at %s and begins at %s, which is not before it",
			timeText(f.Until), timeText(f.Since))
	}
	return f, nil
}

// usageBys are what rows can be; label=KEY besides.
var usageBys = []string{api.UsageByOwner, api.UsageByJob, api.UsageByDevice, api.UsageByKind}

func parseBy(s string) (string, error) {
	for _, prefix := range []string{"label=", api.UsageByLabel} { // the second is the API's
		if key, ok := strings.CutPrefix(s, prefix); ok && key != "" {
			return api.UsageByLabel + key, nil
		}
	}
	for _, by := range usageBys {
		if s == by {
			return by, nil
		}
	}
	h := "--by owner"
	name, key, _ := strings.Cut(strings.Replace(s, ":", "=", 1), "=")
	switch n := nearest.Name(name, append([]string{"label"}, usageBys...)); n {
	case "":
	case "label":
		h = "--by label=" + firstOf(key, "sweep")
	default:
		h = "--by " + n
	}
	return "", usagef(h, "--by %q is none of %s, label=KEY", s, strings.Join(usageBys, ", "))
}

// midnight is when the day of t began.
func midnight(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, t.Location())
}

// longestAgo bounds durations before now: the ledger is younger.
const longestAgo = 100 * 365 * 24 * time.Hour

// parsePast reads a moment that is over: a date, a date and time, or how long
// ago, in days and weeks as well.
func parsePast(flag, s string, now time.Time) (time.Time, error) {
	if ago, ok := parseAgo(s); ok {
		return now.Add(-ago), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02T15:04:05",
		"2006-01-02 15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef(fmt.Sprintf("--%[1]s 24h, --%[1]s 7d, --%[1]s 2026-01-31", flag),
		"--%s %q is neither a date nor how long ago", flag, s)
}

// parseAgo reads a duration; days and weeks are whole numbers.
func parseAgo(s string) (time.Duration, bool) {
	ago, err := time.ParseDuration(s)
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if n, ok := strings.CutSuffix(s, unit); ok {
			var count uint64
			if count, err = strconv.ParseUint(n, 10, 16); err == nil {
				ago = time.Duration(count) * length
			}
		}
	}
	return ago, err == nil && ago >= 0 && ago <= longestAgo
}

// writeUsage writes the report for people: rows with a total, and in the wide
// form, or where rows are devices, what devices measured.
func (p *program) writeUsage(r *api.UsageReport) error {
	if len(r.Rows) == 0 {
		_, err := fmt.Fprintf(p.stderr, "nothing was used from %s to %s\n", timeText(r.Since), timeText(r.Until))
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", p.heading("from "+timeText(r.Since)+" to "+timeText(r.Until)))
	wide := p.global.output == outWide
	if err := p.usageTable(r, wide).Write(&b); err != nil {
		return err
	}
	if wide || r.By == api.UsageByDevice {
		fmt.Fprintf(&b, "\n%s\n", p.heading("as the devices measured it, and what jobs were charged of it"))
		if err := p.deviceUsageTable(r.Devices).Write(&b); err != nil {
			return err
		}
	}
	_, err := io.WriteString(p.stdout, b.String())
	return err
}

func (p *program) usageTable(r *api.UsageReport, wide bool) *table.Table {
	head, byLabel := strings.CutPrefix(r.By, api.UsageByLabel)
	byJob := r.By == api.UsageByJob
	t := &table.Table{Width: p.global.width, Colour: p.global.colour,
		Columns: []table.Column{{Head: strings.ToUpper(table.Clean(head)), Right: byJob, Flexible: byLabel}}}
	if byJob {
		t.Columns = append(t.Columns, table.Column{Head: "NAME", Flexible: true}, table.Column{Head: "OWNER"})
	} else {
		t.Columns = append(t.Columns, table.Column{Head: "JOBS", Right: true})
	}
	for _, head := range []string{"DEVICE-TIME", "RUN-TIME", "CPU-TIME", "ENERGY", "PEAK-MEMORY"} {
		t.Columns = append(t.Columns, table.Column{Head: head, Right: true})
	}
	if wide {
		t.Width = 0
	}
	add := func(key, name, owner string, s *api.UsageSum) {
		row := []string{firstOf(key, absent)}
		if byJob {
			row = append(row, name, owner)
		} else {
			row = append(row, strconv.Itoa(s.Jobs))
		}
		peak := absent
		if s.PeakMemoryBytes > 0 {
			peak = sizeText(s.PeakMemoryBytes)
		}
		t.Rows = append(t.Rows, append(row, durationText(seconds(s.DeviceSeconds)), durationText(seconds(s.WallSeconds)),
			durationText(seconds(s.CPUSeconds)), optional(s.EnergyJoules, joulesText), peak))
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		add(row.Key, row.Name, row.Owner, &row.UsageSum)
	}
	total := "total"
	if byJob {
		add(total, counted(r.Total.Jobs, "job"), "", &r.Total)
	} else {
		add(total, "", "", &r.Total)
	}
	return t
}

func (p *program) deviceUsageTable(devices []api.DeviceUsage) *table.Table {
	t := &table.Table{Width: p.global.width, Columns: []table.Column{{Head: "DEVICE"}, {Head: "BUSY", Right: true},
		{Head: "CHARGED", Right: true}, {Head: "ENERGY", Right: true}, {Head: "IDLE-ENERGY", Right: true}}}
	for i := range devices {
		d := &devices[i]
		t.Rows = append(t.Rows, []string{d.Device, durationText(seconds(d.BusySeconds)), durationText(seconds(d.JobSeconds)),
			optional(d.EnergyJoules, joulesText), optional(d.IdleEnergyJoules, joulesText)})
	}
	return t
}
