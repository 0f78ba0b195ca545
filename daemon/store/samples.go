package store

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"weft/daemon/api"
)

// SamplesKept is how long samples stay in the store.
const SamplesKept = 30 * 24 * time.Hour

// DevicePoint is a point of a device's history.
type DevicePoint struct {
	Device string
	api.Point
}

// AddSamples records points in one transaction, which may be lost with the
// machine's power, and forgets those that are older than [SamplesKept].
func (s *Store) AddSamples(ctx context.Context, points []DevicePoint, now time.Time) error {
	if len(points) == 0 {
		return nil
	}
	err := s.write.do(ctx, written, func(t *tx) error {
		for i := range points {
			p := &points[i]
			if err := t.exec(`INSERT OR REPLACE INTO samples (device, at, samples, mean, max) VALUES (?, ?, ?, ?, ?)`,
				p.Device, micros(p.At), p.Samples, packSeries(p.Mean), packSeries(p.Max)); err != nil {
				return err
			}
		}
		return t.exec(`DELETE FROM samples WHERE at < ?`, micros(now.Add(-SamplesKept)))
	})
	if err != nil {
		return s.explain("record samples", err)
	}
	return nil
}

// Samples returns a device's points from since on and before until, in order.
func (s *Store) Samples(ctx context.Context, device string, since, until time.Time) ([]api.Point, error) {
	var points []api.Point
	err := s.pairs(ctx, func(scan func(...any) error) error {
		var at int64
		var mean, most string
		p := api.Point{}
		err := scan(&at, &p.Samples, &mean, &most)
		if err != nil {
			return err
		}
		if p.Mean, err = unpackSeries(mean); err != nil {
			return err
		}
		if p.Max, err = unpackSeries(most); err != nil {
			return err
		}
		p.At = fromMicros(at)
		points = append(points, p)
		return nil
	}, `SELECT at, samples, mean, max FROM samples WHERE device = ? AND at >= ? AND at < ? ORDER BY at`,
		device, micros(since), micros(until))
	if err != nil {
		return nil, s.explain("read samples", err)
	}
	return points, nil
}

// packSeries writes readings as a JSON array in the order of [api.Series], null
// for those that are not there: names would be most of a month's minutes. Five
// digits are more than a sensor has; counters and bytes keep all before the point.
func packSeries(m map[string]float64) string {
	cells := make([]string, len(api.Series))
	for i, name := range api.Series {
		v, there := m[name]
		switch {
		case !there || math.IsNaN(v) || math.IsInf(v, 0):
			cells[i] = "null"
		case math.Abs(v) >= 1e5:
			cells[i] = strconv.FormatFloat(v, 'f', 0, 64)
		default:
			cells[i] = strconv.FormatFloat(v, 'g', 5, 64)
		}
	}
	return "[" + strings.Join(cells, ",") + "]"
}

// unpackSeries reads what packSeries wrote, also when there were fewer series.
func unpackSeries(text string) (map[string]float64, error) {
	var cells []*float64
	if err := json.Unmarshal([]byte(text), &cells); err != nil {
		return nil, fmt.Errorf("decode samples: %w", err)
	}
	m := map[string]float64{}
	for i, v := range cells {
		if v != nil && i < len(api.Series) {
			m[api.Series[i]] = *v
		}
	}
	return m, nil
}
