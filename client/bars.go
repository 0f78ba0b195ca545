package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"charm.land/bubbles/v2/progress"
	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"weft/client/table"
	"weft/daemon/api"
)

// trackBars follows jobs with one live bar each, below what is already on the
// terminal.
func (p *program) trackBars(ctx context.Context, c *api.Client, ids []int64) ([]*api.Job, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ui := p.liveProgram(ctx, newBars(p.global, p.app.Now))

	var jobs []*api.Job
	var trackErr error
	done := make(chan struct{})
	go func() { // ends with ctx, or when all jobs have ended
		defer close(done)
		jobs, trackErr = track(ctx, c, ids, barSink{ui})
		ui.Send(tea.QuitMsg{})
	}()
	_, uiErr := ui.Run()
	cancel()
	<-done
	switch {
	case trackErr == nil:
		return jobs, nil
	case errors.Is(trackErr, context.Canceled):
		return nil, context.Canceled
	case uiErr != nil && !errors.Is(uiErr, tea.ErrProgramKilled):
		return nil, fmt.Errorf("show progress: %w", uiErr)
	}
	return nil, trackErr
}

// jobMsg carries a job as it is now; barSink sends them to the program.
type jobMsg api.Job

type barSink struct{ ui *tea.Program }

var (
	_ sink    = barSink{}
	_ chooser = barSink{}
)

func (barSink) types() []string { return standingTypes }

func (s barSink) begin(jobs []*api.Job) {
	for _, j := range jobs {
		s.changed(j)
	}
}
func (s barSink) epoch(j *api.Job, _ *api.Epoch) { s.changed(j) }
func (s barSink) changed(j *api.Job)             { s.ui.Send(jobMsg(*j)) }
func (s barSink) ended(j *api.Job)               { s.ui.Send(jobMsg(*j)) }

// bars is the view of followed jobs.
type bars struct {
	jobs          []api.Job // in the order they were first told
	at            map[int64]int
	width, height int
	bar           progress.Model
	colour        bool
	now           func() time.Time
}

var _ tea.Model = (*bars)(nil)

const barWidth = 24

func newBars(g globals, now func() time.Time) *bars {
	return &bars{at: map[int64]int{}, width: g.width, height: g.height, colour: g.colour, now: now,
		bar: progress.New(progress.WithWidth(barWidth), progress.WithoutPercentage(),
			progress.WithFillCharacters('━', '─'), progress.WithColors(lipgloss.Cyan))}
}

func (b *bars) Init() tea.Cmd { return nil }

func (b *bars) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch m := msg.(type) {
	case tea.WindowSizeMsg:
		b.width, b.height = m.Width, m.Height
	case tea.KeyPressMsg:
		if s := m.String(); s == "ctrl+c" || s == "q" {
			return b, tea.Quit
		}
	case jobMsg:
		i, ok := b.at[m.ID]
		if !ok {
			i = len(b.jobs)
			b.at[m.ID] = i
			b.jobs = append(b.jobs, api.Job{})
		}
		b.jobs[i] = api.Job(m)
	}
	return b, nil
}

func (b *bars) View() tea.View { return tea.NewView(b.render()) }

// render draws all jobs where they fit; otherwise those that run, then those
// that wait, as many as fit, above a line that counts the rest.
func (b *bars) render() string {
	if len(b.jobs) == 0 {
		return ""
	}
	shown := b.jobs
	room := max(b.height-2, 1)
	if len(shown) > room {
		shown = slices.Clone(shown)
		slices.SortStableFunc(shown, func(x, y api.Job) int { return cmp.Compare(urgency(x.State), urgency(y.State)) })
		shown = shown[:room]
	}
	name := 4
	for i := range shown {
		name = max(name, table.Width(shown[i].Name))
	}
	name = min(name, max(12, b.width-barWidth-50))
	var out strings.Builder
	for i := range shown {
		out.WriteString(b.line(&shown[i], name))
		out.WriteByte('\n')
	}
	if len(b.jobs) > 1 {
		out.WriteString(table.Cut(countLine(b.jobs), b.width))
		out.WriteByte('\n')
	}
	return out.String()
}

// urgency orders jobs by what a watcher wants to see first.
func urgency(s api.State) int { return slices.Index(watchOrder, s) }

var watchOrder = []api.State{api.Running, api.Failed, api.Paused, api.Queued, api.Cancelled, api.Succeeded}

func (b *bars) line(j *api.Job, name int) string {
	label := table.Cut(table.Clean(j.Name), name)
	head := fmt.Sprintf("%5d %s%s ", j.ID, label, strings.Repeat(" ", name-table.Width(label)))
	bar := b.bar.ViewAs(fraction(j.Progress))
	var tail string
	switch {
	case j.State == api.Running:
		tail = fmt.Sprintf("%3.0f%% %s", 100*fraction(j.Progress), metricText(j.Metrics))
		if isCPU(j.Kind) {
			tail = progressText(j.Progress) + " " + metricText(j.Metrics)
		}
		if left, ok := timeLeft(j, b.now()); ok {
			tail += ", " + durationText(left) + " left"
		}
	case j.State.Final():
		tail = strings.TrimRight(fmt.Sprintf("%s %s %s", j.State, elapsedText(j, b.now()), metricText(j.Metrics)), " ")
		if j.Error != nil {
			tail = string(j.State) + ": " + j.Error.Message
		}
	default:
		tail = string(j.State)
		if j.Reason != "" {
			tail += ": " + j.Reason
		}
	}
	tail = table.Cut(table.Clean(tail), max(b.width-table.Width(head)-barWidth-1, 8))
	if rest, ok := strings.CutPrefix(tail, string(j.State)); ok && b.colour {
		tail = paintState(string(j.State)) + rest
	}
	return head + bar + " " + tail
}

// countLine counts jobs by state: "48 jobs: 12 running, 30 queued, 6 succeeded".
func countLine(jobs []api.Job) string {
	count := map[api.State]int{}
	for i := range jobs {
		count[jobs[i].State]++
	}
	var parts []string
	for _, s := range watchOrder {
		if count[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[s], s))
		}
	}
	return counted(len(jobs), "job") + ": " + strings.Join(parts, ", ")
}
