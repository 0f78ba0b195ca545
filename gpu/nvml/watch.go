package nvml

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"weft/cpuwork/proc"
)

// readLimit is how long one round of readings may take.
const readLimit = 5 * time.Second

// WatchConfig describes a watch over the machine's GPUs. Program and OnFrame are
// required.
type WatchConfig struct {
	Program string        // path of weft, started as worker
	Source  string        // as in [Variable]
	Every   time.Duration // between samples; 0: 1 s
	Limit   time.Duration // for a round of readings; beyond it the worker is killed; 0: 5 s

	// OnFrame is called with what the worker tells, and OnDown when it has died,
	// with the reason. Neither may wait for long, nor call Close.
	OnFrame func(Frame)
	OnDown  func(*Error)

	Log *slog.Logger // nil: slog.Default()
}

// A Watcher keeps a worker that reads GPUs.
type Watcher struct {
	cfg  WatchConfig
	sup  *proc.Supervisor
	loop sync.WaitGroup // the supervisor's run
}

// Watch starts the worker and does not wait for it.
func Watch(cfg WatchConfig) *Watcher {
	if cfg.Every <= 0 {
		cfg.Every = time.Second
	}
	if cfg.Limit <= 0 {
		cfg.Limit = readLimit
	}
	if cfg.OnDown == nil {
		cfg.OnDown = func(*Error) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	w := &Watcher{cfg: cfg}
	args := []string{"worker", "nvml", "-every=" + cfg.Every.String(), "-limit=" + cfg.Limit.String()}
	if cfg.Source != "" {
		args = append(args, "-source="+cfg.Source)
	}
	w.sup = proc.New(proc.Config{
		Name: "worker nvml", Path: cfg.Program, Args: args,
		BeatTimeout: cfg.Limit,
		OnFrame:     w.frame,
		OnDown:      w.down,
		Log:         cfg.Log.With("worker", "nvml"),
	})
	// It ends by Close alone, for the pauses between lives have no end.
	w.loop.Go(func() { _ = w.sup.Run(context.Background()) })
	return w
}

func (w *Watcher) frame(f proc.Frame) {
	defer f.Close()
	var told Frame
	if err := json.Unmarshal(f.Payload, &told); err != nil || f.Kind != kindFrame {
		w.sup.Restart(fmt.Sprintf("it talks nonsense: %v", err))
		return
	}
	w.cfg.OnFrame(told)
}

func (w *Watcher) down(exit proc.Exit) {
	w.cfg.OnDown(&Error{Code: CodeWorker,
		Message: "the process that reads the GPUs' sensors ended: " + exit.Reason,
		Hint:    "it is started again by itself; the daemon's log has its last words"})
}

// Close ends the worker; nothing is told any more when it returns.
func (w *Watcher) Close(ctx context.Context) error {
	err := w.sup.Stop(ctx)
	w.loop.Wait()
	if err != nil {
		return fmt.Errorf("close the watch over GPUs: %w", err)
	}
	return nil
}
