package jobs

import (
	"encoding/json"
	"fmt"

	"weft/cpuwork/batch"
	"weft/cpuwork/proc"
)

// Frame kinds between the daemon and the process that runs CPU jobs. Payloads
// are JSON: a job's items never pass here.
const (
	// To the process.
	kindStart byte = proc.KindUser + iota // Job
	kindStop                              // stopFrame
	// From the process.
	kindStarted // startedFrame
	kindNews    // newsFrame
	kindEnded   // endFrame
)

// A Job is what the process needs to run one.
type Job struct {
	ID   int64           `json:"id"`
	Kind string          `json:"kind"`
	Spec json.RawMessage `json:"spec"` // as in [Plan]
	// Dir is the job's directory. Its journal and results are written there; they
	// are there already when the job goes on.
	Dir string `json:"dir"`
	// Fresh forgets an earlier attempt's journal.
	Fresh bool `json:"fresh"`
}

type stopFrame struct {
	ID int64 `json:"id"`
}

type startedFrame struct {
	ID   int64 `json:"id"`
	Done int64 `json:"done"` // items that the journal holds
}

type newsFrame struct {
	Jobs []Progress `json:"jobs"`
}

// Progress is how far a job is.
type Progress struct {
	ID          int64   `json:"id"`
	Items       int64   `json:"items"` // -1: not known yet
	Done        int64   `json:"done"`  // failed ones among them
	Failed      int64   `json:"failed"`
	Bytes       int64   `json:"bytes"`
	ItemsPerS   float64 `json:"items_per_second"`
	BytesPerS   float64 `json:"bytes_per_second"`
	LeftSeconds float64 `json:"left_seconds"` // 0: not known
	Spent
}

// Spent is what a job has taken in this residency.
type Spent struct {
	CPUSeconds float64 `json:"cpu_seconds"` // its part of the processor time that all jobs took
}

// Files of a job's directory: a line for every item that has ended, as
// [batch.Line] in JSON, and when the job is done its [batch.Summary].
const (
	ResultsFile = batch.ResultsFile
	SummaryFile = batch.SummaryFile
)

// A Line is one item's of the results.
type Line = batch.Line

// NameBase64 is the key of a line's output that has the item's name where that is
// not UTF-8, which JSON cannot write.
const NameBase64 = "name_base64"

// An end is how a job left.
type end string

const (
	endStopped  end = "stopped"
	endFinished end = "finished"
	endFailed   end = "failed"
)

type endFrame struct {
	ID       int64          `json:"id"`
	End      end            `json:"end"`
	Summary  *batch.Summary `json:"summary,omitempty"`
	Fault    *Fault         `json:"fault,omitempty"`
	Progress Progress       `json:"progress"`
}

// Fault is why a job failed, in words for its owner.
type Fault struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (f *Fault) Error() string { return f.Message }

// encode marshals a payload; the types above hold nothing that JSON refuses.
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
