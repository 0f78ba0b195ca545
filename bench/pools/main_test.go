package pools

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// TestMain runs the tests or, in a process that one of them started, a worker.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == workerVerb {
		os.Exit(work(os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

func work(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := WorkerMain(ctx, args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
