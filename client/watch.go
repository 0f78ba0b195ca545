package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"weft/daemon/api"
)

// watch is ls -w: on a terminal the table, redrawn; with -o jsonl a line for
// each job that changes.
func (p *program) watch(ctx context.Context, c *api.Client, o lsOptions, order func(a, b api.Job) int) error {
	switch {
	case p.global.output == outJSONL:
		return p.watchJSON(ctx, c, o)
	case p.global.output == outTable || p.global.output == outWide:
		if p.global.terminal && isTerminal(p.stdin) {
			return p.watchTable(ctx, c, o, order)
		}
		return usagef("weft ls -w -o jsonl, or weft follow --all",
			"weft ls -w redraws a terminal, and the output is none")
	}
	return usagef("-o jsonl", "weft ls -w cannot write %s", p.global.output)
}

// watchJSON writes every job once, then each as often as it changes.
func (p *program) watchJSON(ctx context.Context, c *api.Client, o lsOptions) error {
	list := func(ids []int64) error {
		f := o.filter()
		if ids != nil {
			f.IDs, f.States = ids, o.states
		}
		jobs, err := c.Jobs(ctx, f)
		if err != nil {
			return err
		}
		return p.writeJobs(jobs)
	}
	if err := list(nil); err != nil {
		return err
	}
	for m, err := range c.Events(ctx, api.EventFilter{Jobs: o.ids}, -1) {
		switch {
		case err != nil:
			return err
		case m.Reconnected:
			err = list(nil)
		case m.Event != nil:
			err = list([]int64{m.Event.Job})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// How often the table is asked for again at most, and how often its times are
// redrawn at least.
const (
	watchQuiet = 200 * time.Millisecond
	watchTick  = time.Second
)

// tableMsg carries a new list to the watching program.
type tableMsg []api.Job

// watched is the view of ls -w.
type watched struct {
	p     *program
	wide  bool
	jobs  []api.Job
	begun bool
	left  bool // by q: the reader has seen enough
}

var _ tea.Model = (*watched)(nil)

func (w *watched) Init() tea.Cmd { return watchClock() }

type clockMsg time.Time

func watchClock() tea.Cmd {
	return tea.Tick(watchTick, func(t time.Time) tea.Msg { return clockMsg(t) })
}

func (w *watched) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch m := msg.(type) {
	case tea.WindowSizeMsg:
		w.p.global.width, w.p.global.height = m.Width, m.Height
	case tea.KeyPressMsg:
		switch m.String() {
		case "q":
			w.left = true
			return w, tea.Quit
		case "ctrl+c":
			return w, tea.Quit
		}
	case tableMsg:
		w.jobs, w.begun = m, true
	case clockMsg:
		return w, watchClock()
	}
	return w, nil
}

func (w *watched) View() tea.View {
	if !w.begun {
		return tea.NewView("")
	}
	if len(w.jobs) == 0 {
		return tea.NewView("no active jobs\n")
	}
	room := max(w.p.global.height-3, 1)
	jobs := w.jobs
	if len(jobs) > room {
		jobs = jobs[:room]
	}
	var b strings.Builder
	if err := w.p.jobTable(jobs, w.wide).Write(&b); err != nil {
		return tea.NewView(err.Error())
	}
	fmt.Fprintln(&b, countLine(w.jobs))
	return tea.NewView(b.String())
}

// watchTable shows the table until interrupted, which is how it ends well.
func (p *program) watchTable(ctx context.Context, c *api.Client, o lsOptions, order func(a, b api.Job) int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	view := &watched{p: p, wide: p.global.output == outWide}
	ui := p.liveProgram(ctx, view)
	var watchErr error
	done := make(chan struct{})
	go func() { // ends with ctx, or when the daemon is gone
		defer close(done)
		watchErr = feedTable(ctx, c, o, order, ui.Send)
		ui.Send(tea.QuitMsg{})
	}()
	_, uiErr := ui.Run()
	cancel()
	<-done
	if watchErr != nil && !errors.Is(watchErr, context.Canceled) {
		return watchErr
	}
	if uiErr != nil && !errors.Is(uiErr, tea.ErrProgramKilled) {
		return fmt.Errorf("show jobs: %w", uiErr)
	}
	if view.left {
		return nil
	}
	return context.Canceled
}

// feedTable sends the list, and again whenever something happened, at most
// five times a second.
func feedTable(ctx context.Context, c *api.Client, o lsOptions, order func(a, b api.Job) int,
	send func(tea.Msg)) error {
	list := func() error {
		jobs, err := c.Jobs(ctx, o.filter())
		if err != nil {
			return err
		}
		slices.SortStableFunc(jobs, order)
		send(tableMsg(jobs))
		return nil
	}
	if err := list(); err != nil {
		return err
	}
	happened, failed := make(chan struct{}, 1), make(chan error, 1)
	go func() { // ends with ctx; failed has room for its last word
		for _, err := range c.Events(ctx, api.EventFilter{Jobs: o.ids}, -1) {
			if err != nil {
				failed <- err
				return
			}
			select {
			case happened <- struct{}{}:
			default: // one is already owed
			}
		}
		failed <- nil
	}()
	for {
		select {
		case err := <-failed:
			return err
		case <-happened:
		}
		if err := list(); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return <-failed
		case <-time.After(watchQuiet):
		}
	}
}
