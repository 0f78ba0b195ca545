package top

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"pgregory.net/rapid"

	"weft/daemon/api"
)

// The main view on terminals of three sizes, and without any.
func TestFrames(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {200, 60}, {40, 10}} {
		s := fixed(t, client(t, nil), size[0], size[1])
		fill(t, s, someJobs())
		name := fmt.Sprintf("%dx%d", size[0], size[1])
		golden(t, "list-"+name+".txt", text(t, s))
		press(t, s, "shift+tab") // all states
		golden(t, "all-"+name+".txt", text(t, s))
		press(t, s, "?")
		golden(t, "help-"+name+".txt", text(t, s))
	}
}

func TestFollowFrames(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {200, 60}, {40, 10}} {
		s := fixed(t, client(t, nil), size[0], size[1])
		fill(t, s, someJobs())
		press(t, s, "enter")
		var detail api.JobDetail
		detail.Job = s.jobs.all[s.cursor].Job
		for e := 1; e <= 40; e++ {
			detail.Epochs = append(detail.Epochs, api.Epoch{Epoch: e, Step: int64(45 * e),
				Metrics: map[string]float64{"val_rmse": 30 / float64(e), "train_loss": 1000 / float64(e*e)}})
		}
		detail.Events = []api.Event{{Time: moment.Add(-time.Hour), Type: "submitted", State: api.Queued},
			{Time: moment.Add(-time.Minute), Type: "started", State: api.Running, Message: "on gpu0\x1b[2J"}}
		send(t, s, detailMsg{id: detail.ID, detail: &detail})
		golden(t, fmt.Sprintf("follow-%dx%d.txt", size[0], size[1]), text(t, s))
	}
}

// Colours are those of the styles, and only there.
func TestColours(t *testing.T) {
	s := fixed(t, client(t, nil), 100, 24)
	fill(t, s, someJobs())
	bare := text(t, s)
	s.look.colour = true
	send(t, s, tea.WindowSizeMsg{Width: 100, Height: 24})
	coloured := text(t, s)
	trim := func(text string) string {
		var out []string
		for line := range strings.Lines(text) {
			out = append(out, strings.TrimRight(line, " \n"))
		}
		return strings.Join(out, "\n")
	}
	if got := sgr.ReplaceAllString(coloured, ""); trim(got) != trim(bare) {
		t.Errorf("colours change the text:\n%s\nwithout\n%s", got, bare)
	}
	contain(t, coloured, "\x1b[36mrunning", "\x1b[33mpaused", "\x1b[7m")
	send(t, s, lost{since: moment.Add(-time.Minute), err: errors.New("no daemon")})
	lack(t, text(t, s), "\x1b[36m", "\x1b[33mpaused")
}

// A daemon that goes away is told with the time, the view stays, and when it is
// back the list is the new one.
func TestGoneAndBack(t *testing.T) {
	s := fixed(t, client(t, nil), 80, 24)
	fill(t, s, someJobs())
	gone := &api.Error{Code: api.CodeUnreachable, Message: "no daemon answers at unix:///x", Hint: "weft serve"}
	send(t, s, lost{since: moment.Add(-14 * time.Second), err: gone})
	send(t, s, news{at: moment.Add(time.Second)})
	send(t, s, lost{since: moment, err: gone}) // tried again: still since then
	golden(t, "gone-80x24.txt", text(t, s))
	send(t, s, found{})
	send(t, s, news{at: moment.Add(5 * time.Second), whole: true, ended: true, jobs: someJobs()[3:4]})
	frame := text(t, s)
	contain(t, frame, "the daemon is back", "1 queued", "needs 1.2 GiB")
	lack(t, frame, "gone", "boston")
	send(t, s, news{at: moment.Add(time.Minute)})
	lack(t, text(t, s), "the daemon is back")
}

func TestFilterSortAndStates(t *testing.T) {
	s := fixed(t, client(t, nil), 80, 24)
	fill(t, s, someJobs())
	press(t, s, "l")                  // lanes name jobs too
	lack(t, text(t, s), "digits-mlp") // ended
	press(t, s, "/", "b", "o", "s", "t")
	contain(t, text(t, s), "/bost_", "boston")
	lack(t, text(t, s), "tea")
	press(t, s, "esc")
	contain(t, text(t, s), "tea")
	press(t, s, "/", "b", "x", "backspace", "o", "s", "enter")
	contain(t, text(t, s), "weft active /bos")
	press(t, s, "esc")
	press(t, s, "/", "s", "w", "e", "e", "p", "=", "A", "enter")
	contain(t, text(t, s), "boston")
	lack(t, text(t, s), "日本")
	press(t, s, "esc", "/", "n", "o", "n", "e", "enter")
	contain(t, text(t, s), "no job matches")
	press(t, s, "esc", "tab")
	contain(t, text(t, s), "weft running")
	lack(t, text(t, s), "tea")
	press(t, s, "tab", "tab", "tab")
	contain(t, text(t, s), "weft failed", "the loss became NaN at step 17")
	press(t, s, "shift+tab", "shift+tab", "shift+tab", "shift+tab", "<", "<")
	contain(t, text(t, s), "ID▲")
	if got := order(s); got != "3 4 5 6" {
		t.Errorf("by id: %s", got)
	}
	press(t, s, "i")
	if got := order(s); got != "6 5 4 3" {
		t.Errorf("by id, the other way: %s", got)
	}
	press(t, s, "<")
	contain(t, text(t, s), "METRIC▼")
}

func order(s *Screen) string {
	s.relist()
	var ids []string
	for _, j := range s.jobs.shown {
		ids = append(ids, fmt.Sprint(j.ID))
	}
	return strings.Join(ids, " ")
}

// Every column sorts, both ways, and by another order than its head says nothing
// is lost.
func TestOrders(t *testing.T) {
	for by, want := range map[string]string{
		"state": "3 5 4 6 2 7 1", "progress": "2 4 7 6 3 5 1", "share": "1 2 4 6 7 5 3", "device": "2 4 6 7 1 3 5",
		"owner": "1 2 3 5 6 7 4", "priority": "1 2 5 6 7 3 4", "name": "3 1 2 7 6 4 5", "metric": "1 3 2 4 5 6 7",
	} {
		s := fixed(t, client(t, nil), 80, 24)
		fill(t, s, someJobs())
		s.view.by, s.view.state, s.unsure = by, 6, true
		if got := order(s); got != want {
			t.Errorf("by %s: %s, want %s", by, got, want)
		}
	}
	for _, by := range SortKeys() {
		s := fixed(t, client(t, nil), 80, 24)
		fill(t, s, someJobs())
		s.view.by, s.view.state, s.view.down, s.unsure = by, 6, true, true
		if got := len(strings.Fields(order(s))); got != 7 {
			t.Errorf("by -%s: %d jobs", by, got)
		}
	}
	if _, err := New(Options{Sort: "-nme"}); err == nil || !strings.Contains(api.AsError(err).Hint, "name") {
		t.Errorf("sort by a column that is none: %v", err)
	}
}

// The cursor stays on its job whatever happens to the list.
func TestCursor(t *testing.T) {
	s := fixed(t, client(t, nil), 80, 24)
	all := manyJobs(1000)
	send(t, s, news{at: moment, whole: true, jobs: all})
	text(t, s)
	press(t, s, "end")
	contain(t, text(t, s), "> 1000 job-1000")
	press(t, s, "up", "up")
	contain(t, text(t, s), ">  998 job-998")
	all[997].Name = "renamed"
	send(t, s, news{at: moment, missing: []int64{5, 6, 999}, jobs: all[997:998]})
	contain(t, text(t, s), ">  998 renamed")
	send(t, s, news{at: moment, missing: []int64{998}})
	contain(t, text(t, s), "> 1000 job-1000")
	press(t, s, "g")
	contain(t, text(t, s), ">   1 job-1  ")
	press(t, s, "pgdown", "pgup")
	contain(t, text(t, s), ">   1 job-1  ")
}

func manyJobs(n int) []api.Job {
	jobs := make([]api.Job, n)
	for i := range jobs {
		jobs[i] = api.Job{ID: int64(i + 1), Name: fmt.Sprintf("job-%d", i+1), State: api.Queued, Reason: "held", Owner: "ann",
			Progress: api.Progress{Epochs: 10, Steps: 1000}, Labels: map[string]string{"sweep": fmt.Sprint(i % 10)}}
		if i < 10 {
			jobs[i].State, jobs[i].Reason, jobs[i].Device = api.Running, "", "cpu"
			jobs[i].Metrics = map[string]float64{"val_loss": 1}
		}
	}
	return jobs
}

// A list of those that have not ended, without a job that had not, asks for it:
// it may have ended unheard.
func TestUnheardEnds(t *testing.T) {
	s := fixed(t, client(t, nil), 80, 24)
	all := manyJobs(3)
	send(t, s, news{at: moment, whole: true, jobs: all})
	send(t, s, news{at: moment, whole: true, jobs: all[1:]})
	if _, asked := s.feed.changed[1]; !asked || len(s.feed.changed) != 1 {
		t.Errorf("asked for %v", s.feed.changed)
	}
	send(t, s, news{at: moment, whole: true, ended: true, jobs: all[2:]})
	if len(s.jobs.all) != 1 {
		t.Errorf("%d jobs are left", len(s.jobs.all))
	}
}

// What is kept stays small however long it runs: ended jobs and sparklines.
func TestBounds(t *testing.T) {
	s := fixed(t, client(t, nil), 80, 24)
	ended := manyJobs(3000)
	for i := range ended {
		ended[i].State, ended[i].Metrics = api.Running, map[string]float64{"val_loss": 1}
	}
	send(t, s, news{at: moment, whole: true, jobs: ended})
	for i := range ended {
		ended[i].State = api.Succeeded
	}
	send(t, s, news{at: moment, jobs: ended})
	if n := len(s.jobs.all); n != mostEnded {
		t.Errorf("%d ended jobs are kept", n)
	}
	x, epochs := &series{}, make([]api.Epoch, 10_000)
	for e := range epochs {
		epochs[e] = api.Epoch{Epoch: e + 1, Metrics: map[string]float64{"val_loss": float64(e)}}
	}
	x.take(epochs, "val_loss")
	if n := len(x.values); n != seriesValues || x.values[n-1] != 9999 || x.epoch != 10_000 {
		t.Errorf("%d values, the last %v", n, x.values[n-1])
	}
	h := &history{name: "val_loss"}
	for e := range 100_000 {
		h.add(e+1, float64(e))
	}
	if n := len(h.values); n > mostHistory || h.last() != 99_999 || h.values[0] != 0 || n < mostHistory/4 {
		t.Errorf("%d values from %v to %v", n, h.values[0], h.last())
	}
	s.takeDevices(&news{devices: someDevices(moment)})
	for i := range 5 * mostSamples {
		s.takeDevices(&news{devices: someDevices(moment.Add(time.Duration(i) * time.Second))})
	}
	if n := len(s.devices[0].utilization); n > 2*mostSamples {
		t.Errorf("%d samples", n)
	}
}

// Whatever jobs, sizes and keys come, the frame fits and holds no control
// characters.
func TestAnythingFits(t *testing.T) {
	c := client(t, nil)
	rapid.Check(t, func(rt *rapid.T) {
		s := fixed(t, c, 80, 24)
		s.look.colour = rapid.Bool().Draw(rt, "colour")
		odd := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"❤️❤️❤️❤️❤️❤️❤️", "👨‍👩‍👧‍👦 family", "e\u0301e\u0301", "\x1b]0;x\x07", "名前名前名前"}))
		all := someJobs()
		for i := range all {
			all[i].Name, all[i].Reason, all[i].Owner = odd.Draw(rt, "name"), odd.Draw(rt, "reason"), odd.Draw(rt, "owner")
			all[i].Labels = map[string]string{odd.Draw(rt, "label"): "x"}
			all[i].ID = rapid.Int64Range(1, 1<<40).Draw(rt, "id")
			all[i].Progress.Step = rapid.Int64().Draw(rt, "step")
			all[i].Metrics = map[string]float64{"val_loss": rapid.Float64().Draw(rt, "metric")}
		}
		fill(t, s, all)
		keys := []string{"?", "q", "tab", "shift+tab", "down", "up", "enter", "esc", "/", "a", "space", "c", "n", "v", "l", "<",
			">", "i", "end", "home", "pgdown", "backspace", "日"}
		for range rapid.IntRange(0, 12).Draw(rt, "keys") {
			send(t, s, tea.WindowSizeMsg{Width: rapid.IntRange(0, 220).Draw(rt, "width"), Height: rapid.IntRange(0, 70).Draw(rt, "height")})
			press(t, s, rapid.SampledFrom(keys).Draw(rt, "key"))
			if fault := misfit(s.View().Content, s.width, s.height); fault != "" {
				rt.Fatalf("%s\n%s", fault, s.View().Content)
			}
		}
	})
}

func TestLeaving(t *testing.T) {
	s := fixed(t, client(t, nil), 80, 24)
	if !press(t, s, "ctrl+c") || s.Left() {
		t.Error("an interrupt is not leaving")
	}
	if !press(t, s, "q") || !s.Left() {
		t.Error("q does not leave")
	}
}

func BenchmarkRefresh(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("jobs=%d", n), func(b *testing.B) {
			s := fixed(b, client(b, nil), 200, 60)
			all := manyJobs(n)
			send(b, s, news{at: moment, devices: someDevices(moment), whole: true, jobs: all})
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				at := moment.Add(time.Duration(i) * time.Second)
				for k := range 10 {
					all[k].Progress.Step++
				}
				s.Update(news{at: at, devices: someDevices(at), jobs: all[:10]})
				s.View()
			}
		})
	}
}

// A sample that is stale is a gap in the graph, not its last value again.
func TestStaleSampleIsAGap(t *testing.T) {
	s := fixed(t, client(t, nil), 80, 24)
	devices := someDevices(moment)[:1]
	devices[0].Sample.Stale = true
	send(t, s, news{at: moment, devices: devices})
	if got := s.devices[0].utilization; len(got) != 1 || !math.IsNaN(got[0]) {
		t.Errorf("%v", got)
	}
}
