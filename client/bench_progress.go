package client

import (
	"fmt"
	"time"
)

// shareProgress tells on the standard error how far a benchmark is: one line a
// run, which changes on a terminal while the run goes on.
type shareProgress struct {
	p      *program
	live   bool
	rounds int
	runs   int // in all
	ran    int
	models int
	width  int       // of the longest name
	what   string    // the run that goes on
	last   time.Time // when the live line was written
	began  time.Time
	open   bool // a line stands there that has not ended
}

// progressGap is how often the live line changes at most: writing it takes
// time from what is measured.
const progressGap = 200 * time.Millisecond

func newShareProgress(p *program, o shareOptions, models int) *shareProgress {
	return &shareProgress{p: p, live: isTerminal(p.stderr), rounds: o.repeat, runs: o.repeat * len(o.arms),
		models: models, width: 10, began: p.app.Now()}
}

// calibrating: the device is measured, before the rounds.
func (s *shareProgress) calibrating() {
	s.what = "measuring the device's rate"
	s.rewrite("")
}

// begin: a run's daemon starts.
func (s *shareProgress) begin(round int, arm string) {
	s.what = fmt.Sprintf("round %d/%d  %-*s  ", round+1, s.rounds, s.width, arm)
	s.last = time.Time{}
	s.rewrite("starting")
	s.plain(s.what)
}

// released: its models may start.
func (s *shareProgress) released() {
	s.plain(counted(s.models, "model") + " … ")
	s.ended(0)
}

// ended: so many of its models have ended.
func (s *shareProgress) ended(n int) {
	if now := s.p.app.Now(); s.live && now.Sub(s.last) >= progressGap {
		s.last = now
		s.rewrite(fmt.Sprintf("%d of %s", n, counted(s.models, "model")))
	}
}

// preparing: what goes on before the rounds, for a terminal only.
func (s *shareProgress) preparing(what string) {
	s.what = what
	s.rewrite("")
}

// peerFailed: a peer's run came to nothing, and so many more are left out.
func (s *shareProgress) peerFailed(err error, more int) {
	s.ran++
	s.runs -= more
	s.rewrite("")
	fmt.Fprintf(s.p.stderr, "failed: %v\n", err)
	s.open = false
}

// done: all have, and their files are read.
func (s *shareProgress) done(run *shareRun) {
	s.rewrite(counted(s.models, "model") + " … ")
	s.finished(run.Wall)
}

// finished: a run took so long.
func (s *shareProgress) finished(wall float64) {
	s.ran++
	left := ""
	if s.ran < s.runs {
		spent := s.p.app.Now().Sub(s.began)
		left = fmt.Sprintf(", about %s left", durationText(spent/time.Duration(s.ran)*time.Duration(s.runs-s.ran)))
	}
	fmt.Fprintf(s.p.stderr, "%s%s\n", secondsText(wall), left)
	s.open = false
}

// rewrite rewrites the terminal's line from its beginning.
func (s *shareProgress) rewrite(rest string) {
	if s.live {
		s.open = true
		fmt.Fprintf(s.p.stderr, "\r\x1b[K%s%s", s.what, rest)
	}
}

// plain goes on in a line that nobody watches.
func (s *shareProgress) plain(text string) {
	if !s.live {
		s.open = true
		fmt.Fprint(s.p.stderr, text)
	}
}

// end leaves no half line behind.
func (s *shareProgress) end() {
	if s.open {
		fmt.Fprintln(s.p.stderr)
		s.open = false
	}
}
