package cuda

import (
	"errors"
	"fmt"
)

// Error is a driver call that failed.
type Error struct {
	Code int    // the driver's number, CUresult
	Name string // CUDA_ERROR_ILLEGAL_ADDRESS; CUDA_ERROR_n for a number that weft does not know
	Call string // the driver's function, or weft's where it is refused before
	Log  string // the PTX compiler's words, where there are any
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s: %s (CUDA error %d, %s)", e.Call, codeOf(e.Code).text, e.Code, e.Name)
	if e.Log != "" {
		s += ":\n" + e.Log
	}
	return s
}

// IsFatal says that err leaves the context unusable: nothing but a new process
// helps, and what was in the device's memory is lost. [FatalReason] says why.
func IsFatal(err error) bool { return FatalReason(err) != "" }

// FatalReason says in words what happened to the context; empty when err leaves
// it usable.
func FatalReason(err error) string {
	var e *Error
	if !errors.As(err, &e) {
		return ""
	}
	return codeOf(e.Code).fatal
}

// IsOutOfMemory says that an allocation, or a call that makes one, found too
// little memory on the device. The context goes on.
func IsOutOfMemory(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == outOfMemory
}

const outOfMemory = 2 // CUDA_ERROR_OUT_OF_MEMORY

// Codes of a [ProbeError].
const (
	NotBuilt     = "not_built"      // this weft was built without CUDA
	NoDriver     = "no_driver"      // no driver library found
	NotADriver   = "not_a_driver"   // a file found that is none
	DriverTooOld = "driver_too_old" // older than MinVersion
	InitFailed   = "init_failed"    // the driver does not start
	NoDevice     = "no_device"      // it starts, but there is no GPU
	Hidden       = "hidden"         // CUDA_VISIBLE_DEVICES leaves none

	// Open only.
	NoSuchDevice = "no_such_device" // the index is of none
	Unusable     = "unusable"       // Info.Unusable says why
	Busy         = "busy"           // exclusive mode, and another process has it
	NoMemory     = "no_memory"      // too little memory left for a context
	OpenFailed   = "open_failed"    // any other refusal
)

// ProbeError is why there is no GPU to work on, in words for people.
type ProbeError struct {
	Code    string // one of the constants above
	Message string // what was looked for, where, and what was found
	Hint    string // what to try
	Err     error  // the driver call that failed, if one did
}

func (e *ProbeError) Error() string { return e.Message }

// Unwrap is the driver call that failed, if one did.
func (e *ProbeError) Unwrap() error { return e.Err }
