package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"weft/daemon/api"
)

// A reading is one value of a sample; not every device has each.
type reading struct {
	family
	label []string // its values after the device's
	of    func(*api.Readings) (v float64, there bool)
}

// Families that several readings share.
var (
	clock = gauge("weft_device_clock_hertz", "Clock of a GPU's multiprocessors or memory.", "device", "clock")
	ecc   = counter("weft_device_ecc_errors_total", "Memory errors since the driver was loaded, by whether ECC corrected them.",
		"device", "type")
	pcie = gauge("weft_device_pcie_throughput_bytes_per_second", "Traffic between host and GPU, as the GPU sees it.",
		"device", "direction")
	load = gauge("weft_device_load_average", "Processes of the host that run or want to, over so many minutes.",
		"device", "minutes")
	throttled = gauge("weft_device_throttled", "1 for each reason for which a GPU's clocks are lower than they could be, else 0.",
		"device", "reason")
	processes = gauge("weft_device_processes", "Processes that compute on a GPU, weft's worker among them.", "device")
)

var readings = []reading{
	one("weft_device_utilization_ratio",
		"Share of the last second in which a GPU ran kernels, or that the host's cores were busy.",
		func(r *api.Readings) *float64 { return r.Utilization }),
	one("weft_device_memory_utilization_ratio", "Share of the last second in which a GPU's memory was read or written.",
		func(r *api.Readings) *float64 { return r.MemoryUtilization }),
	one("weft_device_memory_used_bytes", "Memory of a device in use, by anybody.",
		func(r *api.Readings) *int64 { return r.MemoryUsed }),
	one("weft_device_memory_size_bytes", "Memory that a device has.",
		func(r *api.Readings) *int64 { return r.MemoryTotal }),
	one("weft_device_memory_driver_reserved_bytes", "Memory of a GPU that its driver and firmware keep.",
		func(r *api.Readings) *int64 { return r.MemoryReserved }),
	one("weft_device_power_watts", "Power that a GPU draws.", func(r *api.Readings) *float64 { return r.Power }),
	one("weft_device_power_limit_watts", "Power that a GPU may draw.",
		func(r *api.Readings) *float64 { return r.PowerLimit }),
	one("weft_device_temperature_celsius", "Temperature of a GPU.", func(r *api.Readings) *float64 { return r.Temperature }),
	labelled(clock, "sm", func(r *api.Readings) *int64 { return r.SMClock }),
	labelled(clock, "memory", func(r *api.Readings) *int64 { return r.MemoryClock }),
	labelled(pcie, "sent", func(r *api.Readings) *float64 { return r.PCIeSent }),
	labelled(pcie, "received", func(r *api.Readings) *float64 { return r.PCIeReceived }),
	one("weft_device_pcie_generation", "Generation at which a GPU's PCIe link runs now.",
		func(r *api.Readings) *int64 { return r.PCIeGeneration }),
	one("weft_device_pcie_lanes", "Lanes that a GPU's PCIe link uses now.",
		func(r *api.Readings) *int64 { return r.PCIeWidth }),
	labelled(ecc, "corrected", func(r *api.Readings) *int64 { return r.ECCCorrected }),
	labelled(ecc, "uncorrected", func(r *api.Readings) *int64 { return r.ECCUncorrected }),
	{family: gauge("weft_device_mig_enabled", "1 when a GPU is divided into instances, else 0.", "device"),
		of: func(r *api.Readings) (float64, bool) { return truth(r.MIG != nil && *r.MIG), r.MIG != nil }},
	{family: counter("weft_device_energy_joules_total", "Energy that a GPU has used since the driver was loaded.", "device"),
		of: func(r *api.Readings) (float64, bool) { return number(r.Energy) }},
	one("weft_device_last_xid", "Number of the last critical error (Xid) of a GPU since its sensors are read; absent: none.",
		func(r *api.Readings) *int64 { return r.Xid }),
	labelled(load, "1", func(r *api.Readings) *float64 { return r.Load1 }),
	labelled(load, "5", func(r *api.Readings) *float64 { return r.Load5 }),
	labelled(load, "15", func(r *api.Readings) *float64 { return r.Load15 }),
}

// one is a gauge with a single reading.
func one[T int64 | float64](name, help string, of func(*api.Readings) *T) reading {
	return reading{family: gauge(name, help, "device"),
		of: func(r *api.Readings) (float64, bool) { return number(of(r)) }}
}

func labelled[T int64 | float64](f family, label string, of func(*api.Readings) *T) reading {
	return reading{f, []string{label}, func(r *api.Readings) (float64, bool) { return number(of(r)) }}
}

func number[T int64 | float64](p *T) (float64, bool) {
	if p == nil {
		return 0, false
	}
	return float64(*p), true
}

// throttles are the reasons for low clocks that NVML names. What a newer driver
// or a recorded file may say besides is told as other.
var throttles = []string{"gpu_idle", "clocks_setting", "power_cap", "hardware_slowdown", "sync_boost",
	"software_thermal", "hardware_thermal", "power_brake", "display_setting", otherLabel}

// readingFamilies lists each family once.
func readingFamilies() []family {
	list := []family{throttled, processes}
	for _, r := range readings {
		if !slices.Contains(list, r.family) {
			list = append(list, r.family)
		}
	}
	return list
}

// collectReadings tells what a sample has.
func collectReadings(to chan<- prometheus.Metric, device string, s *api.Sample) {
	for _, r := range readings {
		if v, there := r.of(&s.Readings); there {
			r.tell(to, v, append([]string{device}, r.label...)...)
		}
	}
	if s.Processes != nil {
		processes.tell(to, float64(len(s.Processes)), device)
	}
	if s.Throttled == nil {
		return
	}
	on := map[string]bool{}
	for _, reason := range s.Throttled {
		if !slices.Contains(throttles, reason) {
			reason = otherLabel
		}
		on[reason] = true
	}
	for _, reason := range throttles {
		throttled.tell(to, truth(on[reason]), device, reason)
	}
}
