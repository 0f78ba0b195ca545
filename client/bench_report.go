package client

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"strings"
)

// reportPage is what the page of --report is filled with.
type reportPage struct {
	Title   string
	Plot    template.HTML // SVG that drawShare made
	Results []reportResult
	Machine string
	Weft    string
}

type reportResult struct {
	Heading     string
	Heads, Lows []string // of arms, of peers
	Arms, Peers [][]string
	Notes       []string
}

var reportTemplate = template.Must(template.New("report").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{{.Title}}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .8rem 0; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th { border-bottom: 2px solid #555; font-weight: 600; }
svg { max-width: 100%; height: auto; }
dt { font-weight: 600; } dd { margin: 0 0 .4rem 1.2rem; }
@media print { body { margin: 0; max-width: none; } section { break-inside: avoid; } }
</style>
</head>
<body>
<h1>{{.Title}}</h1>
<p>{{.Machine}}<br/>{{.Weft}}</p>
<figure>{{.Plot}}</figure>
{{range .Results}}<section>
<h2>{{.Heading}}</h2>
<div class="scroll"><table><thead><tr>{{range .Heads}}<th>{{.}}</th>{{end}}</tr></thead>
<tbody>{{range .Arms}}<tr>{{range .}}<td>{{.}}</td>{{end}}</tr>{{end}}</tbody></table></div>
{{if .Peers}}<div class="scroll"><table><thead><tr>{{range .Lows}}<th>{{.}}</th>{{end}}</tr></thead>
<tbody>{{range .Peers}}<tr>{{range .}}<td>{{.}}</td>{{end}}</tr>{{end}}</tbody></table></div>{{end}}
<ul>{{range .Notes}}<li>{{.}}</li>{{end}}</ul>
</section>
{{end}}<h2>How to read this</h2>
<dl>
<dt>Arms</dt><dd>sequential trains one model at a time, streams every model on a lane of its own, fused models in gangs;
auto is what weft does when it is not told. Every round runs each once, in an order that rotates.</dd>
<dt>Wall</dt><dd>From the moment all models may start to the last one's end; the median of the rounds, and their ends.</dd>
<dt>Speedup</dt><dd>The baseline's wall time over the arm's in the same round: the median of the rounds. Bars and whiskers in
the plot are the median and the rounds' ends.</dd>
<dt>Floor</dt><dd>Wall over the time that the load's arithmetic alone would take at the rate named below.</dd>
<dt>Models</dt><dd>equal: every model file is the same, byte for byte, in every arm and round.</dd>
<dt>Peers</dt><dd>Programs in Python that train the same models on the same rows and batches, from the same initial
parameters, for as many steps, and validate as often; timed without imports, data loading, compilation and warm-up.
Losses agree when the final validation losses are within the band.</dd>
</dl>
</body>
</html>
`))

// writeReport writes one page with everything in it.
func (p *program) writeReport(w io.Writer, results []*shareResult) error {
	var svg bytes.Buffer
	if err := drawShare(&svg, "svg", results); err != nil {
		return err
	}
	drawing := svg.String()
	if at := strings.Index(drawing, "<svg"); at >= 0 { // without what comes before a file's root
		drawing = drawing[at:]
	}
	last := results[len(results)-1]
	page := reportPage{Title: fmt.Sprintf("weft bench share: %s on %s", shortAbout(last), firstOf(last.Device.Name, last.Device.ID)),
		Plot:    template.HTML(drawing), // #nosec G203 -- made above; gonum escapes its texts
		Machine: last.Machine.text(), Weft: "weft " + versionText(last.Weft) + ", " + last.Date.Format("2006-01-02 15:04 MST")}
	for _, r := range results {
		out := reportResult{Heading: p.shareHeading(r)}
		arms := p.shareTable(r)
		for _, c := range arms.Columns {
			out.Heads = append(out.Heads, c.Head)
		}
		out.Arms = arms.Rows
		for _, c := range peerColumns {
			out.Lows = append(out.Lows, c.head)
		}
		for i := range r.Peers {
			peer := &r.Peers[i]
			if peer.Skipped != "" {
				out.Notes = append(out.Notes, peer.Peer+" was skipped: "+peer.Skipped)
			}
			if peer.Failed != "" {
				out.Notes = append(out.Notes, peer.Peer+" failed: "+peer.Failed)
			}
			if peer.Wall == nil {
				continue
			}
			var row []string
			for _, c := range peerColumns {
				row = append(row, c.text(r, peer))
			}
			out.Peers = append(out.Peers, row)
		}
		out.Notes = append(out.Notes, "floor: "+r.Floor.text())
		if r.Load.Quick {
			out.Notes = append(out.Notes, "--quick: a shortened load, for a look and not for comparison")
		}
		page.Results = append(page.Results, out)
	}
	if err := reportTemplate.Execute(w, page); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
