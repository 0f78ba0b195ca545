package top

import (
	"context"
	"io"
	"strings"
)

// Once writes one frame with all that matches the filter, as wide as asked,
// for scripts: no cursor, no keys.
func (s *Screen) Once(ctx context.Context, w io.Writer, width int) error {
	if err := s.feed.look(ctx); err != nil {
		return err
	}
	if err := s.feed.listOnce(ctx); err != nil {
		return err
	}
	n := s.feed.gather()
	s.take(&n)
	s.width, s.height = width, 0
	s.relist()
	s.cursor = 0
	out := append([]string{s.headerLine()}, s.strips(len(s.devices)+1)...)
	for _, d := range s.graphed() {
		out = append(out, s.graphs(d, onceGraph)...)
	}
	out = append(out, s.lanes(len(s.devices)*onceLanes)...)
	out = append(out, s.table(max(len(s.jobs.shown), 1))...)
	_, err := io.WriteString(w, strings.Join(out, "\n")+"\n")
	return err
}

const (
	onceGraph = 5 // lines of a device
	onceLanes = 8
)
