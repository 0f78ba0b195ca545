package gpu

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"time"
)

// HostConfig describes the host device. Only Program is required.
type HostConfig struct {
	Program      string        // path of weft, started as worker
	Threads      int           // lanes; 0: one per core
	Slots        int           // jobs resident at most; 0: as Sharing has it, else [DefaultSlots]
	MemoryBytes  int64         // for jobs and data sets together; 0: [DefaultMemory]
	Sharing      Sharing       // "": SharingAuto
	Name         string        // "": as the processor calls itself
	Quantum      time.Duration // 0: 5 ms
	QuantumLimit time.Duration // a quantum over this means that the worker hangs; 0: one minute
	Log          *slog.Logger  // nil: slog.Default()
}

// DefaultSlots is how many jobs share the host at most unless told otherwise:
// enough that a sweep's jobs are seen to train together, few enough that the
// first ones end soon and that memory stays in the caches.
const DefaultSlots = 16

// OpenHost starts the host device's worker and returns when it is ready.
func OpenHost(ctx context.Context, cfg HostConfig) (*Device, error) {
	cfg = cfg.withDefaults()
	d, err := newDevice(deviceConfig{
		info: Info{
			ID: KindHost, Kind: KindHost, Name: cfg.Name,
			Lanes: cfg.Threads, Slots: cfg.Slots, MemoryBytes: cfg.MemoryBytes,
		},
		program: cfg.Program,
		args:    []string{"cpu", "-lanes=" + strconv.Itoa(cfg.Threads), "-quantum=" + cfg.Quantum.String()},
		limit:   cfg.QuantumLimit,
		log:     cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	if err := d.sup.Start(ctx); err != nil {
		d.end()
		return nil, fmt.Errorf("open device cpu: %w", err)
	}
	return d, nil
}

func (cfg HostConfig) withDefaults() HostConfig {
	if cfg.Threads <= 0 {
		cfg.Threads = runtime.NumCPU()
	}
	cfg.Threads = min(cfg.Threads, maxLanes)
	if cfg.Sharing == SharingSequential {
		cfg.Threads = 1
	}
	cfg.Slots = cfg.slots()
	if cfg.MemoryBytes <= 0 {
		cfg.MemoryBytes = DefaultMemory()
	}
	if cfg.Name == "" {
		cfg.Name = processorName()
	}
	if cfg.Quantum <= 0 {
		cfg.Quantum = 5 * time.Millisecond
	}
	if cfg.QuantumLimit <= 0 {
		cfg.QuantumLimit = time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return cfg
}

// slots is how many jobs may be resident; a number that was asked for is kept
// where the mode allows it.
func (cfg HostConfig) slots() int {
	most, usual := fusedSlots, max(DefaultSlots, 2*cfg.Threads)
	switch cfg.Sharing {
	case SharingSequential:
		most = 1
	case SharingStreams:
		most = cfg.Threads
	case SharingFused:
		usual = fusedSlots
	default:
		if cfg.Slots > 0 {
			return cfg.Slots
		}
	}
	if cfg.Slots > 0 {
		usual = cfg.Slots
	}
	return min(usual, most)
}
