package nvml

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"sync"
	"time"

	"weft/cpuwork/proc"
)

// kindFrame carries a [Frame], JSON, from the worker.
const kindFrame byte = proc.KindUser

// WorkerMain is the life of `weft worker nvml`: it sends a frame at once and
// then one every so often, until the daemon wants it to stop or is gone.
func WorkerMain(ctx context.Context, conn *proc.Conn, args []string) error {
	flags := flag.NewFlagSet("worker nvml", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error says it
	every := flags.Duration("every", time.Second, "between samples")
	limit := flags.Duration("limit", readLimit, "that reading may take")
	source := flags.String("source", "", "as WEFT_NVML")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("start worker: %w", err)
	}
	pulse := proc.NewPulse(*limit)
	ctx, stop := context.WithCancel(ctx)
	var loop sync.WaitGroup
	begin := sync.OnceFunc(func() {
		loop.Go(func() { sendFrames(ctx, conn, NewReader(*source), *every, pulse) })
	})
	// A library that hangs holds the loop: the process ends without it.
	defer func() {
		stop()
		ended := make(chan struct{})
		go func() { loop.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(*limit):
		}
	}()
	begin()
	return proc.Serve(ctx, conn, proc.ServeConfig{
		Interval: min(*limit/4, 500*time.Millisecond),
		Alive:    pulse.Alive,
		Handle:   func(_ context.Context, f proc.Frame) error { f.Close(); return nil },
	})
}

// sendFrames reads and sends until ctx ends or the daemon is gone.
func sendFrames(ctx context.Context, conn *proc.Conn, r *Reader, every time.Duration, pulse *proc.Pulse) {
	defer r.Close()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		pulse.Tick()
		payload, err := json.Marshal(r.Read(time.Now()))
		if err == nil {
			err = conn.Send(kindFrame, payload)
		}
		pulse.Idle()
		if err != nil {
			return // Serve notices too
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
