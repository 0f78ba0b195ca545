package client

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"strings"

	"weft/client/table"
)

// writePoolsReport writes one page with everything in it.
func (p *program) writePoolsReport(w io.Writer, r *poolsResult) error {
	page := reportPage{Title: "weft bench pools on " + firstOf(r.Machine.CPU, "this machine"),
		About: []footLine{{"machine", r.Machine.text()}, {"kernel", firstOf(r.Machine.Kernel, "not known")}}, Pools: true}
	page.About = append(page.About, r.footer()...)
	if cases, _ := latestCases([]*poolsResult{r}); len(cases) > 0 {
		var svg bytes.Buffer
		if err := drawPools(&svg, "svg", []*poolsResult{r}); err != nil {
			return err
		}
		page.Plot = inlineSVG(svg.String())
		page.PlotSay = "Speedup over workers. " + r.speedupsText()
	}
	if len(r.Against) > 0 {
		page.Results = append(page.Results, reportResult{Heading: "Against figures to beat",
			Tables: []reportTable{asReport("Figures", p.againstTable(r))}})
	}
	for i := range r.Cases {
		c := &r.Cases[i]
		one := reportResult{Heading: c.heading(r.Rounds)}
		if c.Skipped != "" {
			one.Notes = []footLine{{"skipped", c.Skipped}}
		} else {
			one.Tables = []reportTable{asReport("Pools and peers", p.poolsTable(c, r.Rounds, true))}
			one.Notes = c.notes()
		}
		page.Results = append(page.Results, one)
	}
	if err := reportTemplate.Execute(w, page); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// asReport is a table for the page, without the columns that have nothing in them.
func asReport(caption string, t *table.Table) reportTable {
	one := reportTable{Caption: caption, Rows: make([][]string, len(t.Rows))}
	for i, c := range t.Columns {
		empty := true
		for _, row := range t.Rows {
			empty = empty && row[i] == ""
		}
		if empty {
			continue
		}
		one.Heads = append(one.Heads, c.Head)
		for k, row := range t.Rows {
			one.Rows[k] = append(one.Rows[k], row[i])
		}
	}
	return one
}

// inlineSVG is a drawing that was made here, without what comes before a file's root.
func inlineSVG(drawing string) template.HTML {
	if at := strings.Index(drawing, "<svg"); at >= 0 {
		drawing = drawing[at:]
	}
	return template.HTML(drawing) // #nosec G203 -- gonum escapes its texts
}
