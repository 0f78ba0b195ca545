package client

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"weft/client/table"
	"weft/daemon/api"
)

// itemLine is what one item of a CPU job came to.
type itemLine api.ItemResult

func (p *program) resultsVerb() verb {
	return verb{
		outputs: []string{outTable, outJSON, outJSONL},
		cmd: &cli.Command{
			Name: "results", Category: groupResult, ArgsUsage: "ID",
			Usage: "what the items of a CPU job came to",
			Description: `Shows each item that has ended, in the order of the input: digests as sha256sum
prints them, primes with their times, and for other kinds what became of the
item. A job that runs shows what it has so far.`,
			Flags: []cli.Flag{
				&cli.BoolFlag{Name: "failed", Usage: "only items that failed, and why"},
			},
			Action: func(c *cli.Context) error {
				if err := exactly(c, 1); err != nil {
					return err
				}
				id, err := parseID(c.Args().First())
				if err != nil {
					return err
				}
				return p.results(c.Context, id, c.Bool("failed"))
			},
		},
		examples: []example{
			{"weft results 12", "all items"},
			{"weft results 12 --failed", "what went wrong"},
			{"weft results 12 -o jsonl | jq .output", "for programs"},
		},
		exits: []exit{{exitNotFound, "there is no such job"}, {exitUnreachable, "no daemon answers"}},
	}
}

func (p *program) results(ctx context.Context, id int64, failed bool) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.Close()
	if p.global.output == outJSONL {
		body, err := c.Results(ctx, id, failed)
		if err != nil {
			return err
		}
		defer body.Close()
		_, err = io.Copy(p.stdout, body)
		return err
	}
	job, err := c.Job(ctx, id)
	if err != nil {
		return err
	}
	w := p.itemsWriter(job, failed)
	items, err := readItems(ctx, c, id, failed, w.see)
	if err != nil {
		return err
	}
	defer items.close()
	switch {
	case p.global.output == outJSON:
	case items.count == 0 && failed:
		fmt.Fprintf(p.stderr, "no item of job %d has failed\n", id)
		return nil
	case items.count == 0 && !job.State.Final():
		fmt.Fprintf(p.stderr, "job %d has no results yet: it is %s\n", id, job.State)
		return nil
	}
	return w.write(items)
}

// name is the item's name in the bytes that it has, which may not be UTF-8.
func (it *itemLine) name() string {
	if text, ok := it.Output[nameBase64].(string); ok {
		if raw, err := base64.StdEncoding.DecodeString(text); err == nil {
			return string(raw)
		}
	}
	return it.Item
}

// failed reports whether the item counts as one that failed: that a number is not
// prime is an answer, also where a search goes on for that.
func (it *itemLine) failed() bool { return !it.OK && (it.Error == nil || it.Error.Code != "not_prime") }

// nameBase64 is where an item's name is in full that is not UTF-8.
const nameBase64 = "name_base64"

// fewItems is how many items of a job that was waited for are told one by one.
const fewItems = 20

// tellItems tells what a job that was waited for came to: what its kind prints,
// how fast it was, and what failed.
func (p *program) tellItems(ctx context.Context, c *api.Client, id int64, print bool) error {
	job, err := c.Job(ctx, id)
	if err != nil {
		return err
	}
	if print {
		if err := p.printItems(ctx, c, job); err != nil {
			return err
		}
	}
	fmt.Fprintln(p.stderr, itemsLine(job))
	for _, line := range summaryLines(job.Summary) {
		fmt.Fprintf(p.stderr, "  %s\n", line)
	}
	task := taskOf(job)
	if job.Metrics["failed"] == 0 || print && task.Check {
		return nil // the verdicts have said it
	}
	return p.tellFailed(ctx, c, job)
}

// printItems writes what a job's kind prints.
func (p *program) printItems(ctx context.Context, c *api.Client, job *api.JobDetail) error {
	w := p.kindsWriter(job)
	items, err := readItems(ctx, c, job.ID, false, w.see)
	if err != nil {
		return err
	}
	defer items.close()
	return w.write(items)
}

// tellFailed tells why items failed, of the first few.
func (p *program) tellFailed(ctx context.Context, c *api.Client, job *api.JobDetail) error {
	failed, err := readItems(ctx, c, job.ID, true, func(*itemLine) {})
	if err != nil {
		return err
	}
	defer failed.close()
	task, told := taskOf(job), 0
	err = failed.each(func(it *itemLine) error {
		if told++; told > fewItems {
			return errEnough
		}
		if it.Error == nil {
			return nil
		}
		line := task.short(it.name()) + ": " + it.Error.Message
		if it.Error.Hint != "" {
			line += " (" + firstLine(it.Error.Hint) + ")"
		}
		fmt.Fprintf(p.stderr, "  %s\n", table.Clean(line))
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if more := failed.count - fewItems; more > 0 {
		fmt.Fprintf(p.stderr, "  and %d more: weft results %d --failed\n", more, job.ID)
	}
	return nil
}

// errEnough ends a look at items before their end.
var errEnough = errors.New("enough items were looked at")

// itemsLine sums a CPU job up: "9,990 of 10,000 items, 10 failed, 1.0 GiB in 3.4s: 2941/s, 301 MiB/s".
func itemsLine(j *api.JobDetail) string {
	ok, failed, bytes := j.Metrics["ok"], j.Metrics["failed"], j.Metrics["bytes"]
	line := itemsText(int64(ok + failed))
	if failed > 0 {
		line += fmt.Sprintf(", %s failed", humanize.Comma(int64(failed)))
	}
	if bytes > 0 {
		line += ", " + sizeText(int64(bytes))
	}
	took := 0.0
	if j.StartedAt != nil && j.FinishedAt != nil {
		took = j.FinishedAt.Sub(*j.StartedAt).Seconds()
	}
	if j.Summary != nil {
		took = j.Summary.Seconds // without what it waited in between
	}
	if took <= 0 {
		return line
	}
	line += fmt.Sprintf(" in %s: %s/s", durationText(seconds(took)), perSecondText((ok+failed)/took))
	if bytes > 0 {
		line += fmt.Sprintf(", %s/s", sizeText(int64(bytes/took)))
	}
	return line
}

// itemsText counts items: "1 item", "10,000 items".
func itemsText(n int64) string {
	if n == 1 {
		return "1 item"
	}
	return humanize.Comma(n) + " items"
}

// summaryLines tell what only this kind of job has in its summary, a fact each.
func summaryLines(s *api.Summary) []string {
	if s == nil {
		return nil
	}
	var lines []string
	if s.Resumed > 0 {
		lines = append(lines, itemsText(s.Resumed)+" done before it was interrupted")
	}
	if s.Stopped {
		lines = append(lines, "ended early: not all items were looked at")
	}
	for _, key := range slices.Sorted(maps.Keys(s.Kind)) {
		if text := factText(key, s.Kind[key]); text != "" {
			lines = append(lines, strings.ReplaceAll(key, "_", " ")+": "+text)
		}
	}
	return lines
}

// factText writes a value of a summary; what is zero or empty is left out.
func factText(key string, v any) string {
	switch v := v.(type) {
	case float64:
		switch {
		case v == 0 && key != "primes":
			return ""
		case strings.Contains(key, "bytes"):
			return sizeText(int64(v))
		case v == math.Trunc(v):
			return humanize.Comma(int64(v))
		}
		return strconv.FormatFloat(v, 'g', 4, 64)
	case string:
		return v
	case map[string]any:
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if text := factText(name, v[name]); text != "" {
				parts = append(parts, name+" "+text)
			}
		}
		return strings.Join(parts, ", ")
	case bool:
		return strconv.FormatBool(v)
	case nil:
		if key == "first_prime" {
			return "none"
		}
	}
	return ""
}

// perSecondText writes a rate with about three digits.
func perSecondText(r float64) string {
	switch {
	case r < 10:
		return strconv.FormatFloat(r, 'f', 2, 64)
	case r < 100:
		return strconv.FormatFloat(r, 'f', 1, 64)
	}
	return humanize.Comma(int64(r + 0.5))
}
