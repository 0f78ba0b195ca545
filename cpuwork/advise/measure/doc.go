// Package measure finds what package advise predicts from: what pools cost on
// this machine ([Calibrate]), and what the items of a workload do, from a sample
// of them.
//
//	answer, err := measure.Ask(ctx, weft, measure.Request{Calibrate: true, Dir: dir})
//	answer, err = measure.Ask(ctx, weft, measure.Request{Kind: "sha256", Spec: spec, Dir: dir, Machine: &machine})
//
// Everything runs in a process of its own, `weft worker advise`, which [Ask]
// starts and ends: its processor time is that of the items, and an item that
// takes its process down does not take jobs with it.
//
// # A sample
//
// The items are counted, for a second at most, and up to 16,384 of them drawn from
// all over the list. Some are run one after the other, as a job would run them,
// for 0.7 s or to their end; then others as a worker of a pool does several at
// once, where the workload can; then, of requests, more of them in flight at once:
// 2, 4, 8 and so on, or with few items that many at last. Files are read where
// they are; what a job would write goes into Request.Dir, which belongs to the
// asker. Of URLs 48 are asked for, or 6,000 where all are on this machine, within
// the job's own rate.
//
// Processor time is the process's (getrusage). Waiting is the rest of the time
// that items took, where they asked servers, or where most of what they read came from a disk;
// otherwise it is other programs that had the core, and left out. So is waiting
// of less than 30 % of the processor time, or of 10 us.
//
// A server on this machine has its clock read beside: what it computes is on the
// same cores (server.go). What many in flight show is judged in together.go.
//
// # Imports
//
// Of weft, cpuwork and what is below it. Start reading at [Ask], then worker.go,
// its other end.
package measure
