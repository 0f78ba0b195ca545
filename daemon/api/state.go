package api

import "fmt"

// State is where a job is in its life. It changes in one place only, [Next],
// which the store calls inside the transaction that records the change.
type State string

const (
	// Queued: acknowledged and durable, waiting for a device; the job's
	// reason says in words what it waits for. A job whose worker or daemon
	// died is queued again and goes on from its last checkpoint.
	Queued State = "queued"
	// Running: resident on a device, its memory reserved, taking quanta.
	Running State = "running"
	// Paused: checkpointed by its owner's wish, holding no memory; only
	// resume or cancel moves it.
	Paused State = "paused"
	// Succeeded: ended as asked; its model or output can be read. Final.
	Succeeded State = "succeeded"
	// Failed: ended by an error of its own, which it carries with a code and
	// a hint. Final until retried.
	Failed State = "failed"
	// Cancelled: ended by its owner's wish. Final until retried.
	Cancelled State = "cancelled"
)

// States lists every state in the order a job may pass through them.
var States = []State{Queued, Running, Paused, Succeeded, Failed, Cancelled}

// Final reports whether nothing but a retry moves a job out of s.
func (s State) Final() bool { return s == Succeeded || s == Failed || s == Cancelled }

// Transition is something that happens to a job and may change its state.
type Transition string

const (
	// Start: a device took the job; a new attempt begins unless the job goes
	// on from a checkpoint.
	Start Transition = "start"
	// Requeue: the job left its device unfinished: preempted, drained, or
	// its worker or daemon died. It keeps its checkpoint.
	Requeue Transition = "requeue"
	// Pause: the owner asked for it; a running job has written its checkpoint.
	Pause Transition = "pause"
	// Resume: the owner takes the pause back.
	Resume Transition = "resume"
	// Succeed: the job ended as asked.
	Succeed Transition = "succeed"
	// Fail: the job ended by an error of its own and has no retries left.
	Fail Transition = "fail"
	// Cancel: the owner ended it.
	Cancel Transition = "cancel"
	// Retry: the owner starts an ended job again from its beginning.
	Retry Transition = "retry"
)

// transitions is the whole state machine.
var transitions = map[State]map[Transition]State{
	Queued:    {Start: Running, Pause: Paused, Cancel: Cancelled, Fail: Failed},
	Running:   {Requeue: Queued, Pause: Paused, Succeed: Succeeded, Fail: Failed, Cancel: Cancelled},
	Paused:    {Resume: Queued, Cancel: Cancelled},
	Succeeded: {Retry: Queued},
	Failed:    {Retry: Queued},
	Cancelled: {Retry: Queued},
}

// Next returns the state that t leads to from s, or an [*Error] with code
// [CodeWrongState] that says what the job would have to be.
func Next(s State, t Transition) (State, error) {
	if to, ok := transitions[s][t]; ok {
		return to, nil
	}
	return s, &Error{
		Code:    CodeWrongState,
		Message: fmt.Sprintf("cannot %s a job that is %s", t, s),
		Hint:    transitionHint(s, t),
	}
}

func transitionHint(s State, t Transition) string {
	switch {
	case t == Resume && s != Paused:
		return "only a paused job can be resumed"
	case t == Retry:
		return "weft cancel it first; only a job that has ended can be retried"
	case s.Final():
		return "the job has ended; weft retry starts it again"
	default:
		return ""
	}
}
