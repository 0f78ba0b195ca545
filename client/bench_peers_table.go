package client

import (
	"fmt"
	"slices"
	"strings"

	"weft/client/table"
)

// peerColumn is one column of the peers' table.
type peerColumn struct {
	head string
	wide bool // shown by -o wide and the report only
	text func(r *shareResult, p *sharePeer) string
}

// peerColumns are the columns of the peers' table.
var peerColumns = []peerColumn{
	{"PEER", false, func(_ *shareResult, p *sharePeer) string { return p.Peer }},
	{"WALL", false, func(_ *shareResult, p *sharePeer) string { return secondsText(p.Wall.Median) }},
	{"MIN-MAX", false, func(_ *shareResult, p *sharePeer) string { return rangeText(*p.Wall, len(p.Runs), secondsText) }},
	{"STEPS/S", false, func(_ *shareResult, p *sharePeer) string { return rateText(p.StepsPerS.Median) }},
	{"SAMPLES/S", false, func(_ *shareResult, p *sharePeer) string { return rateText(p.SamplesPerS.Median) }},
	{"SPEEDUP", false, func(_ *shareResult, p *sharePeer) string { return timesText(p.Speedup.Median) }},
	{"FASTER", false, func(_ *shareResult, p *sharePeer) string { return timesText(p.FasterBy.Median) }},
	{"MIN-MAX", false, func(_ *shareResult, p *sharePeer) string { return rangeText(*p.FasterBy, len(p.Runs), timesText) }},
	{"UTIL", false, func(_ *shareResult, p *sharePeer) string { return p.utilizationText() }},
	{"ENERGY", false, func(_ *shareResult, p *sharePeer) string { return p.energyText(1) }},
	{"J/MODEL", true, func(r *shareResult, p *sharePeer) string { return p.energyText(float64(len(r.Jobs))) }},
	{"J/1K STEPS", true, func(_ *shareResult, p *sharePeer) string { return p.energyText(float64(p.Runs[0].Steps) / 1000) }},
	{"LOSSES", false, func(r *shareResult, p *sharePeer) string {
		switch {
		case p.LossesApart == nil:
			return ""
		case *p.LossesApart > 0:
			return fmt.Sprintf("%d of %d APART", *p.LossesApart, len(r.Jobs))
		}
		return "agree"
	}},
	{"RUNTIME", false, func(_ *shareResult, p *sharePeer) string { return table.Clean(p.Runtime) }},
}

// peersText is the peers' table, how to read it, and who did not run.
func (p *program) peersText(r *shareResult) (string, error) {
	if len(r.Peers) == 0 {
		return "", nil
	}
	t := p.peersTable(r, p.global.output == outWide)
	faster, compared := "", false
	for i := range r.Peers {
		if peer := &r.Peers[i]; peer.Wall != nil {
			faster, compared = peer.FasterArm, compared || peer.LossesApart != nil
		}
	}
	var b strings.Builder
	if len(t.Rows) > 0 {
		if err := t.Write(&b); err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "\nfaster    a peer's wall over that of %s, in the same round; speedup is against %s as above\n", faster,
			r.Baseline)
		if compared {
			fmt.Fprintf(&b, "losses    final validation losses within %.0f %% of weft's, or %g where they are small\n",
				100*lossBand, lossLeast)
		}
	}
	for i := range r.Peers {
		switch peer := &r.Peers[i]; {
		case peer.Skipped != "":
			fmt.Fprintf(&b, "skipped   %s: %s\n", peer.Peer, table.Clean(peer.Skipped))
		case peer.Failed != "":
			fmt.Fprintf(&b, "failed    %s, after %s: %s\n", peer.Peer, counted(len(peer.Runs), "run"), table.Clean(peer.Failed))
		}
	}
	return b.String(), nil
}

// peersTable has a row for each peer that ran.
func (p *program) peersTable(r *shareResult, wide bool) *table.Table {
	t := &table.Table{Width: p.global.width}
	columns := slices.DeleteFunc(slices.Clone(peerColumns), func(c peerColumn) bool { return c.wide && !wide })
	for _, c := range columns {
		t.Columns = append(t.Columns, table.Column{Head: c.head,
			Right: c.head != "PEER" && c.head != "LOSSES" && c.head != "RUNTIME"})
	}
	for i := range r.Peers {
		if r.Peers[i].Wall == nil {
			continue
		}
		row := make([]string, 0, len(columns))
		for _, c := range columns {
			row = append(row, c.text(r, &r.Peers[i]))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
