package client

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"weft/daemon/api"
)

// selection is which jobs a verb acts on: ids, or labels, or all.
type selection struct {
	ids    []int64
	labels map[string]string
	all    bool
}

func selectionFlags(what string) []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "label", Aliases: []string{"l"},
			Usage: "jobs with the label `KEY=VALUE`; several must all match"},
		&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: what},
	}
}

// readSelection reads the ids and flags; exactly one kind must be given.
func readSelection(c *cli.Context) (selection, error) {
	s := selection{all: c.Bool("all")}
	var err error
	if s.ids, err = parseIDs(c.Args().Slice()); err != nil {
		return s, err
	}
	if s.labels, err = parseLabels(c.StringSlice("label")); err != nil {
		return s, err
	}
	given := 0
	for _, is := range []bool{len(s.ids) > 0, len(s.labels) > 0, s.all} {
		if is {
			given++
		}
	}
	name := "weft " + c.Command.Name
	switch {
	case given == 0:
		return s, usagef(name+" ID, "+name+" --label KEY=VALUE, or "+name+" --all", "%s needs to know which jobs", name)
	case given > 1:
		return s, usagef("leave one of them out", "%s takes ids, or --label, or --all, not several of them", name)
	}
	return s, nil
}

// resolve returns the ids selected; labels and --all select among jobs in the
// given states.
func (s selection) resolve(ctx context.Context, c *api.Client, states []api.State,
	keep func(*api.Job) bool) ([]int64, error) {
	if len(s.ids) > 0 {
		return s.ids, nil
	}
	jobs, err := c.Jobs(ctx, api.Filter{States: states, Labels: s.labels})
	if err != nil {
		return nil, err
	}
	ids := make([]int64, 0, len(jobs))
	for i := range jobs {
		if keep == nil || keep(&jobs[i]) {
			ids = append(ids, jobs[i].ID)
		}
	}
	return ids, nil
}

// maxRange bounds what 3-7 may stand for.
const maxRange = 100_000

// parseIDs reads job ids; 3-7 is a range. Ids named twice count once.
func parseIDs(args []string) ([]int64, error) {
	var ids []int64
	for _, arg := range args {
		for _, part := range strings.Split(arg, ",") {
			first, last, err := parseRange(part)
			if err != nil {
				return nil, err
			}
			for id := first; id <= last; id++ {
				ids = append(ids, id)
			}
		}
	}
	seen := make(map[int64]bool, len(ids))
	return slices.DeleteFunc(ids, func(id int64) bool {
		dup := seen[id]
		seen[id] = true
		return dup
	}), nil
}

func parseRange(s string) (first, last int64, err error) {
	a, b, ranged := strings.Cut(s, "-")
	if !ranged {
		b = a
	}
	first, errA := strconv.ParseInt(a, 10, 64)
	last, errB := strconv.ParseInt(b, 10, 64)
	if errA != nil || errB != nil || first < 1 {
		return 0, 0, usagef("weft ls -a lists all jobs", "%q is not a job's id", s)
	}
	if last < first || last-first >= maxRange {
		return 0, 0, usagef("FIRST-LAST, as in 3-7", "%q is not a range of ids", s)
	}
	return first, last, nil
}

func parseID(s string) (int64, error) {
	id, err := strconv.ParseInt(s, 10, 64)
	if err != nil || id < 1 {
		return 0, usagef("weft ls -a lists all jobs", "%q is not a job's id", s)
	}
	return id, nil
}

func parseLabels(pairs []string) (map[string]string, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	labels := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		k, v, ok := strings.Cut(pair, "=")
		if !ok || k == "" {
			return nil, usagef("--label sweep=a", "--label %q is not key=value", pair)
		}
		labels[k] = v
	}
	return labels, nil
}
