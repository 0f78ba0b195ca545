package watchdog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strings"
	"time"
)

// keep is how many files of each kind are kept: the newest.
const keep = 10

// traceBytes bounds the flight recorder's memory, roughly.
const traceBytes = 8 << 20

// kind is a kind of evidence. Its files are named so that they sort by time.
type kind struct{ prefix, suffix string }

var (
	stackFiles = kind{"stacks-", ".txt"}
	traceFiles = kind{"trace-", ".out"}
)

func (k kind) name(at time.Time) string {
	return k.prefix + at.UTC().Format("20060102T150405.000000000Z") + k.suffix
}

func (k kind) matches(name string) bool {
	return strings.HasPrefix(name, k.prefix) && strings.HasSuffix(name, k.suffix)
}

// save writes one file, in whole or not at all, drops what is old, and returns
// the file's path. A failure is logged, and the path is empty: a full disk must
// not hide that a loop hangs.
func (w *Watchdog) save(at time.Time, k kind, write func(io.Writer) error) string {
	path := filepath.Join(w.cfg.Dir, k.name(at))
	if err := writeFile(path, write); err != nil {
		w.cfg.Log.Error("evidence is lost", "err", err)
		return ""
	}
	if err := prune(w.cfg.Dir, k); err != nil {
		w.cfg.Log.Warn("old evidence stays", "err", err)
	}
	return path
}

// writeFile writes path by way of a temporary file beside it.
func writeFile(path string, write func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	f, err := os.CreateTemp(dir, ".watchdog-*")
	if err != nil {
		return fmt.Errorf("make temporary file: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("name %s: %w", path, err)
	}
	return nil
}

// prune removes all files of a kind but the newest.
func prune(dir string, k kind) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list evidence: %w", err)
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return !k.matches(e.Name()) })
	var errs []error
	for _, e := range entries[:max(0, len(entries)-keep)] { // ReadDir sorts by name
		errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
	}
	return errors.Join(errs...)
}

// writeStacks writes why, and the stacks of all goroutines.
func writeStacks(f io.Writer, reports []Report) error {
	for _, r := range reports {
		if _, err := fmt.Fprintf(f, "loop %s had not ticked for %v at %s\n", r.Loop, r.Age,
			r.At.Format(time.RFC3339Nano)); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintln(f); err != nil {
		return err
	}
	return pprof.Lookup("goroutine").WriteTo(f, 2)
}

// recorder is the flight recorder, of which the process has one. A nil inner
// recorder stands for none.
type recorder struct{ flight *trace.FlightRecorder }

// startRecorder starts the recorder unless that is not wanted, or not possible
// because another one runs.
func (w *Watchdog) startRecorder() *recorder {
	if w.cfg.NoTrace {
		return &recorder{}
	}
	flight := trace.NewFlightRecorder(trace.FlightRecorderConfig{
		MinAge:   w.cfg.Limit + 2*w.period, // back to the last tick, if memory allows
		MaxBytes: traceBytes,
	})
	if err := flight.Start(); err != nil {
		w.cfg.Log.Warn("watchdog works without traces", "err", err)
		return &recorder{}
	}
	return &recorder{flight}
}

func (r *recorder) running() bool { return r.flight != nil }

func (r *recorder) stop() {
	if r.flight != nil {
		r.flight.Stop()
	}
}

func (r *recorder) write(f io.Writer) error {
	_, err := r.flight.WriteTo(f)
	return err
}
