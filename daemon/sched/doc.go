// Package sched decides which job runs where. It is pure policy: [Schedule]
// turns a [Snapshot] into a [Plan], with no clock, no I/O and no goroutine, so
// that every decision can be replayed and tested. It imports daemon/api only.
// Start reading at [Schedule].
//
//	Snapshot ─▶ filter ─▶ order ─▶ place ─▶ preempt ─▶ explain ─▶ Plan
//	              │                  │          │          │
//	           Refuse              Start     Preempt    Reasons, Blocked, Wake
//
// filter (filter.go) leaves out what may not run: held, before its time, or
// waiting for another job; a job whose dependency did not succeed is refused.
//
// order (order.go) is by priority, then by owner, then by id. Of the owners at
// one priority that with the least Seconds/Weight goes first. A running job,
// and one that this plan starts, counts for one second more than it has used,
// so that a burst alternates between owners before its use is known.
//
// place (place.go) starts a job where it fits: a free slot, and memory for
// itself and for its data set unless that is on the device already. What a job
// needs for itself is one figure on the host and another on a GPU. A job that
// does not fit is passed by smaller ones, but not for ever: after [Patience]
// as the first that a device has no memory for, the device is kept free for it
// until it fits. Higher priorities pass even then. Memory that a stopping job
// still holds is promised to the first job in order that it lets in.
//
// preempt (preempt.go) takes jobs of strictly lower priority off a device when
// that makes a job fit: the lowest priority first, of equals the youngest, and
// no more than needed. The job itself starts in a later plan, when they left. A
// job that must be alone has its equals taken off too, once it has waited for
// longer than [Patience].
//
// explain (explain.go) gives every job that still waits a [Reason].
//
// Two things are left to the caller. Blocked times go from a plan into the
// next snapshot, for they are the only memory that the policy has; and a plan
// is to be carried out before the next snapshot is taken.
package sched
