package api

// Code names a kind of failure; it is the same in the CLI's exit code, the
// HTTP problem document and a job's error.
type Code string

const (
	CodeInvalid     Code = "invalid"      // the request or specification is wrong: HTTP 422, exit 2
	CodeNotFound    Code = "not_found"    // no such job, file or device: HTTP 404, exit 3
	CodeWrongState  Code = "wrong_state"  // the job is not in a state that allows it: HTTP 409, exit 1
	CodeTooLarge    Code = "too_large"    // over a limit, or can never fit a device: HTTP 413 or 422
	CodeForbidden   Code = "forbidden"    // another user's socket or job: HTTP 403
	CodeUnavailable Code = "unavailable"  // draining, or no worker: HTTP 503
	CodeInternal    Code = "internal"     // a defect of weft: HTTP 500
	CodeData        Code = "bad_data"     // the data set cannot be used
	CodeNaN         Code = "nan_loss"     // the loss stopped being a number
	CodeWorkerLost  Code = "worker_lost"  // the worker died with this job alone on it, twice
	CodeTimeout     Code = "timeout"      // the job's own time limit passed: exit 124
	CodeDisk        Code = "disk"         // a file could not be written
	CodeUnreachable Code = "unreachable"  // no daemon answers: exit 4 (client side only)
	CodeDependency  Code = "dependency"   // a job named by --after did not succeed
	CodeChangedData Code = "changed_data" // the data's file is not what was submitted
	CodeItemsFailed Code = "items_failed" // some of a CPU job's items could not be done
)

// Error is what a person or program is told about a failure.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`        // what went wrong, without a trailing period
	Hint    string `json:"hint,omitempty"` // what to try, if anything can be done
}

func (e *Error) Error() string { return e.Message }

// FieldError locates one fault in a submitted document.
type FieldError struct {
	// Location is a JSON pointer into the request, as "/0/spec/optimizer/lr".
	Location string `json:"location"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
}

// Problem is an error answer: RFC 9457, with weft's code and hint.
type Problem struct {
	Type   string       `json:"type,omitempty"`
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Detail string       `json:"detail"`
	Code   Code         `json:"code"`
	Hint   string       `json:"hint,omitempty"`
	Errors []FieldError `json:"errors,omitempty"`
}

func (p *Problem) Error() string { return p.Detail }
