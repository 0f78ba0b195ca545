package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"weft/gpu"
	"weft/gpu/train"
	"weft/gpu/train/dataset"
)

// A memDevice speaks the event protocol of a device without a worker. Jobs
// run as play says, on a goroutine each; without play they stay until told.
type memDevice struct {
	id   string
	play func(d *memDevice, job gpu.Job) // may be nil

	mu         sync.Mutex // guards fields below
	info       gpu.Info
	events     chan gpu.Event
	started    []gpu.Job
	stops      []gpu.StopMode
	resident   map[int64]gpu.Job
	priorities map[int64]int // as told
	refuse     error
	stubborn   bool // does not let jobs go
	activity   gpu.Activity
	closed     bool
	plays      sync.WaitGroup
	arrivals   chan gpu.Job // every start
}

func newMemDevice(id string, slots int) *memDevice {
	d := newDownDevice(id, slots)
	d.events <- gpu.Up{Info: d.info}
	return d
}

// newDownDevice is newMemDevice without a worker so far.
func newDownDevice(id string, slots int) *memDevice {
	kind := strings.TrimRight(id, "0123456789")
	d := &memDevice{
		id:       id,
		info:     gpu.Info{ID: id, Kind: kind, Name: "memory", Lanes: 1, Slots: slots, MemoryBytes: 1 << 30, PID: 4242},
		events:   make(chan gpu.Event, 1<<16),
		resident: map[int64]gpu.Job{},
		arrivals: make(chan gpu.Job, 1<<16),
	}
	return d
}

func (d *memDevice) Info() gpu.Info {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.info
}

func (d *memDevice) Activity() gpu.Activity {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.activity
}

func (d *memDevice) Events() <-chan gpu.Event { return d.events }

func (d *memDevice) Start(job gpu.Job, set data) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuse != nil || d.closed {
		return errors.Join(d.refuse, gpuDown(d.closed))
	}
	if _, twice := d.resident[job.ID]; twice {
		panic(fmt.Sprintf("job %d is started twice", job.ID))
	}
	d.resident[job.ID] = job
	d.started = append(d.started, job)
	d.arrivals <- job
	if d.play != nil {
		d.plays.Go(func() { d.play(d, job) })
	}
	return nil
}

// starts counts the jobs started so far.
func (d *memDevice) starts() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.started)
}

func gpuDown(closed bool) error {
	if closed {
		return errors.New("closed")
	}
	return nil
}

// emit tells an event, and forgets the job if it is its last.
func (d *memDevice) emit(e gpu.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.emitLocked(e)
}

func (d *memDevice) emitLocked(e gpu.Event) {
	if d.closed {
		return
	}
	switch e := e.(type) {
	case gpu.Finished:
		d.gone(e.Job)
	case gpu.Failed:
		d.gone(e.Job)
	case gpu.Stopped:
		d.gone(e.Job)
	case gpu.Returned:
		d.gone(e.Job)
	case gpu.Down:
		for _, id := range e.Lost {
			d.gone(id)
		}
	}
	d.events <- e
}

func (d *memDevice) gone(id int64) {
	if _, ok := d.resident[id]; !ok {
		panic(fmt.Sprintf("job %d ends and is not there", id))
	}
	delete(d.resident, id)
}

func (d *memDevice) Stop(id int64, mode gpu.StopMode) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stops = append(d.stops, mode)
	if _, ok := d.resident[id]; ok && !d.stubborn {
		d.leave(id, mode)
	}
	return nil
}

func (d *memDevice) Prioritize(id int64, priority int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.priorities == nil {
		d.priorities = map[int64]int{}
	}
	d.priorities[id] = priority
	return nil
}

// leave needs d.mu.
func (d *memDevice) leave(id int64, mode gpu.StopMode) {
	if mode != gpu.StopCancel {
		d.emitLocked(gpu.Checkpointed{Job: id, Step: 7})
	}
	d.emitLocked(gpu.Stopped{Job: id, Mode: mode, Spent: gpu.Spent{DeviceSeconds: 0.5}})
}

// crash is a worker's death; suspects are those it worked on.
func (d *memDevice) crash(evidence string, suspects ...int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var lost []int64
	for id := range d.resident {
		lost = append(lost, id)
	}
	d.info.Restarts++
	d.emitLocked(gpu.Down{Lost: lost, Suspects: suspects, Evidence: evidence})
	d.emitLocked(gpu.Up{Info: d.info})
}

func (d *memDevice) Restart(reason string) { d.crash(reason) }

func (d *memDevice) Close(context.Context) error {
	d.mu.Lock()
	for id := range d.resident {
		d.leave(id, gpu.StopPreempt)
	}
	d.mu.Unlock()
	d.end()
	return nil
}

func (d *memDevice) Kill() { d.end() }

func (d *memDevice) end() {
	d.mu.Lock()
	was := d.closed
	d.closed = true
	d.mu.Unlock()
	if was {
		return
	}
	d.plays.Wait()
	close(d.events)
}

// trains plays a job of n epochs that ends well and leaves a model.
func trains(n int) func(*memDevice, gpu.Job) {
	return func(d *memDevice, job gpu.Job) {
		d.emit(gpu.Started{Job: job.ID})
		for e := 1; e <= n; e++ {
			d.emit(gpu.EpochEnded{Job: job.ID, Epoch: e, Step: int64(10 * e), Metrics: map[string]float64{
				"train_loss": 1 / float64(e), "val_loss": 2 / float64(e), "val_accuracy": 0.5,
			}})
		}
		model := filepath.Join(job.Dir, gpu.ModelFile)
		if err := os.WriteFile(model, []byte("model of "+job.Spec.Name), 0o600); err != nil {
			d.emit(gpu.Failed{Job: job.ID, Fault: train.Fault{Code: "disk", Message: err.Error()}})
			return
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if _, here := d.resident[job.ID]; here {
			d.emitLocked(gpu.Finished{Job: job.ID, Spent: gpu.Spent{DeviceSeconds: 1.5}, PeakBytes: 4096,
				Metrics: map[string]float64{"val_accuracy": 0.75}})
		}
	}
}

func newMemLoader() *memLoader { return &memLoader{sets: map[string]dataset.Info{}} }

// A memLoader reads data in this process.
type memLoader struct {
	mu    sync.Mutex // guards fields below
	loads int        // sets read
	open  int        // references not given back
	err   error
	hash  string // overrides the set's
	hold  chan struct{}
	sets  map[string]dataset.Info
}

type memData struct {
	l    *memLoader
	info dataset.Info
}

func (d *memData) About() *dataset.Info { return &d.info }
func (d *memData) Release() {
	d.l.mu.Lock()
	defer d.l.mu.Unlock()
	d.l.open--
}

func (l *memLoader) Load(ctx context.Context, spec dataset.Spec, task dataset.Task) (data, error) {
	l.mu.Lock()
	err, hash, hold := l.err, l.hash, l.hold
	l.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	key := fmt.Sprint(spec, task)
	l.mu.Lock()
	info, known := l.sets[key]
	l.open++
	l.mu.Unlock()
	if !known {
		set, err := l.read(ctx, key, spec, task)
		if err != nil {
			return nil, err
		}
		info = *set
	}
	if hash != "" {
		info.Hash = hash
	}
	return &memData{l, info}, nil
}

func (l *memLoader) read(ctx context.Context, key string, spec dataset.Spec, task dataset.Task) (
	*dataset.Info, error,
) {
	set, err := dataset.Load(ctx, &spec, task)
	if err != nil {
		l.mu.Lock()
		l.open--
		l.mu.Unlock()
		var f *dataset.Fault
		if errors.As(err, &f) {
			return nil, &train.Fault{Code: f.Code, Message: f.Message, Hint: f.Hint}
		}
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loads++
	l.sets[key] = set.Info
	return &set.Info, nil
}

func (l *memLoader) Predict(_ context.Context, model, file string, w io.Writer) error {
	if _, err := os.Stat(file); err != nil {
		return &train.Fault{Code: "not_found", Message: "no file " + file, Hint: "look at the path"}
	}
	b, err := os.ReadFile(model)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "prediction\n%s\n", b)
	return err
}

func (l *memLoader) Close(context.Context) error { return nil }
