// Package batch runs a [Load] of items through a pool as a job: with a journal
// from which it goes on after a crash, progress, a summary and a result file.
//
//	summary, err := batch.Run(ctx, load, batch.Options{
//		Kind: cpuwork.Goroutine, Dir: dir, Progress: show,
//		Options: cpuwork.Options{Retries: 3},
//	})
//
// # Files
//
// All are in Options.Dir, which belongs to one job.
//
//	results.jsonl  a [Line] for each item that ended, as JSON, in the order in
//	               which they ended (index is the item's place in the input).
//	               It is the journal, too: a job that is run again with the same
//	               directory does only what it does not name.
//	time.json      how long the job has been running, over all its lives.
//	summary.json   the [Summary], when the job is done. It appears whole.
//
// A line is on the disk some 200 ms after its item has ended ([SyncEvery], and the
// time that the disk takes): whatever stops the process or the machine costs what
// those brought, which is then done again. A line that was cut is dropped at the
// next start, and what follows a line that cannot be read is, too. No item has two
// lines.
//
// # Power cuts
//
// A line that says that a file is there (Line.Wrote) is not written before the
// file and its name are durable: all of a group of lines in one syncfs(2) of each
// file system that they went to. What the load owes is that a file has its content
// on the disk before it has its name (package durable), so that a file without a
// line, which a load may find there when it is done again, is whole, too.
//
// Load.Answer is called before the line is written, so an item whose line was
// lost is answered again.
//
// # Imports
//
// It imports cpuwork and cpuwork/files/durable. Start reading at [Run].
package batch
