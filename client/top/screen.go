package top

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"weft/daemon/api"
)

// Options say what the screen shows; the client and the refresh are required.
type Options struct {
	Client  *api.Client
	Refresh time.Duration    // how often it asks for news
	Sort    string           // key of a column, "-" before it the other way round; "": state
	Filter  string           // as typed after /
	Colour  bool             // whether the output takes colours
	Now     func() time.Time // default: time.Now
}

// mode is what keys mean.
type mode uint8

const (
	listing mode = iota
	helping
	filtering // the filter is typed
	asking    // whether an act is meant
	following // one job
)

// A Screen is the model of weft top. Its methods but Feed are bubbletea's.
type Screen struct {
	client *api.Client
	every  time.Duration
	feed   *feed
	ctx    context.Context // of commands; Feed's

	width, height int
	look          look
	now           time.Time // of the last news
	begun         bool      // the jobs have been listed once
	gone          *lost     // nil: the daemon answers

	devices []*device
	past    map[string]*api.History // fetched before their devices
	jobs    *jobs
	view    view
	unsure  bool // what is listed is to be found and sorted again

	mode     mode
	cursor   int64 // the job under it; 0: none
	at       int   // its place
	top      int   // the first job in view
	marks    map[int64]bool
	filter   string // before it is typed anew
	question *question
	noGraphs bool
	noLanes  bool

	status      string
	statusStyle style
	statusUntil time.Time

	followed *followed
	scroll   int // of help and the followed job
	left     bool
	frame    string // the last view
	drawn    bool   // and it is still right
}

var _ tea.Model = (*Screen)(nil)

// New returns a screen of 80 by 24 that knows nothing yet. A column or filter
// that there is not is an [api.Error] of code invalid.
func New(o Options) (*Screen, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Screen{client: o.Client, every: o.Refresh, ctx: context.Background(), width: 80, height: 24, now: o.Now(),
		look: look{colour: o.Colour}, past: map[string]*api.History{}, jobs: newJobs(), marks: map[int64]bool{},
		view: view{by: "state", text: o.Filter}, feed: newFeed(o.Client, o.Refresh, o.Now)}
	if o.Sort != "" {
		by, down := strings.CutPrefix(o.Sort, "-")
		if !slices.Contains(SortKeys(), by) {
			return nil, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("cannot sort by %q", by),
				Hint: "one of " + strings.Join(SortKeys(), ", ")}
		}
		s.view.by, s.view.down = by, down
	}
	return s, nil
}

// SortKeys are the columns that the list can be sorted by.
func SortKeys() []string {
	var keys []string
	for _, c := range columns {
		keys = append(keys, c.key)
	}
	return keys
}

// Feed sends the screen its news until ctx ends, or the daemon does not answer
// the first question.
func (s *Screen) Feed(ctx context.Context, send func(tea.Msg)) error { return s.feed.run(ctx, send) }

// Bind sets the context that ends the commands of keys; before the program runs.
func (s *Screen) Bind(ctx context.Context) { s.ctx = ctx }

// Left reports whether the reader left by a key.
func (s *Screen) Left() bool { return s.left }

// Init implements tea.Model.
func (s *Screen) Init() tea.Cmd { return nil }

// Update implements tea.Model.
func (s *Screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	s.drawn = false
	switch m := msg.(type) {
	case tea.WindowSizeMsg:
		s.width, s.height = m.Width, m.Height
	case tea.KeyPressMsg:
		return s, s.key(m)
	case tea.PasteMsg:
		if s.mode == filtering {
			s.typed(m.Content)
		}
	case news:
		return s, s.take(&m)
	case lost:
		if s.gone == nil {
			s.gone = &m
		}
		s.gone.err = m.err
	case found:
		s.gone = nil
		s.say(good, "the daemon is back")
	case seriesMsg:
		s.takeSeries(m)
	case actedMsg:
		s.acted(m)
	case detailMsg:
		s.takeDetail(m)
	case epochsMsg:
		s.takeEpochs(m)
	default:
		s.drawn = s.frame != ""
	}
	return s, nil
}

// take applies news, and asks for what the view lacks.
func (s *Screen) take(n *news) tea.Cmd {
	s.now = n.at
	s.takeDevices(n)
	unheard := s.jobs.take(n)
	if s.gone == nil {
		s.jobs.measure(n.at)
	}
	if !s.view.wantsEnded() {
		s.jobs.forget()
	}
	s.begun = s.begun || n.whole
	s.unsure = s.unsure || len(n.jobs) > 0 || len(n.missing) > 0 || s.jobs.count[api.Running] > 0
	for id := range s.marks {
		if s.jobs.all[id] == nil {
			delete(s.marks, id)
		}
	}
	if s.gone != nil {
		return nil
	}
	s.feed.ask(unheard)
	return tea.Batch(s.wantSeries(), s.refollow(n))
}

// View implements tea.Model.
func (s *Screen) View() tea.View {
	if !s.drawn {
		s.frame, s.drawn = strings.Join(s.lines(), "\n"), true
	}
	v := tea.NewView(s.frame)
	v.AltScreen = true
	v.WindowTitle = "weft top"
	return v
}

// lines draws the frame: never more lines than the terminal has, none wider
// than it is.
func (s *Screen) lines() []string {
	s.look.grey = s.gone != nil
	var out []string
	switch {
	case s.width < 4 || s.height < 1:
		return nil
	case s.mode == helping:
		out = s.helpLines()
	case s.mode == following, s.mode == asking && s.question.from == following:
		out = s.followLines()
	default:
		out = s.listLines()
	}
	return out[:min(len(out), s.height)]
}

// listLines is the main view.
func (s *Screen) listLines() []string {
	s.relist()
	h := s.height
	out := []string{s.headerLine()}
	if h >= 4 {
		out = append(out, s.strips(max(1, min(len(s.devices), h/4)))...)
	}
	if !s.noGraphs && h >= 20 {
		out = append(out, s.graphLines(h/4)...)
	}
	if !s.noLanes && h >= 14 {
		out = append(out, s.lanes(max(1, h/10))...)
	}
	footer := 0
	if h >= 3 {
		footer = 1
	}
	room := h - len(out) - footer - 1 // the heads of columns
	if room > 0 {
		out = append(out, s.table(room)...)
	}
	for len(out) < h-footer {
		out = append(out, "")
	}
	if footer > 0 {
		out = append(out[:h-1], s.footLine())
	}
	return out
}

// graphLines draws as many devices as fit into so many lines.
func (s *Screen) graphLines(most int) []string {
	const least = 4
	all := s.graphed()
	if n := max(1, most/least); len(all) > n {
		all = all[:n]
	}
	if len(all) == 0 {
		return nil
	}
	var out []string
	for _, d := range all {
		out = append(out, s.graphs(d, min(most/len(all), 12))...)
	}
	return out
}

// table is the list of jobs, in so many lines below their heads.
func (s *Screen) table(room int) []string {
	shown := s.window(room)
	cols := s.place(shown)
	out := []string{s.headLine(cols)}
	for _, j := range shown {
		out = append(out, s.jobLine(j, cols))
	}
	if len(shown) == 0 {
		text := "no jobs: weft train submits some"
		switch {
		case !s.begun:
			text = "asking the daemon for its jobs"
		case len(s.jobs.all) > 0 || s.view.text != "":
			text = "no job matches; esc clears the filter, tab chooses other states"
		}
		out = append(out, newLine(s.look, s.width).space(markWidth).put(dim, text).String())
	}
	return out
}

// relist finds and sorts the jobs again where that may have changed, and keeps
// the cursor on its job, or in its place.
func (s *Screen) relist() {
	if !s.unsure {
		return
	}
	s.unsure = false
	s.jobs.list(&s.view)
	shown := s.jobs.shown
	if i := slices.IndexFunc(shown, func(j *job) bool { return j.ID == s.cursor }); i >= 0 {
		s.at = i
	}
	s.point(s.at)
}

// point moves the cursor to a place.
func (s *Screen) point(at int) {
	shown := s.jobs.shown
	s.at, s.cursor = max(min(at, len(shown)-1), 0), 0
	if len(shown) > 0 {
		s.cursor = shown[s.at].ID
	}
}

// window returns the jobs in view, the cursor's among them.
func (s *Screen) window(room int) []*job {
	shown := s.jobs.shown
	if s.at < s.top {
		s.top = s.at
	}
	if s.at >= s.top+room {
		s.top = s.at - room + 1
	}
	s.top = max(min(s.top, len(shown)-room), 0)
	return shown[s.top:min(s.top+room, len(shown))]
}

// headerLine counts the jobs and says what is listed; when the daemon is gone,
// that.
func (s *Screen) headerLine() string {
	l := newLine(s.look, s.width)
	if s.gone != nil {
		l.look.grey = false
		l.put(bad, "the daemon is gone since "+s.gone.since.Local().Format("15:04:05")+", "+reasonOf(s.gone.err))
		return l.String()
	}
	listed := stateFilters[s.view.state].name
	if s.view.text != "" {
		listed += " /" + s.view.text
	}
	l.put(bold, "weft").space(1).put(accent, listed)
	for _, state := range urgent {
		if n := s.jobs.count[state]; n > 0 {
			l.offer(paintOf(state), fmt.Sprintf("%d %s", n, state))
		}
	}
	if len(s.marks) > 0 {
		l.offer(accent, fmt.Sprintf("%d marked", len(s.marks)))
	}
	return l.atEnd(dim, s.now.Local().Format("15:04:05")).String()
}

// footLine is a question, what is typed, what happened last, or the keys.
func (s *Screen) footLine() string {
	l := newLine(s.look, s.width)
	l.look.grey = false
	switch {
	case s.mode == asking:
		l.put(warn, s.question.text+" y/n")
	case s.mode == filtering:
		l.put(bold, "/"+s.view.text+"_").offer(dim, "KEY=VALUE is a label; enter keeps, esc leaves")
	case s.status != "" && s.now.Before(s.statusUntil):
		l.put(s.statusStyle, s.status)
	default:
		l.put(dim, s.keysText())
	}
	return l.String()
}

// statusFor is how long the screen says what happened.
const statusFor = 10 * time.Second

func (s *Screen) say(style style, text string) {
	s.status, s.statusStyle, s.statusUntil = text, style, s.now.Add(statusFor)
}

// reasonOf is a failure in one line, with what to try.
func reasonOf(err error) string {
	text, hint := err.Error(), ""
	if e := api.AsError(err); e != nil {
		text, hint = e.Message, e.Hint
	}
	if hint != "" {
		text += "; try: " + hint
	}
	return text
}
