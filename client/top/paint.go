package top

import (
	"strings"

	"weft/client/table"
)

// A style is how a piece of text looks; without colours all look the same.
type style uint8

const (
	plain style = iota
	dim
	bold
	accent
	good
	warn
	bad
	raised // the heads of columns
)

// codes are the SGR parameters of the styles.
var codes = [...]string{plain: "", dim: "90", bold: "1", accent: "36", good: "32", warn: "33", bad: "31", raised: "1;4"}

// look is how a whole frame is painted.
type look struct {
	colour bool
	grey   bool // nothing of it is news
}

func (k look) code(s style) string {
	switch {
	case !k.colour:
		return ""
	case k.grey:
		return codes[dim]
	}
	return codes[s]
}

// line builds one line that is never wider than it may be and holds no control
// characters but its own colours.
type line struct {
	b       strings.Builder
	look    look
	room    int  // cells left
	reverse bool // the line of the cursor
}

func newLine(k look, width int) *line { return &line{look: k, room: max(width, 0)} }

// put writes text from anywhere, cleaned, and cut where it does not fit.
func (l *line) put(s style, text string) *line {
	return l.raw(s, table.Clean(text))
}

// cut is table.Cut that also holds where a mark widens the rune before it.
func cut(text string, n int) string {
	for less := n; less > 0; less-- {
		if out := table.Cut(text, less); table.Width(out) <= n {
			return out
		}
	}
	return ""
}

// raw writes text that is clean.
func (l *line) raw(s style, text string) *line {
	if table.Width(text) > l.room {
		text = cut(text, l.room)
	}
	if text == "" {
		return l
	}
	l.room -= table.Width(text)
	code := l.look.code(s)
	if l.reverse && l.look.colour {
		code = strings.TrimSuffix("7;"+code, ";")
	}
	if code == "" {
		l.b.WriteString(text)
		return l
	}
	l.b.WriteString("\x1b[" + code + "m" + text + "\x1b[m")
	return l
}

const blanks = "                                                                                                    "

// space writes n cells of nothing, as far as there is room.
func (l *line) space(n int) *line {
	for n = min(n, l.room); n > 0; {
		k := min(n, len(blanks))
		l.raw(plain, blanks[:k])
		n -= k
	}
	return l
}

// cell writes text in exactly width cells, or what of them there is room for.
func (l *line) cell(s style, text string, width int, right bool) *line {
	width = min(width, l.room)
	text = cut(table.Clean(text), width)
	pad := width - table.Width(text)
	if right {
		l.space(pad)
		pad = 0
	}
	return l.raw(s, text).space(pad)
}

// offer writes text whole, after a gap, or not at all.
func (l *line) offer(s style, text string) bool {
	text = table.Clean(text)
	if table.Width(text)+2 > l.room {
		return false
	}
	l.space(2).raw(s, text)
	return true
}

// atEnd writes text at the line's right end, if it fits.
func (l *line) atEnd(s style, text string) *line {
	text = table.Clean(text)
	if w := table.Width(text); w < l.room {
		l.space(l.room-w).raw(s, text)
	}
	return l
}

// String returns the line; that of the cursor reaches over the whole width.
func (l *line) String() string {
	if l.reverse && l.look.colour {
		l.space(l.room)
	}
	if l.look.colour {
		return l.b.String()
	}
	return strings.TrimRight(l.b.String(), " ")
}
