package measure

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"weft/cpuwork/jobs"
)

// TestMain runs the tests or, started as `worker KIND`, a worker process in place
// of weft.
func TestMain(m *testing.M) {
	if len(os.Args) < 3 || os.Args[1] != "worker" {
		goleak.VerifyTestMain(m)
		return
	}
	main := WorkerMain
	if jobs.IsWorker(os.Args[2]) {
		main = jobs.WorkerMain
	}
	if err := main(context.Background(), os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// self is this test's binary, which is a worker too.
func self(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
