//go:build cuda

package lane

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"weft/gpu/cuda"
	"weft/kernels"
)

// Options of a device. The zero value is what a daemon uses.
type Options struct {
	Quantum time.Duration // 0: 5 ms
	Kernel  Kernel        // by which to run gangs; Auto measures
}

// DefaultQuantum is long against what the host does between two quanta, about
// 50 us, and short against a person's patience.
const DefaultQuantum = 5 * time.Millisecond

// ErrNoMemory says that the device's memory is taken, although by our own count
// there is room: another process has it.
var ErrNoMemory = errors.New("the device's memory is in use by another process")

// Device owns a CUDA context and all that lies in the device's memory.
type Device struct {
	ctx     *cuda.Context
	module  *cuda.Module
	train   *cuda.Function
	room    int // blocks that the device holds at once
	quantum time.Duration
	kernel  Kernel
	usage   usage

	quanta atomic.Int64 // run so far, on all lanes

	mu     sync.Mutex // guards what follows; held while data is copied to the device
	copies *cuda.Stream
	stage  *cuda.Host // what uploads pass through, a chunk at a time
	sets   map[string]*Data

	cached atomic.Int64 // bytes of sets

	pinMu sync.Mutex // guards what follows; lanes take it, so it is never held for long
	free  []*cuda.Host
	held  int64 // bytes of free
}

// Open makes a context on the GPU with that index, bound to the calling thread,
// and loads all kernels.
func Open(index int, o Options) (*Device, error) {
	ctx, err := cuda.Open(index)
	if err != nil {
		return nil, err // says what, with a hint
	}
	d := &Device{ctx: ctx, quantum: o.Quantum, kernel: o.Kernel, sets: map[string]*Data{}}
	if d.quantum <= 0 {
		d.quantum = DefaultQuantum
	}
	if err := d.load(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Device) load() error {
	info := d.ctx.Info()
	image, err := kernels.Image(info.Major, info.Minor)
	if err != nil {
		return err
	}
	if d.module, err = d.ctx.Load(image); err != nil {
		return fmt.Errorf("load kernels: %w", err)
	}
	if d.train, err = d.module.Function(kernels.Train); err != nil {
		return fmt.Errorf("load kernel: %w", err)
	}
	if err = d.train.SetDynamicShared(kernels.SharedBytes); err != nil {
		return fmt.Errorf("give the kernel its shared memory: %w", err)
	}
	each, err := d.train.BlocksPerSM(kernels.Block, kernels.SharedBytes)
	if err != nil {
		return fmt.Errorf("ask for occupancy: %w", err)
	}
	d.room = max(each*info.SMs, 1)
	// Memory that a job gives back is the next job's: mapping it anew would cost
	// more than all else that a job's start does.
	if err = d.ctx.KeepFreed(math.MaxInt64); err != nil {
		return fmt.Errorf("keep freed memory: %w", err)
	}
	if d.copies, err = d.ctx.NewStream(0); err != nil {
		return fmt.Errorf("make copy stream: %w", err)
	}
	if d.stage, err = d.ctx.AllocHost(stageBytes); err != nil {
		return fmt.Errorf("pin staging memory: %w", err)
	}
	return nil
}

// Info describes the GPU.
func (d *Device) Info() cuda.Info { return d.ctx.Info() }

// Bind makes the device's context current on the calling thread.
func (d *Device) Bind() error { return d.ctx.Bind() }

// Free returns the bytes that jobs and data sets could take now, if no other
// process takes them first.
func (d *Device) Free() (int64, error) {
	free, _, err := d.ctx.MemInfo()
	if err != nil {
		return 0, fmt.Errorf("ask for free memory: %w", err)
	}
	used, held, err := d.ctx.PoolUse()
	if err != nil {
		return 0, fmt.Errorf("ask for the pool's memory: %w", err)
	}
	return free + held - used, nil
}

// DataBytes is the device memory of all data sets that are there, used or not.
func (d *Device) DataBytes() int64 { return d.cached.Load() }

// Close gives everything back. Lanes and jobs must be closed before.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pinMu.Lock()
	defer d.pinMu.Unlock()
	var errs []error
	for _, set := range d.sets {
		errs = append(errs, d.freeLocked(set.at))
	}
	clear(d.sets)
	for _, h := range d.free {
		errs = append(errs, h.Free())
	}
	d.free = nil
	if d.stage != nil {
		errs = append(errs, d.stage.Free())
	}
	if d.copies != nil {
		errs = append(errs, d.copies.Synchronize(), d.copies.Close())
	}
	if d.module != nil {
		errs = append(errs, d.module.Unload())
	}
	errs = append(errs, d.ctx.Close())
	return errors.Join(errs...)
}
