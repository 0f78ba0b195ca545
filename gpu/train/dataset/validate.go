package dataset

import (
	"fmt"
	"slices"
)

// sources in the order the reference lists them.
var sources = []Source{
	SourceDigits, SourceIris, SourceWine, SourceBreastCancer, SourceDiabetes,
	SourceMoons, SourceSpirals, SourceBlobs, SourceTeacher,
	SourceCSV, SourceIDX, SourceNPY, SourceParquet, SourceSafetensors,
}

// made reports whether s is made from a seed.
func (s Source) made() bool {
	switch s {
	case SourceMoons, SourceSpirals, SourceBlobs, SourceTeacher:
		return true
	}
	return false
}

// files returns the files that the source reads.
func (s *Spec) files() []string {
	switch s.Source {
	case SourceCSV, SourceParquet, SourceSafetensors:
		return []string{s.File}
	case SourceIDX, SourceNPY:
		return []string{s.X, s.Y}
	}
	return nil
}

// validate checks what can be known without a look at the data.
func (s *Spec) validate(task Task, lim limits) error {
	if !slices.Contains(sources, s.Source) {
		names := make([]string, len(sources))
		for i, source := range sources {
			names[i] = string(source)
		}
		hint := "sources: " + list(names)
		if n := nearest(string(s.Source), names); n != "" {
			hint = fmt.Sprintf("did you mean %q? %s", n, hint)
		}
		return bad(hint, "no data source %q", clip(string(s.Source)))
	}
	switch task {
	case Classification, Binary, Regression:
	default:
		return fmt.Errorf("load data: no task %q", task)
	}
	if err := s.Split.validate(); err != nil {
		return err
	}
	for _, d := range s.Shape {
		if d < 1 || int64(d) > lim.columns {
			return bad("each dimension is 1 or more", "shape %v: %d is out of range", s.Shape, d)
		}
	}
	if len(s.Shape) > 3 || s.Shape != nil && len(s.Shape) == 0 {
		return bad("a row is a list of numbers, [64], or an image, [channels, height, width]",
			"shape %v: %d dimensions", s.Shape, len(s.Shape))
	}
	if s.Source.made() {
		return s.Make.validate(s.Source, lim)
	}
	return nil
}

func (s *Split) validate() error {
	for _, f := range []struct {
		name  string
		value float64
	}{{"validation", s.Validation}, {"test", s.Test}} {
		if !(f.value >= 0 && f.value < 1) { // NaN too
			return bad("give the share of all rows, such as 0.2", "split: %s %v is not in [0, 1)", f.name, f.value)
		}
	}
	if s.Validation+s.Test >= 1 {
		return bad("leave rows to train on", "split: validation %v and test %v leave no rows to train on",
			s.Validation, s.Test)
	}
	return nil
}

func (m *Make) validate(source Source, lim limits) error {
	type check struct {
		name       string
		value      int
		low, high  int
		usedByThis bool
	}
	flat := source == SourceMoons || source == SourceSpirals
	low := 2
	if source == SourceTeacher && m.Classes == 0 {
		low = 0
	}
	for _, c := range []check{
		{"rows", m.Rows, 2, int(min(lim.rows, 100_000_000)), true},
		{"features", m.Features, 1, int(lim.columns), !flat},
		{"classes", m.Classes, low, 1 << 16, source != SourceMoons},
	} {
		if c.usedByThis && (c.value < c.low || c.value > c.high) {
			return bad(fmt.Sprintf("give %d to %d", c.low, c.high), "%s: %s %d is out of range", source, c.name, c.value)
		}
	}
	switch {
	case flat && m.Features != 0 && m.Features != 2:
		return bad("leave features out", "%s: always has 2 features, not %d", source, m.Features)
	case source == SourceMoons && m.Classes != 0 && m.Classes != 2:
		return bad("leave classes out", "%s: always has 2 classes, not %d", source, m.Classes)
	case !(m.Noise >= 0 && m.Noise <= 1e6):
		return bad("give the noise's standard deviation, 0 or more", "%s: noise %v is out of range", source, m.Noise)
	case m.Classes > m.Rows:
		return bad("make more rows or fewer classes", "%s: %d classes in %d rows", source, m.Classes, m.Rows)
	}
	return lim.cellsFit(string(source), int64(m.Rows), int64(max(m.Features, 2)))
}
