package client

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"weft/client/specfile"
	"weft/client/sweep"
	"weft/daemon/api"
)

type sweepOptions struct {
	axes    []sweep.Axis
	seeds   int
	samples int
	seed    uint64
}

func sweepFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "sweep",
			Usage: "`KEY=V,V,…` a job for each value; with several, for each combination"},
		&cli.IntFlag{Name: "seeds", Usage: "`N` jobs with seeds from the specification's upwards"},
		&cli.IntFlag{Name: "samples", Usage: "`N` draws of the rand:, randlog: and randint: axes"},
		&cli.Uint64Flag{Name: "sweep-seed", Usage: "`N` that the draws come from"},
		&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"},
			Usage: "parameters, memory, device and time; submit nothing"},
	}
}

func readSweep(c *cli.Context) (sweepOptions, error) {
	o := sweepOptions{seeds: c.Int("seeds"), samples: c.Int("samples"), seed: c.Uint64("sweep-seed")}
	for _, def := range c.StringSlice("sweep") {
		a, err := sweep.Parse(def)
		if err != nil {
			return o, fmt.Errorf("--sweep: %w", err)
		}
		o.axes = append(o.axes, a)
	}
	switch {
	case c.IsSet("seeds") && o.seeds < 1:
		return o, usagef("--seeds 5", "--seeds %d is no number of seeds", o.seeds)
	case c.IsSet("samples") && o.samples < 1:
		return o, usagef("--samples 20", "--samples %d is no number of draws", o.samples)
	}
	return o, nil
}

// points expands the sweep for each document; seeds begin at the document's.
func (o sweepOptions) points(docs []document) ([][]sweep.Point, error) {
	out := make([][]sweep.Point, len(docs))
	total := 0
	for i, doc := range docs {
		first := uint64(0)
		if n := doc.node.Get("seed"); n != nil {
			if s, err := strconv.ParseUint(n.Text, 10, 64); err == nil {
				first = s
			}
		}
		points, err := sweep.Expand(o.axes,
			sweep.Options{Samples: o.samples, Seed: o.seed, Seeds: o.seeds, First: first})
		if err != nil {
			return nil, err
		}
		out[i] = points
		if total += len(points); total > sweep.Limit {
			return nil, usagef("submit them in parts", "the sweeps have more than %d jobs together", sweep.Limit)
		}
	}
	return out, nil
}

// maxNameBytes keeps a sweep's names within what the daemon takes.
const maxNameBytes = 128

// draft makes the job of one document and one point of the sweep.
func (o trainOptions) draft(doc *specfile.Node, base string, point sweep.Point) (draft, error) {
	d := draft{doc: doc, Submission: api.Submission{Kind: api.KindTrain, Name: base, Labels: o.submit.labels,
		Priority: o.submit.priority, After: o.submit.after, At: o.submit.at, Hold: o.submit.hold,
		Retries: o.submit.retries, Timeout: o.submit.timeout.Seconds()}}
	if len(point) > 0 {
		d.doc = doc.Clone()
		d.Name = clipName(strings.TrimPrefix(base+"/"+point.Suffix(), "/"))
		d.Labels = map[string]string{"sweep": firstOf(base, "sweep")}
		for _, a := range point {
			e := edit{a.Axis, a.Value, "--sweep " + a.Axis + "=" + a.Value}
			if o.sweep.seeds > 0 && a.Axis == "seed" {
				e.flag = "--seeds " + strconv.Itoa(o.sweep.seeds)
			}
			if err := e.apply(d.doc); err != nil {
				return d, err
			}
			d.Labels[sweep.Short(a.Axis)] = a.Value
		}
		maps.Copy(d.Labels, o.submit.labels)
	}
	d.Spec = d.doc.JSON()
	return d, nil
}

func clipName(s string) string {
	if len(s) <= maxNameBytes {
		return s
	}
	s = s[:maxNameBytes-len("…")]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}
