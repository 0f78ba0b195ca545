package top

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"weft/client/table"
	"weft/daemon/api"
)

// column is one of the list of jobs, and an order to sort it by.
type column struct {
	key, head string
	width     int
	right     bool
	from      int // shown on terminals of so many columns
	order     func(a, b *job) int
	text      func(s *Screen, j *job) string // nil: drawn by jobLine itself
}

// The columns in order. Those without a text are drawn by Screen.jobLine.
var columns = []column{
	{key: "id", head: "ID", right: true, order: func(a, b *job) int { return cmp.Compare(a.ID, b.ID) }},
	{key: "name", head: "NAME", order: func(a, b *job) int { return strings.Compare(a.Name, b.Name) }},
	{key: "state", head: "STATE", width: 9, order: func(a, b *job) int {
		if a.State == api.Queued && b.State == api.Queued {
			return cmp.Compare(b.Priority, a.Priority)
		}
		return cmp.Compare(slices.Index(urgent, a.State), slices.Index(urgent, b.State))
	}},
	{key: "progress", head: "PROGRESS", width: 15, from: 60,
		order: func(a, b *job) int { return cmp.Compare(fraction(a.Progress), fraction(b.Progress)) }},
	{key: "left", head: "LEFT", width: 6, right: true, from: 60, order: func(a, b *job) int { return compareLast(a.left, b.left) },
		text: func(_ *Screen, j *job) string {
			if j.State != api.Running {
				return ""
			}
			if math.IsNaN(j.left) {
				return absent
			}
			return durationText(seconds(j.left))
		}},
	{key: "share", head: "SHARE", width: 5, right: true, from: 60,
		order: func(a, b *job) int { return cmp.Compare(shareOf(a), shareOf(b)) },
		text: func(_ *Screen, j *job) string {
			if j.State != api.Running {
				return ""
			}
			if v := shareOf(j); v >= 0 {
				return percentText(v)
			}
			return absent
		}},
	{key: "device", head: "DEVICE", width: 6, from: 100, order: func(a, b *job) int { return strings.Compare(a.Device, b.Device) },
		text: func(_ *Screen, j *job) string { return j.Device }},
	{key: "priority", head: "PRIO", width: 5, right: true, from: 100,
		order: func(a, b *job) int { return cmp.Compare(a.Priority, b.Priority) },
		text:  func(_ *Screen, j *job) string { return strconv.Itoa(j.Priority) }},
	{key: "owner", head: "OWNER", width: 8, from: 120, order: func(a, b *job) int { return strings.Compare(a.Owner, b.Owner) },
		text: func(_ *Screen, j *job) string { return j.Owner }},
	{key: "elapsed", head: "ELAPSED", width: 7, right: true, from: 110,
		order: func(a, b *job) int { return cmp.Compare(lasted(a), lasted(b)) },
		text: func(s *Screen, j *job) string {
			if d, ok := elapsed(j, s.now); ok {
				return durationText(d)
			}
			return ""
		}},
	{key: "rate", head: "STEP/S", width: 6, right: true, from: 130,
		order: func(a, b *job) int { return cmp.Compare(rateOf(a), rateOf(b)) },
		text: func(_ *Screen, j *job) string {
			if v := rateOf(j); v >= 0 {
				return countText(v)
			}
			return ""
		}},
	{key: "memory", head: "PEAK", width: 5, right: true, from: 150,
		order: func(a, b *job) int { return cmp.Compare(a.Usage.PeakMemoryBytes, b.Usage.PeakMemoryBytes) },
		text: func(_ *Screen, j *job) string {
			if j.Usage.PeakMemoryBytes == 0 {
				return ""
			}
			return sizeText(j.Usage.PeakMemoryBytes)
		}},
	{key: "labels", head: "LABELS", width: 20, from: 170,
		order: func(a, b *job) int { return strings.Compare(labelsText(a.Labels), labelsText(b.Labels)) },
		text:  func(_ *Screen, j *job) string { return labelsText(j.Labels) }},
	{key: "metric", head: "METRIC", order: func(a, b *job) int { return compareLast(metricOf(a), metricOf(b)) }},
}

// urgent orders states by what a reader wants to see first.
var urgent = []api.State{api.Running, api.Queued, api.Paused, api.Failed, api.Cancelled, api.Succeeded}

// columnBy returns the column with a key; the first for one that is none.
func columnBy(key string) *column {
	return &columns[max(slices.IndexFunc(columns, func(c column) bool { return c.key == key }), 0)]
}

// compareLast orders what is not known last.
func compareLast(a, b float64) int {
	if math.IsNaN(a) || math.IsNaN(b) {
		return -cmp.Compare(a, b) // NaN is the least to cmp
	}
	return cmp.Compare(a, b)
}

// shareOf is a running job's share of its device; below 0: not known.
func shareOf(j *job) float64 {
	if j.State != api.Running || !j.meter.known() || math.IsNaN(j.meter.share) {
		return -1
	}
	return j.meter.share
}

// rateOf is a running job's steps a second; below 0: not known.
func rateOf(j *job) float64 {
	if j.State != api.Running || !j.meter.known() {
		return -1
	}
	return j.meter.steps
}

// lasted is how long a job has run; those that run compare by their start.
func lasted(j *job) time.Duration {
	d, _ := elapsed(j, time.Unix(1<<33, 0))
	return d
}

func metricOf(j *job) float64 {
	if name := headline(j.Metrics); name != "" {
		return j.Metrics[name]
	}
	return unknown
}

func labelsText(labels map[string]string) string {
	all := make([]string, 0, len(labels))
	for k, v := range labels {
		all = append(all, k+"="+v)
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

// placed is a column of this frame.
type placed struct {
	*column
	width int // 0: what is left of the line
}

const (
	markWidth    = 2 // the cursor and a mark
	leastName    = 8
	barWidth     = 10
	sparkWidth   = 16
	leastSpark   = 8
	leastForNote = 14
)

// place chooses the columns for the width; jobs are those in view.
func (s *Screen) place(jobs []*job) []placed {
	id, name, named := 3, 4, false
	for _, j := range jobs {
		id = max(id, len(strconv.FormatInt(j.ID, 10)))
		name = max(name, table.Width(table.Clean(j.Name)))
		named = named || j.Name != ""
	}
	var out []placed
	for i := range columns {
		c := &columns[i]
		if s.width < c.from {
			continue
		}
		p := placed{column: c, width: c.width}
		switch c.key {
		case "id":
			p.width = id
		case "name":
			p.width = min(name, max(leastName, s.width/5))
		}
		out = append(out, p)
	}
	return out
}

// headLine is the heads of the columns, with the one that sorts marked.
func (s *Screen) headLine(cols []placed) string {
	l := newLine(s.look, s.width)
	l.space(markWidth)
	for i, c := range cols {
		head, style := c.head, dim
		if c.key == s.view.by {
			head, style = head+"▲", raised
			if s.view.down {
				head = c.head + "▼"
			}
		}
		if i > 0 {
			l.space(1)
		}
		if c.width == 0 {
			l.put(style, head)
			continue
		}
		if table.Width(head) > c.width {
			head = cut(head, c.width)
		}
		l.cell(style, head, c.width, c.right)
	}
	return l.String()
}

// jobLine is one job of the list.
func (s *Screen) jobLine(j *job, cols []placed) string {
	l := newLine(s.look, s.width)
	l.reverse = j.ID == s.cursor
	sign := " "
	if l.reverse {
		sign = ">"
	}
	if s.marks[j.ID] {
		sign += "*"
	}
	l.cell(accent, sign, markWidth, false)
	for i, c := range cols {
		if i > 0 {
			l.space(1)
		}
		switch {
		case c.key == "id":
			l.cell(plain, strconv.FormatInt(j.ID, 10), c.width, true)
		case c.key == "name":
			l.cell(plain, j.Name, c.width, false)
		case c.key == "state":
			l.cell(paintOf(j.State), string(j.State), c.width, false)
		case c.key == "progress" && words(j):
			// What there is to say takes the place of numbers that there are not.
			l.put(noteStyle(j), noteText(j))
			return l.String()
		case c.key == "progress":
			progressCell(l, j, c.width)
		case c.key == "metric":
			s.metricCell(l, j)
		default:
			l.cell(plain, c.text(s, j), c.width, c.right)
		}
	}
	return l.String()
}

// words reports whether a job is told in words: why it waits, or failed.
func words(j *job) bool {
	return j.State == api.Failed || j.State == api.Queued && fraction(j.Progress) == 0
}

func noteStyle(j *job) style {
	if j.State == api.Failed {
		return bad
	}
	return dim
}

func progressCell(l *line, j *job, width int) {
	part := fraction(j.Progress)
	if j.Progress.Steps <= 0 && j.Progress.Epochs <= 0 {
		l.space(width)
		return
	}
	l.cell(paintOf(j.State), bar(part, barWidth), barWidth, false)
	l.cell(plain, percentText(math.Floor(100*part)/100), width-barWidth, true)
}

// metricCell is the last of a line: the headline with its history, and what
// there is to say.
func (s *Screen) metricCell(l *line, j *job) {
	if name := headline(j.Metrics); name != "" {
		text := numberText(j.Metrics[name]) + " " + name
		width := leastSpark
		if l.room >= sparkWidth+1+len(text) {
			width = sparkWidth
		}
		if j.series != nil && len(j.series.values) > 1 && l.room >= width+1 {
			l.raw(accent, spark(j.series.values, width)).space(1)
		}
		l.put(plain, text)
	}
	if note := noteText(j); note != "" && l.room >= leastForNote {
		l.space(2).put(noteStyle(j), note)
	}
}
