package cpuwork

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"os"
	"runtime"
	"time"
)

// Kind is a way to run a batch.
type Kind string

// The kinds of pools. All give the same results for the same input.
const (
	// Sequential does one item after the other in the caller's goroutine: the
	// baseline, and the right answer for few items.
	Sequential Kind = "sequential"
	// Goroutine does items on as many goroutines as there are cores.
	Goroutine Kind = "goroutine"
	// Process does items in worker processes, so that a crash, a leak or a hang
	// ends there, and what runs can be killed.
	Process Kind = "process"
	// Event keeps many items in flight that mostly wait for others: for I/O.
	Event Kind = "event"
)

// Kinds are all kinds, in the order in which they are compared.
var Kinds = []Kind{Sequential, Goroutine, Process, Event}

// Stop says what ends a run before its input does.
type Stop int

// With Ordered, "first" is the first in the order of the input, and otherwise the
// first to end. Its result is the last that each is given; what still runs is
// cancelled.
const (
	StopNever     Stop = iota
	StopOnFailure      // fail-fast: the first item that failed
	StopOnSuccess      // early termination: the first item that was done
)

// Defaults of [Options].
const (
	DefaultMemory   = 64 << 20
	DefaultInFlight = 64 // of [Event]
	DefaultBackoff  = 100 * time.Millisecond
	MaxBackoff      = 30 * time.Second
)

// Options say what a pool does, and how. Only Work is needed.
type Options struct {
	Work   Work
	Params []byte // for Work.New, as it is

	// Workers is how many items are worked on at the same time: by default as many
	// as GOMAXPROCS says, 64 for [Event], always 1 for [Sequential].
	Workers int
	// Ordered gives results in the order of the input. Otherwise they come as the
	// items end.
	Ordered bool
	// Timeout ends an attempt that takes longer, with code timeout, which may be
	// retried. A Func that ignores its context is waited for, except in a worker
	// process, which is killed. 0: none.
	Timeout time.Duration
	// Retries are the attempts after the first that an item may have whose error
	// says Retry. An item that was in the hands of a worker process when that died
	// has one at least.
	Retries int
	// Backoff is the wait before the second attempt; it doubles with each, up to
	// MaxBackoff, half of it random. An error's After is waited for at least.
	Backoff time.Duration
	// Stop ends the run early.
	Stop Stop
	// Memory is how many bytes of items are in memory at most, and how many of
	// answers that nobody has taken yet (64 MiB). A larger item fails with code
	// too_large.
	Memory int64
	// Chunk is how many items are handed over together; 0: as many as take about
	// a millisecond, by the time they were seen to take.
	Chunk int

	// Path and Args start a worker process, which must call [Serve] with the same
	// Work among its works. Path is this program by default.
	Path string
	Args []string
	Env  []string // beside what proc.Environ lets through
	// RecycleBytes replaces a worker process whose own memory has grown beyond;
	// one that reaches twice as much in the midst of an item is killed. 0: never.
	RecycleBytes int64

	Log *slog.Logger // of worker processes; nil: nobody
}

// Pool runs batches of items. Run may be called again, one at a time; workers stay
// warm in between.
type Pool interface {
	// Run does all items and calls each with every result, one at a time, from the
	// caller's goroutine. It returns when all is done and nothing runs any more.
	//
	// It returns each's error or ctx's cause as soon as there is one: items that
	// have not been given to each by then are not. An error of the input ends the
	// input: what came before is done, then it is returned. An item's error is in
	// its Result alone. Run returns only after the iterator has, so one that may
	// block should watch a context that ends with ctx, and when each wants to stop.
	Run(ctx context.Context, items iter.Seq2[Item, error], each func(Result) error) (Summary, error)
	// Close lets workers finish and ends them. It must not be called during Run.
	Close() error
}

// Summary is what a run came to.
type Summary struct {
	Items    int64 // results given to each
	OK       int64
	Failed   int64
	Attempts int64
	Bytes    int64         // of input
	Answered int64         // bytes of output
	Busy     time.Duration // of all last attempts together
	Elapsed  time.Duration
	Workers  int
	Chunk    int   // items handed over together, in the end
	Lost     int64 // worker processes that died or had to be killed
	Recycled int64 // worker processes replaced because they had grown
	Stopped  bool  // by Options.Stop
}

// New returns a pool of the kind. It starts nothing yet.
func New(kind Kind, o Options) (Pool, error) {
	if err := o.prepare(kind); err != nil {
		return nil, fmt.Errorf("make %s pool: %w", kind, err)
	}
	switch kind {
	case Sequential:
		return &sequential{o: o}, nil
	case Goroutine:
		return &goroutines{o: o}, nil
	case Event:
		return &events{o: o}, nil
	default:
		return newProcesses(o), nil
	}
}

// prepare checks the options and fills in what was left open.
func (o *Options) prepare(kind Kind) error {
	switch kind {
	case Sequential:
		o.Workers = 1
	case Event:
		o.Workers = orElse(o.Workers, DefaultInFlight)
		o.Chunk = 1
	case Goroutine, Process:
		o.Workers = orElse(o.Workers, runtime.GOMAXPROCS(0))
	default:
		return fmt.Errorf("no such kind (there are %v)", Kinds)
	}
	o.Memory = orElse(o.Memory, DefaultMemory)
	o.Backoff = orElse(o.Backoff, DefaultBackoff)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := o.Work.check(); err != nil {
		return err
	}
	for _, f := range []struct {
		name  string
		value int64
		most  int64
	}{
		{"workers", int64(o.Workers), 1 << 16},
		{"retries", int64(o.Retries), math.MaxInt32},
		{"chunk", int64(o.Chunk), maxChunk},
		{"memory", o.Memory, math.MaxInt},
		{"timeout", int64(o.Timeout), math.MaxInt64},
		{"backoff", int64(o.Backoff), int64(MaxBackoff)},
		{"recycle bytes", o.RecycleBytes, math.MaxInt64 / 2},
	} {
		if f.value < 0 || f.value > f.most {
			return fmt.Errorf("%s %d is not between 0 and %d", f.name, f.value, f.most)
		}
	}
	if kind != Process || o.Path != "" {
		return nil
	}
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	o.Path = path
	return nil
}

// check returns an error unless the work can be done.
func (w *Work) check() error {
	switch {
	case w.Name == "":
		return errors.New("the work has no name")
	case (w.New == nil) == (w.NewBatch == nil):
		return fmt.Errorf("work %s has not exactly one of New and NewBatch", w.Name)
	case w.NewBatch != nil && (w.Batch < 1 || w.Batch > maxChunk):
		return fmt.Errorf("work %s takes %d items at once; 1 to %d can be", w.Name, w.Batch, maxChunk)
	}
	return nil
}

func orElse[T int | int64 | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}
