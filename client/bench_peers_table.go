package client

import (
	"fmt"
	"strings"

	"weft/client/table"
)

// peerColumns are the columns of the peers' table.
var peerColumns = []struct {
	head string
	text func(r *shareResult, p *sharePeer) string
}{
	{"PEER", func(_ *shareResult, p *sharePeer) string { return p.Peer }},
	{"WALL", func(_ *shareResult, p *sharePeer) string { return secondsText(p.Wall.Median) }},
	{"MIN-MAX", func(_ *shareResult, p *sharePeer) string { return rangeText(*p.Wall, len(p.Runs), secondsText) }},
	{"STEPS/S", func(_ *shareResult, p *sharePeer) string { return rateText(p.StepsPerS.Median) }},
	{"SAMPLES/S", func(_ *shareResult, p *sharePeer) string { return rateText(p.SamplesPerS.Median) }},
	{"SPEEDUP", func(_ *shareResult, p *sharePeer) string { return timesText(p.Speedup.Median) }},
	{"FASTER", func(_ *shareResult, p *sharePeer) string { return timesText(p.FasterBy.Median) }},
	{"MIN-MAX", func(_ *shareResult, p *sharePeer) string { return rangeText(*p.FasterBy, len(p.Runs), timesText) }},
	{"LOSSES", func(r *shareResult, p *sharePeer) string {
		switch {
		case p.LossesApart == nil:
			return ""
		case *p.LossesApart > 0:
			return fmt.Sprintf("%d of %d APART", *p.LossesApart, len(r.Jobs))
		}
		return "agree"
	}},
	{"RUNTIME", func(_ *shareResult, p *sharePeer) string { return table.Clean(p.Runtime) }},
}

// peersText is the peers' table, how to read it, and who did not run.
func (p *program) peersText(r *shareResult) (string, error) {
	if len(r.Peers) == 0 {
		return "", nil
	}
	t := &table.Table{Width: p.global.width}
	for _, c := range peerColumns {
		t.Columns = append(t.Columns, table.Column{Head: c.head, Right: c.head != "PEER" && c.head != "LOSSES" && c.head != "RUNTIME"})
	}
	faster, compared := "", false
	for i := range r.Peers {
		peer := &r.Peers[i]
		if peer.Wall == nil {
			continue
		}
		row := make([]string, 0, len(peerColumns))
		for _, c := range peerColumns {
			row = append(row, c.text(r, peer))
		}
		t.Rows = append(t.Rows, row)
		faster, compared = peer.FasterArm, compared || peer.LossesApart != nil
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
