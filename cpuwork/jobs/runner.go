package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"weft/cpuwork/batch"
	"weft/cpuwork/proc"
)

// ErrDown is returned by Start while the process is not running.
var ErrDown = errors.New("the process that runs CPU jobs is not running")

// An Event is something that a Runner tells: one of Up, Down, Started,
// Progressed, Stopped, Finished, Failed. Events of one job come in order, and its
// last is Stopped, Finished, Failed or the Down that names it.
type Event interface{ event() }

// Up: the process takes jobs; sent after every start.
type Up struct{ PID, Restarts int }

// Down: the process died and will be started again. Lost are the jobs that it
// ran. Killed is whether somebody else ended it, which says nothing about them.
type Down struct {
	Lost     []int64
	Killed   bool
	Evidence string
}

// Started: the job runs; Done of its items had ended before.
type Started struct{ Job, Done int64 }

// Progressed is news of running jobs, several times a second.
type Progressed struct{ Jobs []Progress }

// Stopped: the job left as Stop asked.
type Stopped struct {
	Job      int64
	Progress Progress
}

// Finished: every item has ended, and what the job writes is written.
type Finished struct {
	Job      int64
	Progress Progress
	Summary  batch.Summary
}

// Failed: the job as a whole could not go on.
type Failed struct {
	Job      int64
	Progress Progress
	Fault    Fault
}

func (Up) event()         {}
func (Down) event()       {}
func (Started) event()    {}
func (Progressed) event() {}
func (Stopped) event()    {}
func (Finished) event()   {}
func (Failed) event()     {}

// Config describes a Runner. Program and OnEvent are required.
type Config struct {
	Program string // path of weft, started as worker
	// OnEvent is called from one goroutine at a time; while it waits, so does the
	// process's news.
	OnEvent func(Event)
	Log     *slog.Logger // nil: slog.Default()
}

// A Runner is the supervised process and the jobs in it. Its methods may be
// called from any goroutine but OnEvent's.
type Runner struct {
	sup *proc.Supervisor
	on  func(Event)

	mu   sync.Mutex // guards what follows
	up   bool
	jobs map[int64]bool // told to the process, end not yet heard
}

// Open starts the process and returns when it takes jobs.
func Open(ctx context.Context, cfg Config) (*Runner, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	r := &Runner{on: cfg.OnEvent, jobs: map[int64]bool{}}
	r.sup = proc.New(proc.Config{
		Name: "worker pools", Path: cfg.Program, Args: []string{"worker", workerKind},
		Backoff: restartBackoff(), OnUp: r.workerUp, OnDown: r.workerDown, OnFrame: r.frame,
		Log: cfg.Log.With("device", "pools"),
	})
	if err := r.sup.Start(ctx); err != nil {
		return nil, fmt.Errorf("start the process that runs CPU jobs: %w", err)
	}
	return r, nil
}

func restartBackoff() backoff.BackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = 50*time.Millisecond, 5*time.Second, 2
	return b
}

// Start has a job run.
func (r *Runner) Start(job Job) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.up {
		return ErrDown
	}
	if err := r.sup.Send(kindStart, encode(job)); err != nil {
		return fmt.Errorf("start job %d: %w", job.ID, err)
	}
	r.jobs[job.ID] = true
	return nil
}

// Stop asks a job to leave; a Stopped event, or another end that was faster,
// follows. A job that does not run is left alone.
func (r *Runner) Stop(id int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.up || !r.jobs[id] {
		return nil
	}
	if err := r.sup.Send(kindStop, encode(stopFrame{ID: id})); err != nil {
		return fmt.Errorf("stop job %d: %w", id, err)
	}
	return nil
}

// Restart kills the process, whose jobs are lost as in a crash.
func (r *Runner) Restart(reason string) { r.sup.Restart(reason) }

// Close has every job leave, then ends the process. If ctx ends first it is
// killed.
func (r *Runner) Close(ctx context.Context) error {
	if err := r.sup.Stop(ctx); err != nil {
		return fmt.Errorf("end the process that runs CPU jobs: %w", err)
	}
	return nil
}

// Kill ends the process at once and returns when it has gone.
func (r *Runner) Kill() {
	r.sup.Kill()
	<-r.sup.Done()
}

// Status is the process's: its pid, 0 when it is down, and how often it was
// started again.
func (r *Runner) Status() proc.Status { return r.sup.Status() }

func (r *Runner) workerUp(_ *proc.Conn, ready proc.Frame) {
	ready.Close()
	status := r.sup.Status()
	r.mu.Lock()
	r.up = true
	r.mu.Unlock()
	r.on(Up{PID: status.PID, Restarts: status.Restarts})
}

func (r *Runner) workerDown(exit proc.Exit) {
	r.mu.Lock()
	r.up = false
	down := Down{Evidence: exit.Error(), Killed: exit.Signal == "SIGKILL" && errors.Is(exit.Err, proc.ErrExited)}
	for id := range r.jobs {
		down.Lost = append(down.Lost, id)
	}
	clear(r.jobs)
	r.mu.Unlock()
	slices.Sort(down.Lost)
	r.on(down)
}

func (r *Runner) frame(f proc.Frame) {
	defer f.Close()
	if err := r.dispatch(f); err != nil {
		r.sup.Restart(fmt.Sprintf("it said something unintelligible: %v", err))
	}
}

func (r *Runner) dispatch(f proc.Frame) error {
	switch f.Kind {
	case kindStarted:
		s, err := decode[startedFrame](f.Payload)
		if err == nil {
			r.on(Started{Job: s.ID, Done: s.Done})
		}
		return err
	case kindNews:
		n, err := decode[newsFrame](f.Payload)
		if err == nil {
			r.on(Progressed(n))
		}
		return err
	case kindEnded:
		e, err := decode[endFrame](f.Payload)
		if err != nil {
			return err
		}
		return r.ended(&e)
	default:
		return fmt.Errorf("frame of unknown kind %d", f.Kind)
	}
}

func (r *Runner) ended(e *endFrame) error {
	r.mu.Lock()
	delete(r.jobs, e.ID)
	r.mu.Unlock()
	switch {
	case e.End == endStopped:
		r.on(Stopped{Job: e.ID, Progress: e.Progress})
	case e.End == endFinished && e.Summary != nil:
		r.on(Finished{Job: e.ID, Progress: e.Progress, Summary: *e.Summary})
	case e.End == endFailed && e.Fault != nil:
		r.on(Failed{Job: e.ID, Progress: e.Progress, Fault: *e.Fault})
	default:
		return fmt.Errorf("end %q of job %d", e.End, e.ID)
	}
	return nil
}
