package top

import (
	"math"
	"strings"
)

// Charts take values from 0 to 1, or any with their own range; NaN is a value
// that is not known and leaves a gap.

// unknown is a value that is not known.
var unknown = math.NaN()

// bar fills a part of width cells, in eighths of a cell.
func bar(part float64, width int) string {
	if math.IsNaN(part) {
		return strings.Repeat("·", width)
	}
	eighths := int(math.Round(min(max(part, 0), 1) * float64(8*width)))
	full, rest := eighths/8, eighths%8
	out := strings.Repeat("█", full)
	if rest > 0 {
		out += string([]rune("▏▎▍▌▋▊▉")[rest-1])
		full++
	}
	return out + strings.Repeat("░", width-full)
}

// spark draws the last width values between their least and greatest.
func spark(values []float64, width int) string {
	values = values[max(len(values)-width, 0):]
	low, high := span(values)
	var b strings.Builder
	for range width - len(values) {
		b.WriteByte(' ')
	}
	for _, v := range values {
		level := 3.0 // a flat line
		if high > low {
			level = (v - low) / (high - low) * 7
		}
		if math.IsNaN(v) {
			b.WriteByte(' ')
			continue
		}
		b.WriteRune([]rune("▁▂▃▄▅▆▇█")[int(math.Round(level))])
	}
	return b.String()
}

// span is the least and greatest known value; NaN where none is known.
func span(values []float64) (low, high float64) {
	low, high = unknown, unknown
	for _, v := range values {
		if math.IsNaN(v) {
			continue
		}
		if math.IsNaN(low) || v < low {
			low = v
		}
		if math.IsNaN(high) || v > high {
			high = v
		}
	}
	return low, high
}

// Dots of a braille cell by column and row, from the top.
var dots = [2][4]rune{{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}}

// grid is a raster of 2 by 4 dots a cell.
type grid struct {
	width, height int // cells
	cells         []rune
}

func newGrid(width, height int) *grid {
	return &grid{width: width, height: height, cells: make([]rune, width*height)}
}

// set sets the dot in column x from the left and row y from the top.
func (g *grid) set(x, y int) {
	if x >= 0 && x < 2*g.width && y >= 0 && y < 4*g.height {
		g.cells[y/4*g.width+x/2] |= dots[x%2][y%4]
	}
}

// lines returns the rows; a cell without dots is a space.
func (g *grid) lines() []string {
	out := make([]string, g.height)
	for y := range out {
		var b strings.Builder
		for _, c := range g.cells[y*g.width : (y+1)*g.width] {
			if c == 0 {
				b.WriteByte(' ')
				continue
			}
			b.WriteRune(0x2800 + c)
		}
		out[y] = b.String()
	}
	return out
}

// area fills below the last values, two a cell, the newest at the right.
// Every known value shows, 0 as a line along the bottom.
func area(values []float64, width, height int, most float64) []string {
	g := newGrid(width, height)
	values = values[max(len(values)-2*width, 0):]
	first := 2*width - len(values)
	for i, v := range values {
		if math.IsNaN(v) {
			continue
		}
		part := 0.0
		if most > 0 {
			part = min(max(v/most, 0), 1)
		}
		top := 4*height - max(1, int(math.Round(part*float64(4*height))))
		for y := top; y < 4*height; y++ {
			g.set(first+i, y)
		}
	}
	return g.lines()
}

// curve joins all values by a line over the whole width, between low and high.
func curve(values []float64, width, height int, low, high float64) []string {
	g := newGrid(width, height)
	last := -1
	for x := range 2 * width {
		v := unknown
		if len(values) > 0 {
			v = values[x*max(len(values)-1, 0)/max(2*width-1, 1)]
		}
		if math.IsNaN(v) {
			last = -1
			continue
		}
		part := 0.5
		if high > low {
			part = (v - low) / (high - low)
		}
		y := int(math.Round((1 - part) * float64(4*height-1)))
		from := y
		if last >= 0 {
			from = last
		}
		for step := min(from, y); step <= max(from, y); step++ {
			g.set(x, step)
		}
		last = y
	}
	return g.lines()
}
