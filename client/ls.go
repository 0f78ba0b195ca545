package client

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"weft/client/nearest"
	"weft/client/table"
	"weft/daemon/api"
)

type lsOptions struct {
	ids    []int64
	all    bool
	quiet  bool
	watch  bool
	states []api.State
	kinds  []api.Kind
	labels map[string]string
	sort   string
}

func (p *program) lsVerb() verb {
	return verb{
		outputs: formatsRows,
		cmd: &cli.Command{
			Name: "ls", Aliases: []string{"ps"}, Category: groupLook, ArgsUsage: "[ID…]",
			Usage: "list jobs",
			Description: `Lists the jobs that have not ended: queued ones with the reason why they wait,
running ones with their progress and latest metric. A column with nothing in it
is left out.`,
			Flags: []cli.Flag{
				&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "ended jobs too"},
				&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "ids only, one a line"},
				&cli.StringSliceFlag{Name: "state", Aliases: []string{"s"},
					Usage: "only jobs in `STATE`: queued, running, paused, succeeded, failed, cancelled; may be repeated"},
				&cli.StringSliceFlag{Name: "kind", Aliases: []string{"k"},
					Usage: "only jobs of `KIND`: " + strings.Join(kindNames(), ", ") + "; may be repeated, or several with commas"},
				&cli.StringSliceFlag{Name: "label", Aliases: []string{"l"},
					Usage: "only jobs with the label `KEY=VALUE`; several must all match"},
				&cli.StringFlag{Name: "sort", Value: "id",
					Usage: "`COLUMN` to sort by: " + strings.Join(sortNames(), ", ") +
						"; -COLUMN the other way round"},
				&cli.BoolFlag{Name: "watch", Aliases: []string{"w"},
					Usage: "redraw when something happens, until interrupted"},
			},
			Action: func(c *cli.Context) error {
				o := lsOptions{all: c.Bool("all"), quiet: c.Bool("quiet"), watch: c.Bool("watch"),
					sort: c.String("sort")}
				var err error
				if o.ids, err = parseIDs(c.Args().Slice()); err != nil {
					return err
				}
				if o.states, err = parseStates(c.StringSlice("state")); err != nil {
					return err
				}
				if o.kinds, err = parseKinds(c.StringSlice("kind")); err != nil {
					return err
				}
				if o.labels, err = parseLabels(c.StringSlice("label")); err != nil {
					return err
				}
				return p.ls(c.Context, o)
			},
		},
		examples: []example{
			{"weft ls", "what is queued, running or paused"},
			{"weft ls -a --label sweep=digits-mlp --sort -val_accuracy", "a sweep, the best first"},
			{"weft ls -a --kind sha256,jpeg", "what was hashed, and what pictures became"},
			{"weft rm $(weft ls -q --state failed)", "forget what failed"},
			{"weft ls -a -o jsonl", "one JSON object a line, for jq"},
		},
		exits: []exit{{exitNotFound, "a job named by its id is not there"}, {exitUnreachable, "no daemon answers"}},
	}
}

func (p *program) ls(ctx context.Context, o lsOptions) error {
	if o.quiet {
		if p.global.chosen && p.global.output != outID {
			return usagef("leave one of them out", "-q and -o %s contradict each other", p.global.output)
		}
		p.global.output = outID
	}
	order, err := sorting(o.sort)
	if err != nil {
		return err
	}
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.Close()
	if o.watch {
		return p.watch(ctx, c, o, order)
	}
	filter := o.filter()
	raw := p.global.output == outJSON || p.global.output == outJSONL
	filter.Spec = raw // programs get the whole job, a table what it has columns for
	filter.Brief = p.global.output == outTable || p.global.output == outID
	if raw && o.sort == "id" && len(o.ids) == 0 {
		return p.lsRaw(ctx, c, filter)
	}
	jobs, err := c.Jobs(ctx, filter)
	if err != nil {
		return err
	}
	if !o.filtered() { // a job that does not match may be there all the same
		if err := missing(o.ids, jobs); err != nil {
			return err
		}
	}
	slices.SortStableFunc(jobs, order)
	if p.global.output != outTable && p.global.output != outWide {
		return p.writeJobs(jobs)
	}
	if len(jobs) == 0 {
		return p.nothingListed(o)
	}
	t := p.jobTable(jobs, p.global.output == outWide)
	return t.Write(p.stdout)
}

// filter is what the daemon is asked for: it filters, so that little is sent.
func (o lsOptions) filter() api.Filter {
	f := api.Filter{IDs: o.ids, States: o.states, Kinds: o.kinds, Labels: o.labels}
	if len(f.States) == 0 && !o.all && len(o.ids) == 0 {
		f.States = activeStates
	}
	return f
}

// filtered reports whether not all jobs are wanted, those that have ended aside.
func (o *lsOptions) filtered() bool {
	return len(o.states) > 0 || len(o.kinds) > 0 || len(o.labels) > 0
}

// nothingListed says so to a person, on stderr: scripts get an empty list.
func (p *program) nothingListed(o lsOptions) error {
	what := "no jobs match"
	if !o.filtered() {
		what = "no jobs yet; weft train submits one"
		if !o.all {
			what = "no active jobs; weft ls -a lists those that have ended"
		}
	}
	_, err := fmt.Fprintln(p.stderr, what)
	return err
}

// lsRaw passes the daemon's own JSON through.
func (p *program) lsRaw(ctx context.Context, c *api.Client, f api.Filter) error {
	jobs, err := c.RawJobs(ctx, f)
	if err != nil {
		return err
	}
	if p.global.output == outJSON {
		if jobs == nil {
			jobs = []json.RawMessage{}
		}
		return p.writeJSON(jobs)
	}
	var b strings.Builder
	for _, j := range jobs {
		b.Write(j)
		b.WriteByte('\n')
	}
	_, err = io.WriteString(p.stdout, b.String())
	return err
}

// missing reports the first of the ids asked for that is not among the jobs.
func missing(ids []int64, jobs []api.Job) error {
	if len(ids) == 0 {
		return nil
	}
	found := make(map[int64]bool, len(jobs))
	for i := range jobs {
		found[jobs[i].ID] = true
	}
	for _, id := range ids {
		if !found[id] {
			return &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no job %d", id),
				Hint: "weft ls -a lists all jobs"}
		}
	}
	return nil
}

// jobTable lays jobs out in the columns that docs name.
func (p *program) jobTable(jobs []api.Job, wide bool) *table.Table {
	t := &table.Table{Width: p.global.width, Colour: p.global.colour, Columns: []table.Column{
		{Head: "ID", Right: true}, {Head: "NAME", Flexible: true}, {Head: "KIND"}, {Head: "STATE", Paint: paintState},
		{Head: "DEVICE"}, {Head: "PROGRESS", Right: true}, {Head: "METRIC"}, {Head: "ELAPSED", Right: true},
		{Head: "OWNER"}, {Head: "REASON", Flexible: true},
	}}
	if wide {
		t.Width = 0
		t.Columns = append(t.Columns,
			table.Column{Head: "PRIORITY", Right: true}, table.Column{Head: "ATTEMPT", Right: true},
			table.Column{Head: "DEVICE-TIME", Right: true}, table.Column{Head: "CPU-TIME", Right: true},
			table.Column{Head: "ENERGY", Right: true}, table.Column{Head: "LABELS"})
	}
	now := p.app.Now()
	t.Rows = make([][]string, len(jobs))
	cells := make([]string, len(jobs)*len(t.Columns))
	for i := range jobs {
		j := &jobs[i]
		row := append(cells[:0:len(t.Columns)], strconv.FormatInt(j.ID, 10), j.Name, string(j.Kind),
			string(j.State), j.Device,
			progressText(j.Progress), metricText(j.Metrics), elapsedText(j, now), j.Owner, reasonText(j))
		if wide {
			row = append(row, strconv.Itoa(j.Priority), strconv.Itoa(j.Attempt),
				durationText(seconds(j.Usage.DeviceSeconds)), durationText(seconds(j.Usage.CPUSeconds)),
				energyText(j.Usage.EnergyJoules), labelsText(j.Labels))
		}
		t.Rows[i], cells = row, cells[len(t.Columns):]
	}
	return t
}

// energyText is empty where it is not known.
func energyText(joules *float64) string {
	if joules == nil {
		return ""
	}
	return joulesText(*joules)
}

// reasonText is why a job waits, or why it failed.
func reasonText(j *api.Job) string {
	if j.Reason == "" && j.Error != nil {
		return j.Error.Message
	}
	return j.Reason
}

func parseStates(args []string) ([]api.State, error) { return oneOf("state", args, api.States) }

func parseKinds(args []string) ([]api.Kind, error) { return oneOf("kind", args, api.Kinds) }

// oneOf reads a flag's arguments, each one or more of the values that there are,
// with commas between them.
func oneOf[T ~string](flag string, args []string, values []T) ([]T, error) {
	var chosen []T
	for _, arg := range args {
		for _, name := range strings.Split(arg, ",") {
			if !slices.Contains(values, T(name)) {
				all := namesOf(values)
				hint := "one of " + strings.Join(all, ", ")
				if n := nearest.Name(name, all); n != "" {
					hint = "--" + flag + " " + n
				}
				return nil, usagef(hint, "unknown %s %q", flag, name)
			}
			chosen = append(chosen, T(name))
		}
	}
	return chosen, nil
}

func namesOf[T ~string](values []T) []string {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = string(v)
	}
	return names
}

func kindNames() []string { return namesOf(api.Kinds) }

// later is a moment after every job's start: running jobs compare by it.
var later = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

// orders are the columns that ls sorts by; any metric is one too.
var orders = map[string]func(a, b *api.Job) int{
	"id":   func(a, b *api.Job) int { return cmp.Compare(a.ID, b.ID) },
	"name": func(a, b *api.Job) int { return strings.Compare(a.Name, b.Name) },
	"state": func(a, b *api.Job) int {
		return cmp.Compare(slices.Index(api.States, a.State), slices.Index(api.States, b.State))
	},
	"device":    func(a, b *api.Job) int { return strings.Compare(a.Device, b.Device) },
	"owner":     func(a, b *api.Job) int { return strings.Compare(a.Owner, b.Owner) },
	"priority":  func(a, b *api.Job) int { return cmp.Compare(a.Priority, b.Priority) },
	"progress":  func(a, b *api.Job) int { return cmp.Compare(fraction(a.Progress), fraction(b.Progress)) },
	"elapsed":   func(a, b *api.Job) int { return cmp.Compare(elapsed(a, later), elapsed(b, later)) },
	"submitted": func(a, b *api.Job) int { return a.SubmittedAt.Compare(b.SubmittedAt) },
}

// metricNames are those that training jobs report.
var metricNames = []string{"train_loss", "val_loss", "val_accuracy", "val_rmse", "val_r2",
	"test_loss", "test_accuracy", "test_rmse", "test_r2", "lr"}

func sortNames() []string {
	names := []string{"id", "name", "state", "device", "owner", "priority", "progress", "elapsed", "submitted"}
	return append(names, "or a metric such as val_accuracy")
}

// sorting returns the order that a name asks for; jobs without the metric
// come last either way, and equal ones by id.
func sorting(name string) (func(a, b api.Job) int, error) {
	column, down := strings.CutPrefix(name, "-")
	sign := 1
	if down {
		sign = -1
	}
	if by, ok := orders[column]; ok {
		return func(a, b api.Job) int { return cmp.Or(sign*by(&a, &b), cmp.Compare(a.ID, b.ID)) }, nil
	}
	if slices.Contains(metricNames, column) {
		return func(a, b api.Job) int {
			x, hasX := a.Metrics[column]
			y, hasY := b.Metrics[column]
			switch {
			case hasX && hasY:
				return cmp.Or(sign*cmp.Compare(x, y), cmp.Compare(a.ID, b.ID))
			case hasX:
				return -1
			case hasY:
				return 1
			}
			return cmp.Compare(a.ID, b.ID)
		}, nil
	}
	known := append(sortNames()[:len(orders)], metricNames...)
	hint := "--sort id"
	if n := nearest.Name(column, known); n != "" {
		hint = "--sort " + n
	}
	return nil, usagef(hint, "cannot sort by %q; there are %s", column, strings.Join(known, ", "))
}
