package nvml

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// A Backend reads GPUs. Its calls may block for as long as the driver does, so
// only a worker process makes them.
type Backend interface {
	// Driver is the driver's version; "" when it is not known.
	Driver() string
	// Devices begins a round of samples: it lists the GPUs that can be asked.
	Devices() ([]Device, error)
	// Sample reads one of them. A field that it has not is nil, and no error.
	Sample(d Device) (Sample, error)
	Close() error
}

// Codes of an [Error].
const (
	CodeAbsent   = "no_nvml"   // there is no library, or not the kernel's part of the driver
	CodeNotBuilt = "not_built" // this weft is built without it
	CodeLost     = "gpu_lost"  // it fell off the bus, or needs a reset
	CodeFailed   = "failed"    // anything else
	CodeWorker   = "worker"    // the process that asks hangs or died
)

// An Error is why a GPU or all of them cannot be read.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// Variable names the library (a path), or with "recorded:" before it a file of
// readings to play. Unset, libnvidia-ml.so.1 is looked for.
const Variable = "WEFT_NVML"

// recordedPrefix marks a source as a recording.
const recordedPrefix = "recorded:"

// Source is what the environment says to read from.
func Source() string { return os.Getenv(Variable) }

// IsRecorded reports whether a source is a recording, which needs no GPU.
func IsRecorded(source string) bool { return strings.HasPrefix(source, recordedPrefix) }

// opener returns what opens a source's backend, as often as it is called: a
// recording goes on where it was.
func opener(source string) func() (Backend, error) {
	file, recorded := strings.CutPrefix(source, recordedPrefix)
	if !recorded {
		return func() (Backend, error) { return openLibrary(source) }
	}
	var player *recording
	return func() (Backend, error) {
		if player != nil {
			return player, nil
		}
		p, err := openRecording(file)
		if err != nil {
			return nil, err
		}
		player = p
		return p, nil
	}
}

// Open opens a source. When there is nothing to read from, it returns a backend
// that has no devices and says why.
func Open(source string) Backend {
	b, err := opener(source)()
	if err != nil {
		return none{errorOf(err)}
	}
	return b
}

// none is the backend of a machine without a driver.
type none struct{ why *Error }

var _ Backend = none{}

func (n none) Driver() string                { return "" }
func (n none) Devices() ([]Device, error)    { return nil, n.why }
func (n none) Sample(Device) (Sample, error) { return Sample{}, n.why }
func (n none) Close() error                  { return nil }

// errorOf is err for a frame.
func errorOf(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: CodeFailed, Message: err.Error()}
}

func failed(what string, err error) *Error {
	return &Error{Code: CodeFailed, Message: fmt.Sprintf("%s: %v", what, err)}
}
