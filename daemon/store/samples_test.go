package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weft/daemon/api"
)

func TestSamples(t *testing.T) {
	ctx := t.Context()
	s := open(t)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	point := func(device string, at time.Time, v float64) DevicePoint {
		return DevicePoint{device, api.Point{At: at, Samples: 60, Mean: map[string]float64{"utilization": v},
			Max: map[string]float64{"utilization": v + 0.1}}}
	}
	old, first, last := now.Add(-SamplesKept-time.Minute), now.Add(-SamplesKept), now.Add(-time.Minute)
	if err := s.AddSamples(ctx, []DevicePoint{point("gpu0", old, 1), point("gpu0", first, 2), point("gpu0", last, 3),
		point("cpu", last, 4)}, old); err != nil {
		t.Fatal(err)
	}
	read := func(device string, since, until time.Time) []api.Point {
		t.Helper()
		got, err := s.Samples(ctx, device, since, until)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			got[i].At = got[i].At.UTC()
		}
		return got
	}
	if got := read("gpu0", old, now); len(got) != 3 {
		t.Errorf("%d points before pruning, not 3", len(got))
	}
	// The next minute's points push out what is older than thirty days.
	if err := s.AddSamples(ctx, []DevicePoint{point("cpu", now, 5)}, now); err != nil {
		t.Fatal(err)
	}
	want := []api.Point{point("", first, 2).Point, point("", last, 3).Point}
	if diff := cmp.Diff(want, read("gpu0", old, now)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]api.Point{point("", last, 4).Point}, read("cpu", first, now)); diff != "" {
		t.Errorf("until is not part of it: %s", diff)
	}
	if got := read("gpu1", old, now); got != nil {
		t.Errorf("%v", got)
	}
}

// A month of a GPU's minutes takes little room, and keeps what is worth keeping.
func TestSeriesArePacked(t *testing.T) {
	m := map[string]float64{"utilization": 1. / 3, "memory_used_bytes": 123456789012.4, "energy_joules": 0, "unknown": 1}
	text := packSeries(m)
	if want := "[0.33333,null,123456789012,null,null,null,null,null,null,0,null]"; text != want {
		t.Errorf("%s, not %s", text, want)
	}
	got, err := unpackSeries(text)
	want := map[string]float64{"utilization": 0.33333, "memory_used_bytes": 123456789012, "energy_joules": 0}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, err := unpackSeries("{"); err == nil {
		t.Error("nonsense is taken")
	}
	ctx := t.Context()
	s := open(t)
	full := map[string]float64{}
	for i, name := range api.Series {
		full[name] = 123456.789 * float64(i+1) * float64(i+1)
	}
	begun := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const minutes = 7 * 24 * 60
	points := make([]DevicePoint, minutes)
	for i := range points {
		points[i] = DevicePoint{"gpu0", api.Point{At: begun.Add(time.Duration(i) * time.Minute), Samples: 60, Mean: full, Max: full}}
	}
	if err := s.AddSamples(ctx, points, begun); err != nil {
		t.Fatal(err)
	}
	var pages, size int64
	if err := s.read.QueryRowContext(ctx, `SELECT page_count, page_size FROM pragma_page_count, pragma_page_size`).Scan(&pages, &size); err != nil {
		t.Fatal(err)
	}
	month := float64(pages*size) / minutes * 30 * 24 * 60 / 1e6
	t.Logf("%.1f MB a GPU and month", month)
	if month > 20 {
		t.Errorf("%.1f MB a GPU and month", month)
	}
}
