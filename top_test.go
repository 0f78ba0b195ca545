package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weft/daemon/api"
)

// A terminal is a tmux session that shows one command of weft.
type terminal struct {
	t      *testing.T
	socket string
}

// newTerminal starts a command on a terminal of a size; without tmux the test
// is skipped.
func newTerminal(t *testing.T, s *served, width, height int, args ...string) *terminal {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("no tmux to look at a terminal with: apt install tmux")
	}
	term := &terminal{t: t, socket: filepath.Join(s.dir, "tmux-"+strconv.Itoa(width))}
	term.tmux(append([]string{"-f", "/dev/null", "-u", "new-session", "-d", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height),
		"-e", "WEFT_HOST=unix://" + filepath.Join(s.dir, "weft.sock"), "-e", "NO_COLOR=", "--", weft}, args...)...)
	t.Cleanup(func() { _ = exec.Command("tmux", "-S", term.socket, "kill-server").Run() }) // it may have ended already
	return term
}

func (term *terminal) tmux(args ...string) string {
	term.t.Helper()
	out, err := exec.CommandContext(term.t.Context(), "tmux", append([]string{"-S", term.socket}, args...)...).CombinedOutput()
	if err != nil {
		term.t.Fatalf("tmux %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// press sends keys by tmux's names; words are typed.
func (term *terminal) press(keys ...string) {
	term.t.Helper()
	for _, k := range keys {
		term.tmux("send-keys", k)
	}
}

// until polls the screen until it is as wanted, and returns it.
func (term *terminal) until(what string, as func(frame string) bool) string {
	term.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		frame := term.tmux("capture-pane", "-p")
		if as(frame) {
			return frame
		}
		select {
		case <-deadline:
			term.t.Fatalf("the terminal does not show %s:\n%s", what, frame)
		case <-tick.C:
		}
	}
}

// shows waits until all words are on the screen.
func (term *terminal) shows(words ...string) string {
	term.t.Helper()
	return term.until(fmt.Sprintf("%q", words), func(frame string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(frame, w) })
	})
}

// lacks waits until none of the words is on the screen.
func (term *terminal) lacks(words ...string) string {
	term.t.Helper()
	return term.until(fmt.Sprintf("a screen without %q", words), func(frame string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(frame, w) })
	})
}

// ends waits until the command has ended, and with it the session.
func (term *terminal) ends() {
	term.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for exec.Command("tmux", "-S", term.socket, "has-session").Run() == nil {
		select {
		case <-deadline:
			term.t.Fatalf("it does not end:\n%s", term.tmux("capture-pane", "-p"))
		case <-tick.C:
		}
	}
}

// longSpec trains for longer than any test looks.
const longSpec = `{"data": {"source": "digits"}, "model": [{"linear": 256}, "relu", {"linear": 10}], "epochs": 1000000}`

// submitNamed submits jobs, those named held to wait for their release.
func submitNamed(t *testing.T, s *served, names ...string) []api.Job {
	t.Helper()
	var all []api.Submission
	for _, name := range names {
		all = append(all, api.Submission{Kind: api.KindTrain, Name: name, Spec: json.RawMessage(longSpec),
			Hold: strings.HasPrefix(name, "held"), Labels: map[string]string{"sweep": "top"}})
	}
	jobs, err := s.client.Submit(t.Context(), all, "")
	if err != nil {
		t.Fatalf("submit: %v", err)
	}
	return jobs
}

// weft top on real terminals, with a real daemon: what it shows, its keys,
// another size, and a daemon that is killed and comes back.
func TestTop(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	for _, size := range [][2]int{{80, 24}, {200, 60}} {
		t.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(t *testing.T) {
			s := serve(t, t.TempDir())
			jobs := submitNamed(t, s, "runs", "held-a", "held-b", "held-c")
			term := newTerminal(t, s, size[0], size[1], "top")
			frame := term.shows("weft active", "1 running", "3 queued", "runs", "held-a", "held-c", "cpu utilization", "SHARE",
				"100%", "val_accuracy", "q leave")
			if wide := strings.Contains(frame, "STEP/S"); wide != (size[0] > 100) {
				t.Errorf("more columns where there is room: %v\n%s", wide, frame)
			}

			term.press("/", "held-b", "Enter")
			term.shows("weft active /held-b")
			term.lacks("held-a")
			term.press("Space")
			term.shows("1 marked")
			term.press("c")
			term.shows("cancel job 3 (held-b)? y/n")
			term.press("n")
			term.shows("nothing was done")
			term.press("c", "y")
			term.shows("cancelled job 3 (held-b)", "no job matches")
			if j, err := s.client.Job(t.Context(), jobs[2].ID); err != nil || j.State != api.Cancelled {
				t.Errorf("job 3 is %v, %v", j, err)
			}
			term.press("Escape")
			term.shows("held-a", "held-c")

			term.press("g", "Enter")
			term.shows("runs  running on cpu", "EPOCH", "EVENTS", "esc back")
			term.press("Escape") // a key right after it would be taken for one with Alt
			term.shows("weft active")
			term.press("?")
			term.shows("weft top: keys")
			term.press("x")
			term.shows("weft active")

			term.tmux("resize-window", "-x", "40", "-y", "10")
			small := term.until("40 columns", func(f string) bool { return strings.Contains(f, "STATE") && !strings.Contains(f, "SHARE") })
			if !strings.Contains(small, "runs") {
				t.Errorf("40x10 lacks the job that runs:\n%s", small)
			}
			term.tmux("resize-window", "-x", strconv.Itoa(size[0]), "-y", strconv.Itoa(size[1]))
			term.shows("SHARE", "cpu utilization")

			s.kill()
			term.shows("the daemon is gone since", "runs") // the last view stays
			s.start()
			term.shows("the daemon is back")
			term.shows("weft active", "1 running", "2 queued")
			term.press("q")
			term.ends()
		})
	}
}

// A thousand jobs are listed, and the last of them is a key away.
func TestTopThousandJobs(t *testing.T) {
	s := serve(t, t.TempDir())
	names := make([]string, 1000)
	for i := range names {
		names[i] = "held-" + strconv.Itoa(i+1)
	}
	submitNamed(t, s, names...)
	term := newTerminal(t, s, 80, 24, "top")
	term.shows("1000 queued", "> ", "held-1 ")
	term.press("End")
	term.shows(">", "1000 held-1000")
	term.press("/", "held-77", "Enter")
	term.shows("held-770", "held-779")
	term.press("C-c")
	term.ends()
}

// The live table of weft gpu -w, which weft ls -w has too.
func TestLiveTables(t *testing.T) {
	s := serve(t, t.TempDir())
	submitNamed(t, s, "held-a")
	term := newTerminal(t, s, 120, 30, "gpu", "-w")
	term.shows("DEVICE", "UTIL", "cpu", "ready")
	term.press("q")
	term.ends()
	term = newTerminal(t, s, 100, 30, "ls", "-w")
	term.shows("held-a", "1 job: 1 queued")
	submitNamed(t, s, "held-b")
	term.shows("held-b", "2 jobs: 2 queued")
	term.press("q")
	term.ends()
}
