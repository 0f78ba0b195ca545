package client

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"weft/client/table"
)

// tellShared writes what share measured, and fails where models differ.
func (p *program) tellShared(r *shareResult, o shareOptions) error {
	return p.tellAllShared([]*shareResult{r}, o)
}

// tellAllShared writes one result, or those of --sweep-models, which are a list
// in JSON.
func (p *program) tellAllShared(results []*shareResult, o shareOptions) error {
	var all any = results
	if len(o.sweep) == 0 {
		all = results[0]
	}
	if o.save != "" {
		if err := saveFile(o.save, o.force, func(w io.Writer) error { return encodeJSON(w, all) }); err != nil {
			return err
		}
	}
	if o.report != "" {
		err := saveFile(o.report, o.force, func(w io.Writer) error { return p.writeReport(w, results) })
		if err != nil {
			return err
		}
	}
	if p.global.output == outJSON {
		if err := encodeJSON(p.stdout, all); err != nil {
			return err
		}
	}
	var failed error
	for i, r := range results {
		if p.global.output != outJSON {
			if i > 0 {
				fmt.Fprintln(p.stdout)
			}
			if err := p.tellShare(r, o); err != nil {
				return err
			}
		}
		if !r.Equal && failed == nil {
			failed = &exitError{code: exitFailed,
				message: fmt.Sprintf("%d of %s differ between arms or rounds", differingModels(r),
					counted(len(r.Jobs), "model")),
				hint: "this should never be; --keep keeps the models for a report"}
		}
	}
	return failed
}

// encodeJSON writes what -o json does.
func encodeJSON(w io.Writer, r any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

func differingModels(r *shareResult) int {
	n := 0
	for i := range r.Jobs {
		if !r.Jobs[i].Equal {
			n++
		}
	}
	return n
}

// maxDifferencesTold bounds what the table lists.
const maxDifferencesTold = 10

func (p *program) tellShare(r *shareResult, o shareOptions) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", p.heading(p.shareHeading(r)))
	if err := p.shareTable(r, p.global.output == outWide).Write(&b); err != nil {
		return err
	}
	b.WriteByte('\n')
	if others, err := p.peersText(r); err != nil {
		return err
	} else if others != "" {
		b.WriteString(others + "\n")
	}
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-9s "+format+"\n", append([]any{name}, args...)...)
	}
	if len(r.Arms) > 1 {
		how := "the median of the rounds' ratios"
		if r.Rounds == 1 {
			how = "the ratio of one round"
		}
		line("speedup", "%s, against %s (%s)", how, r.Baseline, armAbout[r.Baseline])
	}
	line("models", "%s", r.modelsText())
	line("floor", "%s", r.Floor.text())
	for _, u := range r.unknownText() {
		line(u.Name, "%s", u.Text)
	}
	line("machine", "%s", r.Machine.text())
	line("weft", "%s, %s", versionText(r.Weft), r.Date.Format("2006-01-02 15:04 MST"))
	if r.Load.Quick {
		line("note", quickNote)
	}
	if o.save != "" {
		line("saved", "%s", o.save)
	}
	if o.report != "" {
		line("report", "%s", o.report)
	}
	for i, d := range r.Differences {
		if i == maxDifferencesTold {
			fmt.Fprintf(&b, "and %d more differences; -o json lists them\n", r.Differing-i)
			break
		}
		fmt.Fprintf(&b, "%s in round %d of %s: sha256 %.12s…, not %.12s…\n", table.Clean(d.Name), d.Round, d.Arm,
			d.SHA256, d.Reference)
	}
	_, err := io.WriteString(p.stdout, b.String())
	return err
}

const quickNote = "--quick: a shortened load, for a look and not for comparison"

// modelsText says whether all models are the same in every arm and round.
func (r *shareResult) modelsText() string {
	if r.Equal {
		return fmt.Sprintf("all %d equal, byte for byte, in %s", len(r.Jobs), counted(r.Rounds*len(r.Arms), "run"))
	}
	return fmt.Sprintf("%d of %d DIFFER from the first run of %s", differingModels(r), len(r.Jobs), r.Baseline)
}

// shareHeading says what was measured, in a line.
func (p *program) shareHeading(r *shareResult) string {
	steps := int64(0)
	for i := range r.Jobs {
		steps += r.Jobs[i].Steps
	}
	return fmt.Sprintf("%s: %s, %s steps in all, on %s, %s", r.Load.Name, counted(len(r.Jobs), "model"),
		humanize.Comma(steps), r.Device.text(), counted(r.Rounds, "round"))
}

// shareColumn is one column of share's table.
type shareColumn struct {
	head string
	wide bool // shown by -o wide only
	text func(r *shareResult, a *shareArm) string
}

var shareColumns = []shareColumn{
	{"ARM", false, func(_ *shareResult, a *shareArm) string { return a.Arm }},
	{"WALL", false, func(_ *shareResult, a *shareArm) string { return secondsText(a.Wall.Median) }},
	{"MIN-MAX", false, func(r *shareResult, a *shareArm) string { return rangeText(a.Wall, r.Rounds, secondsText) }},
	{"QUARTILES", true, func(r *shareResult, a *shareArm) string {
		return rangeText(spread{Min: a.Wall.Q1, Max: a.Wall.Q3}, r.Rounds, secondsText)
	}},
	{"CLIENT", true, func(_ *shareResult, a *shareArm) string { return secondsText(a.Client.Median) }},
	{"FIRST", true, func(_ *shareResult, a *shareArm) string {
		return secondsText(spreadOf(column(a.Runs, func(s shareRun) float64 { return s.FirstStart })).Median)
	}},
	{"MODEL", true, func(_ *shareResult, a *shareArm) string {
		return secondsText(spreadOf(column(a.Runs, func(s shareRun) float64 { return s.JobSeconds.Median })).Median)
	}},
	{"STEPS/S", false, func(_ *shareResult, a *shareArm) string { return rateText(a.StepsPerS.Median) }},
	{"SAMPLES/S", false, func(_ *shareResult, a *shareArm) string { return rateText(a.SamplesPerS.Median) }},
	{"SPEEDUP", false, func(r *shareResult, a *shareArm) string {
		switch {
		case a.Speedup != nil:
			return timesText(a.Speedup.Median)
		case len(r.Arms) > 1:
			return "baseline"
		}
		return ""
	}},
	{"MIN-MAX", false, func(r *shareResult, a *shareArm) string {
		if a.Speedup == nil {
			return ""
		}
		return rangeText(*a.Speedup, r.Rounds, timesText)
	}},
	{"DEVICE", false, func(_ *shareResult, a *shareArm) string { return secondsText(a.DeviceSeconds.Median) }},
	{"UTIL", false, func(_ *shareResult, a *shareArm) string { return a.utilizationText() }},
	{"ENERGY", false, func(_ *shareResult, a *shareArm) string { return a.energyText(1) }},
	{"J/MODEL", true, func(r *shareResult, a *shareArm) string { return a.energyText(float64(len(r.Jobs))) }},
	{"J/1K STEPS", true, func(_ *shareResult, a *shareArm) string { return a.energyText(float64(a.Runs[0].Steps) / 1000) }},
	{"FLOOR", false, func(_ *shareResult, a *shareArm) string {
		if a.TimesFloor == nil {
			return ""
		}
		return timesText(*a.TimesFloor)
	}},
	{"MODELS", false, func(_ *shareResult, a *shareArm) string {
		differing := 0
		for _, run := range a.Runs {
			differing = max(differing, run.Differing)
		}
		if differing > 0 {
			return fmt.Sprintf("%d DIFFER", differing)
		}
		return "equal"
	}},
}

func (p *program) shareTable(r *shareResult, wide bool) *table.Table {
	t := &table.Table{Width: p.global.width, Rows: make([][]string, len(r.Arms))}
	for _, c := range shareColumns {
		if c.wide && !wide {
			continue
		}
		t.Columns = append(t.Columns, table.Column{Head: c.head, Right: c.head != "ARM" && c.head != "MODELS"})
		for i := range r.Arms {
			t.Rows[i] = append(t.Rows[i], c.text(r, &r.Arms[i]))
		}
	}
	return t
}

// secondsText writes a measured time with three digits: 0.123s, 1.23s, 123s.
func secondsText(s float64) string { return threeDigits(s) + "s" }

func timesText(x float64) string { return threeDigits(x) + "x" }

func threeDigits(v float64) string {
	switch a := math.Abs(v); {
	case a < 1:
		return strconv.FormatFloat(v, 'f', 3, 64)
	case a < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case a < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return humanize.Comma(int64(math.Round(v)))
}

func rateText(v float64) string {
	if v < 100 {
		return threeDigits(v)
	}
	return humanize.Comma(int64(math.Round(v)))
}

// rangeText writes a spread's ends; one round has none.
func rangeText(s spread, rounds int, text func(float64) string) string {
	if rounds < 2 {
		return ""
	}
	least := text(s.Min)
	return least[:len(least)-1] + "-" + text(s.Max) // the unit once
}

func (d shareDevice) text() string {
	return fmt.Sprintf("%s (%s, %s)", d.ID, firstOf(d.Name, d.Kind), counted(d.Lanes, "lane"))
}

func (m machine) text() string {
	out := fmt.Sprintf("%s, %s, %s", firstOf(m.CPU, "unknown processor"), counted(m.Cores, "core"),
		sizeText(m.MemoryBytes))
	if m.GPU != nil {
		out += fmt.Sprintf("; %s, %s", m.GPU.Name, sizeText(m.GPU.MemoryBytes))
		if m.GPU.Driver != "" {
			out += ", driver " + m.GPU.Driver
		}
	}
	if len(m.LoadAverage) > 0 {
		out += fmt.Sprintf("; load %.2f before", m.LoadAverage[0])
	}
	return table.Clean(out)
}

func versionText(v shareVersion) string {
	out := firstOf(v.Version, "(devel)")
	switch {
	case v.Commit == "":
		out += " (its commit is not recorded)"
	case v.Commit != v.Version:
		out += fmt.Sprintf(" (%.12s)", v.Commit)
	}
	return out + ", " + v.Go
}

// text says what the floor is made of, or why there is none.
func (f shareFloor) text() string {
	if f.Operations == nil {
		return "not known: " + f.Reason
	}
	ops := humanize.SIWithDigits(float64(*f.Operations), 1, "FLOP")
	if f.OperationsSeconds == nil {
		return fmt.Sprintf("not known: %s; the load has %s", f.Reason, ops)
	}
	out := fmt.Sprintf("%s in %s at %s/s (%s)", ops, secondsText(*f.OperationsSeconds),
		humanize.SIWithDigits(*f.OperationsRate, 1, "FLOP"), f.OperationsSource)
	if f.BytesSeconds != nil {
		out += fmt.Sprintf("; %s in %s where nothing stays on the chip", humanize.IBytes(uint64(max(*f.Bytes, 0))),
			secondsText(*f.BytesSeconds))
	}
	return out
}
