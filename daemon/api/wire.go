package api

import "time"

// The bodies of the HTTP API that are not jobs themselves. The stream of
// GET /v1/events is described at [Event]; a line of it without an id, with the
// event name [ProgressEvent], carries a [Job] without its specification.

// ProgressEvent names the stream's lines that tell how far a running job is.
// They have no id and are not kept: a resumed stream does not repeat them.
const ProgressEvent = "progress"

// Limits of requests, the same for every client.
const (
	MaxBodyBytes   = 64 << 20 // of any request
	MaxJobsPerPost = 10_000
	MaxLabels      = 32
	DefaultLimit   = 1_000   // jobs in one GET /v1/jobs
	MaxLimit       = 100_000 // jobs in one GET /v1/jobs
)

// JobList is GET /v1/jobs.
type JobList struct {
	Jobs []Job `json:"jobs"`
	Next int64 `json:"next"` // pass as after= for the rest; 0: this was the last
}

// Submitted is what POST /v1/jobs answers, in the order of the request.
type Submitted struct {
	Jobs []Job `json:"jobs"`
}

// Patch is PATCH /v1/jobs/{id}; what is left out stays as it is.
type Patch struct {
	Priority *int `json:"priority,omitempty"`
	// Labels are merged into the job's; null removes one.
	Labels map[string]*string `json:"labels,omitempty"`
}

// PredictRequest is POST /v1/jobs/{id}/predict; the answer is text/csv.
type PredictRequest struct {
	Data string `json:"data"` // absolute path, read by the daemon
}

// Version is GET /v1/version.
type Version struct {
	Version   string    `json:"version"`
	Commit    string    `json:"commit"`
	Go        string    `json:"go"`
	PID       int       `json:"pid"`
	StateDir  string    `json:"state_dir"`
	StartedAt time.Time `json:"started_at"`
	Node      string    `json:"node"`
}

// What a check of [Health] or [Doctor] found.
const (
	CheckOK      = "ok"
	CheckWarn    = "warn"    // doctor: works, but could be better
	CheckFail    = "fail"    // doctor: does not work
	CheckFailing = "failing" // health
)

// Health is GET /healthz and GET /readyz: 200 if Status is ok, else 503.
type Health struct {
	Status string        `json:"status"` // ok or failing
	Checks []HealthCheck `json:"checks"`
}

// HealthCheck is one thing that /healthz or /readyz looked at.
type HealthCheck struct {
	Name    string `json:"name"`
	Status  string `json:"status"` // ok or failing
	Message string `json:"message,omitempty"`
}

// Doctor is GET /v1/doctor: what the daemon found on its machine.
type Doctor struct {
	Checks []DoctorCheck `json:"checks"`
}

// DoctorCheck is one finding, and what to do about it.
type DoctorCheck struct {
	Name   string `json:"name"`
	Status string `json:"status"` // ok, warn or fail
	Found  string `json:"found"`
	Hint   string `json:"hint,omitempty"`
}
