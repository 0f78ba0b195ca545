package gpu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"weft/cpuwork/proc"
	"weft/gpu/train"
	"weft/gpu/train/dataset"
)

// LoaderConfig describes the loader. Only Program is required.
type LoaderConfig struct {
	Program string       // path of weft, started as worker
	Log     *slog.Logger // nil: slog.Default()
}

// Loader reads data files in a process of its own.
type Loader struct {
	sup   *proc.Supervisor
	cache *dataCache

	mu      sync.Mutex    // guards what follows
	up      chan struct{} // closed while the loader takes requests
	seq     uint64
	waiting map[uint64]chan<- loadAnswer // buffered for one
	loading map[string]*flight           // loads under way by dataset.Key
}

// loadAnswer is what a request came to; lost says that the loader died with it.
type loadAnswer struct {
	frame loadedFrame
	file  *os.File
	lost  string
}

// flight is a load that several callers wait for.
type flight struct {
	done chan struct{}
	err  error
}

// OpenLoader starts the loader and returns when it is ready.
func OpenLoader(ctx context.Context, cfg LoaderConfig) (*Loader, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	l := &Loader{
		cache:   newDataCache(),
		up:      make(chan struct{}),
		waiting: map[uint64]chan<- loadAnswer{},
		loading: map[string]*flight{},
	}
	l.sup = proc.New(proc.Config{
		Name:    "worker loader",
		Path:    cfg.Program,
		Args:    []string{"worker", "loader"},
		Backoff: restartBackoff(),
		OnUp:    l.workerUp,
		OnDown:  l.workerDown,
		OnFrame: l.frame,
		Log:     cfg.Log.With("worker", "loader"),
	})
	if err := l.sup.Start(ctx); err != nil {
		return nil, fmt.Errorf("open loader: %w", err)
	}
	return l, nil
}

// Load returns the data set a specification asks for, from the cache when its
// files are unchanged. A *train.Fault says what is wrong with the data.
func (l *Loader) Load(ctx context.Context, spec dataset.Spec, task dataset.Task) (*Data, error) {
	key, err := dataset.Key(&spec, task)
	if err != nil {
		return nil, dataFault(err)
	}
	for {
		if d := l.cache.get(key); d != nil {
			return d, nil
		}
		f, first := l.board(key)
		if first {
			d, err := l.load(ctx, key, spec, task)
			l.land(key, f, err)
			return d, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-f.done:
		}
		// The first caller's fault is everybody's; its impatience is not, and
		// the set may be in the cache now.
		var fault *train.Fault
		if errors.As(f.err, &fault) {
			return nil, fault
		}
	}
}

// board returns the flight for key, and whether the caller is to fly it.
func (l *Loader) board(key string) (*flight, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.loading[key]; f != nil {
		return f, false
	}
	f := &flight{done: make(chan struct{})}
	l.loading[key] = f
	return f, true
}

func (l *Loader) land(key string, f *flight, err error) {
	l.mu.Lock()
	delete(l.loading, key)
	l.mu.Unlock()
	f.err = err
	close(f.done)
}

func (l *Loader) load(ctx context.Context, key string, spec dataset.Spec, task dataset.Task) (*Data, error) {
	answer, err := l.request(ctx, kindLoad, func(seq uint64) any {
		return loadFrame{Seq: seq, Spec: spec, Task: task}
	})
	if err != nil {
		return nil, err
	}
	if answer.frame.Info == nil || answer.file == nil {
		return nil, fmt.Errorf("load data: the loader's answer holds no data")
	}
	return l.cache.put(key, *answer.frame.Info, answer.file), nil
}

// Predict writes the predictions of a saved model for the rows of a file as
// CSV. A *train.Fault says what is wrong with the file.
func (l *Loader) Predict(ctx context.Context, model, data string, w io.Writer) error {
	answer, err := l.request(ctx, kindPredict, func(seq uint64) any {
		return predictFrame{Seq: seq, Model: model, Data: data}
	})
	if err != nil {
		return err
	}
	if answer.file == nil {
		return fmt.Errorf("predict: the loader's answer holds no text")
	}
	defer closeQuietly(answer.file)
	if _, err := io.Copy(w, io.NewSectionReader(answer.file, 0, answer.frame.Size)); err != nil {
		return fmt.Errorf("write predictions: %w", err)
	}
	return nil
}

// request asks the loader, and asks once more if it dies: it may have died of
// another request.
func (l *Loader) request(ctx context.Context, kind byte, frame func(seq uint64) any) (loadAnswer, error) {
	var lost string
	for range 2 {
		answer, err := l.ask(ctx, kind, frame)
		if err != nil {
			return loadAnswer{}, err
		}
		if answer.frame.Fault != nil {
			return loadAnswer{}, answer.frame.Fault
		}
		if answer.lost == "" {
			return answer, nil
		}
		lost = answer.lost
	}
	return loadAnswer{}, &train.Fault{
		Code:    dataset.CodeBadData,
		Message: "the data loader died twice while it read this: " + lost,
		Hint:    "the file may need more memory than there is, or be damaged; try a smaller part of it",
	}
}

func (l *Loader) ask(ctx context.Context, kind byte, frame func(seq uint64) any) (loadAnswer, error) {
	reply := make(chan loadAnswer, 1)
	l.mu.Lock()
	l.seq++
	seq := l.seq
	up := l.up
	l.mu.Unlock()
	select {
	case <-up:
	case <-ctx.Done():
		return loadAnswer{}, fmt.Errorf("ask loader: %w", ctx.Err())
	case <-l.sup.Done():
		return loadAnswer{}, fmt.Errorf("ask loader: %w", ErrDown)
	}
	l.mu.Lock()
	l.waiting[seq] = reply
	l.mu.Unlock()
	if err := l.sup.Send(kind, encode(frame(seq))); err != nil {
		l.forget(seq)
		return loadAnswer{lost: err.Error()}, nil
	}
	select {
	case answer := <-reply:
		return answer, nil
	case <-ctx.Done():
		l.forget(seq)
		if len(reply) == 1 { // it came in the last moment
			if answer := <-reply; answer.file != nil {
				closeQuietly(answer.file)
			}
		}
		return loadAnswer{}, ctx.Err()
	}
}

// forget ends the wait for an answer; none is sent to its channel afterwards.
func (l *Loader) forget(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, seq)
}

// frame hands an answer to whoever waits for it.
func (l *Loader) frame(f proc.Frame) {
	answer, err := decode[loadedFrame](f.Payload)
	if err != nil {
		f.Close()
		l.sup.Restart(fmt.Sprintf("it said something unintelligible: %v", err))
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	reply := l.waiting[answer.Seq]
	delete(l.waiting, answer.Seq)
	if reply == nil || len(f.Files) > 1 {
		f.Close() // nobody waits any more
		return
	}
	var file *os.File
	if len(f.Files) == 1 {
		file = f.Files[0]
	}
	reply <- loadAnswer{frame: answer, file: file}
}

func (l *Loader) workerUp(_ *proc.Conn, ready proc.Frame) {
	ready.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.up)
}

// workerDown tells everybody who waits that the loader died.
func (l *Loader) workerDown(exit proc.Exit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if exit.Ready {
		l.up = make(chan struct{})
	}
	for seq, reply := range l.waiting {
		reply <- loadAnswer{lost: exit.Error()}
		delete(l.waiting, seq)
	}
}

// Close ends the loader.
func (l *Loader) Close(ctx context.Context) error {
	err := l.sup.Stop(ctx)
	l.cache.close()
	if err != nil {
		return fmt.Errorf("close loader: %w", err)
	}
	return nil
}

// dataFault puts what is wrong with data into a *train.Fault; other errors
// pass.
func dataFault(err error) *train.Fault {
	var fault *dataset.Fault
	if errors.As(err, &fault) {
		return &train.Fault{Code: fault.Code, Message: fault.Message, Hint: fault.Hint}
	}
	return faultOf(err)
}
