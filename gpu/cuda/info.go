package cuda

import "fmt"

// MinVersion is the oldest driver interface that weft works with, as in
// [Driver].Version: 11.4 is the first with stream-ordered memory and with graphs
// that are instantiated with flags.
const MinVersion = 11040

// MinMajor is the least compute capability (8.0) that the kernels are compiled for.
const MinMajor = 8

// Compute modes of a device, as in [Info].ComputeMode.
const (
	ModeDefault    = "default"
	ModeProhibited = "prohibited"        // nobody may open a context
	ModeExclusive  = "exclusive_process" // one process at a time may
)

// Info describes one GPU as the driver sees it.
type Info struct {
	Index        int    // among the driver's devices, after CUDA_VISIBLE_DEVICES: what Open takes
	UUID         string // GPU-8-4-4-4-12, as nvidia-smi prints it
	Name         string
	PCI          string // 00000000:DB:00.0, as nvidia-smi prints it
	Major, Minor int    // compute capability
	SMs          int    // multiprocessors
	MemoryBytes  int64
	SharedBytes  int // dynamic shared memory a block may ask for with SetDynamicShared
	ComputeMode  string
	Integrated   bool   // shares the host's memory
	Unusable     string // why weft cannot use it; empty when it can
}

// Driver is what [Probe] found.
type Driver struct {
	Path    string // the driver library's file
	Version int    // of CUDA, 1000*major + 10*minor: 12080 is 12.8
	Devices []Info
}

// FormatVersion writes a [Driver].Version as people do: 12080 is "12.8".
func FormatVersion(v int) string { return fmt.Sprintf("%d.%d", v/1000, v%1000/10) }

// Ptr is an address in the device's memory.
type Ptr uint64
