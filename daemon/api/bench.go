package api

import "time"

// BenchList is GET /v1/bench: results of `weft bench share`, newest first.
type BenchList struct {
	Results []BenchSummary `json:"results"`
	// Next is what ?before= takes for the results before these; "": there are
	// no more.
	Next string `json:"next"`
	// LeftOut are the files among these that are no results.
	LeftOut int `json:"left_out"`
}

// A BenchSummary says what a result is of and what came of it; GET
// /v1/bench/{id} has all of it.
type BenchSummary struct {
	ID         string    `json:"id"`
	Benchmark  string    `json:"benchmark"` // share
	Date       time.Time `json:"date"`
	Load       string    `json:"load"`
	Models     int       `json:"models"`
	Quick      bool      `json:"quick"` // shortened: not for comparison
	Device     string    `json:"device"`
	DeviceName string    `json:"device_name"`
	Rounds     int       `json:"rounds"`
	Baseline   string    `json:"baseline"`
	Equal      bool      `json:"models_equal"` // byte for byte, in every run
	Version    string    `json:"version"`      // of weft
	Commit     string    `json:"commit"`
	// Arms are the ways of sharing that were measured, and then the peers that
	// ran.
	Arms []BenchArm `json:"arms"`
}

// A BenchArm is one way of sharing, or one peer. Figures are medians of the
// rounds; null is what was not measured.
type BenchArm struct {
	Name        string   `json:"name"`
	Peer        bool     `json:"peer"`
	Wall        float64  `json:"wall_seconds"`
	Speedup     *float64 `json:"speedup"`     // over the baseline; null: it is the baseline
	Utilization *float64 `json:"utilization"` // of the device, 0 to 1
	Energy      *float64 `json:"energy_joules"`
}
