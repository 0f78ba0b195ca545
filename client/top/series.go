package top

import (
	"context"
	"math"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"

	"weft/daemon/api"
)

// A series is the end of a metric's history, for a sparkline: the last epochs, as
// they were when they were asked for.
type series struct {
	values []float64
	epoch  int       // the last one that has been answered
	asked  time.Time // the last time
	open   bool      // and there is no answer yet
}

// The sparklines of jobs in view. They are asked for, so many in one command, those
// first that have waited longest: what that costs does not depend on how many
// epochs the jobs end a second, which may be thousands.
const (
	seriesAtOnce = 8
	seriesEvery  = 500 * time.Millisecond // for one job, at most
	seriesValues = sparkWidth
	mostSeries   = 512 // kept at all
	seriesWithin = 10 * time.Second
)

// seriesMsg carries the last epochs of the jobs that were asked for; nil where
// there was no answer.
type seriesMsg map[int64][]api.Epoch

// wantSeries asks for the last epochs of jobs in view that have ended some since
// they were asked for.
func (s *Screen) wantSeries() tea.Cmd {
	if s.mode != listing {
		return nil
	}
	var stale []*job
	for _, j := range s.inView() {
		if headline(j.Metrics) != "" && j.series.stale(j.Progress.Epoch, s.now) {
			stale = append(stale, j)
		}
	}
	if len(stale) == 0 {
		return nil
	}
	slices.SortStableFunc(stale, func(a, b *job) int { return a.series.lastAsked().Compare(b.series.lastAsked()) })
	var ids []int64
	for _, j := range stale[:min(len(stale), seriesAtOnce)] {
		if j.series == nil {
			j.series = &series{}
		}
		j.series.open, j.series.asked = true, s.now
		ids = append(ids, j.ID)
	}
	s.forgetSeries()
	ctx, c := s.ctx, s.client
	return func() tea.Msg {
		within, cancel := context.WithTimeout(ctx, seriesWithin)
		defer cancel()
		m := seriesMsg{}
		for _, id := range ids {
			m[id], _ = c.Metrics(within, id, api.EpochFilter{Last: seriesValues})
		}
		return m
	}
}

func (s *Screen) inView() []*job {
	return s.jobs.shown[min(s.top, len(s.jobs.shown)):min(s.top+s.height, len(s.jobs.shown))]
}

// forgetSeries drops those out of view, where there are too many.
func (s *Screen) forgetSeries() {
	kept := 0
	for _, j := range s.jobs.all {
		if j.series != nil {
			kept++
		}
	}
	if kept <= mostSeries {
		return
	}
	inView := s.inView()
	for _, j := range s.jobs.all {
		if j.series != nil && !slices.Contains(inView, j) {
			j.series = nil
		}
	}
}

func (s *Screen) takeSeries(m seriesMsg) {
	for id, epochs := range m {
		j := s.jobs.all[id]
		if j == nil || j.series == nil {
			continue
		}
		j.series.open = false
		if epochs != nil {
			j.series.take(epochs, headline(j.Metrics))
		}
	}
}

// stale reports whether the epochs of a job that has come to one of them are to be
// asked for; s is nil for a job of which none were.
func (s *series) stale(epoch int, now time.Time) bool {
	return s == nil || !s.open && s.epoch != epoch && now.Sub(s.asked) >= seriesEvery
}

func (s *series) lastAsked() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.asked
}

// take takes the last epochs in the place of those before.
func (s *series) take(epochs []api.Epoch, metric string) {
	s.values, s.epoch = s.values[:0], 0
	for i := range epochs {
		s.epoch = epochs[i].Epoch
		if v, ok := epochs[i].Metrics[metric]; ok {
			s.values = append(s.values, v)
		}
	}
	s.values = s.values[max(len(s.values)-seriesValues, 0):]
}

// A history is a metric over a job's epochs, thinned so that it stays small
// however long the job is.
type history struct {
	name   string
	epochs []int
	values []float64
	stride int // only epochs of this stride are kept, beside the last
}

// mostHistory is more than a graph has dots.
const mostHistory = 2048

func (h *history) add(epoch int, v float64) {
	for n := len(h.epochs); n > 0 && h.epochs[n-1] >= epoch; n-- { // trained again
		h.epochs, h.values = h.epochs[:n-1], h.values[:n-1]
	}
	h.stride = max(h.stride, 1)
	// What is last stays only where it is of the stride.
	if n := len(h.epochs); n > 1 && h.epochs[n-1]%h.stride != 0 {
		h.epochs, h.values = h.epochs[:n-1], h.values[:n-1]
	}
	h.epochs, h.values = append(h.epochs, epoch), append(h.values, v)
	if len(h.epochs) < mostHistory {
		return
	}
	h.stride *= 2
	n := 0
	for i, e := range h.epochs {
		if i == 0 || e%h.stride == 0 || i == len(h.epochs)-1 {
			h.epochs[n], h.values[n] = e, h.values[i]
			n++
		}
	}
	h.epochs, h.values = h.epochs[:n], h.values[:n]
}

// best is the value that is best by the metric's name: the greatest of an
// accuracy or R², the least of anything else. NaN: none.
func (h *history) best() float64 {
	low, high := span(h.values)
	if slices.Contains(rising, h.name) {
		return high
	}
	return low
}

var rising = []string{"train_accuracy", "val_accuracy", "test_accuracy", "val_r2", "test_r2"}

// last is the newest value; NaN: none.
func (h *history) last() float64 {
	if len(h.values) == 0 {
		return math.NaN()
	}
	return h.values[len(h.values)-1]
}
