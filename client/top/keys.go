package top

import (
	"strings"
	"unicode"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"weft/daemon/api"
)

// binding is what some keys do in the list, and where it makes sense to a
// followed job.
type binding struct {
	keys  []string
	shown string // in help
	does  string
	short string // on the last line; "": not there
	one   bool   // also while a job is followed
	do    func(s *Screen) tea.Cmd
}

// bindings are all keys of the list, in the order of help.
func bindings() []binding {
	move := func(by func(s *Screen) int) func(s *Screen) tea.Cmd {
		return func(s *Screen) tea.Cmd { s.point(s.at + by(s)); return s.wantSeries() }
	}
	const most = 1 << 30
	return []binding{
		{keys: []string{"up", "k"}, do: move(func(*Screen) int { return -1 })},
		{keys: []string{"down", "j"}, shown: "↑ ↓ k j", does: "move", do: move(func(*Screen) int { return 1 })},
		{keys: []string{"pgup", "ctrl+b"}, do: move(func(s *Screen) int { return -s.height / 2 })},
		{keys: []string{"pgdown", "ctrl+f"}, shown: "PgUp PgDn", does: "move by half a screen",
			do: move(func(s *Screen) int { return s.height / 2 })},
		{keys: []string{"home", "g"}, do: move(func(*Screen) int { return -most })},
		{keys: []string{"end", "G"}, shown: "Home End g G", does: "first and last job", do: move(func(s *Screen) int { return most - s.at })},
		{keys: []string{"enter", "f"}, shown: "Enter f", does: "follow the job; Esc comes back", short: "enter follow", do: (*Screen).follow},
		{keys: []string{"/"}, shown: "/", does: "filter by words; KEY=VALUE is a label, KEY= any value of it",
			short: "/ filter", do: (*Screen).beginFilter},
		{keys: []string{"tab"}, do: func(s *Screen) tea.Cmd { return s.cycleState(1) }},
		{keys: []string{"shift+tab"}, shown: "Tab Shift-Tab", does: "other states: active, running, queued, paused, failed, ended, all",
			short: "tab states", do: func(s *Screen) tea.Cmd { return s.cycleState(-1) }},
		{keys: []string{"<", ","}, do: func(s *Screen) tea.Cmd { return s.cycleSort(-1) }},
		{keys: []string{">", "."}, shown: "< >", does: "sort by the column to the left or right", short: "<> sort",
			do: func(s *Screen) tea.Cmd { return s.cycleSort(1) }},
		{keys: []string{"i"}, shown: "i", does: "sort the other way round", do: func(s *Screen) tea.Cmd {
			s.view.down, s.unsure = !s.view.down, true
			return nil
		}},
		{keys: []string{"space"}, shown: "Space", does: "mark the job; acts are for all that are marked", short: "space mark", do: (*Screen).mark},
		{keys: []string{"a"}, shown: "a", does: "mark all that are listed, or none", do: (*Screen).markAll},
		{keys: []string{"esc"}, shown: "Esc", does: "clear the marks, then the filter", do: (*Screen).clear},
		{keys: []string{"c", "delete"}, shown: "c Delete", does: "cancel; asks first", short: "c cancel", one: true,
			do: func(s *Screen) tea.Cmd { return s.ask(cancelling) }},
		{keys: []string{"p"}, shown: "p", does: "pause", short: "p pause", one: true, do: doing(pausing)},
		{keys: []string{"u"}, shown: "u", does: "resume (unpause)", short: "u resume", one: true, do: doing(resuming)},
		{keys: []string{"h"}, shown: "h", does: "hold", one: true, do: doing(holding)},
		{keys: []string{"r"}, shown: "r", does: "release", one: true, do: doing(releasing)},
		{keys: []string{"t"}, shown: "t", does: "retry: start an ended job again", one: true, do: doing(retrying)},
		{keys: []string{"+", "="}, do: func(s *Screen) tea.Cmd { return s.prioritize(1) }, one: true},
		{keys: []string{"-"}, shown: "+ -", does: "priority up or down", short: "+- priority", one: true,
			do: func(s *Screen) tea.Cmd { return s.prioritize(-1) }},
		{keys: []string{"v"}, shown: "v", does: "graphs on or off", do: func(s *Screen) tea.Cmd { s.noGraphs = !s.noGraphs; return nil }},
		{keys: []string{"l"}, shown: "l", does: "lanes on or off", do: func(s *Screen) tea.Cmd { s.noLanes = !s.noLanes; return nil }},
		{keys: []string{"?"}, shown: "?", does: "this help", short: "? help", do: func(s *Screen) tea.Cmd { s.mode, s.scroll = helping, 0; return nil }},
		{keys: []string{"q"}, shown: "q Ctrl-C", does: "leave", short: "q leave", one: true, do: (*Screen).leave},
	}
}

func (s *Screen) leave() tea.Cmd {
	s.left = true
	return tea.Quit
}

// key does what a key means now.
func (s *Screen) key(m tea.KeyPressMsg) tea.Cmd {
	name := m.String()
	if name == "ctrl+c" {
		return tea.Quit
	}
	switch s.mode {
	case helping:
		return s.helpKey(name)
	case filtering:
		return s.filterKey(name, m.Text)
	case asking:
		return s.answerKey(name)
	case following:
		return s.followKey(name)
	}
	s.relist()
	return s.press(name, false)
}

// press finds the binding of a key; one: among those for a followed job.
func (s *Screen) press(name string, one bool) tea.Cmd {
	for _, b := range bindings() {
		for _, k := range b.keys {
			if k == name && (b.one || !one) {
				return b.do(s)
			}
		}
	}
	return nil
}

func (s *Screen) beginFilter() tea.Cmd {
	s.mode, s.filter = filtering, s.view.text
	return nil
}

func (s *Screen) filterKey(name, text string) tea.Cmd {
	switch name {
	case "enter":
		s.mode = listing
	case "esc":
		s.mode, s.view.text, s.unsure = listing, s.filter, true
	case "backspace":
		_, n := utf8.DecodeLastRuneInString(s.view.text)
		s.view.text, s.unsure = s.view.text[:len(s.view.text)-n], true
	case "ctrl+u":
		s.view.text, s.unsure = "", true
	default:
		s.typed(text)
	}
	return nil
}

// mostTyped bounds the filter.
const mostTyped = 200

func (s *Screen) typed(text string) {
	for _, r := range text {
		if unicode.IsPrint(r) && len(s.view.text) < mostTyped {
			s.view.text += string(r)
		}
	}
	s.unsure = true
}

func (s *Screen) cycleState(by int) tea.Cmd {
	n := len(stateFilters)
	s.view.state, s.unsure = (s.view.state+by+n)%n, true
	s.feed.wantEnded(s.view.wantsEnded())
	return nil
}

// cycleSort moves through the columns that this width shows.
func (s *Screen) cycleSort(by int) tea.Cmd {
	var keys []string
	at := 0
	for _, c := range s.place(nil) {
		if c.key == s.view.by {
			at = len(keys)
		}
		keys = append(keys, c.key)
	}
	s.view.by, s.unsure = keys[(at+by+len(keys))%len(keys)], true
	return nil
}

func (s *Screen) mark() tea.Cmd {
	if s.cursor == 0 {
		return nil
	}
	if s.marks[s.cursor] {
		delete(s.marks, s.cursor)
	} else {
		s.marks[s.cursor] = true
	}
	s.point(s.at + 1)
	return nil
}

func (s *Screen) markAll() tea.Cmd {
	all := true
	for _, j := range s.jobs.shown {
		all = all && s.marks[j.ID]
	}
	clear(s.marks)
	if !all {
		for _, j := range s.jobs.shown {
			s.marks[j.ID] = true
		}
	}
	return nil
}

func (s *Screen) clear() tea.Cmd {
	switch {
	case len(s.marks) > 0:
		clear(s.marks)
	default:
		s.view.text, s.unsure = "", true
	}
	return nil
}

// keysText is the last line when there is nothing else to say.
func (s *Screen) keysText() string {
	var parts []string
	for _, b := range bindings() {
		if b.short != "" && (s.mode != following || b.one) {
			parts = append(parts, b.short)
		}
	}
	if s.mode == following {
		parts = append([]string{"esc back"}, parts...)
	} else if s.width < 100 { // the way to all of them comes first
		parts = append([]string{"? help", "q leave"}, parts[:len(parts)-2]...)
	}
	return strings.Join(parts, "  ")
}

func (s *Screen) helpKey(name string) tea.Cmd {
	switch name {
	case "q":
		return s.leave()
	case "down", "j", "pgdown", "space":
		s.scroll++
	case "up", "k", "pgup":
		s.scroll = max(s.scroll-1, 0)
	default:
		s.mode = listing
	}
	return nil
}

// helpLines is the page of keys, and what the screen's words mean.
func (s *Screen) helpLines() []string {
	var out []string
	say := func(style style, key, text string) {
		l := newLine(s.look, s.width)
		if key != "" {
			l.space(2).cell(accent, key, 14, false).space(1)
		}
		out = append(out, l.put(style, text).String())
	}
	say(bold, "", "weft top: keys")
	for _, b := range bindings() {
		if b.shown != "" {
			say(plain, b.shown, b.does)
		}
	}
	say(plain, "", "")
	say(bold, "", "What the screen says")
	for _, e := range [][2]string{
		{"-", "is not known; it never stands for 0"},
		{"res", "memory that weft has reserved for jobs; 1G is 1 GiB"},
		{"0▶ 12 mlp +6", "lane 0 works, on job 12 and six more"},
		{"SHARE", "of what all jobs took of the device in the last seconds"},
		{"LEFT", "until the last step, at the rate of the last seconds"},
	} {
		say(plain, e[0], e[1])
	}
	s.scroll = max(min(s.scroll, len(out)-s.height+1), 0)
	out = out[s.scroll:]
	out = out[:min(len(out), max(s.height-1, 1))]
	return append(out, newLine(s.look, s.width).put(dim, "↓ more; any other key closes this").String())
}

// doing is a key that does one thing to the jobs that are meant.
func doing(a act) func(*Screen) tea.Cmd {
	return func(s *Screen) tea.Cmd { return s.perform(a, copied(s.meant())) }
}

// meant are the jobs that an act is for: the one followed, those marked, or
// the one under the cursor.
func (s *Screen) meant() []*api.Job {
	if s.mode == following {
		return []*api.Job{&s.followed.job}
	}
	var out []*api.Job
	for _, j := range s.jobs.shown {
		if s.marks[j.ID] {
			out = append(out, &j.Job)
		}
	}
	if j := s.jobs.all[s.cursor]; len(s.marks) == 0 && j != nil {
		out = append(out, &j.Job)
	}
	return out
}
