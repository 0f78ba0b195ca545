package gpu

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"weft/cpuwork/proc"
	"weft/gpu/nvml"
	"weft/gpu/train"
)

// WorkerMain is the life of a worker process; the daemon starts it as `weft
// worker cpu …`, `weft worker gpu …`, `weft worker loader` or `weft worker nvml …`,
// with its socket as descriptor 3, and as `weft worker probe`, which prints what it found.
func WorkerMain(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("start worker: no kind given")
	}
	if args[0] == "probe" {
		return probeWorker(os.Stdout)
	}
	// A service manager may signal the whole control group. When to end is the
	// daemon's word, which comes over the socket, after it has had jobs saved.
	ctx = context.WithoutCancel(ctx)
	conn, err := proc.Inherited()
	if err != nil {
		return fmt.Errorf("start worker (weft serve does that, not people): %w", err)
	}
	switch args[0] {
	case "cpu":
		return hostWorker(ctx, conn, args[1:])
	case "gpu":
		return gpuWorker(ctx, conn, args[1:])
	case "loader":
		return loaderWorker(ctx, conn)
	case "nvml":
		return nvml.WorkerMain(ctx, conn, args[1:])
	default:
		return fmt.Errorf("start worker: no kind %q", args[0])
	}
}

// hostWorker trains on the host's cores.
func hostWorker(ctx context.Context, conn *proc.Conn, args []string) error {
	flags := flag.NewFlagSet("worker cpu", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error says it
	lanes := flags.Int("lanes", 1, "threads that train")
	quantum := flags.Duration("quantum", 5*time.Millisecond, "lane time a job gets at once")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("start worker: %w", err)
	}
	w := newWorker(conn, func(ros *roster, status statusPage) engine {
		return startHostLanes(ros, status, *quantum, min(*lanes, maxLanes))
	})
	return proc.Serve(ctx, conn, proc.ServeConfig{Handle: w.handle, Drain: w.drain})
}

// A worker turns the daemon's frames into calls of a device's engine.
type worker struct {
	ros   *roster
	start func(*roster, statusPage) engine // called once the status page is mapped
	on    engine                           // nil until then
	done  chan struct{}                    // closed to end the roster's news
}

func newWorker(conn *proc.Conn, start func(*roster, statusPage) engine) *worker {
	send := func(kind byte, payload []byte) error { return conn.Send(kind, payload) }
	return &worker{ros: newRoster(send), start: start, done: make(chan struct{})}
}

func (w *worker) handle(_ context.Context, f proc.Frame) error {
	defer f.Close()
	if (w.on == nil) != (f.Kind == kindStatus) {
		return fmt.Errorf("frame of kind %d out of order", f.Kind)
	}
	switch f.Kind {
	case kindStatus:
		return w.begin(&f)
	case kindStart:
		return w.add(&f)
	case kindStop:
		stop, err := decode[stopFrame](f.Payload)
		if err != nil {
			return err
		}
		w.on.stop(stop.Job, stop.Mode)
		return nil
	case kindPriority:
		p, err := decode[priorityFrame](f.Payload)
		if err != nil {
			return err
		}
		w.on.prioritize(p.Job, p.Priority)
		return nil
	default:
		return fmt.Errorf("frame of unknown kind %d", f.Kind)
	}
}

// begin starts the lanes once the status page is mapped.
func (w *worker) begin(f *proc.Frame) error {
	page, err := takeFile(f)
	if err != nil {
		return err
	}
	arena, err := proc.OpenArena(page)
	if err != nil {
		return fmt.Errorf("map status page: %w", err)
	}
	w.on = w.start(w.ros, newStatusPage(arena.Bytes()))
	go w.ros.newsLoop(w.done) // ended by drain, or with the process
	return nil
}

func (w *worker) add(f *proc.Frame) error {
	start, err := decode[startFrame](f.Payload)
	if err != nil {
		return err
	}
	file, err := takeFile(f)
	if err != nil {
		return err
	}
	spec, err := train.Parse(start.Spec)
	if err != nil {
		closeQuietly(file)
		w.ros.tell(kindFailed, endFrame{Job: start.Job.ID, Fault: faultOf(err)})
		return nil
	}
	data, err := w.ros.share(file)
	if err != nil {
		w.ros.tell(kindFailed, endFrame{Job: start.Job.ID, Fault: faultOf(err)})
		return nil
	}
	w.on.add(&resident{job: start.Job, spec: spec, data: data})
	return nil
}

// drain checkpoints every job and tells of it.
func (w *worker) drain(context.Context) error {
	if w.on == nil {
		return nil
	}
	w.on.drain()
	close(w.done)
	return nil
}

// takeFile takes the one file of a frame over from it.
func takeFile(f *proc.Frame) (*os.File, error) {
	if len(f.Files) != 1 {
		return nil, fmt.Errorf("frame of kind %d with %d files, not 1", f.Kind, len(f.Files))
	}
	file := f.Files[0]
	f.Files = nil
	return file, nil
}
