package metrics

import (
	"time"

	"weft/daemon/api"
)

// A Source is read at every scrape. Its functions answer from memory and never
// wait for a loop, a worker, a driver or a disk; all are set.
type Source struct {
	Devices        func() []Device
	Jobs           func() Jobs
	Loops          func() []Loop
	Disk           func() Disk
	StreamsDropped func() int64 // readers that fell too far behind
	Version        api.Version
}

// A Device is what is known of one without asking it.
type Device struct {
	ID, Kind, Name string
	State          string // ready, starting, restarting or failing
	Lanes, Slots   int
	Running        int         // jobs on it
	MemoryBytes    int64       // for jobs
	ReservedBytes  int64       // of it
	Activity       *Activity   // nil: not known
	Sample         *api.Sample // nil: its sensors have told nothing
}

// Activity is what a device has done since it was opened.
type Activity struct {
	BusySeconds float64
	// Quanta, if the device works in such, took Sum seconds in all. Counts has one more than Bounds, the upper
	// ones in seconds: its last are above all. They are not summed up.
	Bounds []float64
	Counts []uint64
	Sum    float64
}

// Jobs are those that have not ended.
type Jobs struct {
	Active   map[Class]int
	Waiting  map[string]int // in the queue by class of reason
	Failing  bool           // the store takes no changes
	Draining bool
}

// A Class of jobs are those of one kind in one state.
type Class struct {
	Kind  api.Kind
	State api.State
}

// A Loop is one under watch; several may have the same name.
type Loop struct {
	Name string
	Age  time.Duration // for how long it has owed a sign of life
}

// Disk is what the state directory takes and has. Negative: not known.
type Disk struct {
	DatabaseBytes, WALBytes int64
	FreeBytes, SizeBytes    int64 // of its file system
}
