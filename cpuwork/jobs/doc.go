// Package jobs runs CPU jobs in a process of their own: the daemon holds a
// [Runner], which supervises `weft worker pools`, and that process runs each job
// as a batch through a pool. So a job that takes its process down takes other
// CPU jobs back to their journals, and the daemon not at all.
//
//	plan, err := jobs.Parse("sha256", spec)       // what the daemon checks at submission
//	r, err := jobs.Open(ctx, jobs.Config{Program: weft, OnEvent: on})
//	err = r.Start(jobs.Job{ID: 12, Kind: "sha256", Spec: plan.Spec, Dir: dir})
//	err = r.Stop(12)                              // leaves its journal, to go on later
//
// It may import everything below cpuwork. Start reading at kinds.go, the table
// of workloads, then runner.go and worker.go, the two ends of the socket.
package jobs
