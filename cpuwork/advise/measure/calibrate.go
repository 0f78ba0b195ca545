package measure

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"weft/cpuwork"
	"weft/cpuwork/advise"
	"weft/cpuwork/batch"
	"weft/cpuwork/proc"
)

// noop is nothing to do: what remains is the pool.
var noop = cpuwork.Work{Name: "advise-noop", New: func([]byte) (cpuwork.Func, error) {
	return func(_ context.Context, _, out []byte) ([]byte, error) { return out, nil }, nil
}}

// How much is done for a measurement. Together they take about a second; what
// other programs take away meanwhile is avoided by the least of some tries.
const (
	tries       = 3
	jobItems    = 20_000
	jobsTime    = 700 * time.Millisecond
	singleItems = 2_000
	spinTime    = 20 * time.Millisecond
	readBytes   = 64 << 20  // by each core
	readTotal   = 512 << 20 // by all
	copyBytes   = 1 << 20
	copies      = 32
)

// calibrate measures the machine; dir is for files of jobs. Worker processes are
// started with slot.
func calibrate(ctx context.Context, dir string, slot []string) (m advise.Machine, err error) {
	m.Cores = runtime.GOMAXPROCS(0)
	m.Slowdown = slowdown(m.Cores)
	m.MemoryRate = memoryRate(m.Cores)
	if m.CopyRate, err = copyRate(); err != nil {
		return m, err
	}
	if err = measureJobs(ctx, &m, dir, slot); err != nil {
		return m, err
	}
	if m.RoundTrip, err = roundTrip(ctx, slot); err != nil {
		return m, err
	}
	m.Spawn, err = spawn(ctx, slot)
	return m, err
}

// roundTrip is how long one worker process takes for items that are nothing to do,
// handed over one by one.
func roundTrip(ctx context.Context, slot []string) (float64, error) {
	p, err := cpuwork.New(cpuwork.Process, cpuwork.Options{Work: noop, Workers: 1, Chunk: 1, Args: slot})
	if err != nil {
		return 0, fmt.Errorf("measure round trips: %w", err)
	}
	run := func(n int) (float64, error) {
		s, err := p.Run(ctx, nothings(n), func(r cpuwork.Result) error { return r.Err })
		return s.Elapsed.Seconds() / float64(n), err
	}
	_, err = run(singleItems / 10) // the process starts
	least := 0.0
	for i := 0; i < tries && err == nil; i++ {
		var each float64
		if each, err = run(singleItems); i == 0 || each < least {
			least = each
		}
	}
	if err = errors.Join(err, p.Close()); err != nil {
		return 0, fmt.Errorf("measure round trips: %w", err)
	}
	return least, nil
}

func nothings(n int) iter.Seq2[cpuwork.Item, error] {
	item := cpuwork.Item{Data: make([]byte, 16)}
	return func(yield func(cpuwork.Item, error) bool) {
		for range n {
			if !yield(item, nil) {
				return
			}
		}
	}
}

// spawn is how long a worker process takes until it has done its first item.
func spawn(ctx context.Context, slot []string) (float64, error) {
	least := 0.0
	for i := range tries {
		p, err := cpuwork.New(cpuwork.Process, cpuwork.Options{Work: noop, Workers: 1, Args: slot})
		if err != nil {
			return 0, fmt.Errorf("measure start of a process: %w", err)
		}
		s, err := p.Run(ctx, nothings(1), func(r cpuwork.Result) error { return r.Err })
		if err = errors.Join(err, p.Close()); err != nil {
			return 0, fmt.Errorf("measure start of a process: %w", err)
		}
		if took := s.Elapsed.Seconds(); i == 0 || took < least {
			least = took
		}
	}
	return least, nil
}

// nothingLoad is a job of items that are nothing to do.
type nothingLoad struct{ n int }

var _ batch.Load = nothingLoad{}

func (nothingLoad) Work() (cpuwork.Work, []byte) { return noop, nil }
func (l nothingLoad) Count() int64               { return int64(l.n) }
func (l nothingLoad) Items(context.Context) iter.Seq2[batch.Item, error] {
	return func(yield func(batch.Item, error) bool) {
		for item := range nothings(l.n) {
			if !yield(batch.Item{Item: item, Name: "item"}, nil) {
				return
			}
		}
	}
}

func (nothingLoad) Answer(item batch.Named, r cpuwork.Result) (batch.Line, error) {
	return batch.Line{Index: item.Index, Item: item.Name, OK: r.Err == nil, Attempts: r.Attempts, Seconds: r.Took.Seconds()}, nil
}
func (nothingLoad) Finish(context.Context, *batch.Summary) error { return nil }

// timeJob is how long a job of so many items takes that are nothing to do.
func timeJob(ctx context.Context, dir string, kind cpuwork.Kind, items int, o cpuwork.Options) (float64, error) {
	at := filepath.Join(dir, "calibration")
	began := time.Now()
	_, err := batch.Run(ctx, nothingLoad{items}, batch.Options{Kind: kind, Dir: at, Options: o})
	took := time.Since(began).Seconds()
	if err = errors.Join(err, os.RemoveAll(at)); err != nil {
		err = fmt.Errorf("measure a job in the %s pool: %w", kind, err)
	}
	return took, err
}

// measureJobs finds what a job takes without items, and what each item adds in
// each pool.
func measureJobs(ctx context.Context, m *advise.Machine, dir string, slot []string) error {
	pools := []struct {
		kind    cpuwork.Kind
		workers int
		to      *float64
	}{
		{cpuwork.Sequential, 1, &m.Sequential},
		{cpuwork.Goroutine, m.Cores, &m.Goroutine},
		{cpuwork.Event, cpuwork.DefaultInFlight, &m.Event},
		{cpuwork.Process, m.Cores, &m.Process},
	}
	m.Job = math.Inf(1)
	empty := func() error {
		took, err := timeJob(ctx, dir, cpuwork.Sequential, 0, cpuwork.Options{Workers: 1})
		m.Job = min(m.Job, took)
		return err
	}
	for range tries { // what is taken off all others has to be the least
		if err := empty(); err != nil {
			return err
		}
	}
	full := make([][]float64, len(pools))             // by pool and round
	counts := []int{jobItems / 4, jobItems, jobItems} // the first time tells how slow the machine is
	began := time.Now()
	for round, items := range counts {
		if round > 0 && time.Since(began) > jobsTime {
			break
		}
		for i, one := range pools {
			took, err := timeJob(ctx, dir, one.kind, items, cpuwork.Options{Workers: one.workers, Args: slot})
			if err != nil {
				return err
			}
			full[i] = append(full[i], took)
		}
		if err := empty(); err != nil {
			return err
		}
	}
	for i, one := range pools {
		*one.to = math.Inf(1)
		for round, took := range full[i] {
			*one.to = min(*one.to, max(0, took-m.Job)/float64(counts[round]))
		}
	}
	return nil
}

// onAll calls f on so many threads at once and returns what each returned.
func onAll(threads int, f func() float64) []float64 {
	out := make([]float64, threads)
	var group sync.WaitGroup
	for i := range threads {
		group.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			out[i] = f()
		})
	}
	group.Wait()
	return out
}

// slowdown compares the processor time that the same work takes on one core with
// what it takes on all at once: cores that share an execution unit, a cache or
// their clock take longer. Time that others have the core does not count.
func slowdown(cores int) float64 {
	if cores == 1 {
		return 1
	}
	rounds := 0
	data := make([]byte, 16<<10)
	for began := threadTime(); threadTime()-began < spinTime.Seconds()/4 || rounds == 0; rounds++ {
		_ = sha256.Sum256(data)
	}
	spin := func() float64 {
		mine := make([]byte, len(data))
		began := threadTime()
		for range 4 * rounds {
			_ = sha256.Sum256(mine)
		}
		return threadTime() - began
	}
	least := func(threads int) float64 {
		times := make([]float64, tries)
		for i := range times {
			all := onAll(threads, spin)
			slices.Sort(all)
			times[i] = all[len(all)/2]
		}
		return slices.Min(times)
	}
	return max(1, least(cores)/least(1))
}

// threadTime is the processor time of this thread in seconds.
func threadTime() float64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0 // it cannot fail: the clock is in every kernel since 2.6.12
	}
	return float64(t.Nano()) / 1e9
}

// memoryRate is how fast all cores together read memory that is in no cache.
func memoryRate(cores int) float64 {
	size := min(readBytes, readTotal/cores)
	blocks := make(chan []uint64, cores)
	for range cores {
		words := make([]uint64, size/8)
		for i := 0; i < len(words); i += 512 {
			words[i] = uint64(i) // so that pages are there
		}
		blocks <- words
	}
	best := 0.0
	for range tries {
		began := time.Now()
		onAll(cores, func() float64 {
			words := <-blocks
			var a, b, c, d uint64
			for i := 0; i+4 <= len(words); i += 4 {
				a, b, c, d = a+words[i], b+words[i+1], c+words[i+2], d+words[i+3]
			}
			blocks <- words
			return float64(a + b + c + d)
		})
		best = max(best, float64(size*cores)/time.Since(began).Seconds())
	}
	return best
}

// copyRate is how fast a core copies into memory that another process maps.
func copyRate() (float64, error) {
	arena, err := proc.NewArena("weft calibration", 8*copyBytes)
	if err != nil {
		return 0, fmt.Errorf("measure copying: %w", err)
	}
	source := make([]byte, copyBytes)
	for i := 0; i < len(source); i += 8 {
		source[i] = byte(i)
	}
	times := make([]time.Duration, copies)
	for i := range times {
		began := time.Now()
		copy(arena.Bytes()[i%8*copyBytes:], source)
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	if err := arena.Close(); err != nil {
		return 0, fmt.Errorf("measure copying: %w", err)
	}
	return copyBytes / max(times[copies/2], 1).Seconds(), nil
}
