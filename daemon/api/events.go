package api

import (
	"slices"
	"strings"
)

// EventTypes are all that the stream of GET /v1/events has: those of [Event],
// and [ProgressEvent].
var EventTypes = []string{
	"submitted", "started", EventEpoch, EventCheckpoint, "requeued", "paused", "resumed",
	"succeeded", "failed", "cancelled", "retried", "held", "released", "changed", ProgressEvent,
}

// The types of events that may be many a second: a job tells of each epoch that
// it ends, and of each checkpoint.
const (
	EventEpoch      = "epoch"
	EventCheckpoint = "checkpoint"
)

// EventTypesBut returns all types of events but these.
func EventTypesBut(types ...string) []string {
	return slices.DeleteFunc(slices.Clone(EventTypes), func(t string) bool { return slices.Contains(types, t) })
}

// EventFilter chooses the events of [Client.Events]. The daemon applies it, so
// that what is not asked for is not sent.
type EventFilter struct {
	Jobs  []int64  // none: all jobs
	Types []string // of [EventTypes]; none: all
}

// wants holds the filter on this side too: a list too long for a request line
// is not sent.
func (f EventFilter) wants(m Message) bool {
	job, kind := int64(0), ProgressEvent
	if m.Event != nil {
		job, kind = m.Event.Job, m.Event.Type
	} else {
		job = m.Progress.ID
	}
	return (len(f.Jobs) == 0 || slices.Contains(f.Jobs, job)) && (len(f.Types) == 0 || slices.Contains(f.Types, kind))
}

// typesText is the types as a query has them.
func (f EventFilter) typesText() string { return strings.Join(f.Types, ",") }
