// Package table writes aligned columns, fast enough for ten thousand rows, and
// safe for text that came from other people: control characters never reach
// the terminal. It imports only a width function. Start at [Table].
package table

import (
	"bufio"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"charm.land/lipgloss/v2"
)

// Column describes one column.
type Column struct {
	Head  string
	Right bool // aligned right
	// Flexible columns are cut, the last first, where the table is wider
	// than the terminal.
	Flexible bool
	// Paint colours a value; nil: never.
	Paint func(value string) string
}

// Table is rows under columns. A column with nothing in it is left out.
type Table struct {
	Columns []Column
	Rows    [][]string // each as long as Columns
	Width   int        // of the terminal; 0: unlimited
	Colour  bool
}

const (
	gap         = 2 // spaces between columns
	leastFlexed = 10
)

// Write writes the table, with a line of heads, in one buffered go.
func (t *Table) Write(w io.Writer) error {
	widths := t.measure()
	t.fit(widths)
	out := bufio.NewWriterSize(w, 64<<10)
	heads := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		heads[i] = c.Head
	}
	t.line(out, widths, heads, false)
	for _, row := range t.Rows {
		t.line(out, widths, row, t.Colour)
	}
	return out.Flush()
}

// measure cleans every cell and returns the columns' widths; 0 for a column
// that is left out.
func (t *Table) measure() []int {
	widths := make([]int, len(t.Columns))
	for _, row := range t.Rows {
		for i, cell := range row {
			cell = Clean(cell)
			row[i] = cell
			widths[i] = max(widths[i], Width(cell))
		}
	}
	for i, c := range t.Columns {
		if widths[i] > 0 || len(t.Rows) == 0 {
			widths[i] = max(widths[i], Width(c.Head))
		}
	}
	return widths
}

// fit narrows flexible columns, from the right, until the table fits.
func (t *Table) fit(widths []int) {
	if t.Width <= 0 {
		return
	}
	total := -gap
	for _, w := range widths {
		if w > 0 {
			total += w + gap
		}
	}
	for i := len(widths) - 1; i >= 0 && total > t.Width; i-- {
		if t.Columns[i].Flexible && widths[i] > leastFlexed {
			less := min(total-t.Width, widths[i]-leastFlexed)
			widths[i] -= less
			total -= less
		}
	}
}

func (t *Table) line(out *bufio.Writer, widths []int, cells []string, colour bool) {
	pending := 0 // spaces owed; never written at a line's end
	first := true
	for i, cell := range cells {
		if widths[i] == 0 {
			continue
		}
		if !first {
			pending += gap
		}
		first = false
		cell = Cut(cell, widths[i])
		pad := widths[i] - Width(cell)
		if t.Columns[i].Right {
			pending += pad
			pad = 0
		}
		if cell != "" {
			spaces(out, pending)
			pending = 0
			if paint := t.Columns[i].Paint; colour && paint != nil {
				cell = paint(cell)
			}
			out.WriteString(cell)
		}
		pending += pad
	}
	out.WriteByte('\n')
}

const blank = "                                                                "

func spaces(out *bufio.Writer, n int) {
	for n > 0 {
		k := min(n, len(blank))
		out.WriteString(blank[:k])
		n -= k
	}
}

// Width returns the terminal cells of s.
func Width(s string) int {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return lipgloss.Width(s)
		}
	}
	return len(s)
}

// Cut shortens s to n cells, the last of which is an ellipsis then.
func Cut(s string, n int) string {
	if n <= 0 {
		return ""
	}
	if Width(s) <= n {
		return s
	}
	var b strings.Builder
	used := 0
	for _, r := range s {
		w := Width(string(r))
		if used+w > n-1 {
			break
		}
		b.WriteRune(r)
		used += w
	}
	b.WriteRune('…')
	return b.String()
}

// Clean replaces what would move a terminal's cursor or change its colours:
// control characters, invalid bytes, and marks that reverse text. Tabs and
// line ends become spaces.
func Clean(s string) string {
	ok := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			ok = false
			break
		}
	}
	if ok {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' {
			return ' '
		}
		if unicode.IsControl(r) || r == utf8.RuneError || unicode.Is(unicode.Bidi_Control, r) {
			return '?'
		}
		return r
	}, s)
}
