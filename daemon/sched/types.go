package sched

import (
	"time"

	"weft/daemon/api"
)

// Job is a queued job as the policy sees it.
type Job struct {
	ID       int64
	Owner    string
	Priority int
	// Submitted and Queued are for callers' convenience; order goes by ID.
	Submitted, Queued time.Time
	MemoryBytes       int64  // its own reservation on the host
	GPUBytes          int64  // the same on a GPU; 0: it cannot run there
	DataBytes         int64  // its data set's, once per device and DataHash
	DataHash          string // "" when its data is shared with nobody
	WantDevice        string // "" or auto; a kind: cpu, gpu; one device: gpu:0 or gpu0
	After             []int64
	At                time.Time // not before
	Held              bool
	// Blocked is the value of [Plan.Blocked] from the plan before.
	Blocked time.Time
	// Alone jobs share their device with nobody, for a while: they were there at
	// a fault. Those of one Ward, which is not 0, may share it with each other.
	Alone bool
	Ward  int64
}

// Running is a job on a device, with what it holds there. It does until it has
// left, also while it is Stopping.
type Running struct {
	Job                    int64
	Owner                  string
	Priority               int
	MemoryBytes, DataBytes int64
	DataHash               string
	Stopping, Alone        bool
	Ward                   int64
	Since                  time.Time
}

// Device is a device and what it holds. Its free memory is MemoryBytes less
// TakenBytes, every running job's memory and, once per DataHash, their data.
type Device struct {
	ID, Kind    string // "gpu0", "gpu"
	Ready       bool
	MemoryBytes int64
	TakenBytes  int64 // of them, by other processes just now
	Slots       int   // jobs at most
	Running     []Running
}

// Owner is a user's share: of several at one priority, the one with the least
// Seconds/Weight goes first.
type Owner struct {
	Name    string
	Weight  float64 // 0 and less count as 1
	Seconds float64 // device time used so far
}

// Snapshot is everything a plan depends on.
type Snapshot struct {
	Now      time.Time
	Devices  []Device
	Queue    []Job // in any order
	Owners   map[string]Owner
	States   map[int64]api.State // of the jobs named in After; one that is missing does not exist
	Draining bool                // the daemon is about to end: nothing starts
}

// Start puts a job on a device.
type Start struct {
	Job    int64
	Device string
}

// Preempt takes a job off a device, checkpointed and queued again, so that a
// job of higher priority, or one that must be alone, fits once it has left.
type Preempt struct {
	Job    int64
	Device string
	For    int64
}

// Refuse fails a job that can never run.
type Refuse struct {
	Job   int64
	Error api.Error
}

// Plan is what to do now.
type Plan struct {
	Start   []Start   // in order; all fit together
	Preempt []Preempt // for jobs that do not start in this plan
	Refuse  []Refuse
	Reasons map[int64]Reason // of every queued job that neither starts nor is refused
	// Wake is the next moment at which the same snapshot would give another
	// plan; zero when only a change can.
	Wake time.Time
	// Blocked is to be handed back in [Job.Blocked] of the next snapshot.
	Blocked map[int64]time.Time
}
