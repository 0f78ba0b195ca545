package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"weft/cpuwork"
	"weft/cpuwork/batch"
	"weft/cpuwork/proc"
)

// The kinds of worker processes of this package.
const (
	workerKind = "pools" // runs jobs
	slotKind   = "pool"  // is one slot of a process pool
)

// IsWorker reports whether a kind of `weft worker` is this package's.
func IsWorker(kind string) bool { return kind == workerKind || kind == slotKind }

// WorkerMain is the life of such a process, with its socket as descriptor 3.
func WorkerMain(ctx context.Context, args []string) error {
	// When to end is the parent's word: a service manager may signal everybody.
	ctx = context.WithoutCancel(ctx)
	conn, err := proc.Inherited()
	if err != nil {
		return fmt.Errorf("start worker (weft serve does that, not people): %w", err)
	}
	beNice()
	if args[0] == slotKind {
		return cpuwork.Serve(ctx, conn, Works())
	}
	w := &worker{send: func(kind byte, payload []byte) error { return conn.Send(kind, payload) },
		runs: map[int64]*run{}, done: make(chan struct{})}
	go w.newsLoop() // ended by drain, or with the process
	return proc.Serve(ctx, conn, proc.ServeConfig{Handle: w.handle, Drain: w.drain})
}

// niceness is that of the threads that train: a ninth of the share of a normal
// thread, when both want the core.
const niceness = 10

// beNice lowers the priority of all threads; those to come inherit it.
func beNice() {
	threads, err := os.ReadDir("/proc/self/task")
	for _, t := range threads {
		var id int
		if _, scan := fmt.Sscan(t.Name(), &id); scan == nil {
			err = errors.Join(err, unix.Setpriority(unix.PRIO_PROCESS, id, niceness))
		}
	}
	if err != nil {
		slog.Warn("CPU jobs run at normal priority", "error", err)
	}
}

// newsEvery is how often the daemon hears of running jobs.
const newsEvery = 200 * time.Millisecond

// A worker runs jobs, each in a goroutine of its own.
//
// Lock order: telling before mu.
type worker struct {
	send func(kind byte, payload []byte) error
	done chan struct{}  // closed by drain, ends newsLoop
	all  sync.WaitGroup // the jobs' goroutines; each ends with its job

	telling sync.Mutex // held while something is told, so that news does not come after an end

	mu   sync.Mutex // guards what follows
	runs map[int64]*run
	used time.Duration // processor time that has been shared out
}

// A run is a job that runs.
type run struct {
	job    Job
	cancel context.CancelCauseFunc

	// Guarded by worker.mu.
	now    Progress
	worked time.Duration // workers' time at its items
	shared time.Duration // of which processor time was shared by
}

// errStop is why a run ends that was asked to.
var errStop = errors.New("the job was asked to leave")

func (w *worker) handle(_ context.Context, f proc.Frame) error {
	defer f.Close()
	switch f.Kind {
	case kindStart:
		job, err := decode[Job](f.Payload)
		if err != nil {
			return err
		}
		w.start(job)
		return nil
	case kindStop:
		stop, err := decode[stopFrame](f.Payload)
		if err != nil {
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if r := w.runs[stop.ID]; r != nil {
			r.cancel(errStop)
		}
		return nil
	default:
		return fmt.Errorf("frame of unknown kind %d", f.Kind)
	}
}

func (w *worker) start(job Job) {
	ctx, cancel := context.WithCancelCause(context.Background())
	r := &run{job: job, cancel: cancel, now: Progress{ID: job.ID, Items: -1}}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.runs[job.ID] != nil {
		cancel(nil)
		return // the daemon asks again only after it was told of an end
	}
	w.runs[job.ID] = r
	w.all.Go(func() {
		defer cancel(nil)
		summary, err := w.run(ctx, r)
		w.ended(ctx, r, summary, err)
	})
}

// run is a job's life here. A panic is a defect of weft that must not take the
// other jobs down.
func (w *worker) run(ctx context.Context, r *run) (s *batch.Summary, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Fault{Code: "internal", Message: fmt.Sprintf("the job panicked: %v", p),
				Hint: "this is a defect of weft; please report it with: " + string(debug.Stack())}
		}
	}()
	plan, err := Parse(r.job.Kind, r.job.Spec)
	if err != nil {
		return nil, err
	}
	if r.job.Fresh {
		if err := batch.Forget(r.job.Dir); err != nil {
			return nil, fmt.Errorf("forget the earlier attempt: %w", err)
		}
		if err := thaw(r.job.Dir); err != nil {
			return nil, fmt.Errorf("forget the earlier attempt: %w", err)
		}
	}
	if freeze := plan.task.freeze; freeze != nil {
		if err := freeze(ctx, r.job.Dir); err != nil {
			return nil, err
		}
	}
	load, err := plan.task.open()
	if err != nil {
		return nil, taskError(err)
	}
	if c, ok := load.(io.Closer); ok {
		defer func() { err = errors.Join(err, c.Close()) }()
	}
	return w.batch(ctx, r, plan, load)
}

func (w *worker) batch(ctx context.Context, r *run, plan *Plan, load batch.Load) (*batch.Summary, error) {
	l := &watched{Load: load, answers: plan.task.answers, on: func(took time.Duration) {
		w.mu.Lock()
		defer w.mu.Unlock()
		r.worked += took
	}}
	l.total.Store(-1)
	l.begun = func() { w.tell(kindStarted, startedFrame{ID: r.job.ID, Done: l.resumed}) }
	counting, enough := context.WithCancel(ctx)
	var counter sync.WaitGroup
	counter.Go(func() { l.count(counting, plan.task.list) })
	defer counter.Wait()
	defer enough()
	o := plan.options()
	o.Dir, o.Every = r.job.Dir, newsEvery
	o.Progress = func(p batch.Progress) {
		p.Failed -= l.passed.Load()
		w.progressed(r, &p)
	}
	return batch.Run(ctx, l, o)
}

// progressed takes in how far a job is; the next news tells.
func (w *worker) progressed(r *run, p *batch.Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	spent := r.now.Spent
	r.now = Progress{ID: r.job.ID, Items: p.Total, Done: p.Items, Failed: p.Failed, Bytes: p.Bytes,
		ItemsPerS: p.ItemsPerS, BytesPerS: p.BytesPerS, LeftSeconds: max(0, p.Left.Seconds()), Spent: spent}
}

// ended tells of a job that has left.
func (w *worker) ended(ctx context.Context, r *run, s *batch.Summary, err error) {
	w.telling.Lock()
	defer w.telling.Unlock()
	w.mu.Lock()
	w.shareLocked()
	delete(w.runs, r.job.ID)
	frame := endFrame{ID: r.job.ID, End: endFinished, Summary: s, Progress: r.now}
	w.mu.Unlock()
	switch {
	case err == nil:
		frame.Progress.sum(s)
	case errors.Is(context.Cause(ctx), errStop):
		frame.End, frame.Summary = endStopped, nil
	default:
		frame.End, frame.Summary, frame.Fault = endFailed, nil, faultOf(err)
	}
	_ = w.send(kindEnded, encode(frame)) // without a reader the process ends
}

// sum takes over what a job came to.
func (p *Progress) sum(s *batch.Summary) {
	p.Items, p.Done, p.Failed, p.Bytes = s.Items, s.Items, s.Failed, s.Bytes
	p.ItemsPerS, p.BytesPerS, p.LeftSeconds = s.ItemsPerS, s.BytesPerS, 0
}

func faultOf(err error) *Fault {
	var fault *Fault
	if errors.As(err, &fault) {
		return fault
	}
	var spec *SpecError
	if errors.As(err, &spec) {
		return &Fault{Code: "invalid", Message: spec.Message, Hint: spec.Hint}
	}
	var item *cpuwork.ItemError
	if errors.As(err, &item) {
		return &Fault{Code: item.Code, Message: err.Error(), Hint: item.Hint}
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return &Fault{Code: "disk", Message: err.Error(), Hint: "make room, then weft retry the job"}
	}
	return &Fault{Code: "failed", Message: err.Error()}
}

// newsLoop tells how far jobs are, until done is closed.
func (w *worker) newsLoop() {
	tick := time.NewTicker(newsEvery)
	defer tick.Stop()
	for {
		select {
		case <-w.done:
			return
		case <-tick.C:
		}
		w.news()
	}
}

func (w *worker) news() {
	w.telling.Lock()
	defer w.telling.Unlock()
	w.mu.Lock()
	w.shareLocked()
	var n newsFrame
	for _, r := range w.runs {
		n.Jobs = append(n.Jobs, r.now)
	}
	w.mu.Unlock()
	if len(n.Jobs) > 0 {
		_ = w.send(kindNews, encode(n)) // without a reader the process ends
	}
}

func (w *worker) tell(kind byte, v any) {
	w.telling.Lock()
	defer w.telling.Unlock()
	_ = w.send(kind, encode(v)) // without a reader the process ends
}

// shareLocked shares the processor time since the last time among the jobs: by
// the time that their workers spent at items, or evenly where there was none. The
// caller holds mu.
func (w *worker) shareLocked() {
	// A child that ends while it is looked at may be missed, until the next time.
	used := max(processorTime(), w.used)
	news := used - w.used
	w.used = used
	var all time.Duration
	for _, r := range w.runs {
		all += r.worked - r.shared
	}
	for _, r := range w.runs {
		part := 1 / float64(len(w.runs))
		if all > 0 {
			part = float64(r.worked-r.shared) / float64(all)
		}
		r.shared = r.worked
		r.now.CPUSeconds += part * news.Seconds()
	}
}

// drain has every job leave and returns when all have been told of.
func (w *worker) drain(context.Context) error {
	w.mu.Lock()
	for _, r := range w.runs {
		r.cancel(errStop)
	}
	w.mu.Unlock()
	w.all.Wait()
	close(w.done)
	return nil
}
