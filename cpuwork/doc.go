// Package cpuwork runs batches of items on the CPU. A [Pool] does a [Work] to
// every [Item] of an input of any length, in bounded memory, and gives back one
// [Result] each.
//
//	pool, err := cpuwork.New(cpuwork.Goroutine, cpuwork.Options{Work: sha256.Work})
//	if err != nil { … }
//	defer pool.Close()
//	summary, err := pool.Run(ctx, items, func(r cpuwork.Result) error { … })
//
// # Which kind when
//
//	sequential  few items, or one core; what others are compared with
//	goroutine   work in Go that uses the CPU: the right answer as a rule
//	process     work that may crash, leak or hang (foreign libraries, hostile
//	            input): it costs one process, never the program; what runs can be
//	            killed, which no goroutine can
//	event       work that waits for others: hundreds in flight, and an item that
//	            waits for its next attempt costs an entry in a heap
//
// All give the same results for the same input; a test holds that.
//
// # What an item is promised
//
// It gets one result, as it ends or in the order of the input. Its error is its
// own: an [ItemError] that it returned, "failed" for any other error, "panic",
// "timeout", "too_large", or "worker_lost" with the process's end and last words.
// Only an error that says Retry is followed by another attempt, after a growing,
// partly random wait, and not before the After that it asks for. A Fill runs in
// any goroutine, after the iterator has gone on, once; its error is final.
//
// # Memory
//
// Options.Memory bounds the bytes of items that are in memory: those that are
// filled lie in one region, handed out from its lowest offset, so that the same
// few megabytes are used over and over. Answers that nobody has taken are bounded
// by as much again: beyond, no item is begun but the one for whose turn others
// wait. 4,096 items are admitted and not yet given back at most, or four for each
// worker if that is more.
//
// # The wire
//
// A process pool maps two arenas (memfd) into every worker: the items, for the
// worker to read only, and the states. Frames (proc.Conn) carry offsets and
// lengths to the worker, many items at a time and up to three chunks ahead; and
// outputs back, those over 4 MiB in an arena of their own. A chunk is as many
// items as take about a millisecond. wire.go has the frames.
//
// Before it begins with an item, a worker writes its number into its line of the
// arena of states. So it is known what it held when it died, whatever happened:
// that item is charged an attempt, the others are handed out again. Of several
// done at once (BatchFunc) the one that did it is found by doing each alone.
//
// # Who ends whom
//
// A worker process leads a process group, which is killed with it: at a timeout,
// when it sends nonsense, when it grows too much, and when a run is cancelled
// while it works. The next run, or the next chunk, starts another. Idle workers
// stay, until Close asks them to end. A worker whose pool is gone ends itself
// (proc.Serve).
//
// Goroutines of a run end before Run returns: workers by drain, when nothing
// waits, runs or may be tried again; all by the run's context when it is stopped.
//
// # Imports
//
// Of weft, cpuwork/proc only. Start reading at [Pool], then run.go and queue.go
// for what all kinds share, goroutine.go for the shortest of them, and worker.go
// and life.go for a worker process.
package cpuwork
