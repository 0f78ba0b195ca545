package pools

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"weft/cpuwork"
	"weft/cpuwork/fetch/fetchtest"
	"weft/cpuwork/proc"
)

// workerVerb is the hidden verb of this program that starts its workers.
const workerVerb = "worker"

// The kinds of worker processes of this package.
const (
	armKind    = "bench-arm"    // does one task
	slotKind   = "bench-slot"   // is one worker of an arm's process pool
	serverKind = "bench-server" // is fetched from
)

// IsWorker reports whether a kind of `weft worker` is this package's.
func IsWorker(kind string) bool { return kind == armKind || kind == slotKind || kind == serverKind }

// WorkerMain is the life of such a process.
func WorkerMain(ctx context.Context, args []string) error {
	switch args[0] {
	case armKind:
		return armMain(ctx, os.Stdin, os.Stdout)
	case serverKind:
		return serverMain(ctx, args[1:], os.Stdin, os.Stdout)
	case slotKind:
		conn, err := proc.Inherited()
		if err != nil {
			return fmt.Errorf("start worker (weft bench does that, not people): %w", err)
		}
		return cpuwork.Serve(context.WithoutCancel(ctx), conn, works) // when to end is the pool's word
	}
	return fmt.Errorf("there is no worker %q", args[0])
}

// armMain does the task on in. It ends when in does: then nobody waits for it.
func armMain(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lines := bufio.NewReader(in)
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read task (weft bench starts its arms, not people): %w", err)
	}
	var t Task
	if err := json.Unmarshal(line, &t); err != nil {
		return fmt.Errorf("parse task: %w", err)
	}
	go func() { // ends with in, or with the process
		_, _ = io.Copy(io.Discard, lines)
		cancel(errors.New("the benchmark has ended"))
	}()
	a, err := runTask(ctx, t)
	if err != nil {
		return fmt.Errorf("%s on %s: %w", t.Case, t.Arm.Name(), err)
	}
	return json.NewEncoder(out).Encode(a)
}

// serverMain serves what is fetched until in ends: args are its rate and its burst.
// It writes its URL when it is ready, and in the end how many requests it refused.
func serverMain(ctx context.Context, args []string, in io.Reader, out io.Writer) (err error) {
	if len(args) != 2 {
		return errors.New("start server: a rate and a burst are needed")
	}
	rate, err := strconv.ParseFloat(args[0], 64)
	if err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	burst, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	s, err := fetchtest.Start(fetchtest.Config{Rate: rate, Burst: burst})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := fmt.Fprintln(out, s.URL); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { // ends with in, or with the process
		defer close(ended)
		_, _ = io.Copy(io.Discard, in)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	_, err = fmt.Fprintln(out, s.Stats().Refused)
	return err
}
