package store

import (
	"time"

	"weft/daemon/api"
)

// NewJob is one job to be stored, as the daemon composed it.
type NewJob struct {
	api.Submission
	Owner, Node            string
	MemoryBytes, DataBytes int64  // its own reservation on the host; its data set's, shared by DataHash
	GPUBytes               int64  // its own reservation on a GPU; 0: it cannot run on one
	DataHash               string // "" when its data is shared with nobody
	Totals                 api.Progress
	Device                 string // what it asks for: auto, cpu, gpu, gpu:0
}

// Record is a stored job with what only the daemon needs to know of it. Its
// Spec is set by [Store.Job], [Store.Detail] and a [Filter] with Spec only, so
// that ten thousand records stay small; its Reason is the scheduler's to fill.
type Record struct {
	api.Job
	MemoryBytes, DataBytes int64 // as [NewJob]'s, as is GPUBytes
	GPUBytes               int64
	DataHash               string
	WantDevice             string    // as [NewJob.Device]
	Faults                 int       // worker deaths counted against it since it was submitted or retried
	RetriesUsed            int       // of api.Job.Retries, since it was submitted or retried
	Queued                 time.Time // when it last became queued
	HasCheckpoint          bool      // the next start goes on from it
}

// Change is something that happened to a job: a transition and what came with
// it. Fields that a transition has no use for stay zero.
type Change struct {
	ID     int64
	Do     api.Transition
	At     time.Time
	Device string // of a start
	// Message is the event's text; empty, it is Error's message.
	Message string
	Error   *api.Error // of a failure
	// DeviceSeconds used since the last [Report]; added to the job's and its owner's account.
	DeviceSeconds float64
	CPUSeconds    float64            // likewise, but for the owner's account
	PeakBytes     int64              // the job's peak becomes at least this
	Metrics       map[string]float64 // merged into the latest of each; values that are not finite are left out
	Progress      *api.Progress
	Fault         bool // counts one fault against the job
	Used          bool // counts one of its retries as used
	// NewAttempt makes this start, or the next one, count as a new attempt. A
	// start without a checkpoint to go on from always does.
	NewAttempt bool
	// FromScratch forgets the checkpoint, the progress, the metrics and the
	// epochs: the next start begins at step 0. A retry always does.
	FromScratch bool
}

// Edit changes what a job's owner may change at any time. Nil fields stay.
type Edit struct {
	ID       int64
	Priority *int
	Labels   map[string]string // replaces all labels; empty and not nil: removes them
	Held     *bool
	At       time.Time
}

// Report is news of a running job; it is dropped when the job is not running,
// but for its energy.
type Report struct {
	ID            int64
	Progress      *api.Progress
	Metrics       map[string]float64 // as [Change.Metrics]
	DeviceSeconds float64            // since the last report
	CPUSeconds    float64            // likewise
	Epoch         *api.Epoch         // stored, or overwritten, and told as an event
	Checkpoint    bool               // a checkpoint is durable: told as an event
	Message       string             // the event's text; alone, an event of type "changed"
	// EnergyJoules is the job's part of what Device drew since the last report of
	// it; nil: not known. It is measured afterwards, and so counts for a job that
	// has left the device, or has been removed, as well.
	EnergyJoules *float64
	Device       string // of EnergyJoules
	At           time.Time
}

// Filter chooses jobs of a list. Zero fields do not restrict.
type Filter struct {
	States []api.State
	Kinds  []api.Kind
	Owner  string
	Labels map[string]string // all of them
	Name   string            // exactly
	IDs    []int64
	After  int64 // cursor: ids greater than this
	Limit  int   // 0: 1,000; 100,000 at most
	Spec   bool  // with specifications
}
