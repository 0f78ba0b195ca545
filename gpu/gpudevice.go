package gpu

import (
	"context"
	"log/slog"
	"strconv"
	"time"
)

// GPUConfig describes a GPU that [Discover] found. Program, ID and Index are
// required.
type GPUConfig struct {
	Program      string // path of weft, started as worker
	ID           string // what weft calls it: "gpu0"
	Index        int    // the driver's number for it
	UUID         string // its driver's name for good; the worker makes sure; "": not known
	Name         string // until the worker tells
	TotalBytes   int64  // of its memory, until the worker tells how much of it is for jobs
	MemoryBytes  int64  // for jobs and data sets together at most; 0: all that the device has
	Slots        int    // jobs resident at most; 0: as Sharing has it
	Sharing      Sharing
	Quantum      time.Duration // 0: the worker's default
	QuantumLimit time.Duration // a quantum, or a job's upload, over this means that the worker hangs; 0: 30 s
	Log          *slog.Logger  // nil: slog.Default()
}

// The lanes of a GPU are CUDA streams; the driver has that many queues to the
// device.
const mostStreams = 32

// gpuReady is how long a worker may take to make its context and to have the
// kernels compiled for the device, which the driver then remembers.
const gpuReady = 2 * time.Minute

// OpenGPU starts a GPU's worker and returns when it is ready, when its first
// life has ended or when ctx ends, whichever comes first: the worker is started
// again, with growing pauses, until the device is closed. So the device may be
// down when it is returned; Up and Down events tell.
func OpenGPU(ctx context.Context, cfg GPUConfig) (*Device, error) {
	cfg = cfg.withDefaults()
	args := []string{"gpu", "-device=" + strconv.Itoa(cfg.Index), "-uuid=" + cfg.UUID, "-sharing=" + string(cfg.Sharing)}
	if cfg.MemoryBytes > 0 {
		args = append(args, "-memory="+strconv.FormatInt(cfg.MemoryBytes, 10))
	}
	if cfg.Quantum > 0 {
		args = append(args, "-quantum="+cfg.Quantum.String())
	}
	d, err := newDevice(deviceConfig{
		info: Info{ID: cfg.ID, Kind: "gpu", Name: cfg.Name, Lanes: cfg.lanes(), Slots: cfg.Slots,
			MemoryBytes: cfg.TotalBytes},
		program: cfg.Program,
		args:    args,
		env:     driverEnviron(),
		ready:   gpuReady,
		limit:   cfg.QuantumLimit,
		log:     cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	d.run()
	select {
	case <-d.decided:
	case <-ctx.Done():
	}
	return d, nil
}

func (cfg GPUConfig) withDefaults() GPUConfig {
	if cfg.Sharing == "" {
		cfg.Sharing = SharingAuto
	}
	most := fusedSlots
	switch cfg.Sharing {
	case SharingSequential:
		most = 1
	case SharingStreams:
		most = mostStreams
	default:
	}
	if cfg.Slots <= 0 || cfg.Slots > most {
		cfg.Slots = most
	}
	if cfg.QuantumLimit <= 0 {
		cfg.QuantumLimit = 30 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return cfg
}

// lanes is how many lanes the worker will have at most.
func (cfg GPUConfig) lanes() int {
	switch cfg.Sharing {
	case SharingStreams:
		return cfg.Slots
	case SharingAuto:
		return len(gpuClasses)
	default:
		return 1
	}
}

// gpuClasses are the classes of priority that have a lane each where sharing is
// automatic: below 0, 0, above.
var gpuClasses = [...]int{-1, 0, 1}
