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
	var l Layout
	for _, row := range t.Rows {
		l.Measure(row)
	}
	out := t.Begin(w, &l)
	for _, row := range t.Rows {
		if err := out.Row(row); err != nil {
			return err
		}
	}
	return out.Flush()
}

// A Layout is what has to be known of all rows before the first is written. It is
// for tables of more rows than memory has room for: what makes the rows goes over
// them twice, once for [Layout.Measure] and once for [Rows.Row].
type Layout struct {
	widths []int
	rows   int
}

// Measure takes account of a row, in any order, and cleans its cells.
func (l *Layout) Measure(row []string) {
	if l.widths == nil {
		l.widths = make([]int, len(row))
	}
	l.rows++
	for i, cell := range row {
		cell = Clean(cell)
		row[i] = cell
		l.widths[i] = max(l.widths[i], Width(cell))
	}
}

// Rows writes the rows of a table whose layout is known.
type Rows struct {
	t      *Table
	widths []int // 0 for a column that is left out
	out    *bufio.Writer
}

// Begin writes the line of heads of a table whose rows come one by one; t's own
// are not looked at.
func (t *Table) Begin(w io.Writer, l *Layout) *Rows {
	r := &Rows{t: t, widths: make([]int, len(t.Columns)), out: bufio.NewWriterSize(w, 64<<10)}
	copy(r.widths, l.widths)
	heads := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		heads[i] = c.Head
		if r.widths[i] > 0 || l.rows == 0 {
			r.widths[i] = max(r.widths[i], Width(c.Head))
		}
	}
	t.fit(r.widths)
	_ = t.line(r.out, r.widths, heads, false) // the next one says it too
	return r
}

// Row writes a row, which was measured. Its error is the first of all that was
// written, as is Flush's.
func (r *Rows) Row(cells []string) error {
	for i, cell := range cells {
		cells[i] = Clean(cell)
	}
	return r.t.line(r.out, r.widths, cells, r.t.Colour)
}

// Flush writes what is left.
func (r *Rows) Flush() error { return r.out.Flush() }

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

func (t *Table) line(out *bufio.Writer, widths []int, cells []string, colour bool) error {
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
	return out.WriteByte('\n')
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
