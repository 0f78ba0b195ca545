package api

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// What GET /v1/usage groups by; [UsageByLabel] is followed by a label's key.
const (
	UsageByJob    = "job"
	UsageByOwner  = "owner"
	UsageByDevice = "device"
	UsageByKind   = "kind"
	UsageByLabel  = "label:"
)

// UsageReport is GET /v1/usage: what jobs used within a period, from a ledger
// that counts by the hour, knows removed jobs as well, and goes back 400 days.
type UsageReport struct {
	Since   time.Time     `json:"since"` // as asked for, but the beginning of an hour
	Until   time.Time     `json:"until"` // as asked for, but the end of an hour, or now
	By      string        `json:"by"`
	Rows    []UsageRow    `json:"rows"` // most device seconds first
	Total   UsageSum      `json:"total"`
	Devices []DeviceUsage `json:"devices"` // whole, also where the rows are one owner's
}

// UsageRow is what one job, or the jobs with one owner, device, kind or label,
// used. Job, Name and Owner are there when rows are jobs.
type UsageRow struct {
	Key   string `json:"key"` // what they have in common; "" for jobs that lack the label
	Job   int64  `json:"job,omitempty"`
	Name  string `json:"name,omitempty"`
	Owner string `json:"owner,omitempty"`
	UsageSum
}

// UsageSum adds up jobs. A job that ran on two devices is one job, but counts
// for both when rows are devices.
type UsageSum struct {
	Jobs            int      `json:"jobs"`
	DeviceSeconds   float64  `json:"device_seconds"`    // time that their own work occupied lanes
	WallSeconds     float64  `json:"wall_seconds"`      // time in state running
	CPUSeconds      float64  `json:"cpu_seconds"`       // processor time that their own work took
	EnergyJoules    *float64 `json:"energy_joules"`     // of the devices that say; null: none does
	PeakMemoryBytes int64    `json:"peak_memory_bytes"` // the largest of any of them, in its whole life
}

// DeviceUsage sets what a device measured against what its jobs were charged.
// The jobs' energy and the idle energy add up to the device's.
type DeviceUsage struct {
	Device           string   `json:"device"`
	BusySeconds      float64  `json:"busy_seconds"` // of lanes that worked, on a GPU of the device; counted apart from jobs
	JobSeconds       float64  `json:"job_seconds"`  // device seconds of all jobs
	EnergyJoules     *float64 `json:"energy_joules"`
	IdleEnergyJoules *float64 `json:"idle_energy_joules"`
}

// UsageFilter says which usage is wanted; zero values are the daemon's
// defaults: the last day, of everybody, by owner.
type UsageFilter struct {
	Since, Until time.Time
	By           string // one of the constants above
	Owner        string
	Labels       map[string]string // all of them
}

// Usage returns what jobs used within a period.
func (c *Client) Usage(ctx context.Context, f UsageFilter) (*UsageReport, error) {
	query := url.Values{}
	if !f.Since.IsZero() {
		query.Set("since", f.Since.Format(time.RFC3339Nano))
	}
	if !f.Until.IsZero() {
		query.Set("until", f.Until.Format(time.RFC3339Nano))
	}
	if f.By != "" {
		query.Set("by", f.By)
	}
	if f.Owner != "" {
		query.Set("owner", f.Owner)
	}
	for name, value := range f.Labels {
		query.Add("label", name+"="+value)
	}
	out := &UsageReport{}
	return out, c.call(ctx, request{method: http.MethodGet, path: "/v1/usage", query: query, again: true}, out)
}
