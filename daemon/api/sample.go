package api

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// What is known of a device in a [Sample].
const (
	SampleOK      = "ok"      // it was read; single readings may still be null
	SampleLost    = "lost"    // the driver has lost the GPU, which may come back
	SampleFailing = "failing" // it could not be read for another reason
)

// A Sample is what a device's sensors said at one moment.
type Sample struct {
	At     time.Time `json:"at"`
	State  string    `json:"state"`            // one of the constants above
	Stale  bool      `json:"stale"`            // older than it should be: reading hangs or has ended
	Reason string    `json:"reason,omitempty"` // why it is stale, or not ok
	Hint   string    `json:"hint,omitempty"`   // what to try
	Readings
	// Processes are those that compute on a GPU; null: not known.
	Processes []DeviceProcess `json:"processes"`
}

// Readings are the values of a device's sensors. Null is what the device or its
// driver has not; it never stands for 0.
type Readings struct {
	Utilization       *float64 `json:"utilization"`        // 0 to 1: of the cores' time, or of the time that a kernel ran
	MemoryUtilization *float64 `json:"memory_utilization"` // 0 to 1: share of the time that a GPU's memory was read or written
	MemoryUsed        *int64   `json:"memory_used_bytes"`
	MemoryTotal       *int64   `json:"memory_total_bytes"`
	MemoryReserved    *int64   `json:"memory_reserved_bytes"` // by driver and firmware
	Power             *float64 `json:"power_watts"`
	PowerLimit        *float64 `json:"power_limit_watts"`
	Temperature       *float64 `json:"temperature_celsius"`
	SMClock           *int64   `json:"sm_clock_hertz"`
	MemoryClock       *int64   `json:"memory_clock_hertz"`
	Throttled         []string `json:"throttled"` // why clocks are lower than they could be
	PCIeSent          *float64 `json:"pcie_sent_bytes_per_second"`
	PCIeReceived      *float64 `json:"pcie_received_bytes_per_second"`
	PCIeGeneration    *int64   `json:"pcie_generation"`
	PCIeWidth         *int64   `json:"pcie_width"`      // lanes
	ECCCorrected      *int64   `json:"ecc_corrected"`   // errors since the driver was loaded
	ECCUncorrected    *int64   `json:"ecc_uncorrected"` // likewise
	MIG               *bool    `json:"mig"`             // divided into instances
	Energy            *float64 `json:"energy_joules"`   // since the driver was loaded
	Xid               *int64   `json:"xid"`             // the latest critical error since sampling began
	Load1             *float64 `json:"load1"`           // of the host: processes that run or want to, over 1 minute
	Load5             *float64 `json:"load5"`
	Load15            *float64 `json:"load15"`
}

// DeviceProcess is a process that uses a GPU.
type DeviceProcess struct {
	PID           int64    `json:"pid"`
	MemoryBytes   *int64   `json:"memory_bytes"`
	SMUtilization *float64 `json:"sm_utilization"` // 0 to 1
}

// History is GET /v1/devices/{id}/history.
type History struct {
	Device string    `json:"device"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	Step   float64   `json:"step"` // seconds
	// Points are in order; where nothing was sampled there is none. What is
	// older than an hour is kept by the minute, whatever the step.
	Points []Point `json:"points"`
}

// A Point is what was sampled in one step. Mean and Max hold the readings that
// the device had, by their names in [Series].
type Point struct {
	At      time.Time          `json:"at"`      // the step's beginning
	Samples int64              `json:"samples"` // that it sums up
	Mean    map[string]float64 `json:"mean"`
	Max     map[string]float64 `json:"max"`
}

// HistoryFilter says which part of a history is wanted; zero values are the
// daemon's defaults: the last hour, in steps that make some hundred points.
type HistoryFilter struct {
	Since, Until time.Time
	Step         time.Duration
}

// Series are the readings of which a history is kept. New ones go to the end:
// the store knows them by their place.
var Series = []string{"utilization", "memory_utilization", "memory_used_bytes", "power_watts", "temperature_celsius",
	"sm_clock_hertz", "memory_clock_hertz", "pcie_sent_bytes_per_second", "pcie_received_bytes_per_second",
	"energy_joules", "load1"}

// DeviceHistory returns what a device's sensors said over a time.
func (c *Client) DeviceHistory(ctx context.Context, id string, f HistoryFilter) (*History, error) {
	query := url.Values{}
	if !f.Since.IsZero() {
		query.Set("since", f.Since.Format(time.RFC3339Nano))
	}
	if !f.Until.IsZero() {
		query.Set("until", f.Until.Format(time.RFC3339Nano))
	}
	if f.Step > 0 {
		query.Set("step", f.Step.String())
	}
	out := &History{}
	return out, c.call(ctx, request{method: http.MethodGet, path: "/v1/devices/" + url.PathEscape(id) + "/history",
		query: query, again: true}, out)
}
