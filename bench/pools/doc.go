// Package pools is what weft bench pools measures: the workloads of cpuwork, each
// on every kind of pool, and other programs doing the same work. It runs one
// contestant at a time; taking turns, medians and tables are the client's.
//
//	b, err := pools.Prepare(ctx, c, pools.Setup{Dir: dir, Self: exe, Items: 2000, Size: 1_000_000})
//	answer, err := b.Arm(ctx, pools.Arm{Pool: cpuwork.Goroutine, Workers: 2})
//	answer, err = b.Peer(ctx, peer)
//
// # Processes
//
// Each contestant runs in a process of its own, so that memory and processor time
// are its own: an arm in `weft worker bench-arm`, whose process pool starts `weft
// worker bench-slot`, and a peer in the interpreter or program that it needs. An arm
// or a script is given a [Task] on its standard input and answers an [Answer] on its
// standard output, one line of JSON. The server that is fetched from is `weft worker
// bench-server`, one for each run, on the same machine and outside of the
// contestant's figures. No shell is started.
//
// # Input
//
// What is worked on is written once to a file, which arms and scripts read before
// the clock: a block of random bytes (item i is the block with i in its first eight
// bytes, so that making one is a copy), pixels, or numbers. Every contestant makes the
// same items of it.
//
// # The clock
//
// It starts when input is read, workers have started and a few items were done, and
// stops with the last answer. Processor time is what the process and its children
// used meanwhile. Memory is the sum of the proportional set sizes (PSS) of all of its
// processes, read every [SampleEvery] and once at the end, so what is shared counts
// once; a peak in between is not seen.
//
// # Equality
//
// A [Digest] is SHA-256 over all answers in the order of the input, in a form that
// scripts can make too. Arms that differ in it have a fault.
//
// # Imports
//
// Of weft: cpuwork and the packages below it. Start reading at [Cases], then [Bench.Arm]
// and run.go, which is what the arm's process does.
package pools
