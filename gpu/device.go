package gpu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"weft/cpuwork/proc"
)

// ErrDown is returned by Start while the device's worker is not running.
var ErrDown = errors.New("the device's worker is not running")

// Device is a supervised worker and the jobs resident on it. Its methods may
// be called from any goroutine; events must be read, or the worker waits.
type Device struct {
	log    *slog.Logger
	sup    *proc.Supervisor
	page   *proc.Arena // the worker's status page
	status statusPage
	limit  time.Duration
	events chan Event
	done   chan struct{}  // closed by Close and Kill
	loops  sync.WaitGroup // the quantum watch, and the supervisor's run
	ending sync.Once

	decided chan struct{} // closed when the worker is ready for the first time, or its first life has ended
	decide  sync.Once

	mu    sync.Mutex // guards what follows
	info  Info
	up    bool
	ended bool           // the status page is gone
	past  Activity       // of the workers that have ended
	jobs  map[int64]bool // told to the worker, end not yet heard
}

// deviceConfig is what a device's kind decides.
type deviceConfig struct {
	info    Info     // PID and Restarts are filled in
	program string   // path of weft
	args    []string // of weft worker
	env     []string // besides what every worker has
	ready   time.Duration
	limit   time.Duration // of a quantum
	log     *slog.Logger
}

// newDevice returns a device whose worker is not started yet.
func newDevice(cfg deviceConfig) (*Device, error) {
	page, err := proc.NewArena("weft status", int64(statusSize))
	if err != nil {
		return nil, fmt.Errorf("open device %s: %w", cfg.info.ID, err)
	}
	d := &Device{
		log:     cfg.log.With("device", cfg.info.ID),
		page:    page,
		status:  newStatusPage(page.Bytes()),
		limit:   cfg.limit,
		events:  make(chan Event, 256),
		done:    make(chan struct{}),
		decided: make(chan struct{}),
		jobs:    map[int64]bool{},
		info:    cfg.info,
		past:    newActivity(),
	}
	d.sup = proc.New(proc.Config{
		Name:         "worker " + cfg.info.ID,
		Path:         cfg.program,
		Args:         append([]string{"worker"}, cfg.args...),
		Env:          cfg.env,
		ReadyTimeout: cfg.ready,
		Backoff:      restartBackoff(),
		OnUp:         d.workerUp,
		OnDown:       d.workerDown,
		OnFrame:      d.frame,
		Log:          d.log,
	})
	d.loops.Go(d.watchQuanta)
	return d, nil
}

// run starts the worker and does not wait for it.
func (d *Device) run() {
	d.loops.Go(func() {
		// It ends by Stop or Kill alone, for the backoff has no end.
		_ = d.sup.Run(context.Background())
	})
}

// restartBackoff keeps the pause between lives short: a device without its
// worker trains nothing, and a worker that cannot live costs little.
func restartBackoff() backoff.BackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = 50*time.Millisecond, 5*time.Second, 2
	return b
}

// Info describes the device as it is now.
func (d *Device) Info() Info {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.info
}

// Events returns the device's news; it is closed after Close or Kill.
func (d *Device) Events() <-chan Event { return d.events }

// Start makes a job resident. Memory and slots are the caller's to count. The
// worker maps the data set itself, so data may be released afterwards.
func (d *Device) Start(job Job, data *Data) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.up {
		return ErrDown
	}
	frame := encode(startFrame{Job: job, Spec: job.Spec.JSON()})
	if err := d.sup.Send(kindStart, frame, data.file); err != nil {
		return fmt.Errorf("start job %d: %w", job.ID, err)
	}
	d.jobs[job.ID] = true
	return nil
}

// Stop asks a job to leave; a Stopped event, or another end that was faster,
// follows. A job that is not resident is left alone.
func (d *Device) Stop(id int64, mode StopMode) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.up || !d.jobs[id] {
		return nil
	}
	if err := d.sup.Send(kindStop, encode(stopFrame{Job: id, Mode: mode})); err != nil {
		return fmt.Errorf("stop job %d: %w", id, err)
	}
	return nil
}

// Prioritize tells the device of a resident job's new priority, which is a hint.
func (d *Device) Prioritize(id int64, priority int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.up || !d.jobs[id] {
		return nil
	}
	if err := d.sup.Send(kindPriority, encode(priorityFrame{Job: id, Priority: priority})); err != nil {
		return fmt.Errorf("prioritize job %d: %w", id, err)
	}
	return nil
}

// Restart kills the worker, whose jobs are lost as in a crash, and starts it
// again: for a job that does not leave when asked.
func (d *Device) Restart(reason string) { d.sup.Restart(reason) }

// Close has every job write its checkpoint and leave, then ends the worker. If
// ctx ends first the worker is killed.
func (d *Device) Close(ctx context.Context) error {
	err := d.sup.Stop(ctx)
	d.end()
	if err != nil {
		return fmt.Errorf("close device %s: %w", d.info.ID, err)
	}
	return nil
}

// Kill ends the worker at once; its jobs go on from earlier checkpoints.
func (d *Device) Kill() {
	d.sup.Kill()
	<-d.sup.Done()
	d.end()
}

// end runs after the supervisor has stopped, when no callback is under way.
func (d *Device) end() {
	d.ending.Do(func() {
		close(d.done)
		d.loops.Wait()
		close(d.events)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.ended = true
		_ = d.page.Close() // memory of our own, nothing to lose
	})
}

// workerUp is called by the supervisor when a worker has said that it is ready.
func (d *Device) workerUp(conn *proc.Conn, ready proc.Frame) {
	told, err := readyOf(ready)
	if err != nil {
		d.sup.Restart(err.Error())
		return
	}
	d.status.clear()
	if err := conn.Send(kindStatus, nil, d.page.File()); err != nil {
		d.sup.Restart(fmt.Sprintf("it does not take its status page: %v", err))
		return
	}
	sup := d.sup.Status()
	d.mu.Lock()
	d.up = true
	d.info.PID, d.info.Restarts = sup.PID, sup.Restarts
	if told.MemoryBytes > 0 {
		d.info.Name, d.info.MemoryBytes, d.info.TakenBytes = told.Name, told.MemoryBytes, told.TakenBytes
	}
	info := d.info
	d.mu.Unlock()
	d.events <- Up{Info: info}
	d.decide.Do(func() { close(d.decided) })
}

// readyOf reads what a worker says when it is ready, which is nothing on the
// host: the daemon knows better.
func readyOf(f proc.Frame) (readyFrame, error) {
	defer f.Close()
	if len(f.Payload) == 0 {
		return readyFrame{}, nil
	}
	return decode[readyFrame](f.Payload)
}

// workerDown is called by the supervisor when a worker has ended.
func (d *Device) workerDown(exit proc.Exit) {
	d.mu.Lock()
	d.up = false
	d.info.PID = 0
	lost := make([]int64, 0, len(d.jobs))
	for id := range d.jobs {
		lost = append(lost, id)
	}
	clear(d.jobs)
	d.status.takeCounters(&d.past)
	d.mu.Unlock()
	slices.Sort(lost)
	down := Down{Lost: lost, Evidence: exit.Error()}
	down.Reason, down.Hint = lastError(exit.LastWords)
	if !killedFromOutside(exit) && exit.Code != exitBroken {
		down.Suspects, _ = d.status.busy()
	}
	d.events <- down
	d.decide.Do(func() { close(d.decided) })
}

// Exit statuses of a GPU's worker whose context is lost; there is nothing that
// it could still do.
const (
	exitFault  = 70 // a job may be the cause
	exitBroken = 71 // the device or its driver is
)

// lastError is the last error in a worker's words, and what it said to try, as
// weft prints errors.
func lastError(words string) (reason, hint string) {
	for line := range strings.Lines(words) {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, "weft: "); ok {
			reason, hint = text, ""
		} else if text, ok := strings.CutPrefix(line, "try: "); ok && reason != "" {
			hint = text
		}
	}
	return reason, hint
}

// killedFromOutside reports whether somebody else ended the worker, be it a
// person or the kernel short of memory, which no job is to blame for: admission
// counts what jobs need.
func killedFromOutside(exit proc.Exit) bool {
	return exit.Signal == "SIGKILL" && errors.Is(exit.Err, proc.ErrExited)
}

// watchQuanta kills a worker whose quantum does not end.
func (d *Device) watchQuanta() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-d.done:
			return
		case <-tick.C:
		}
		if jobs, age := d.status.busy(); time.Duration(age) > d.limit {
			d.sup.Restart(fmt.Sprintf("jobs %v: a quantum lasts %v already, the limit is %v",
				jobs, time.Duration(age).Round(time.Second), d.limit))
		}
	}
}

// frame turns what the worker says into events.
func (d *Device) frame(f proc.Frame) {
	defer f.Close()
	if err := d.dispatch(f); err != nil {
		d.sup.Restart(fmt.Sprintf("it said something unintelligible: %v", err))
	}
}

func (d *Device) dispatch(f proc.Frame) error {
	switch f.Kind {
	case kindStarted:
		return relay(f, func(s startedFrame) { d.events <- Started(s) })
	case kindNews:
		return relay(f, d.news)
	case kindCheckpointed:
		return relay(f, func(c checkpointedFrame) { d.events <- Checkpointed(c) })
	case kindStopped:
		return relay(f, func(e endFrame) {
			d.left(e.Job, Stopped{Job: e.Job, Mode: e.Mode, Spent: e.Spent})
		})
	case kindFinished:
		return relay(f, func(e endFrame) {
			d.left(e.Job, Finished{Job: e.Job, Metrics: e.Metrics, Spent: e.Spent, PeakBytes: e.PeakBytes})
		})
	case kindFailed:
		return relay(f, func(e endFrame) {
			d.left(e.Job, Failed{Job: e.Job, Fault: *e.Fault, Spent: e.Spent})
		})
	case kindReturned:
		return relay(f, func(e endFrame) {
			d.left(e.Job, Returned{Job: e.Job, NeedBytes: e.NeedBytes, TakenBytes: e.TakenBytes,
				Spent: e.Spent})
		})
	case kindMemory:
		return relay(f, func(m memoryFrame) { d.events <- Memory(m) })
	default:
		return fmt.Errorf("frame of unknown kind %d", f.Kind)
	}
}

func relay[T any](f proc.Frame, do func(T)) error {
	v, err := decode[T](f.Payload)
	if err != nil {
		return err
	}
	do(v)
	return nil
}

func (d *Device) news(n newsFrame) {
	for _, epoch := range n.Epochs {
		d.events <- epoch
	}
	if len(n.Jobs) > 0 {
		d.events <- Progressed{Jobs: n.Jobs}
	}
}

func (d *Device) left(job int64, e Event) {
	d.mu.Lock()
	delete(d.jobs, job)
	d.mu.Unlock()
	d.events <- e
}
