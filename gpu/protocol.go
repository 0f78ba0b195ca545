package gpu

import (
	"encoding/json"
	"fmt"

	"weft/cpuwork/proc"
	"weft/gpu/train"
	"weft/gpu/train/dataset"
)

// Frame kinds between the daemon and its workers. Payloads are JSON: frames
// are few (a job's start, news ten times a second); bulk travels in memory
// files beside them.
const (
	// To a device's worker. That the worker shall checkpoint everything and
	// leave is proc's own stop.
	kindStatus   byte = proc.KindUser + iota // empty, one file: the status page; the first frame
	kindStart                                // startFrame, one file: the data set
	kindStop                                 // stopFrame
	kindPriority                             // priorityFrame
	// From a device's worker.
	kindStarted      // startedFrame
	kindNews         // newsFrame
	kindCheckpointed // checkpointedFrame
	kindStopped      // endFrame
	kindFinished     // endFrame
	kindFailed       // endFrame
	kindReturned     // endFrame
	kindMemory       // memoryFrame
	// To and from the loader.
	kindLoad      // loadFrame
	kindLoaded    // loadedFrame, one file: the encoded data set
	kindPredict   // predictFrame
	kindPredicted // loadedFrame without Info, one file: the CSV text
)

// A startFrame places a job; Spec is canonical JSON.
type startFrame struct {
	Job  Job             `json:"job"`
	Spec json.RawMessage `json:"spec"`
}

type stopFrame struct {
	Job  int64    `json:"job"`
	Mode StopMode `json:"mode"`
}

type priorityFrame struct {
	Job      int64 `json:"job"`
	Priority int   `json:"priority"`
}

// A readyFrame is what a GPU's worker says when it is ready; the host's has
// nothing to say.
type readyFrame struct {
	Name        string `json:"name"`
	MemoryBytes int64  `json:"memory_bytes"` // for jobs and data sets together
	TakenBytes  int64  `json:"taken_bytes"`  // of them, by other processes
}

type startedFrame struct {
	Job  int64 `json:"job"`
	Step int64 `json:"step"`
}

// A newsFrame is what changed since the last one.
type newsFrame struct {
	Jobs   []Progress   `json:"jobs"`
	Epochs []EpochEnded `json:"epochs,omitempty"`
}

type checkpointedFrame struct {
	Job  int64  `json:"job"`
	Step int64  `json:"step"`
	Err  string `json:"err,omitempty"`
}

// An endFrame is the last word on a job.
type endFrame struct {
	Job     int64              `json:"job"`
	Mode    StopMode           `json:"mode,omitempty"`
	Metrics map[string]float64 `json:"metrics,omitempty"`
	Spent
	PeakBytes int64        `json:"peak_bytes,omitempty"`
	Fault     *train.Fault `json:"fault,omitempty"`
	// Of a job given back: the memory that it needs, and what of the device's
	// other processes have.
	NeedBytes  int64 `json:"need_bytes,omitempty"`
	TakenBytes int64 `json:"taken_bytes,omitempty"`
}

type memoryFrame struct {
	TakenBytes int64 `json:"taken_bytes"`
}

type loadFrame struct {
	Seq  uint64       `json:"seq"`
	Spec dataset.Spec `json:"spec"`
	Task dataset.Task `json:"task"`
}

type predictFrame struct {
	Seq   uint64 `json:"seq"`
	Model string `json:"model"`
	Data  string `json:"data"`
}

// A loadedFrame answers a loadFrame or predictFrame: Fault, or the data set.
type loadedFrame struct {
	Seq   uint64        `json:"seq"`
	Size  int64         `json:"size,omitempty"` // bytes of the CSV text
	Info  *dataset.Info `json:"info,omitempty"`
	Fault *train.Fault  `json:"fault,omitempty"`
}

// encode marshals a frame's payload; only types above are passed, and those
// hold nothing that JSON refuses but metrics that are not numbers, which the
// gang replaces before.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return b
}

func decode[T any](payload []byte) (T, error) {
	var v T
	if err := json.Unmarshal(payload, &v); err != nil {
		return v, fmt.Errorf("decode %T: %w", v, err)
	}
	return v, nil
}
