package gpu

import "weft/gpu/train"

// Job is what a device needs to train one job; the daemon builds it.
type Job struct {
	ID      int64       `json:"id"`
	Spec    *train.Spec `json:"-"`
	Dir     string      `json:"dir"`     // its checkpoint and model are written here
	Memory  int64       `json:"memory"`  // bytes reserved, from [Estimate]
	Restart bool        `json:"restart"` // ignore an earlier attempt's checkpoint
	// Priority is a hint to devices that can serve some jobs before others.
	Priority int `json:"priority,omitempty"`
}

// StopMode says why a job is taken off a device.
type StopMode string

// The ways to stop. All but StopCancel write a checkpoint first.
const (
	StopCancel  StopMode = "cancel"
	StopPause   StopMode = "pause"
	StopPreempt StopMode = "preempt"
)

// Event is something a device tells: one of Up, Down, Started, Progressed,
// EpochEnded, Checkpointed, Stopped, Finished, Failed, Returned, Memory. Events of
// one job come in order, and its last is Stopped, Finished, Failed, Returned or the
// Down that names it.
type Event interface{ event() }

// Up: the worker is ready for jobs; sent after every (re)start.
type Up struct{ Info Info }

// Down: the worker died and will be started again. Lost are the jobs it held;
// each goes on from its last checkpoint when started again. Suspects are those
// of Lost that a lane was working on at that moment, a gang's all together:
// where one of them wrote another may have stumbled. There are none when the
// worker was killed from outside, or its hardware failed, which says nothing
// about its jobs.
type Down struct {
	Lost     []int64
	Suspects []int64
	Evidence string // exit status and last words
	Reason   string // what the worker said last, in one line; "": nothing of use
	Hint     string // what it said to try
}

// Started: the job is resident; Step is where it goes on, 0 from scratch.
type Started struct {
	Job  int64
	Step int64
}

// Progressed carries news of all running jobs, several times a second.
type Progressed struct{ Jobs []Progress }

// Spent is what a job's work has taken in this residency.
type Spent struct {
	DeviceSeconds float64 `json:"device_seconds"` // of a lane, or its share of a gang's lane
	CPUSeconds    float64 `json:"cpu_seconds"`    // of the host's processors
}

// Progress is one job's standing.
type Progress struct {
	Job       int64   `json:"job"`
	Epoch     int     `json:"epoch"`
	Epochs    int     `json:"epochs"`
	Step      int64   `json:"step"`
	Steps     int64   `json:"steps"`
	TrainLoss float64 `json:"train_loss"` // of the current epoch so far
	// Metrics are the latest of each, of a job that does not train.
	Metrics map[string]float64 `json:"metrics,omitempty"`
	Spent
}

// EpochEnded carries the metrics of one epoch: train_loss, val_loss,
// val_accuracy or val_rmse and val_r2, lr.
type EpochEnded struct {
	Job     int64              `json:"job"`
	Epoch   int                `json:"epoch"` // from 1
	Step    int64              `json:"step"`
	Metrics map[string]float64 `json:"metrics"`
}

// Checkpointed: the job's state at Step is durable.
type Checkpointed struct {
	Job  int64
	Step int64
	Err  string // it could not be written, and the job goes on without
}

// Stopped: the job left as Stop asked.
type Stopped struct {
	Job  int64
	Mode StopMode
	Spent
}

// Finished: the model is written and durable. Metrics hold the final values,
// test metrics among them.
type Finished struct {
	Job     int64
	Metrics map[string]float64
	Spent
	PeakBytes int64
}

// Failed: the job ended by its own fault; its neighbours were not touched.
type Failed struct {
	Job   int64
	Fault train.Fault
	Spent
}

// Returned: the device had not the memory that it should have had, and the job
// is as it was before Start. TakenBytes of what the device has for jobs were
// with other processes at that moment; 0: that is not the cause.
type Returned struct {
	Job        int64
	NeedBytes  int64
	TakenBytes int64
	Spent
}

// Memory: so much of what the device has for jobs is with other processes now.
// A device that was short of memory tells until it is no more.
type Memory struct {
	TakenBytes int64
}

func (Up) event()           {}
func (Down) event()         {}
func (Started) event()      {}
func (Progressed) event()   {}
func (EpochEnded) event()   {}
func (Checkpointed) event() {}
func (Stopped) event()      {}
func (Finished) event()     {}
func (Failed) event()       {}
func (Returned) event()     {}
func (Memory) event()       {}

// KindHost is the kind, and the id, of the device that is the host.
const KindHost = "cpu"

// Info describes a device.
type Info struct {
	ID          string // KindHost, "gpu0"
	Kind        string // KindHost, gpu
	Name        string // as the hardware calls itself
	Lanes       int
	Slots       int   // jobs resident at most
	MemoryBytes int64 // for jobs and data sets together
	TakenBytes  int64 // of them, by other processes when the worker started
	PID         int   // of the worker; 0 when it is down
	Restarts    int
}
