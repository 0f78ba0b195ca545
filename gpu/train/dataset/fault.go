package dataset

import (
	"context"
	"errors"
	"fmt"
)

// The codes of a [Fault].
const (
	CodeBadData  = "bad_data"  // the data cannot be trained on as it is
	CodeNotFound = "not_found" // a file is missing
)

// Fault is what is wrong with a user's data, in words for the user: Message
// names the place, Hint is a sentence on what to try.
type Fault struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (f *Fault) Error() string { return f.Message }

// bad returns a Fault of code bad_data.
func bad(hint, format string, args ...any) error {
	return &Fault{Code: CodeBadData, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// settled reports whether err already says all there is to say: a fault in
// words, or a cancelled context.
func settled(err error) bool {
	var f *Fault
	return errors.As(err, &f) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
