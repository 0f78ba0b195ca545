package client

import (
	"fmt"
	"strconv"
	"strings"

	"weft/client/table"
)

// tellDemo writes the demo's table and what it means.
func (p *program) tellDemo(r *demoResult) error {
	t := &table.Table{Width: p.global.width, Columns: []table.Column{{Head: "NAME", Flexible: true},
		{Head: "WIDTH", Right: true}, {Head: "LR", Right: true}, {Head: "VAL_ACCURACY", Right: true},
		{Head: "TOGETHER", Right: true}, {Head: "ALONE", Right: true}, {Head: "MODELS"}}}
	best := 0.0
	for _, j := range r.Jobs {
		models := "equal"
		if !j.Equal {
			models = "DIFFER"
		}
		best = max(best, j.ValAccuracy)
		t.Rows = append(t.Rows, []string{j.Name, strconv.Itoa(j.Width), strconv.FormatFloat(j.LR, 'g', -1, 64),
			numberText(j.ValAccuracy), durationText(seconds(j.TogetherSeconds)),
			durationText(seconds(j.AloneSeconds)), models})
	}
	var b strings.Builder
	b.WriteByte('\n')
	if err := t.Write(&b); err != nil {
		return err
	}
	fmt.Fprintf(&b, `
together            %s
one after another   %s
speedup             %s, together against one after another
best model          %.1f %% of the validation rows right
models              %d of %d equal, byte for byte, in both runs

Baseline: %s.
`, durationText(seconds(r.TogetherSeconds)), durationText(seconds(r.SequentialSeconds)),
		p.heading(fmt.Sprintf("%.2fx", r.Speedup)), 100*best, r.Equal, len(r.Jobs), r.Baseline)
	_, err := fmt.Fprint(p.stdout, b.String())
	return err
}
