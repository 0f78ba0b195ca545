package daemon

import (
	"context"
	"io"

	"weft/gpu"
	"weft/gpu/train/dataset"
)

// A device runs jobs; [gpu.Device] is one. Its calls return at once, except
// for Close and Kill, which return when the worker has gone.
type device interface {
	Info() gpu.Info
	Activity() gpu.Activity
	Events() <-chan gpu.Event // closed after Close or Kill
	Start(job gpu.Job, set data) error
	Stop(id int64, mode gpu.StopMode) error
	Prioritize(id int64, priority int) error
	Restart(reason string)           // its worker is killed, its jobs are lost, and it is started again
	Close(ctx context.Context) error // drains: every job checkpoints and is reported Stopped
	Kill()                           // ends it at once; its jobs are reported lost
}

// A loader reads data sets and predicts, in a process of its own.
type loader interface {
	Load(ctx context.Context, spec dataset.Spec, task dataset.Task) (data, error)
	Predict(ctx context.Context, model, file string, w io.Writer) error
	Close(ctx context.Context) error
}

// data is a loaded data set, of which the daemon sees only the description.
type data interface {
	About() *dataset.Info
	Release()
}

// hardware is everything that runs outside the daemon's process.
type hardware struct {
	devices []device
	loader  loader
	gpus    *gpuFinder
	sensors sensors
}

// ownDevice, hostLoader and hostData are gpu's with the names above.
type (
	ownDevice  struct{ *gpu.Device }
	hostLoader struct{ *gpu.Loader }
	hostData   struct{ *gpu.Data }
)

var (
	_ device = ownDevice{}
	_ loader = hostLoader{}
	_ data   = hostData{}
)

func (d ownDevice) Start(job gpu.Job, set data) error {
	return d.Device.Start(job, set.(hostData).Data)
}

func (l hostLoader) Load(ctx context.Context, spec dataset.Spec, task dataset.Task) (data, error) {
	d, err := l.Loader.Load(ctx, spec, task)
	if err != nil {
		return nil, err
	}
	return hostData{d}, nil
}

func (d hostData) About() *dataset.Info { return &d.Info }
