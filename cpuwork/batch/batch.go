package batch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"time"

	"weft/cpuwork"
)

// Options say how a job is run. Dir is needed.
type Options struct {
	Kind            cpuwork.Kind // of pool; Goroutine if empty
	cpuwork.Options              // of the pool, whose Work and Params are the load's

	Dir      string         // of the job's files; made if it is not there
	Progress func(Progress) // told every Every, and at the end; from one goroutine at a time
	Every    time.Duration  // half a second if 0
}

// Resumer is a Load that wants to know what earlier lives of the job had done.
type Resumer interface {
	// Resume is told every line of the result file before the first item, in the
	// file's order. An error is the whole job's.
	Resume(line Line) error
}

// Names of the files in Options.Dir.
const (
	ResultsFile = "results.jsonl"
	SummaryFile = "summary.json"
	timeFile    = "time.json"
)

// firstFailed is how many of the items that failed are in a summary.
const firstFailed = 20

// Run runs the job to its end and returns what it came to, of which [SummaryFile]
// holds a copy then. If ctx ends or something breaks that is not an item's affair,
// it returns what the job had come to, and why; Run with the same Dir goes on
// there. A job whose summary is there already is not run again.
func Run(ctx context.Context, load Load, o Options) (*Summary, error) {
	j, err := open(load, o)
	if err != nil {
		return nil, fmt.Errorf("open job in %s: %w", o.Dir, err)
	}
	if j.over {
		return &j.sum, j.close()
	}
	err = errors.Join(j.run(ctx), j.close())
	j.finishSummary()
	if err != nil {
		return &j.sum, err
	}
	if err := load.Finish(ctx, &j.sum); err != nil {
		return &j.sum, fmt.Errorf("finish job: %w", err)
	}
	if err := writeJSON(filepath.Join(o.Dir, SummaryFile), &j.sum, true); err != nil {
		return &j.sum, diskError("write the summary", o.Dir, err)
	}
	return &j.sum, nil
}

// job is a load that is being run. The pool calls answer from Run's goroutine and
// items from its own; keeper has a goroutine too, which Run ends.
type job struct {
	load    Load
	o       Options
	over    bool // the summary was there
	journal *journal
	done    indexSet // what the journal held at first; not changed afterwards
	begin   time.Time
	before  float64 // seconds of earlier lives
	meter   *meter

	mu      sync.Mutex // guards the fields below
	pending []Named    // items that the pool has, by its index
	offset  int64      // the pool's index of pending[0]
	sum     Summary
	last    string // the last error of an item
}

func open(load Load, o Options) (*job, error) {
	if o.Kind == "" {
		o.Kind = cpuwork.Goroutine
	}
	if o.Every <= 0 {
		o.Every = time.Second / 2
	}
	o.Work, o.Params = load.Work()
	j := &job{load: load, o: o, begin: time.Now()}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if j.over, err = readJSON(filepath.Join(o.Dir, SummaryFile), &j.sum); err != nil || j.over {
		return j, err
	}
	j.before = j.noted()
	j.journal, err = openJournal(filepath.Join(o.Dir, ResultsFile), j.resume)
	if err != nil {
		return nil, err
	}
	j.sum.Resumed = j.sum.Items
	j.meter = newMeter(j.begin, j.sum.Items, j.sum.Bytes)
	return j, nil
}

// resume takes in a line that an earlier life wrote.
func (j *job) resume(line *Line) error {
	if !j.done.add(line.Index) {
		return fmt.Errorf("item %d is in %s twice", line.Index, ResultsFile)
	}
	j.count(line)
	if r, ok := j.load.(Resumer); ok {
		return r.Resume(*line)
	}
	return nil
}

// count adds a line to the summary. The caller holds mu, or nobody else runs.
func (j *job) count(line *Line) {
	j.sum.Items++
	j.sum.Bytes += line.Bytes
	if line.OK {
		j.sum.OK++
		return
	}
	j.sum.Failed++
	if line.Error != nil {
		j.last = line.Item + ": " + line.Error.Message
	}
	if len(j.sum.FirstFailed) < firstFailed {
		j.sum.FirstFailed = append(j.sum.FirstFailed, *line)
	}
}

// run does the items that are not done.
func (j *job) run(ctx context.Context) error {
	if j.stops() {
		return nil
	}
	pool, err := cpuwork.New(j.o.Kind, j.o.Options)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	end := j.keep(cancel)
	s, err := pool.Run(ctx, j.items(reading), func(r cpuwork.Result) error {
		err := j.answer(r)
		if err != nil || j.stopsAt(r.Err) {
			stopReading() // the pool waits for the input
		}
		return err
	})
	end()
	j.sum.Pool, j.sum.Workers, j.sum.Stopped = string(j.o.Kind), s.Workers, s.Stopped
	return errors.Join(err, pool.Close())
}

// stops reports whether the journal already holds what ends the job early.
func (j *job) stops() bool {
	j.sum.Stopped = j.o.Stop == cpuwork.StopOnFailure && j.sum.Failed > 0 ||
		j.o.Stop == cpuwork.StopOnSuccess && j.sum.OK > 0
	return j.sum.Stopped
}

// stopsAt reports whether the pool stops at a result with this error.
func (j *job) stopsAt(err error) bool {
	return j.o.Stop == cpuwork.StopOnFailure && err != nil || j.o.Stop == cpuwork.StopOnSuccess && err == nil
}

// items are those that the journal did not hold.
func (j *job) items(ctx context.Context) iter.Seq2[cpuwork.Item, error] {
	return func(yield func(cpuwork.Item, error) bool) {
		index := int64(-1)
		for item, err := range j.load.Items(ctx) {
			if err != nil {
				yield(cpuwork.Item{}, err)
				return
			}
			if index++; j.done.has(index) {
				continue
			}
			j.mu.Lock()
			j.pending = append(j.pending, Named{Index: index, Name: item.Name})
			j.mu.Unlock()
			if failed := item.Failed; failed != nil {
				item.Item = cpuwork.Item{Fill: func([]byte) (int, error) { return 0, failed }}
			}
			if !yield(item.Item, nil) {
				return
			}
		}
	}
}

// take returns which item of the job the pool's item was, and forgets it.
func (j *job) take(index int64) Named {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := index - j.offset
	named := j.pending[at]
	j.pending[at].Index = -1
	n := 0
	for n < len(j.pending) && j.pending[n].Index < 0 {
		n++
	}
	if 2*n > len(j.pending) || n > 4096 {
		j.pending = j.pending[:copy(j.pending, j.pending[n:])]
		j.offset += int64(n)
	}
	return named
}

// answer takes an item's end: first the load, then the journal.
func (j *job) answer(r cpuwork.Result) error {
	named := j.take(r.Index)
	r.Index = named.Index
	line, err := j.load.Answer(named, r)
	if err != nil {
		return err
	}
	line.Index = named.Index
	if line.Item == "" {
		line.Item = named.Name
	}
	if err := j.journal.add(&line); err != nil {
		return diskError("write the results", j.o.Dir, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.count(&line)
	return nil
}

// finishSummary computes what is derived.
func (j *job) finishSummary() {
	s := &j.sum
	if s.Pool == "" {
		s.Pool = string(j.o.Kind)
	}
	s.Seconds = j.before + time.Since(j.begin).Seconds()
	if s.Seconds > 0 {
		s.ItemsPerS, s.BytesPerS = float64(s.Items)/s.Seconds, float64(s.Bytes)/s.Seconds
	}
}

// close closes the journal, and notes the time.
func (j *job) close() error {
	if j.journal == nil {
		return nil
	}
	return errors.Join(j.journal.close(), j.noteTime())
}

func (j *job) noteTime() error {
	t := struct{ Seconds float64 }{j.before + time.Since(j.begin).Seconds()}
	if err := writeJSON(filepath.Join(j.o.Dir, timeFile), t, false); err != nil {
		return diskError("note the running time", j.o.Dir, err)
	}
	return nil
}

// noted is the time that was noted last. A power cut may leave the file empty,
// for it is not synced: that costs the time, and not the job.
func (j *job) noted() float64 {
	var t struct{ Seconds float64 }
	if _, err := readJSON(filepath.Join(j.o.Dir, timeFile), &t); err != nil || !(t.Seconds > 0) {
		return 0
	}
	return t.Seconds
}

// readJSON reads a file, and reports whether it is there.
func readJSON(path string, v any) (bool, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	return true, nil
}
