//go:build cuda

package gpu

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"slices"

	"weft/cpuwork/proc"
	"weft/gpu/cuda"
	"weft/gpu/lane"
	"weft/gpu/train"
)

const builtWithCUDA = true

// gpuWorker trains on one GPU. It owns the only context that weft has there.
func gpuWorker(ctx context.Context, conn *proc.Conn, args []string) error {
	flags := flag.NewFlagSet("worker gpu", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error says it
	index := flags.Int("device", 0, "the driver's number of the GPU")
	uuid := flags.String("uuid", "", "what it must be")
	memory := flags.Int64("memory", 0, "bytes for jobs and data at most; 0: all")
	sharing := flags.String("sharing", string(SharingAuto), "how jobs share it")
	quantum := flags.Duration("quantum", lane.DefaultQuantum, "device time that a gang gets at once")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("start worker: %w", err)
	}
	if !slices.Contains(Sharings, Sharing(*sharing)) {
		return fmt.Errorf("start worker: no way of sharing %q", *sharing)
	}
	runtime.LockOSThread() // the context is bound to this thread
	dev, err := openDevice(*index, *uuid, lane.Options{Quantum: *quantum})
	if err != nil {
		return &lostError{IDOf(*index), faultOf(err), exitBroken}
	}
	room, err := newDeviceMemory(dev, *memory)
	if err != nil {
		return &lostError{IDOf(*index), faultOf(err), exitBroken}
	}
	ready := readyFrame{Name: dev.Info().Name, MemoryBytes: room.capacity, TakenBytes: room.takenAtStart}
	lost := make(chan *lostError, 1)
	w := newWorker(conn, func(ros *roster, status statusPage) engine {
		return startGPULanes(ros, status, dev, room, Sharing(*sharing), lost)
	})
	served := make(chan error, 1)
	go func() {
		served <- proc.Serve(ctx, conn, proc.ServeConfig{Handle: w.handle, Drain: w.drain, Ready: encode(ready)})
	}()
	select {
	case err := <-served:
		if err == nil {
			err = dev.Close() // after a drain, which names what was not given back
		}
		return err
	case err := <-lost:
		return err // and with it the process ends, at once: closing anything may hang
	}
}

// openDevice makes the context, on the GPU that was found under that number.
func openDevice(index int, uuid string, o lane.Options) (*lane.Device, error) {
	dev, err := lane.Open(index, o)
	if err != nil {
		return nil, err
	}
	if have := dev.Info().UUID; uuid != "" && have != uuid {
		return nil, errors.Join(&train.Fault{Code: "no_device",
			Message: fmt.Sprintf("the GPU with number %d is %s now, it was %s", index, have, uuid),
			Hint:    "the machine's GPUs have changed: start weft serve again"}, dev.Close())
	}
	return dev, nil
}

// A lostError ends a worker that has no context, or lost it. It is the worker's
// last word, which [lastError] reads on the daemon's side.
type lostError struct {
	id     string
	fault  *train.Fault
	status int // the process's
}

func (e *lostError) Error() string   { return e.id + ": " + e.fault.Message }
func (e *lostError) Hint() string    { return e.fault.Hint }
func (e *lostError) ExitStatus() int { return e.status }

// exitOf is the status with which a worker ends whose context is lost.
func exitOf(err error) int {
	var e *cuda.Error
	if errors.As(err, &e) && slices.Contains(hardware, e.Name) {
		return exitBroken
	}
	return exitFault
}

// hardware are the errors that no kernel can cause.
var hardware = []string{
	"CUDA_ERROR_DEINITIALIZED", "CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA_ERROR_ECC_UNCORRECTABLE",
	"CUDA_ERROR_NVLINK_UNCORRECTABLE", "CUDA_ERROR_CONTAINED", "CUDA_ERROR_MPS_RPC_FAILURE",
	"CUDA_ERROR_MPS_CLIENT_TERMINATED", "CUDA_ERROR_EXTERNAL_DEVICE",
}
