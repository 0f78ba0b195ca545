package cpuwork

import (
	"context"
	"fmt"
	"time"
)

// A Func does one item: it reads in, appends its answer to out and returns the
// result. Both slices are the caller's again when it returns, and in may lie in
// memory that is read-only. It returns soon after ctx ends, with ctx's error.
type Func func(ctx context.Context, in, out []byte) ([]byte, error)

// A BatchFunc does several items at once, where that is faster than one after
// the other: it appends item i's answer to out[i], or sets errs[i]. All slices
// have equal lengths, from 1 to [Work].Batch, and are the caller's again when it
// returns.
type BatchFunc func(ctx context.Context, in, out [][]byte, errs []error)

// Work is something that can be done to items. Its name finds it in worker
// processes, which are told params as they are. Exactly one of New and NewBatch
// is set; each worker calls it once, so that what it returns may keep buffers
// between items, and calls that from one goroutine at a time.
type Work struct {
	Name     string
	New      func(params []byte) (Func, error)
	NewBatch func(params []byte) (BatchFunc, error)
	Batch    int // items at once at most, with NewBatch
}

// An Item is one piece of a batch: Data, or memory of Size bytes at most that
// Fill writes when there is room for it and of which it returns the length.
// What is large should be filled: it is then written where the worker reads it.
type Item struct {
	Data []byte
	Size int
	Fill func(dst []byte) (int, error)
}

// A Result is the end of one item.
type Result struct {
	Index    int64         // place in the input, from 0
	Output   []byte        // valid until the receiver returns
	Err      error         // nil: Output is the answer
	Attempts int           // at least 1
	Took     time.Duration // the last attempt
}

// ItemError is why an item could not be done. It crosses processes as it is.
type ItemError struct {
	Code    string        `json:"code"` // snake_case
	Message string        `json:"message"`
	Hint    string        `json:"hint,omitempty"`  // what to try
	Retry   bool          `json:"retry,omitempty"` // another attempt may succeed
	After   time.Duration `json:"after,omitempty"` // not before so long, as a server asked
}

func (e *ItemError) Error() string { return e.Message }

// Failf is an ItemError that another attempt would meet again.
func Failf(code, hint, format string, args ...any) *ItemError {
	return &ItemError{Code: code, Message: fmt.Sprintf(format, args...), Hint: hint}
}
