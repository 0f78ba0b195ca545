//go:build cuda

package cuda

// #include <cuda.h>
import "C"

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"gorgonia.org/cu"
)

// Context is a process's hold on one GPU: memory, kernels and streams live in it
// and die with it.
type Context struct {
	handle cu.CUContext
	info   Info
	over   atomic.Bool // closed

	live [kinds]atomic.Int64 // objects that are not closed yet

	pinning sync.Mutex             // held by whoever replaces pinned
	pinned  atomic.Pointer[[]span] // host memory of AllocHost, by address; never changed in place
}

// What a context counts.
const (
	allocations = iota
	hostAllocations
	modules
	streams
	events
	graphs
	kinds
)

// Open makes a context on the device of the index, in the order of [Probe],
// which it calls first; the context is current on the calling thread, which the
// caller has locked. Threads that wait in it sleep instead of spinning. The error
// is a [*ProbeError].
func Open(index int) (*Context, error) {
	driver, err := Probe()
	if err != nil {
		return nil, err
	}
	if index < 0 || index >= len(driver.Devices) {
		return nil, noSuchDevice(index, len(driver.Devices))
	}
	info := driver.Devices[index]
	if info.Unusable != "" {
		return nil, &ProbeError{
			Code:    Unusable,
			Message: fmt.Sprintf("GPU %d (%s) cannot be used: %s", index, info.Name, info.Unusable),
			Hint:    "use another GPU",
		}
	}
	device, err := cu.GetDevice(index)
	if err != nil {
		return nil, openFailed(info, wrap("cuDeviceGet", err))
	}
	handle, err := device.MakeContext(cu.SchedBlockingSync)
	if err != nil {
		return nil, openFailed(info, wrap("cuCtxCreate", err))
	}
	return &Context{handle: handle, info: info}, nil
}

func noSuchDevice(index, devices int) error {
	has := fmt.Sprintf("there are %d, from 0", devices)
	if devices == 1 {
		has = "there is GPU 0 alone"
	}
	if value, set := visible(); set {
		has += fmt.Sprintf(" (%s=%q)", visibleVariable, value)
	}
	return &ProbeError{
		Code:    NoSuchDevice,
		Message: fmt.Sprintf("no GPU %d: %s", index, has),
		Hint:    "nvidia-smi -L lists them",
	}
}

// openFailed says why the driver refuses a context.
func openFailed(info Info, err error) error {
	failure := &ProbeError{Code: OpenFailed, Err: err}
	gpu := fmt.Sprintf("GPU %d (%s)", info.Index, info.Name)
	number := numberOf(err)
	switch {
	case number == C.CUDA_ERROR_OUT_OF_MEMORY:
		failure.Code = NoMemory
		failure.Message = fmt.Sprintf("%s has too little free memory for a context: %v", gpu, err)
		failure.Hint = "see nvidia-smi for the processes that hold its memory"
	case info.ComputeMode == ModeExclusive && taken(number):
		failure.Code = Busy
		failure.Message = fmt.Sprintf("%s is in exclusive-process mode and another process has it: %v", gpu, err)
		failure.Hint = "end that process (nvidia-smi lists it), or let several share the GPU with nvidia-smi -c DEFAULT"
	case number == C.CUDA_ERROR_DEVICE_UNAVAILABLE:
		failure.Code = Busy
		failure.Message = fmt.Sprintf("%s is busy or unavailable: %v", gpu, err)
		failure.Hint = "see nvidia-smi for its compute mode and processes; it may need a reset"
	default:
		failure.Message = fmt.Sprintf("%s cannot be opened: %v", gpu, err)
		failure.Hint = "see whether nvidia-smi works, and what dmesg says of NVRM"
	}
	return failure
}

// taken are the errors by which drivers say that an exclusive device has its
// process: the first since 11.0, the others before and under some modules.
func taken(number C.CUresult) bool {
	switch number {
	case C.CUDA_ERROR_DEVICE_UNAVAILABLE, C.CUDA_ERROR_INVALID_DEVICE, C.CUDA_ERROR_CONTEXT_ALREADY_IN_USE, C.CUDA_ERROR_UNKNOWN:
		return true
	}
	return false
}

// Bind makes the context current on the calling thread, which the caller has
// locked. It does not allocate.
func (c *Context) Bind() error {
	if c.over.Load() {
		return closed("cuCtxSetCurrent")
	}
	return wrap("cuCtxSetCurrent", cu.SetCurrentContext(c.handle))
}

// Close destroys the context and all that is in it, waiting for what runs. The
// error names what was not closed before, if anything; a second call does
// nothing. Closing what was in the context is allowed afterwards and does
// nothing.
func (c *Context) Close() error {
	if c.over.Swap(true) {
		return nil
	}
	err := wrap("cuCtxDestroy", c.handle.Destroy())
	if err != nil {
		return err
	}
	var left []string
	for kind, name := range [kinds]string{"allocations", "host allocations", "modules", "streams", "events", "graphs"} {
		if n := c.live[kind].Load(); n != 0 {
			left = append(left, fmt.Sprintf("%d %s", n, name))
		}
	}
	if left != nil {
		return fmt.Errorf("close context of GPU %d: not closed before it: %s", c.info.Index, strings.Join(left, ", "))
	}
	return nil
}

// Info describes the context's GPU.
func (c *Context) Info() Info { return c.info }

// MemInfo is the device's memory in bytes: what is free, for all processes, and
// what it has.
func (c *Context) MemInfo() (free, total int64, err error) {
	if c.over.Load() {
		return 0, 0, closed("cuMemGetInfo")
	}
	free, total, err = cu.MemInfo()
	return free, total, wrap("cuMemGetInfo", err)
}

// Synchronize waits for all work in the context.
func (c *Context) Synchronize() error {
	if c.over.Load() {
		return closed("cuCtxSynchronize")
	}
	return wrap("cuCtxSynchronize", cu.Synchronize())
}

// PriorityRange is the numbers that NewStream takes: the lower, the sooner its
// blocks are placed.
func (c *Context) PriorityRange() (least, greatest int, err error) {
	least, greatest, err = cu.StreamPriorityRange()
	return least, greatest, wrap("cuCtxGetStreamPriorityRange", err)
}

// release closes one counted object: nothing to do after the context.
func (c *Context) release(kind int, close func() error) error {
	if c.over.Load() {
		return nil
	}
	if err := close(); err != nil {
		return err
	}
	c.live[kind].Add(-1)
	return nil
}
