package client

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestMain runs the tests, or, in a process that a test of demo started, the
// recorded daemon in place of `weft serve`.
func TestMain(m *testing.M) {
	time.Local = time.UTC
	if os.Getenv("WEFT_TEST_SERVE") != "" {
		os.Exit(serveRecorded(os.Args[1:]))
	}
	for _, name := range []string{"WEFT_HOST", "WEFT_TOKEN", "NO_COLOR", "COLUMNS"} {
		os.Unsetenv(name)
	}
	goleak.VerifyTestMain(m)
}

// moment is when all recorded jobs are looked at.
var moment = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// ran is what a command did.
type ran struct {
	code           int
	stdout, stderr string
}

func (r ran) String() string {
	var b strings.Builder
	b.WriteString(r.stdout)
	if r.stderr != "" {
		for line := range strings.Lines(r.stderr) {
			b.WriteString("2> " + line)
		}
	}
	fmt.Fprintf(&b, "exit %d\n", r.code)
	return b.String()
}

// weft runs a command line against a daemon; host "" is none.
func weft(ctx context.Context, host, stdin string, args ...string) ran {
	if host != "" {
		args = append([]string{"-H", host}, args...)
	}
	var stdout, stderr bytes.Buffer
	app := App{Version: "v0.1.0", Commit: "abc1234", Now: func() time.Time { return moment },
		OpenFiles: func() (uint64, error) { return 1024, nil }}
	code := Run(ctx, app, args, strings.NewReader(stdin), &stdout, &stderr)
	return ran{code, stdout.String(), stderr.String()}
}

// testdata is absolute: some tests run in directories of their own.
var testdata = func() string {
	dir, err := filepath.Abs("testdata")
	if err != nil {
		panic(err)
	}
	return dir
}()

// golden compares text with testdata/NAME, or rewrites that with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join(testdata, name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read golden file: %v; go test -update writes it", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; go test -update rewrites it\n--- got\n%s--- want\n%s", path, got, want)
	}
}

// inDir runs the test in a new directory with the given files.
func inDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	return dir
}
