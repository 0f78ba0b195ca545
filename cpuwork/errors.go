package cpuwork

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"
)

// Codes of the errors that pools give to items themselves.
const (
	CodeFailed     = "failed"      // an error that is not an ItemError
	CodePanic      = "panic"       // the Func panicked; the hint is its stack
	CodeTimeout    = "timeout"     // an attempt took longer than Options.Timeout
	CodeTooLarge   = "too_large"   // the item does not fit into Options.Memory
	CodeWorkerLost = "worker_lost" // the worker process died with the item in its hands
)

// CodeWaiting is the code of a Func's error that asks for another turn, after
// ItemError.After: the item was not begun, so this was no attempt.
const CodeWaiting = "waiting"

// asItemError returns err as what crosses processes.
func asItemError(err error) *ItemError {
	if err == nil {
		return nil
	}
	var e *ItemError
	if errors.As(err, &e) {
		return e
	}
	return &ItemError{Code: CodeFailed, Message: err.Error()}
}

func panicError(value any) *ItemError {
	return &ItemError{Code: CodePanic, Message: fmt.Sprintf("panic: %v", value), Hint: string(debug.Stack())}
}

func timeoutError(limit time.Duration) *ItemError {
	return &ItemError{
		Code: CodeTimeout, Message: fmt.Sprintf("no answer within %v", limit), Retry: true,
		Hint: "allow more time for an item",
	}
}

func tooLargeError(size, memory int64) *ItemError {
	return Failf(CodeTooLarge, "raise the memory for items in flight",
		"item of %d bytes, where %d bytes of items may be in memory at once", size, memory)
}

// asTimeout returns err, or the timeout if that is what it means. within is the
// context of the attempt, whole that of the run.
func asTimeout(err error, within, whole context.Context, limit time.Duration) error {
	if err != nil && limit > 0 && errors.Is(err, context.DeadlineExceeded) && within.Err() != nil && whole.Err() == nil {
		return timeoutError(limit)
	}
	return err
}

// again returns how long to wait before a task whose attempt has failed has
// another; -1: it has none.
func (o *Options) again(t *task) time.Duration {
	if e := asItemError(t.err); e.Code == CodeWaiting {
		t.attempts--
		return max(e.After, time.Millisecond)
	}
	return o.retryDelay(t.err, int(t.attempts))
}

// retryDelay returns how long to wait after an item's attempt number attempts
// failed with err; -1: that was the last.
func (o *Options) retryDelay(err error, attempts int) time.Duration {
	e := asItemError(err)
	retries := o.Retries
	if e.Code == CodeWorkerLost {
		retries = max(retries, 1)
	}
	if !e.Retry || attempts > retries {
		return -1
	}
	d := MaxBackoff
	if doublings := attempts - 1; doublings < 20 {
		d = min(d, o.Backoff<<doublings)
	}
	d = d/2 + rand.N(d/2+1) // #nosec G404 -- only to keep retries apart
	return max(d, e.After)
}
