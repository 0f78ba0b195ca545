// Package store keeps jobs, their epochs and their events in a SQLite file.
// It imports daemon/api only. Start reading at [Store], then [Store.Apply].
//
//	s, err := store.Open(ctx, filepath.Join(stateDir, "weft.db"))
//	recs, _, err := s.Submit(ctx, "", "", jobs, now)
//	recs, events, errs, err := s.Apply(ctx, []store.Change{{ID: 12, Do: api.Start, At: now, Device: "cpu"}})
//
// # What is promised
//
// Submit, Apply, Edit, Recover and Delete are durable when they return: the
// write-ahead log has been fsynced (synchronous=FULL). Report is not fsynced
// (synchronous=NORMAL): it outlives the process, but a loss of power may take
// the last reports, which a job that goes on from its checkpoint tells again.
// Each method is one transaction: all of it is stored, or nothing.
//
// A job's state changes only through [api.Next], inside the transaction that
// stores the change and its event. An event's id is given out there too, so
// ids grow in the order in which readers can see events.
//
// # How it is arranged
//
// One connection writes, and callers take turns on it in Go; a few others
// read, and see the last commit. Nobody else has the file open: the daemon
// holds a lock on its state directory.
//
// The schema is in migrations, applied by [Open] and never taken back. A list
// filters on plain columns; what weft reads of a job is the column "packed",
// which SQLite keeps equal to them and which row.go decodes. Specifications
// have a table of their own, so that progress does not rewrite them.
//
// Errors that a user can do something about are [*api.Error]: not_found,
// wrong_state, invalid, and disk for one that is full, failing or damaged.
package store
