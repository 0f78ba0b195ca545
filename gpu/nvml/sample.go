package nvml

import "time"

// What is known of a GPU in a [Sample].
const (
	// StateOK: it was read. Single readings may still be nil.
	StateOK = "ok"
	// StateLost: the driver has lost it, or does not know it any more: Reason
	// says what was heard last. It is looked for again, and may come back.
	StateLost = "lost"
	// StateFailing: it could not be read for another reason, which Reason tells.
	StateFailing = "failing"
)

// A Sample is what the sensors of one GPU say at one moment.
type Sample struct {
	Device
	State  string `json:"state"`            // one of the constants above
	Reason string `json:"reason,omitempty"` // why it is not ok
	Hint   string `json:"hint,omitempty"`
	Readings
	Processes []Process `json:"processes"` // nil: the driver does not tell
}

// A Device is a GPU as the library knows it.
type Device struct {
	UUID string `json:"uuid"` // GPU-8-4-4-4-12, as nvidia-smi prints it
	Name string `json:"name,omitempty"`
	PCI  string `json:"pci,omitempty"` // 00000000:DB:00.0
}

// Readings are the sensors' values; nil is what the GPU or its driver has not.
// [weft/daemon/api.Readings] has the same fields.
type Readings struct {
	Utilization       *float64 `json:"utilization"`        // 0 to 1: share of the time that a kernel ran
	MemoryUtilization *float64 `json:"memory_utilization"` // 0 to 1: share of the time that memory was read or written
	MemoryUsed        *int64   `json:"memory_used_bytes"`
	MemoryTotal       *int64   `json:"memory_total_bytes"`
	MemoryReserved    *int64   `json:"memory_reserved_bytes"` // by driver and firmware
	Power             *float64 `json:"power_watts"`
	PowerLimit        *float64 `json:"power_limit_watts"`
	Temperature       *float64 `json:"temperature_celsius"`
	SMClock           *int64   `json:"sm_clock_hertz"`
	MemoryClock       *int64   `json:"memory_clock_hertz"`
	Throttled         []string `json:"throttled"` // why clocks are lower than they could be; nil: not known
	PCIeSent          *float64 `json:"pcie_sent_bytes_per_second"`
	PCIeReceived      *float64 `json:"pcie_received_bytes_per_second"`
	PCIeGeneration    *int64   `json:"pcie_generation"`
	PCIeWidth         *int64   `json:"pcie_width"`      // lanes
	ECCCorrected      *int64   `json:"ecc_corrected"`   // errors since the driver was loaded
	ECCUncorrected    *int64   `json:"ecc_uncorrected"` // likewise
	MIG               *bool    `json:"mig"`             // divided into instances
	Energy            *float64 `json:"energy_joules"`   // since the driver was loaded
	Xid               *int64   `json:"xid"`             // the latest critical error since the worker started
	Load1             *float64 `json:"load1"`           // of the host: processes that run or want to, over 1 minute
	Load5             *float64 `json:"load5"`
	Load15            *float64 `json:"load15"`
}

// A Process is one that uses a GPU.
type Process struct {
	PID           int64    `json:"pid"`
	MemoryBytes   *int64   `json:"memory_bytes"`
	SMUtilization *float64 `json:"sm_utilization"` // 0 to 1
}

// A Frame is what a worker tells at once.
type Frame struct {
	At      time.Time `json:"at"`
	Driver  string    `json:"driver,omitempty"` // its version
	Fault   *Error    `json:"fault,omitempty"`  // why there are no samples
	Samples []Sample  `json:"samples"`
}

func ptr[T any](v T) *T { return &v }
