package client

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"strings"

	"weft/client/table"
)

// reportPage is what the page of --report is filled with.
type reportPage struct {
	Title   string
	About   []footLine    // machine and versions
	Plot    template.HTML // SVG that drawShare made
	PlotSay string        // the plot in words
	Pools   bool          // of weft bench pools, which has other columns to explain
	Results []reportResult
}

type reportResult struct {
	Heading string
	Tables  []reportTable
	Notes   []footLine
	Losses  *reportTable // model by model; nil: no peer ran
	More    int          // models that it leaves out
}

type reportTable struct {
	Caption string
	Heads   []string
	Rows    [][]string
}

var reportTemplate = template.Must(template.New("report").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{{.Title}}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .93rem; font-variant-numeric: tabular-nums; margin: .8rem 0; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #555; font-weight: 600; }
tbody th { font-weight: 600; }
figure { margin: 1rem 0; } figcaption { color: #444; }
svg { max-width: 100%; height: auto; }
dl.about { display: grid; grid-template-columns: max-content auto; gap: .1rem 1rem; }
dt { font-weight: 600; } dd { margin: 0 0 .4rem 1.2rem; } dl.about dd { margin: 0; }
summary { cursor: pointer; }
@media print { body { margin: 0; max-width: none; } section { break-inside: avoid; } }
</style>
</head>
<body>
<main>
<h1>{{.Title}}</h1>
<dl class="about">{{range .About}}<dt>{{.Name}}</dt><dd>{{.Text}}</dd>{{end}}</dl>
{{if .Plot}}<figure role="img" aria-label="{{.PlotSay}}">{{.Plot}}</figure>{{end}}
{{define "table"}}<div class="scroll" tabindex="0" role="region" aria-label="{{.Caption}}"><table><caption>{{.Caption}}</caption>
<thead><tr>{{range .Heads}}<th scope="col">{{.}}</th>{{end}}</tr></thead>
<tbody>{{range .Rows}}<tr>{{range $i, $cell := .}}{{if $i}}<td>{{$cell}}</td>{{else}}<th scope="row">{{$cell}}</th>{{end}}{{end}}</tr>
{{end}}</tbody></table></div>{{end -}}
{{range .Results}}<section>
<h2>{{.Heading}}</h2>
{{range .Tables}}{{template "table" .}}
{{end}}<dl class="about">{{range .Notes}}<dt>{{.Name}}</dt><dd>{{.Text}}</dd>{{end}}</dl>
{{if .Losses}}<details><summary>Final validation losses, model by model</summary>
{{template "table" .Losses}}{{if .More}}<p>and {{.More}} more; the JSON that --save writes has all</p>{{end}}</details>
{{end}}</section>
{{end}}<h2>How to read this</h2>
<dl>
{{if .Pools}}<dt>Pools</dt><dd>sequential does one item after the other, goroutine has a goroutine for each worker, process a process,
and event that many items in flight. Every contestant has a process of its own; every round runs each once, in an order that rotates.</dd>
<dt>Wall</dt><dd>From the first item to the last answer, with workers started and warm: the median of the rounds, and their ends.</dd>
<dt>Speedup, efficiency</dt><dd>The baseline's wall time over the contestant's in the same round: the median of the rounds; and that
by workers.</dd>
<dt>CPU, memory</dt><dd>Processor time of all of a contestant's processes while the clock ran; their memory together (PSS), at its
highest.</dd>
<dt>Answers</dt><dd>equal: SHA-256 over all answers in order is the same in every run.</dd>
{{else}}<dt>Arms</dt><dd>sequential trains one model at a time, streams every model on a lane of its own, fused models in gangs;
auto is what weft does when it is not told. Every round runs each once, in an order that rotates.</dd>
<dt>Wall</dt><dd>From the moment all models may start to the last one's end; the median of the rounds, and their ends.</dd>
<dt>Speedup</dt><dd>The baseline's wall time over the arm's in the same round: the median of the rounds. Bars and whiskers in
the plot are the median and the rounds' ends.</dd>
<dt>Util, energy</dt><dd>What the device's sensors said from the clock's start to its end, as the median of the rounds: mean
utilization (of a GPU, the part of the time that a kernel ran; of the CPU, of all cores, whoever used them), and the energy
of the whole device, idle power included. J/MODEL and J/1K STEPS divide it by models, and by thousands of optimizer steps of
all models. A - is what is not known.</dd>
<dt>Floor</dt><dd>Wall over the time that the load's arithmetic alone would take at the rate named below.</dd>
<dt>Models</dt><dd>equal: every model file is the same, byte for byte, in every arm and round.</dd>
<dt>Peers</dt><dd>Programs in Python that train the same models on the same rows and batches, from the same initial
parameters, for as many steps, and validate as often; timed without imports, data loading, compilation and warm-up.
Losses agree when the final validation losses are within the band.</dd>
{{end}}</dl>
</main>
</body>
</html>
`))

// writeReport writes one page with everything in it.
func (p *program) writeReport(w io.Writer, results []*shareResult) error {
	var svg bytes.Buffer
	if err := drawShare(&svg, "svg", results); err != nil {
		return err
	}
	last := results[len(results)-1]
	page := reportPage{Title: fmt.Sprintf("weft bench share: %s on %s", shortAbout(last), firstOf(last.Device.Name, last.Device.ID)),
		Plot:  inlineSVG(svg.String()),
		About: aboutRun(last)}
	var says []string
	for _, r := range results {
		page.Results = append(page.Results, p.reportOf(r))
		says = append(says, fmt.Sprintf("%s: %s", counted(r.Load.Models, "model"), r.speedupsText()))
	}
	page.PlotSay = "Speedup over " + last.Baseline + ". " + strings.Join(says, "; ")
	if err := reportTemplate.Execute(w, page); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// aboutRun is where and by what a result was measured.
func aboutRun(r *shareResult) []footLine {
	out := []footLine{{"machine", r.Machine.text()}, {"kernel", firstOf(r.Machine.Kernel, "not known")},
		{"device", r.Device.text()}, {"weft", versionText(r.Weft)}, {"date", r.Date.Format("2006-01-02 15:04 MST")},
		{"load", r.Load.Name + ": " + r.Load.About}}
	var runtimes []string
	for i := range r.Peers {
		if text := r.Peers[i].Runtime; text != "" {
			runtimes = append(runtimes, r.Peers[i].Peer+" on "+table.Clean(text))
		}
	}
	if len(runtimes) > 0 {
		out = append(out, footLine{"peers", strings.Join(runtimes, "; ")})
	}
	return out
}

// reportOf is one result's part of the page.
func (p *program) reportOf(r *shareResult) reportResult {
	out := reportResult{Heading: p.shareHeading(r)}
	add := func(caption string, t *table.Table) {
		one := reportTable{Caption: caption, Rows: t.Rows}
		for _, c := range t.Columns {
			one.Heads = append(one.Heads, c.Head)
		}
		out.Tables = append(out.Tables, one)
	}
	add("Ways of sharing the device", p.shareTable(r, true))
	if t := p.peersTable(r, true); len(t.Rows) > 0 {
		add("Peers", t)
		out.Losses, out.More = r.lossesTable()
	}
	out.Notes = append(out.Notes, footLine{"models", r.modelsText()})
	for i := range r.Peers {
		switch peer := &r.Peers[i]; {
		case peer.Skipped != "":
			out.Notes = append(out.Notes, footLine{"skipped", peer.Peer + ": " + peer.Skipped})
		case peer.Failed != "":
			out.Notes = append(out.Notes, footLine{"failed", peer.Peer + ", after " + counted(len(peer.Runs), "run") + ": " + peer.Failed})
		}
	}
	out.Notes = append(out.Notes, footLine{"floor", r.Floor.text()})
	out.Notes = append(out.Notes, r.unknownText()...)
	if r.Load.Quick {
		out.Notes = append(out.Notes, footLine{"note", quickNote})
	}
	return out
}

// mostLossRows bounds the report's table of models.
const mostLossRows = 200

// lossesTable holds every model's final validation loss against the peers', by
// their first runs; nil where nothing was validated.
func (r *shareResult) lossesTable() (t *reportTable, more int) {
	t = &reportTable{Caption: "Final validation losses", Heads: []string{"MODEL", "WEFT"}}
	var ran []*sharePeer
	for i := range r.Peers {
		if p := &r.Peers[i]; len(p.Runs) > 0 {
			ran = append(ran, p)
			t.Heads = append(t.Heads, p.Peer)
		}
	}
	loss := func(v *float64) string {
		if v == nil {
			return noFigure
		}
		return fmt.Sprintf("%.6g", *v)
	}
	for i := range r.Jobs {
		if r.Jobs[i].ValLoss == nil {
			continue
		}
		if len(t.Rows) == mostLossRows {
			more++
			continue
		}
		row := []string{r.Jobs[i].Name, loss(r.Jobs[i].ValLoss)}
		for _, p := range ran {
			row = append(row, loss(p.Runs[0].Losses[i]))
		}
		t.Rows = append(t.Rows, row)
	}
	if len(t.Rows) == 0 {
		return nil, 0
	}
	return t, more
}
