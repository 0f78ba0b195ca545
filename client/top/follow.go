package top

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"weft/daemon/api"
)

// followed is the job of the full view.
type followed struct {
	job     api.Job
	metrics []*history
	recent  []api.Epoch // the last ones, for the table
	events  []api.Event // but epochs
	loaded  bool
	err     error
	state   api.State // for which the events were asked for
	attempt int       // likewise
	asked   bool      // for epochs after the last one
}

const (
	recentEpochs = 256
	recentEvents = 256
)

// detailMsg is a job with its epochs and events.
type detailMsg struct {
	id     int64
	detail *api.JobDetail
	err    error
}

// follow opens the job under the cursor.
func (s *Screen) follow() tea.Cmd {
	j := s.jobs.all[s.cursor]
	if j == nil {
		return nil
	}
	s.mode, s.scroll = following, 0
	s.followed = &followed{job: j.Job, state: j.State, attempt: j.Attempt}
	return s.detail(j.ID)
}

func (s *Screen) detail(id int64) tea.Cmd {
	ctx, c := s.ctx, s.client
	return func() tea.Msg {
		within, cancel := context.WithTimeout(ctx, actWithin)
		defer cancel()
		d, err := c.Job(within, id)
		return detailMsg{id, d, err}
	}
}

func (s *Screen) takeDetail(m detailMsg) {
	f := s.followed
	if f == nil || f.job.ID != m.id {
		return
	}
	if f.err = m.err; m.err != nil {
		return
	}
	*f = followed{job: m.detail.Job, state: f.state, attempt: f.attempt, asked: f.asked, loaded: true}
	for i := range m.detail.Epochs {
		f.add(&m.detail.Epochs[i])
	}
	for _, e := range m.detail.Events {
		if e.Epoch == nil {
			f.events = append(f.events, e)
		}
	}
	f.events = f.events[max(len(f.events)-recentEvents, 0):]
}

// add takes one epoch; those trained again take the place of the former.
func (f *followed) add(e *api.Epoch) {
	for n := len(f.recent); n > 0 && f.recent[n-1].Epoch >= e.Epoch; n-- {
		f.recent = f.recent[:n-1]
	}
	f.recent = append(f.recent, *e)
	if n := len(f.recent); n > 2*recentEpochs {
		f.recent = append(f.recent[:0], f.recent[n-recentEpochs:]...)
	}
	for name, v := range e.Metrics {
		i := slices.IndexFunc(f.metrics, func(h *history) bool { return h.name == name })
		if i < 0 {
			i = len(f.metrics)
			f.metrics = append(f.metrics, &history{name: name})
		}
		f.metrics[i].add(e.Epoch, v)
	}
	slices.SortFunc(f.metrics, func(a, b *history) int { return compareNames(a.name, b.name) })
}

// compareNames orders the metrics that tell most first.
func compareNames(a, b string) int {
	rank := func(name string) int {
		if i := slices.Index(headlines, name); i >= 0 {
			return i
		}
		return len(headlines)
	}
	if d := rank(a) - rank(b); d != 0 {
		return d
	}
	return strings.Compare(a, b)
}

// refollow keeps the followed job with the news; a change of its state is
// asked for with all that comes with it.
func (s *Screen) refollow(n *news) tea.Cmd {
	f := s.followed
	if f == nil || s.mode == listing {
		return nil
	}
	if j := s.jobs.all[f.job.ID]; j != nil {
		f.job = j.Job
	}
	if f.job.State != f.state || f.job.Attempt != f.attempt {
		f.state, f.attempt = f.job.State, f.job.Attempt
		return s.detail(f.job.ID)
	}
	return s.moreEpochs()
}

// epochsMsg is what a job has trained since the epoch after which it was asked.
type epochsMsg struct {
	id     int64
	epochs []api.Epoch
}

// moreEpochs asks for the followed job's epochs after the last one known. One
// that goes on from a checkpoint comes to the same epochs again, bit by bit, so
// that nothing is missed by not looking at them twice.
func (s *Screen) moreEpochs() tea.Cmd {
	f := s.followed
	last := 0
	if n := len(f.recent); n > 0 {
		last = f.recent[n-1].Epoch
	}
	if !f.loaded || f.asked || f.job.Progress.Epoch <= last {
		return nil
	}
	f.asked = true
	ctx, c, id := s.ctx, s.client, f.job.ID
	return func() tea.Msg {
		within, cancel := context.WithTimeout(ctx, actWithin)
		defer cancel()
		epochs, _ := c.Metrics(within, id, api.EpochFilter{After: last}) // asked for again with the next news
		return epochsMsg{id, epochs}
	}
}

func (s *Screen) takeEpochs(m epochsMsg) {
	f := s.followed
	if f == nil || f.job.ID != m.id {
		return
	}
	f.asked = false
	for i := range m.epochs {
		f.add(&m.epochs[i])
	}
}

func (s *Screen) followKey(name string) tea.Cmd {
	switch name {
	case "esc", "enter", "backspace", "left":
		s.mode, s.followed = listing, nil
	case "down", "j":
		s.scroll++
	case "up", "k":
		s.scroll--
	case "pgdown", "space":
		s.scroll += s.height / 2
	case "pgup":
		s.scroll -= s.height / 2
	default:
		return s.press(name, true)
	}
	return nil
}

// followLines is the view of one job: its head, then what can be scrolled.
func (s *Screen) followLines() []string {
	head, body := s.followHead(), s.followBody()
	room := max(s.height-len(head)-1, 0)
	s.scroll = max(min(s.scroll, len(body)-room), 0)
	out := append(head, body[s.scroll:min(s.scroll+room, len(body))]...)
	for len(out) < s.height-1 {
		out = append(out, "")
	}
	return append(out[:max(s.height-1, 0)], s.footLine())
}

func (s *Screen) followHead() []string {
	var out []string
	if s.gone != nil {
		out = append(out, s.headerLine())
	}
	f := s.followed
	l := newLine(s.look, s.width)
	l.put(bold, fmt.Sprintf("%d %s", f.job.ID, f.job.Name)).space(2).put(paintOf(f.job.State), string(f.job.State))
	if f.job.Device != "" {
		l.put(plain, " on "+f.job.Device)
	}
	for _, text := range []string{"owner " + f.job.Owner, "priority " + strconv.Itoa(f.job.Priority),
		"attempt " + strconv.Itoa(f.job.Attempt), labelsText(f.job.Labels)} {
		l.offer(dim, text)
	}
	out = append(out, l.String(), s.followProgress())
	if f.job.Reason != "" {
		out = append(out, newLine(s.look, s.width).put(dim, f.job.Reason).String())
	}
	if e := f.job.Error; e != nil {
		out = append(out, newLine(s.look, s.width).put(bad, string(e.Code)+": "+e.Message).String())
		if e.Hint != "" {
			out = append(out, newLine(s.look, s.width).put(plain, "try: "+e.Hint).String())
		}
	}
	return out
}

func (s *Screen) followProgress() string {
	f := s.followed
	p := f.job.Progress
	l := newLine(s.look, s.width)
	width := min(max(s.width/3, 5), 40)
	l.raw(paintOf(f.job.State), bar(fraction(p), width)).space(1).put(plain, percentText(math.Floor(100*fraction(p))/100))
	fields := []string{fmt.Sprintf("epoch %d/%d", p.Epoch, p.Epochs), fmt.Sprintf("step %d/%d", p.Step, p.Steps)}
	if j := s.jobs.all[f.job.ID]; j != nil {
		if j.State == api.Running && !math.IsNaN(j.left) {
			fields = append(fields, durationText(seconds(j.left))+" left")
		}
		if v := rateOf(j); v >= 0 {
			fields = append(fields, countText(v)+" steps/s")
		}
		if v := shareOf(j); v >= 0 {
			fields = append(fields, percentText(v)+" of "+j.Device)
		}
		if d, ok := elapsed(j, s.now); ok {
			fields = append(fields, "for "+durationText(d))
		}
	}
	u := f.job.Usage
	fields = append(fields, durationText(seconds(u.DeviceSeconds))+" of device", "peak "+sizeText(u.PeakMemoryBytes), durationText(seconds(u.CPUSeconds))+" of CPU",
		"energy "+known(u.EnergyJoules, wholeText)+"J")
	for _, text := range fields {
		l.offer(plain, text)
	}
	return l.String()
}

// followBody is graphs of the metrics, the last events and epochs, and the
// events before.
func (s *Screen) followBody() []string {
	f := s.followed
	switch {
	case f.err != nil:
		return []string{newLine(s.look, s.width).put(bad, "job "+strconv.FormatInt(f.job.ID, 10)+": "+reasonOf(f.err)).String()}
	case !f.loaded:
		return []string{newLine(s.look, s.width).put(dim, "asking the daemon for its epochs and events").String()}
	}
	var out []string
	across := max(min(s.width/40, 4), 1) // graphs beside each other
	height := max(min(s.height/5, 10), 2)
	for i := 0; i < len(f.metrics); i += across {
		out = append(out, s.curves(f.metrics[i:min(i+across, len(f.metrics))], across, height)...)
	}
	latest := min(len(f.events), max(s.height/8, 3))
	out = append(out, s.eventLines("EVENTS", f.events[len(f.events)-latest:])...)
	out = append(out, s.epochTable()...)
	return append(out, s.eventLines("EARLIER EVENTS", f.events[:len(f.events)-latest])...)
}

// eventLines are events below a head, the last first.
func (s *Screen) eventLines(head string, events []api.Event) []string {
	if len(events) == 0 {
		return nil
	}
	out := []string{newLine(s.look, s.width).put(dim, head).String()}
	for _, e := range slices.Backward(events) {
		l := newLine(s.look, s.width)
		l.put(dim, e.Time.Local().Format(time.DateTime)).space(2).cell(paintOf(e.State), e.Type, 10, false)
		out = append(out, l.space(1).put(plain, e.Message).String())
	}
	return out
}

// curves draws metrics beside each other, each below its name.
func (s *Screen) curves(all []*history, across, height int) []string {
	const gap = 2
	width := max((s.width-gap*(across-1))/across, 1)
	head := newLine(s.look, s.width)
	pictures := make([][]string, len(all))
	for i, h := range all {
		low, high := span(h.values)
		pictures[i] = curve(h.values, width, height, low, high)
		text := fmt.Sprintf("%s %s, best %s, %s to %s", h.name, numberText(h.last()), numberText(h.best()),
			numberText(low), numberText(high))
		head.cell(dim, text, width, false).space(gap)
	}
	out := []string{head.String()}
	for y := range height {
		l := newLine(s.look, s.width)
		for i := range all {
			l.raw(accent, pictures[i][y]).space(gap)
		}
		out = append(out, l.String())
	}
	return out
}

// shownEpochs is how many epochs the table has, the last first.
const shownEpochs = 100

func (s *Screen) epochTable() []string {
	f := s.followed
	if len(f.recent) == 0 {
		return nil
	}
	const width = 13
	l := newLine(s.look, s.width)
	l.cell(dim, "EPOCH", 7, true).cell(dim, "STEP", 10, true)
	for _, h := range f.metrics {
		if l.room >= width+1 {
			l.space(1).cell(dim, h.name, width, true)
		}
	}
	out := []string{l.String()}
	for n, e := range slices.Backward(f.recent) {
		if len(f.recent)-n > shownEpochs {
			break
		}
		l := newLine(s.look, s.width)
		l.cell(plain, strconv.Itoa(e.Epoch), 7, true).cell(plain, strconv.FormatInt(e.Step, 10), 10, true)
		for _, h := range f.metrics {
			if l.room < width+1 {
				break
			}
			text := absent
			if v, ok := e.Metrics[h.name]; ok {
				text = numberText(v)
			}
			l.space(1).cell(plain, text, width, true)
		}
		out = append(out, l.String())
	}
	return out
}
