package top

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"weft/daemon/api"
)

// job is one that the screen knows.
type job struct {
	api.Job
	meter  meter     // while it runs
	left   float64   // seconds until its last step; NaN: not known
	series *series   // of its headline; nil: not asked for
	ended  time.Time // when the screen saw that
}

// jobs is all that the screen knows, and which of them it lists in what order.
type jobs struct {
	all   map[int64]*job
	count map[api.State]int
	shown []*job // what matches, sorted
}

// mostEnded is how many ended jobs are kept that nobody asked for.
const mostEnded = 2000

func newJobs() *jobs { return &jobs{all: map[int64]*job{}, count: map[api.State]int{}} }

// put takes a job as it is now.
func (s *jobs) put(now *api.Job, at time.Time) *job {
	j, ok := s.all[now.ID]
	if !ok {
		j = &job{}
		s.all[now.ID] = j
	} else {
		s.count[j.State]--
	}
	if now.State != api.Running || now.Attempt != j.Attempt {
		j.meter = meter{}
	}
	if now.State.Final() && !j.State.Final() {
		j.ended = at
	}
	j.Job = *now
	s.count[j.State]++
	return j
}

func (s *jobs) drop(id int64) {
	if j, ok := s.all[id]; ok {
		s.count[j.State]--
		delete(s.all, id)
	}
}

// take applies news. It returns the jobs that should be on a list of all and
// are not: they ended unheard, or are no more.
func (s *jobs) take(n *news) (unheard []int64) {
	if n.whole {
		there := make(map[int64]bool, len(n.jobs))
		for i := range n.jobs {
			there[n.jobs[i].ID] = true
		}
		for id, j := range s.all {
			switch {
			case there[id]:
			case n.ended:
				s.drop(id)
			case !j.State.Final():
				unheard = append(unheard, id)
			}
		}
	}
	for i := range n.jobs {
		s.put(&n.jobs[i], n.at)
	}
	for _, id := range n.missing {
		s.drop(id)
	}
	return unheard
}

// forget drops the ended jobs that were seen first, where there are too many.
func (s *jobs) forget() {
	n := s.count[api.Succeeded] + s.count[api.Failed] + s.count[api.Cancelled]
	if n <= mostEnded {
		return
	}
	var ended []*job
	for _, j := range s.all {
		if j.State.Final() {
			ended = append(ended, j)
		}
	}
	slices.SortFunc(ended, func(a, b *job) int { return cmp.Or(a.ended.Compare(b.ended), cmp.Compare(a.ID, b.ID)) })
	for _, j := range ended[:n-mostEnded] {
		s.drop(j.ID)
	}
}

// measure takes the running jobs' readings, and works out their shares.
func (s *jobs) measure(at time.Time) {
	total := map[string]float64{}
	for _, j := range s.all {
		if j.State == api.Running {
			j.meter.add(reading{at: at, device: j.Usage.DeviceSeconds, step: j.Progress.Step})
			total[j.Device] += max(j.meter.device, 0)
		}
	}
	for _, j := range s.all {
		j.left = unknown
		if j.State != api.Running {
			continue
		}
		j.left, j.meter.share = left(j, at), unknown
		if sum := total[j.Device]; sum > 0 && !math.IsNaN(j.meter.device) {
			j.meter.share = j.meter.device / sum
		}
	}
}

// A view says which jobs are listed, and in what order.
type view struct {
	state int // of stateFilters
	text  string
	by    string // key of a column
	down  bool
}

// stateFilters are cycled through.
var stateFilters = []struct {
	name  string
	match func(api.State) bool
}{
	{"active", func(s api.State) bool { return !s.Final() }},
	{"running", func(s api.State) bool { return s == api.Running }},
	{"queued", func(s api.State) bool { return s == api.Queued }},
	{"paused", func(s api.State) bool { return s == api.Paused }},
	{"failed", func(s api.State) bool { return s == api.Failed }},
	{"ended", func(s api.State) bool { return s.Final() }},
	{"all", func(api.State) bool { return true }},
}

// wantsEnded reports whether jobs that have ended are on the list.
func (v *view) wantsEnded() bool { return stateFilters[v.state].match(api.Failed) }

// list finds and sorts the jobs to show.
func (s *jobs) list(v *view) {
	terms := strings.Fields(strings.ToLower(v.text))
	match := stateFilters[v.state].match
	s.shown = s.shown[:0]
	for _, j := range s.all {
		if match(j.State) && matches(j, terms) {
			s.shown = append(s.shown, j)
		}
	}
	order := columnBy(v.by).order
	sign := 1
	if v.down {
		sign = -1
	}
	slices.SortFunc(s.shown, func(a, b *job) int { return cmp.Or(sign*order(a, b), cmp.Compare(a.ID, b.ID)) })
}

// matches reports whether a job has all terms: KEY=VALUE a label, KEY= any
// value of it, and everything else somewhere in what the list shows.
func matches(j *job, terms []string) bool {
	for _, t := range terms {
		if key, value, ok := strings.Cut(t, "="); ok {
			if !hasLabel(j.Labels, key, value) {
				return false
			}
			continue
		}
		if strconv.FormatInt(j.ID, 10) != t && !contains(j.Name, t) && !contains(j.Owner, t) &&
			!contains(string(j.State), t) && !contains(j.Device, t) && !contains(noteText(j), t) {
			return false
		}
	}
	return true
}

func contains(s, lower string) bool { return strings.Contains(strings.ToLower(s), lower) }

func hasLabel(labels map[string]string, key, value string) bool {
	for k, v := range labels {
		if strings.EqualFold(k, key) && (value == "" || strings.EqualFold(v, value)) {
			return true
		}
	}
	return false
}

// noteText is what there is to say of a job in words.
func noteText(j *job) string {
	switch {
	case j.Reason != "":
		return j.Reason
	case j.Error != nil:
		return j.Error.Message
	}
	return ""
}
