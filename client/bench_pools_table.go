package client

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	poolbench "weft/bench/pools"
	"weft/client/table"
)

// tellPooled writes what pools measured, and fails where answers differ.
func (p *program) tellPooled(r *poolsResult, o poolsOptions) error {
	if o.save != "" {
		if err := saveFile(o.save, o.force, func(w io.Writer) error { return encodeJSON(w, r) }); err != nil {
			return err
		}
	}
	if o.report != "" {
		if err := saveFile(o.report, o.force, func(w io.Writer) error { return p.writePoolsReport(w, r) }); err != nil {
			return err
		}
	}
	if p.global.output == outJSON {
		if err := encodeJSON(p.stdout, r); err != nil {
			return err
		}
	} else if err := p.tellPools(r, o); err != nil {
		return err
	}
	if r.Equal {
		return nil
	}
	var differ []string
	for i := range r.Cases {
		if c := &r.Cases[i]; c.Skipped == "" && !c.Equal {
			differ = append(differ, c.Case+" ("+strings.Join(c.differing(), ", ")+")")
		}
	}
	return &exitError{code: exitFailed, message: "answers differ: " + strings.Join(differ, "; "),
		hint: "this should never be; --save keeps the digests for a report"}
}

// differing are those whose answers are not the reference's.
func (c *poolsCase) differing() []string {
	var names []string
	for i := range c.Arms {
		if !c.Arms[i].Equal {
			names = append(names, c.Arms[i].Arm)
		}
	}
	for i := range c.Peers {
		if e := c.Peers[i].Equal; e != nil && !*e {
			names = append(names, c.Peers[i].Peer)
		}
	}
	return names
}

func (p *program) tellPools(r *poolsResult, o poolsOptions) error {
	var b strings.Builder
	for i := range r.Cases {
		c := &r.Cases[i]
		fmt.Fprintf(&b, "%s\n\n", p.heading(c.heading(r.Rounds)))
		if c.Skipped != "" {
			fmt.Fprintf(&b, "skipped: %s\n\n", c.Skipped)
			continue
		}
		if err := p.poolsTable(c, r.Rounds, p.global.output == outWide).Write(&b); err != nil {
			return err
		}
		b.WriteByte('\n')
		for _, l := range c.notes() {
			fmt.Fprintf(&b, "%-9s %s\n", l.Name, table.Clean(l.Text))
		}
		b.WriteByte('\n')
	}
	if len(r.Against) > 0 {
		fmt.Fprintf(&b, "%s\n\n", p.heading("against figures to beat"))
		if err := p.againstTable(r).Write(&b); err != nil {
			return err
		}
		b.WriteByte('\n')
	}
	for _, l := range r.footer() {
		fmt.Fprintf(&b, "%-9s %s\n", l.Name, l.Text)
	}
	if o.save != "" {
		fmt.Fprintf(&b, "%-9s %s\n", "saved", o.save)
	}
	if o.report != "" {
		fmt.Fprintf(&b, "%-9s %s\n", "report", o.report)
	}
	_, err := io.WriteString(p.stdout, b.String())
	return err
}

// heading says what was measured, in a line.
func (c *poolsCase) heading(rounds int) string {
	items := humanize.Comma(int64(c.Items)) + " items"
	if c.Size > 0 {
		items = humanize.Comma(int64(c.Items)) + " x " + byteText(float64(c.Size))
	}
	return fmt.Sprintf("%s: %s, %s, %s", c.Case, c.About, items, counted(rounds, "round"))
}

// byteText writes bytes by powers of ten: 1 MB, 4.1 kB.
func byteText(v float64) string {
	return humanize.Bytes(uint64(max(v, 0)))
}

// tookText writes a measured time in the unit that suits it: 54.1us, 3.20ms, 0.610s.
func tookText(s float64) string {
	switch {
	case s < 1e-3:
		return threeDigits(s*1e6) + "us"
	case s < 0.1:
		return threeDigits(s*1e3) + "ms"
	}
	return secondsText(s)
}

// ratioText writes a speedup; one of less than a hundredth with its exponent.
func ratioText(x float64) string {
	if x > 0 && x < 0.01 {
		return strconv.FormatFloat(x, 'g', 2, 64) + "x"
	}
	return timesText(x)
}

// eachText writes the time of one item.
func eachText(s float64) string {
	if s < 1e-6 {
		return threeDigits(s*1e9) + "ns"
	}
	return tookText(s)
}

// poolsRow is a line of a case's table.
type poolsRow struct {
	name    string
	peer    bool
	workers int
	answers string
	f       *poolsFigures
	e       *float64
}

func (c *poolsCase) rows() []poolsRow {
	var rows []poolsRow
	word := func(equal bool) string {
		if equal {
			return "equal"
		}
		return "DIFFER"
	}
	for i := range c.Arms {
		a := &c.Arms[i]
		name := string(a.Pool)
		if a.Variant != "" {
			name += " (" + a.Variant + ")"
		}
		row := poolsRow{name: name, workers: a.Workers, answers: word(a.Equal), f: &a.poolsFigures, e: a.Efficiency}
		if c.Case == poolbench.Handoff {
			row.answers = ""
		}
		rows = append(rows, row)
	}
	for i := range c.Peers {
		p := &c.Peers[i]
		if len(p.Runs) == 0 {
			continue
		}
		row := poolsRow{name: p.Peer, peer: true, workers: p.Workers, f: &p.poolsFigures}
		if p.Equal != nil && c.Case != poolbench.Handoff {
			row.answers = word(*p.Equal)
		}
		rows = append(rows, row)
	}
	return rows
}

// poolsColumn is one column of a case's table.
type poolsColumn struct {
	head string
	wide bool // shown by -o wide only
	text func(c *poolsCase, rounds int, r *poolsRow) string
}

var poolsColumns = []poolsColumn{
	{"POOL", false, func(_ *poolsCase, _ int, r *poolsRow) string { return r.name }},
	{"WORKERS", false, func(_ *poolsCase, _ int, r *poolsRow) string { return strconv.Itoa(r.workers) }},
	{"WALL", false, func(_ *poolsCase, _ int, r *poolsRow) string { return tookText(r.f.Wall.Median) }},
	{"MIN-MAX", false, func(_ *poolsCase, rounds int, r *poolsRow) string { return endsText(*r.f.Wall, rounds, tookText) }},
	{"EACH", false, func(c *poolsCase, _ int, r *poolsRow) string { return eachText(r.f.Wall.Median / float64(c.Items)) }},
	{"ITEMS/S", false, func(_ *poolsCase, _ int, r *poolsRow) string { return rateText(r.f.ItemsPS.Median) }},
	{"BYTES/S", false, func(_ *poolsCase, _ int, r *poolsRow) string {
		if r.f.BytesPS == nil {
			return ""
		}
		return byteText(r.f.BytesPS.Median)
	}},
	{"SPEEDUP", false, func(_ *poolsCase, _ int, r *poolsRow) string { return ratioText(r.f.Speedup.Median) }},
	{"MIN-MAX", true, func(_ *poolsCase, rounds int, r *poolsRow) string { return endsText(*r.f.Speedup, rounds, ratioText) }},
	{"EFFICIENCY", false, func(_ *poolsCase, _ int, r *poolsRow) string {
		if r.e == nil {
			return ""
		}
		return fmt.Sprintf("%.0f%%", 100**r.e)
	}},
	{"CPU", false, func(_ *poolsCase, _ int, r *poolsRow) string { return tookText(r.f.CPU.Median) }},
	{"MEMORY", false, func(_ *poolsCase, _ int, r *poolsRow) string { return byteText(r.f.Peak.Max) }},
	{"CHUNK", true, func(_ *poolsCase, _ int, r *poolsRow) string {
		if n := r.f.Runs[len(r.f.Runs)-1].Chunk; n > 0 {
			return strconv.Itoa(n)
		}
		return ""
	}},
	{"REFUSED", false, func(c *poolsCase, _ int, r *poolsRow) string {
		if c.Case != poolbench.FetchLimited {
			return ""
		}
		return humanize.Comma(r.f.Refused)
	}},
	{"ANSWERS", false, func(_ *poolsCase, _ int, r *poolsRow) string { return r.answers }},
}

// endsText writes a spread's ends, whose units may differ; one round has none.
func endsText(s spread, rounds int, text func(float64) string) string {
	if rounds < 2 {
		return ""
	}
	return text(s.Min) + "-" + text(s.Max)
}

func (p *program) poolsTable(c *poolsCase, rounds int, wide bool) *table.Table {
	rows := c.rows()
	t := &table.Table{Width: p.global.width, Rows: make([][]string, len(rows))}
	for _, col := range poolsColumns {
		if col.wide && !wide {
			continue
		}
		t.Columns = append(t.Columns, table.Column{Head: col.head, Right: col.head != "POOL" && col.head != "ANSWERS"})
		for i := range rows {
			t.Rows[i] = append(t.Rows[i], col.text(c, rounds, &rows[i]))
		}
	}
	return t
}

// notes are the lines below a case's table.
func (c *poolsCase) notes() []footLine {
	out := []footLine{{"speedup", "against " + c.Baseline}}
	if c.Making != nil {
		wall := c.baseline().Wall.Median
		out = append(out, footLine{"making", fmt.Sprintf("the items themselves take %s on one core, %.0f%% of %s's time; it is in every clock",
			tookText(c.Making.Median), 100*c.Making.Median/wall, c.Baseline)})
	}
	if c.Ideal > 0 {
		out = append(out, footLine{"ideal", fmt.Sprintf("%s, by the server's limit", tookText(c.Ideal))})
	}
	for i := range c.Peers {
		switch p := &c.Peers[i]; {
		case p.Skipped != "":
			out = append(out, footLine{"skipped", p.Peer + ": " + p.Skipped})
		case p.Failed != "":
			out = append(out, footLine{"failed", p.Peer + ", after " + counted(len(p.Runs), "run") + ": " + p.Failed})
		}
	}
	return out
}

// footer is what is said once, at the end.
func (r *poolsResult) footer() []footLine {
	how := "the median of the rounds' ratios"
	if r.Rounds == 1 {
		how = "the ratio of one round"
	}
	word := "all equal, byte for byte, in every run"
	if !r.Equal {
		word = "DIFFER"
	}
	out := []footLine{{"speedup", how + "; efficiency is it by workers"},
		{"memory", "of all of a contestant's processes together, at its highest"},
		{"answers", word}, {"machine", r.Machine.text()},
		{"weft", versionText(r.Weft) + ", " + r.Date.Format("2006-01-02 15:04 MST")}}
	seen := map[string]bool{}
	var runtimes []string
	for i := range r.Cases {
		for k := range r.Cases[i].Peers {
			p := &r.Cases[i].Peers[k]
			if p.Runtime != "" && !seen[p.Runtime] {
				seen[p.Runtime] = true
				runtimes = append(runtimes, p.Runtime)
			}
		}
	}
	if len(runtimes) > 0 {
		out = append(out, footLine{"peers", table.Clean(strings.Join(runtimes, "; "))})
	}
	if r.Quick {
		out = append(out, footLine{"note", "--quick: few items and one round, for a look and not for comparison"})
	}
	return out
}

// againstTable holds what is wanted beside what was measured.
func (p *program) againstTable(r *poolsResult) *table.Table {
	t := &table.Table{Width: p.global.width, Columns: []table.Column{{Head: "CASE"}, {Head: "FIGURE"}, {Head: "MEASURED", Right: true},
		{Head: "MIN-MAX", Right: true}, {Head: "WANTED"}, {Head: "MET"}, {Head: "OF", Flexible: true}, {Head: "BY", Flexible: true}}}
	for i := range r.Against {
		a := &r.Against[i]
		met := "yes"
		if !a.Met {
			met = "NO"
		}
		t.Rows = append(t.Rows, []string{a.Case, a.What, a.valueText(a.Value.Median), endsText(a.Value, r.Rounds, a.valueText),
			a.wantedText(), met, a.Of, a.By})
	}
	return t
}
