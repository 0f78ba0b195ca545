package top

import (
	"context"
	"math"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"

	"weft/daemon/api"
)

// The sparklines of jobs in view: asked for once, then kept by the stream.
const (
	seriesAtOnce = 8   // jobs asked for in one command
	mostSeries   = 512 // kept at all
	seriesWithin = 10 * time.Second
)

// seriesMsg carries the epochs of jobs; without any for one that could not be
// asked for, which is not tried again while it is kept.
type seriesMsg map[int64][]api.Epoch

// wantSeries asks for the metrics of jobs in view that have none yet.
func (s *Screen) wantSeries() tea.Cmd {
	var ids []int64
	for _, j := range s.jobs.shown[min(s.top, len(s.jobs.shown)):min(s.top+s.height, len(s.jobs.shown))] {
		if j.series == nil && len(j.Metrics) > 0 && len(ids) < seriesAtOnce {
			j.series = &series{}
			ids = append(ids, j.ID)
		}
	}
	if len(ids) == 0 || s.mode != listing {
		return nil
	}
	s.forgetSeries()
	ctx, c := s.ctx, s.client
	return func() tea.Msg {
		within, cancel := context.WithTimeout(ctx, seriesWithin)
		defer cancel()
		m := seriesMsg{}
		for _, id := range ids {
			if epochs, err := c.Metrics(within, id); err == nil {
				m[id] = epochs
			}
		}
		return m
	}
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
	inView := s.jobs.shown[min(s.top, len(s.jobs.shown)):min(s.top+s.height, len(s.jobs.shown))]
	for _, j := range s.jobs.all {
		if j.series != nil && !slices.Contains(inView, j) {
			j.series = nil
		}
	}
}

func (s *Screen) takeSeries(m seriesMsg) {
	for id, epochs := range m {
		j := s.jobs.all[id]
		if j == nil {
			continue
		}
		fresh := &series{}
		for i := range epochs[max(len(epochs)-seriesValues, 0):] {
			fresh.add(&epochs[max(len(epochs)-seriesValues, 0)+i])
		}
		j.series = fresh
	}
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
