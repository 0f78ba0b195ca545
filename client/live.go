package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

// liveProgram makes a terminal program that leaves signals to main and ends
// with ctx.
func (p *program) liveProgram(ctx context.Context, m tea.Model) *tea.Program {
	env := os.Environ()
	if !p.global.colour {
		env = append(env, "NO_COLOR=1")
	}
	return tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(p.stdin), tea.WithOutput(p.stdout),
		tea.WithEnvironment(env), tea.WithoutSignalHandler(), tea.WithFPS(liveFPS))
}

// leaver is a model that knows whether the reader left it by a key.
type leaver interface {
	tea.Model
	Left() bool
}

// live shows a model while feed sends it messages, until either ends. A reader
// who leaves by a key has seen enough; otherwise the end is an interrupt, or
// the feed's error.
func (p *program) live(ctx context.Context, what string, m leaver, feed func(context.Context, func(tea.Msg)) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ui := p.liveProgram(ctx, m)
	var feedErr error
	done := make(chan struct{})
	go func() { // ends with ctx, or with the feed
		defer close(done)
		feedErr = feed(ctx, ui.Send)
		ui.Send(tea.QuitMsg{})
	}()
	_, uiErr := ui.Run()
	cancel()
	<-done
	if feedErr != nil && !errors.Is(feedErr, context.Canceled) {
		return feedErr
	}
	if uiErr != nil && !errors.Is(uiErr, tea.ErrProgramKilled) {
		return fmt.Errorf("show %s: %w", what, uiErr)
	}
	if m.Left() {
		return nil
	}
	return context.Canceled
}

// A drawing writes a table as it is now.
type drawing func(io.Writer) error

// liveTable is the model of a table that is redrawn, in place.
type liveTable struct {
	p    *program
	draw drawing // nil: nothing to see yet
	left bool    // by q: the reader has seen enough
}

var _ leaver = (*liveTable)(nil)

// liveFPS is how often a terminal is written to at most; more is more wakeups
// for nothing to see.
const liveFPS = 30

// liveTick is how often the times in a table are redrawn at least.
const liveTick = time.Second

type clockMsg time.Time

func liveClock() tea.Cmd {
	return tea.Tick(liveTick, func(t time.Time) tea.Msg { return clockMsg(t) })
}

// Left implements leaver.
func (l *liveTable) Left() bool { return l.left }

// Init implements tea.Model.
func (l *liveTable) Init() tea.Cmd { return liveClock() }

// Update implements tea.Model.
func (l *liveTable) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch m := msg.(type) {
	case tea.WindowSizeMsg:
		l.p.global.width, l.p.global.height = m.Width, m.Height
	case tea.KeyPressMsg:
		switch m.String() {
		case "q":
			l.left = true
			return l, tea.Quit
		case "ctrl+c":
			return l, tea.Quit
		}
	case drawing:
		l.draw = m
	case clockMsg:
		return l, liveClock()
	}
	return l, nil
}

// View implements tea.Model.
func (l *liveTable) View() tea.View {
	if l.draw == nil {
		return tea.NewView("")
	}
	var b strings.Builder
	if err := l.draw(&b); err != nil {
		return tea.NewView(err.Error())
	}
	return tea.NewView(b.String())
}

// liveTable shows what feed hands it, redrawn, until interrupted, which is how
// it ends well.
func (p *program) liveTable(ctx context.Context, what string, feed func(context.Context, func(drawing)) error) error {
	return p.live(ctx, what, &liveTable{p: p}, func(ctx context.Context, send func(tea.Msg)) error {
		return feed(ctx, func(d drawing) { send(d) })
	})
}
