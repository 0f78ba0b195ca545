package train

import (
	"fmt"
	"strings"
)

// FieldError is one fault of a specification.
type FieldError struct {
	Path    string `json:"path"`           // JSON pointer, as "/optimizer/lr"; "" is the whole document
	Message string `json:"message"`        // what is wrong, without a trailing period
	Hint    string `json:"hint,omitempty"` // what to try
}

// String returns the fault on one line.
func (e FieldError) String() string {
	s := e.Message
	if e.Path != "" {
		s = e.Path + ": " + s
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// SpecError is what [Parse] and [Compose] return for a specification that
// cannot be run: all its faults, in the order of the reference's keys.
type SpecError struct{ Errors []FieldError }

func (e *SpecError) Error() string {
	lines := make([]string, len(e.Errors))
	for i, f := range e.Errors {
		lines[i] = f.String()
	}
	return strings.Join(lines, "; ")
}

// maxFaults bounds what one document can make us say.
const maxFaults = 64

// faults collects the faults of one document.
type faults struct{ list []FieldError }

// add records a fault; hint may be "".
func (f *faults) add(path, hint, format string, args ...any) {
	switch {
	case len(f.list) < maxFaults:
		f.list = append(f.list, FieldError{Path: path, Message: fmt.Sprintf(format, args...), Hint: hint})
	case len(f.list) == maxFaults:
		f.list = append(f.list, FieldError{Message: "there are more faults; mend these first"})
	}
}

// full reports whether no further fault will be recorded.
func (f *faults) full() bool { return len(f.list) > maxFaults }

func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	return &SpecError{Errors: f.list}
}
