package main

import (
	"context"

	"weft/bench/pools"
	"weft/cpuwork/advise/measure"
	"weft/cpuwork/jobs"
	"weft/gpu"
)

// runWorker is the life of a worker process, of which the first argument is the
// kind. The daemon starts it, another worker, or weft bench pools.
func runWorker(ctx context.Context, args []string) error {
	if len(args) > 0 && jobs.IsWorker(args[0]) {
		return jobs.WorkerMain(ctx, args)
	}
	if len(args) > 0 && pools.IsWorker(args[0]) {
		return pools.WorkerMain(ctx, args)
	}
	if len(args) > 0 && measure.IsWorker(args[0]) {
		return measure.WorkerMain(ctx, args)
	}
	return gpu.WorkerMain(ctx, args)
}
