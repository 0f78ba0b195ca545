package client

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"weft/client/nearest"
	"weft/client/table"
	"weft/daemon/api"
)

type adviseOptions struct {
	told      api.AdviseWorkload
	described bool     // flags describe a workload
	measured  []string // weft cpu's arguments
	check     bool
	specs     []string
	calibrate bool
}

// isolations are the values of --isolation.
var isolations = []string{"none", "crash", "hostile"}

func (p *program) adviseVerb() verb {
	return verb{
		outputs: formatsPlain,
		cmd: &cli.Command{
			Name: "advise", Category: groupLook, ArgsUsage: "[SPEC.yaml… | -- sha256|jpeg|fetch|primes ARGS…]",
			Usage: "which pool or device suits a workload, how long it would take, and why",
			Description: `Names the pool, the workers and the chunk for a batch of items, and predicts each
alternative from what things cost on the daemon's machine, which are measured
once and kept. Describe the items by flags or, with --measure, have a sample of
them run: nothing of that stays, and servers are asked for 48 items at most. Of
specifications it says on which device to train them, and how many at once.

The four classics:

  10,000 JPEGs, by a C library        worker processes, one a core: a picture that
                                      crashes the library costs that picture
  10,000 requests, 50 a second        an event pool: the rate is all that counts
  SHA-256 of 10,000 x 1 MB            goroutines, one a core: no copy, no process
  ten small models on one GPU         all at once in one process that has the GPU`,
			Flags: []cli.Flag{
				&cli.Int64Flag{Name: "items", Aliases: []string{"n"}, Usage: "`N` items"},
				&cli.StringFlag{Name: "bytes", Usage: "an item is `SIZE` that its worker is handed, as 1MB"},
				&cli.Float64Flag{Name: "cpu-ms", Usage: "an item computes for `MS` milliseconds on one core"},
				&cli.Float64Flag{Name: "io-ms", Usage: "an item waits for `MS` milliseconds for others"},
				&cli.Float64Flag{Name: "rate-limit", Usage: "`N` items a second at most"},
				&cli.StringFlag{Name: "isolation", Usage: "items are trusted (`none`), may crash or hang (crash), or mean to (hostile)"},
				&cli.StringFlag{Name: "memory-per-item", Usage: "an item takes `SIZE` while it is worked on"},
				&cli.BoolFlag{Name: "first", Usage: "the first success ends it"},
				&cli.BoolFlag{Name: "gpu", Usage: "items are models to train on a GPU"},
				&cli.Float64Flag{Name: "gpu-ms", Usage: "one of them takes a GPU `MS` milliseconds alone"},
				&cli.BoolFlag{Name: "measure", Usage: "run a sample of what follows --: the arguments of weft cpu"},
				&cli.BoolFlag{Name: "check", Usage: "with --measure, run all of it on every pool, aside, and compare"},
				&cli.BoolFlag{Name: "calibrate", Usage: "measure the machine's costs anew"},
			},
			Action: func(c *cli.Context) error {
				o, err := readAdvise(c)
				if err != nil {
					return err
				}
				return p.advise(c.Context, o)
			},
		},
		examples: []example{
			{"weft advise --items 10000 --cpu-ms 5 --isolation crash", "10,000 JPEGs"},
			{"weft advise --items 10000 --cpu-ms 0.2 --io-ms 80 --rate-limit 50", "requests to a rate-limited API"},
			{"weft advise --items 10000 --bytes 1MB --cpu-ms 0.5", "SHA-256 of 1 MB each, in memory"},
			{"weft advise --gpu --items 10 --memory-per-item 2MB", "ten small models on one GPU"},
			{"weft advise --measure -- sha256 -r /data", "what the files really take"},
			{"weft advise --measure --check -- jpeg -r photos", "and is it true?"},
			{"weft advise a.yaml b.yaml c.yaml", "where to train them, and how many at once"},
		},
		exits: []exit{
			{exitFailed, "the sample could not be run"},
			{exitNotFound, "a specification's file is not there"},
			{exitUnreachable, "no daemon answers; weft serve starts one"},
			{exitTimeout, "measuring took longer than the daemon allows"},
		},
	}
}

func readAdvise(c *cli.Context) (adviseOptions, error) {
	o := adviseOptions{check: c.Bool("check"), calibrate: c.Bool("calibrate")}
	w := &o.told
	w.Items, w.CPU, w.IO = c.Int64("items"), c.Float64("cpu-ms")/1e3, c.Float64("io-ms")/1e3
	w.Rate, w.Isolation, w.First = c.Float64("rate-limit"), c.String("isolation"), c.Bool("first")
	w.GPU, w.GPUSeconds = c.Bool("gpu"), c.Float64("gpu-ms")/1e3
	var err error
	if w.Bytes, err = parseSize("--bytes", c.String("bytes")); err != nil {
		return o, err
	}
	if w.MemoryPerItem, err = parseSize("--memory-per-item", c.String("memory-per-item")); err != nil {
		return o, err
	}
	o.described = !reflect.ValueOf(*w).IsZero()
	args := c.Args().Slice()
	if c.Bool("measure") {
		o.measured = args
	} else {
		o.specs = args
	}
	return o, o.checkFlags(c)
}

func (o *adviseOptions) checkFlags(c *cli.Context) error {
	w := &o.told
	onGPU := w.GPU || w.GPUSeconds != 0
	for _, f := range []struct {
		name  string
		value float64
	}{{"cpu-ms", w.CPU}, {"io-ms", w.IO}, {"rate-limit", w.Rate}, {"gpu-ms", w.GPUSeconds}, {"items", float64(w.Items)}} {
		if f.value < 0 || f.value != f.value {
			return usagef("--"+f.name+" 10", "--%s must be 0 or above", f.name)
		}
	}
	switch measure := c.Bool("measure"); {
	case w.Isolation != "" && !slices.Contains(isolations, w.Isolation):
		return usagef("--isolation "+firstOf(nearest.Name(w.Isolation, isolations), "none"), "unknown isolation %q; there are %s", w.Isolation,
			strings.Join(isolations, ", "))
	case measure && len(o.measured) == 0:
		return usagef("weft advise --measure -- sha256 -r /data", "--measure needs what to measure")
	case measure && onGPU:
		return usagef("weft advise SPEC.yaml", "--measure runs on the processors, and not on a GPU")
	case o.check && !measure:
		return usagef("weft advise --measure --check -- sha256 -r /data", "--check is for --measure")
	case len(o.specs) > 0 && o.described:
		return usagef("one of the two", "specifications say themselves what is to be trained: flags that describe items are not for them")
	case len(o.specs) > 0 && o.calibrate:
		return usagef("leave --calibrate out", "--calibrate is about pools")
	case len(o.specs) == 0 && !measure && !o.described && !o.calibrate:
		return usagef("weft advise --items 10000 --cpu-ms 5", "weft advise needs a description, --measure or specifications")
	case o.described && !measure && w.Items == 0:
		return usagef("--items 10000", "how many items there are is not said")
	}
	return nil
}

func (p *program) advise(ctx context.Context, o adviseOptions) error {
	r := api.AdviseRequest{Calibrate: o.calibrate}
	if o.described {
		r.Workload = &o.told
	}
	var drafts []draft
	var err error
	switch {
	case len(o.specs) > 0:
		if drafts, err = p.drafts(trainOptions{files: o.specs}); err != nil {
			return err
		}
		for i := range drafts {
			r.Jobs = append(r.Jobs, drafts[i].Submission)
		}
	case len(o.measured) > 0:
		if r.Measure, err = p.toMeasure(ctx, o.measured); err != nil || r.Measure == nil {
			return err
		}
		r.Measure.Check = o.check
	}
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.Close()
	a, err := c.Advise(ctx, r)
	if err != nil {
		return locate(err, drafts)
	}
	if p.global.output == outJSON {
		return p.writeJSON(a)
	}
	return p.tellAdvice(a, o.measured)
}

// toMeasure reads the arguments of weft cpu: the job that they would submit; nil:
// they asked for help, which was given.
func (p *program) toMeasure(ctx context.Context, args []string) (*api.AdviseMeasure, error) {
	var found *api.AdviseMeasure
	sub := &program{app: p.app, stdin: p.stdin, stdout: p.stdout, stderr: p.stderr}
	sub.verbs = sub.tree()
	if sub.find("cpu "+args[0]) == nil {
		var kinds []string
		for _, v := range sub.verbs {
			if v.group() == "cpu" {
				kinds = append(kinds, strings.TrimPrefix(v.cmd.Name, "cpu "))
			}
		}
		return nil, usagef("weft advise --measure -- "+firstOf(nearest.Name(args[0], kinds), "sha256")+" …", "%q cannot be measured; there are %s",
			args[0], strings.Join(kinds, ", "))
	}
	sub.instead = func(kind api.Kind, spec json.RawMessage, o cpuOptions) error {
		if o.pool != "auto" || o.workers != 0 {
			return usagef("leave --pool and --workers out", "which pool suits is what is asked")
		}
		if o.dryRun || !reflect.ValueOf(o.submit).IsZero() {
			return usagef("the flags of weft cpu "+args[0]+" that say what is done", "nothing is submitted: flags of jobs are not for --measure")
		}
		found = &api.AdviseMeasure{Kind: kind, Spec: spec}
		return nil
	}
	if err := sub.run(ctx, append([]string{"cpu"}, args...)); err != nil {
		return nil, err
	}
	return found, nil
}

// adviceWidth is how wide text is that people read.
const adviceWidth = 96

func (p *program) tellAdvice(a *api.Advice, measured []string) error {
	var b strings.Builder
	if a.Choice != "" || a.Why != "" {
		fmt.Fprintf(&b, "%s\n\n%s\n", p.heading(adviceHead(a)), wrapped(table.Clean(a.Why), adviceWidth))
	}
	var err error
	switch {
	case len(a.Placements) > 0:
		b.WriteByte('\n')
		err = p.placementTable(a).Write(&b)
	case len(a.Alternatives) > 0:
		b.WriteByte('\n')
		err = p.poolTable(a).Write(&b)
	case a.Machine != nil:
		tellMachine(&b, a.Machine)
	}
	if err != nil {
		return err
	}
	if s := a.Sample; s != nil {
		fmt.Fprintf(&b, "\nmeasured on %d of %s in %s: %s\n", s.Items, counted(int(s.Counted), "item"), durationText(seconds(s.Seconds)),
			workloadText(a.Workload))
	}
	for _, n := range a.Notes {
		fmt.Fprintf(&b, "note: %s\n", table.Clean(n))
	}
	if c := chosenPool(a); c != nil && len(measured) > 0 {
		fmt.Fprintf(&b, "\n  weft cpu %s --pool %s --workers %d\n", table.Clean(strings.Join(measured, " ")), c.Pool, c.Workers)
	}
	_, err = p.stdout.Write([]byte(b.String()))
	return err
}

func chosenPool(a *api.Advice) *api.AdviseAlternative {
	i := slices.IndexFunc(a.Alternatives, func(alt api.AdviseAlternative) bool { return alt.Chosen })
	if i < 0 {
		return nil
	}
	return &a.Alternatives[i]
}

func adviceHead(a *api.Advice) string {
	if c := chosenPool(a); c != nil {
		return fmt.Sprintf("%s pool, %s, chunks of %d: about %s", c.Pool, counted(c.Workers, "worker"), c.Chunk, shortText(c.Seconds))
	}
	for _, d := range a.Placements {
		if d.Chosen && d.Alone > 0 {
			return fmt.Sprintf("%s, %d at once: about %s", table.Clean(d.Device), d.AtOnce, shortText(d.Together))
		} else if d.Chosen {
			return fmt.Sprintf("%s, %d at once", table.Clean(d.Device), d.AtOnce)
		}
	}
	return "no device"
}

// boundTexts say what a prediction comes from.
var boundTexts = map[string]string{
	"workers": "items after each other", "cores": "the cores", "order": "reading and journal, in order", "rate": "the rate",
	"far_end": "the other side", "memory": "the memory", "start": "starting",
}

func (p *program) poolTable(a *api.Advice) *table.Table {
	t := &table.Table{Width: p.global.width, Columns: []table.Column{{Head: "POOL"}, {Head: "WORKERS", Right: true}, {Head: "CHUNK", Right: true},
		{Head: "TIME", Right: true}, {Head: "MEASURED", Right: true}, {Head: "RATIO", Right: true}, {Head: "LIMITED BY", Flexible: true}, {Head: ""}}}
	for _, alt := range a.Alternatives {
		measured, ratio, mark := "", "", ""
		if k := alt.Checked; k != nil {
			measured, ratio = shortText(k.Seconds), strconv.FormatFloat(k.Ratio, 'f', 2, 64)
		}
		if alt.Chosen {
			mark = "<- this"
		}
		by := firstOf(boundTexts[alt.Bound], alt.Bound)
		if alt.Refused != "" {
			by = "no: it isolates nothing"
		}
		t.Rows = append(t.Rows, []string{alt.Pool, strconv.Itoa(alt.Workers), strconv.Itoa(alt.Chunk), shortText(alt.Seconds), measured, ratio, by,
			mark})
	}
	return t
}

func (p *program) placementTable(a *api.Advice) *table.Table {
	t := &table.Table{Width: p.global.width, Columns: []table.Column{{Head: "DEVICE"}, {Head: "NAME", Flexible: true}, {Head: "AT ONCE", Right: true},
		{Head: "ALONE", Right: true}, {Head: "TOGETHER", Right: true}, {Head: "SPEEDUP", Right: true}, {Head: "SOURCE", Flexible: true}}}
	for _, d := range a.Placements {
		row := []string{d.Device, d.Name, "", "", "", "", "not there: " + d.Refused}
		if d.Refused == "" {
			row[2], row[5], row[6] = strconv.Itoa(d.AtOnce), timesText(d.Speedup), d.Source
			if d.Alone > 0 {
				row[3], row[4] = "~"+shortText(d.Alone), "~"+shortText(d.Together)
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func tellMachine(b *strings.Builder, m *api.AdviseCalibration) {
	fmt.Fprintf(b, "%s, %s; all busy, each takes %.2f times as long\n", table.Clean(m.CPU), counted(m.Cores, "core"), m.Slowdown)
	fmt.Fprintf(b, "memory %s, copying to a process %s\n", bytesRateText(m.MemoryRate), bytesRateText(m.CopyRate))
	fmt.Fprintf(b, "an item of nothing in a job: sequential %s, goroutine %s, event %s, process %s and %s a chunk\n", shortText(m.Sequential),
		shortText(m.Goroutine), shortText(m.Event), shortText(m.Process), shortText(m.RoundTrip))
	fmt.Fprintf(b, "starting a process %s, a job %s\n", shortText(m.Spawn), shortText(m.Job))
}

// workloadText is what was found out about an item.
func workloadText(w *api.AdviseWorkload) string {
	parts := []string{shortText(w.CPU) + " computing"}
	if w.GroupCPU > 0 {
		parts[0] += fmt.Sprintf(" (%s where a worker does up to %d at once)", shortText(w.GroupCPU), w.Batch)
	}
	if w.IO > 0 {
		parts = append(parts, shortText(w.IO)+" waiting")
	}
	if w.Order > 0 {
		parts = append(parts, shortText(w.Order)+" in order")
	}
	if w.FarEnd > 0 {
		parts = append(parts, shortText(w.FarEnd)+" at the other side, asked by many")
	}
	return strings.Join(parts, ", ") + " an item"
}

// shortText writes seconds from nanoseconds to days with the digits that matter.
func shortText(s float64) string {
	switch {
	case s <= 0:
		return "0s"
	case s < 1e-6:
		return strconv.FormatFloat(s*1e9, 'f', 0, 64) + "ns"
	case s < 1e-3:
		return strconv.FormatFloat(s*1e6, 'f', 1, 64) + "µs"
	case s < 1:
		return strconv.FormatFloat(s*1e3, 'f', 1, 64) + "ms"
	case s < 10:
		return strconv.FormatFloat(s, 'f', 2, 64) + "s"
	}
	return durationText(seconds(min(s, 1e9)))
}

// wrapped breaks a text between words.
func wrapped(text string, width int) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		n := table.Width(word)
		switch {
		case i == 0:
		case column+1+n > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}
