package table

import (
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestWrite(t *testing.T) {
	columns := []Column{{Head: "ID", Right: true}, {Head: "NAME", Flexible: true}, {Head: "STATE",
		Paint: func(s string) string { return "<" + s + ">" }},
		{Head: "EMPTY"}, {Head: "REASON", Flexible: true}}
	for name, tc := range map[string]struct {
		rows   [][]string
		width  int
		colour bool
		want   string
	}{
		"no rows": {nil, 0, false, "ID  NAME  STATE  EMPTY  REASON\n"},
		"aligned": {[][]string{{"1", "a", "queued", "", "waits"}, {"10", "long name", "ok", "", ""}}, 0, false,
			"ID  NAME       STATE   REASON\n 1  a          queued  waits\n10  long name  ok\n"},
		"painted": {[][]string{{"1", "a", "ok", "", "r"}}, 0, true, "ID  NAME  STATE  REASON\n 1  a     <ok>     r\n"},
		"wide runes": {[][]string{{"1", "日本", "x", "", ""}, {"2", "abcde", "y", "", ""}}, 0, false,
			"ID  NAME   STATE\n 1  日本   x\n 2  abcde  y\n"},
		"cut from the right": {[][]string{{"1", "a-rather-long-name", "ok", "", "a rather long reason"}}, 44, false,
			"ID  NAME                STATE  REASON\n 1  a-rather-long-name  ok     a rather lon…\n"},
		"cut both": {[][]string{{"1", "a-rather-long-name", "ok", "", "a rather long reason"}}, 30, false,
			"ID  NAME        STATE  REASON\n 1  a-rather-…  ok     a rather …\n"},
		"hostile": {[][]string{{"1", "\x1b[2Jx\ny", "\u202eok", "", "a\xffb"}}, 0, false,
			"ID  NAME     STATE  REASON\n 1  ?[2Jx y  ?ok    a?b\n"},
	} {
		var b strings.Builder
		tab := Table{Columns: columns, Rows: tc.rows, Width: tc.width, Colour: tc.colour}
		if err := tab.Write(&b); err != nil || b.String() != tc.want {
			t.Errorf("%s: %v\n got %q\nwant %q", name, err, b.String(), tc.want)
		}
	}
}

// Whatever is in the cells, no control character is written and every line of
// a table that can be narrowed enough is as narrow as asked.
func TestWriteIsSafeAndFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.SliceOfN(rapid.String(), 2, 2), 1, 5).Draw(t, "rows")
		width := rapid.IntRange(2*leastFlexed+gap, 60).Draw(t, "width")
		tab := Table{Columns: []Column{{Head: "A", Flexible: true}, {Head: "B", Flexible: true}}, Rows: rows,
			Width: width}
		var b strings.Builder
		if err := tab.Write(&b); err != nil {
			t.Fatal(err)
		}
		out := b.String()
		if !utf8.ValidString(out) || strings.Count(out, "\n") != len(rows)+1 {
			t.Fatalf("%q", out)
		}
		for line := range strings.Lines(out) {
			line = strings.TrimSuffix(line, "\n")
			if Width(line) > width || Clean(line) != line {
				t.Fatalf("%q is %d wide, asked for %d", line, Width(line), width)
			}
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	row := []string{"1234", "digits-mlp/lr=0.001,seed=2", "train", "running", "cpu", "12/20",
		"val_accuracy 0.9712", "1m02s", "root", "behind 12 jobs"}
	columns := make([]Column, len(row))
	for i := range columns {
		columns[i].Head = "COLUMN"
	}
	rows := make([][]string, 10_000)
	for i := range rows {
		rows[i] = row
	}
	tab := Table{Columns: columns, Rows: rows}
	b.ReportAllocs()
	for b.Loop() {
		if err := tab.Write(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/row")
}
