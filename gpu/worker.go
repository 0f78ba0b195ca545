package gpu

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"weft/cpuwork/proc"
	"weft/gpu/train"
)

// WorkerMain is the life of a worker process; the daemon starts it as
// `weft worker cpu …` or `weft worker loader`, with its socket as descriptor 3.
func WorkerMain(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("start worker: no kind given")
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
	case "loader":
		return loaderWorker(ctx, conn)
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
	w := &worker{lanes: min(*lanes, maxLanes), quantum: *quantum, conn: conn, done: make(chan struct{})}
	return proc.Serve(ctx, conn, proc.ServeConfig{Handle: w.handle, Drain: w.drain})
}

// worker turns frames into calls of its gang.
type worker struct {
	lanes   int
	quantum time.Duration
	conn    *proc.Conn
	gang    *gang
	done    chan struct{} // closed to end the gang's news
}

func (w *worker) handle(_ context.Context, f proc.Frame) error {
	defer f.Close()
	if (w.gang == nil) != (f.Kind == kindStatus) {
		return fmt.Errorf("frame of kind %d out of order", f.Kind)
	}
	switch f.Kind {
	case kindStatus:
		return w.begin(&f)
	case kindStart:
		return w.start(&f)
	case kindStop:
		stop, err := decode[stopFrame](f.Payload)
		if err != nil {
			return err
		}
		w.gang.stop(stop.Job, stop.Mode)
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
	send := func(kind byte, payload []byte) error { return w.conn.Send(kind, payload) }
	w.gang = newGang(send, newStatusPage(arena.Bytes()), w.quantum)
	w.gang.run(w.lanes)
	go w.gang.newsLoop(w.done) // ended by drain, or with the process
	return nil
}

func (w *worker) start(f *proc.Frame) error {
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
		w.gang.tell(kindFailed, endFrame{Job: start.Job.ID, Fault: faultOf(err)})
		return nil
	}
	data, err := w.gang.share(file)
	if err != nil {
		w.gang.tell(kindFailed, endFrame{Job: start.Job.ID, Fault: faultOf(err)})
		return nil
	}
	w.gang.add(&resident{job: start.Job, spec: spec, data: data, heapIndex: -1})
	return nil
}

// drain checkpoints every job and tells of it.
func (w *worker) drain(context.Context) error {
	if w.gang == nil {
		return nil
	}
	w.gang.drain()
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
