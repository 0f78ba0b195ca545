package api

import (
	"encoding/json"
	"time"
)

// Kind says what a job does, and what its specification is.
type Kind string

// The kinds. A training job's specification is gpu/train's; the others are CPU
// jobs, whose specification is cpuwork/jobs'.
const (
	KindTrain  Kind = "train"
	KindSHA256 Kind = "sha256"
	KindJPEG   Kind = "jpeg"
	KindFetch  Kind = "fetch"
	KindPrimes Kind = "primes"
)

// Kinds lists them.
var Kinds = []Kind{KindTrain, KindSHA256, KindJPEG, KindFetch, KindPrimes}

// Submission is one job as a client submits it: POST /v1/jobs takes one or an
// array of them, all or none.
type Submission struct {
	Kind     Kind              `json:"kind"`
	Name     string            `json:"name,omitempty"`   // default: the specification's
	Labels   map[string]string `json:"labels,omitempty"` // at most 32
	Priority int               `json:"priority,omitempty"`
	After    []int64           `json:"after,omitempty"`           // ids that must have succeeded first
	At       *time.Time        `json:"at,omitempty"`              // not before
	Hold     bool              `json:"hold,omitempty"`            // wait for release
	Retries  int               `json:"retries,omitempty"`         // further attempts after a failure
	Timeout  float64           `json:"timeout_seconds,omitempty"` // running time at most; 0: none
	Spec     json.RawMessage   `json:"spec"`
}

// Job is everything a client sees of a job in a list; see JobDetail.
type Job struct {
	ID          int64              `json:"id"`
	Node        string             `json:"node"`
	Name        string             `json:"name"`
	Kind        Kind               `json:"kind"`
	State       State              `json:"state"`
	Reason      string             `json:"reason"` // why it is queued, in words; "" otherwise
	Device      string             `json:"device"` // "cpu", "gpu0"; "" before it ran
	Owner       string             `json:"owner"`
	Priority    int                `json:"priority"`
	Labels      map[string]string  `json:"labels"`
	After       []int64            `json:"after,omitempty"`
	At          *time.Time         `json:"at,omitempty"`
	Held        bool               `json:"held,omitempty"`
	Retries     int                `json:"retries,omitempty"`
	Timeout     float64            `json:"timeout_seconds,omitempty"`
	Attempt     int                `json:"attempt"` // 0 before the first start
	SubmittedAt time.Time          `json:"submitted_at"`
	StartedAt   *time.Time         `json:"started_at"`
	FinishedAt  *time.Time         `json:"finished_at"`
	Progress    Progress           `json:"progress"`
	Metrics     map[string]float64 `json:"metrics"` // the latest of each
	Usage       Usage              `json:"usage"`
	Error       *Error             `json:"error"`
	Spec        json.RawMessage    `json:"spec,omitempty"` // left out of lists asked for without it
}

// Progress counts a training job's optimizer steps; Epochs and Steps are the
// totals asked for, which early stopping may leave unreached.
type Progress struct {
	Epoch  int   `json:"epoch"`
	Epochs int   `json:"epochs"`
	Step   int64 `json:"step"`
	Steps  int64 `json:"steps"`
}

// Usage is what a job consumed over all its attempts.
type Usage struct {
	DeviceSeconds   float64  `json:"device_seconds"` // time its own work occupied a lane
	WallSeconds     float64  `json:"wall_seconds"`   // time in state running
	CPUSeconds      float64  `json:"cpu_seconds"`    // processor time that its own work took
	PeakMemoryBytes int64    `json:"peak_memory_bytes"`
	EnergyJoules    *float64 `json:"energy_joules"` // null where the device does not say
}

// Epoch is a job's metrics after one epoch; a resumed job overwrites the
// epochs it trains again, with equal numbers.
type Epoch struct {
	Epoch   int                `json:"epoch"` // from 1
	Step    int64              `json:"step"`
	Metrics map[string]float64 `json:"metrics"`
}

// Event is one line of a job's history. Ids grow over all jobs, so a stream
// resumes from the last id seen.
type Event struct {
	ID      int64     `json:"id"`
	Time    time.Time `json:"time"`
	Job     int64     `json:"job"`
	Type    string    `json:"type"` // of [EventTypes]
	State   State     `json:"state"`
	Message string    `json:"message,omitempty"`
	// Epoch is set on events of type [EventEpoch].
	Epoch *Epoch `json:"epoch,omitempty"`
}

// JobDetail is GET /v1/jobs/{id}.
type JobDetail struct {
	Job
	Epochs  []Epoch  `json:"epochs"`
	Events  []Event  `json:"events"`
	Summary *Summary `json:"summary,omitempty"` // of a CPU job whose items have all ended
}

// Summary is what a CPU job's items came to. Its rates are means over Seconds,
// which is the time that the job has run, over all its lives.
type Summary struct {
	Items       int64          `json:"items"`
	OK          int64          `json:"ok"`
	Failed      int64          `json:"failed"`
	Bytes       int64          `json:"bytes"`
	Seconds     float64        `json:"seconds"`
	ItemsPerS   float64        `json:"items_per_second"`
	BytesPerS   float64        `json:"bytes_per_second"`
	Pool        string         `json:"pool"`
	Workers     int            `json:"workers"`
	Resumed     int64          `json:"resumed,omitempty"` // items that an earlier life had done
	Stopped     bool           `json:"stopped,omitempty"` // early: not all items were done
	FirstFailed []ItemResult   `json:"first_failed,omitempty"`
	Kind        map[string]any `json:"kind,omitempty"` // what only this kind has
}

// ItemResult is what one item of a CPU job came to: a line of
// GET /v1/jobs/{id}/results.
type ItemResult struct {
	Index    int64          `json:"index"` // place in the input, from 0
	Item     string         `json:"item"`  // a path, a URL, a number; not UTF-8: output has name_base64
	OK       bool           `json:"ok"`
	Bytes    int64          `json:"bytes,omitempty"`
	Seconds  float64        `json:"seconds"` // the last attempt
	Attempts int            `json:"attempts"`
	Output   map[string]any `json:"output,omitempty"` // what the kind answers
	Error    *ItemError     `json:"error,omitempty"`
}

// ItemError is why an item could not be done.
type ItemError struct {
	Code    string        `json:"code"`
	Message string        `json:"message"`
	Hint    string        `json:"hint,omitempty"`
	Retry   bool          `json:"retry,omitempty"` // another attempt may succeed
	After   time.Duration `json:"after,omitempty"` // nanoseconds that a server asked to wait
}

// DryRun is what POST /v1/jobs?dry_run=true answers for each job.
type DryRun struct {
	Name             string  `json:"name"`
	Parameters       int64   `json:"parameters"`
	MemoryBytes      int64   `json:"memory_bytes"` // the job's own reservation
	DataBytes        int64   `json:"data_bytes"`   // shared by jobs on the same data
	Rows             int     `json:"rows"`         // training rows
	Steps            int64   `json:"steps"`
	Device           string  `json:"device"`
	EstimatedSeconds float64 `json:"estimated_seconds"` // alone on the device
	Pool             string  `json:"pool,omitempty"`    // of a CPU job
	Workers          int     `json:"workers,omitempty"` // of that pool
}

// What a device's worker is doing.
const (
	DeviceReady      = "ready"
	DeviceStarting   = "starting"   // for the first time
	DeviceRestarting = "restarting" // it died
	DeviceFailing    = "failing"    // it has never been ready, and is tried again
)

// Device is GET /v1/devices.
type Device struct {
	ID          string  `json:"id"` // "cpu", "gpu0"
	Kind        string  `json:"kind"`
	Name        string  `json:"name"`
	State       string  `json:"state"` // one of the constants above
	Lanes       int     `json:"lanes"`
	Slots       int     `json:"slots"` // jobs at most at once
	MemoryBytes int64   `json:"memory_bytes"`
	FreeBytes   int64   `json:"free_bytes"`
	Running     []int64 `json:"running"`
	Gangs       []Gang  `json:"gangs"`        // who shares a lane at this moment; lanes without jobs are left out
	BusySeconds float64 `json:"busy_seconds"` // since the daemon was started: of lanes that worked, on a GPU of the device
	Restarts    int     `json:"restarts"`
	PID         int     `json:"pid"` // of its worker
	Message     string  `json:"message,omitempty"`
	Hint        string  `json:"hint,omitempty"` // what to try when it is not ready
	Sample      *Sample `json:"sample"`         // what its sensors said last; null: nothing yet
}

// A Gang is the jobs that a lane has at one moment: on the host the one that it
// works on, on a GPU all that a launch serves together.
type Gang struct {
	Lane    int     `json:"lane"`
	Jobs    []int64 `json:"jobs"`
	Working bool    `json:"working"` // on a quantum, at the moment of asking
}
