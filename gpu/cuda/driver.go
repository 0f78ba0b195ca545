//go:build cuda

package cuda

// #include <cuda.h>
import "C"

import (
	"fmt"
	"os"
	"slices"
	"sync"

	"weft/gpu/cuda/shim"

	"gorgonia.org/cu"
)

// DriverVariable names the environment's variable with the path of the driver
// library, for a driver in an unusual place or the simulator.
const DriverVariable = "WEFT_CUDA_DRIVER"

// visibleVariable is the driver's own: the devices that it shows to the process.
const visibleVariable = "CUDA_VISIBLE_DEVICES"

var probed struct {
	sync.Mutex
	done   bool // driver is what the first success found
	driver Driver
}

// Probe loads the driver library, initialises the driver, which can take a
// second, and lists its devices; those with [Info].Unusable set are of no use to
// weft. The error is a [*ProbeError]. A second call answers at once with what
// the first found, after a failure it tries again.
//
// A driver can hang or crash the process that initialises it: only worker
// processes call this.
func Probe() (Driver, error) {
	probed.Lock()
	defer probed.Unlock()
	if !probed.done {
		d, err := probe()
		if err != nil {
			return Driver{}, err
		}
		probed.driver, probed.done = d, true
	}
	d := probed.driver
	d.Devices = slices.Clone(d.Devices)
	return d, nil
}

func probe() (Driver, error) {
	if err := loadDriver(); err != nil {
		return Driver{}, err
	}
	d := Driver{Path: shim.Path()}
	var version C.int
	if err := check("cuDriverGetVersion", C.cuDriverGetVersion(&version)); err != nil {
		return Driver{}, initFailed(d, err)
	}
	if d.Version = int(version); d.Version < MinVersion {
		return Driver{}, tooOld(d)
	}
	if err := check("cuInit", C.cuInit(0)); err != nil {
		return Driver{}, initFailed(d, err)
	}
	n, err := cu.NumDevices()
	if err != nil {
		return Driver{}, initFailed(d, wrap("cuDeviceGetCount", err))
	}
	if n == 0 {
		return Driver{}, noDevice(d, nil)
	}
	for i := range n {
		info, err := describe(i)
		if err != nil {
			return Driver{}, initFailed(d, err)
		}
		d.Devices = append(d.Devices, info)
	}
	return d, nil
}

// describe asks the driver about its device of the index.
func describe(index int) (Info, error) {
	device, err := cu.GetDevice(index)
	if err != nil {
		return Info{}, wrap("cuDeviceGet", err)
	}
	info := Info{Index: index}
	if info.Name, err = device.Name(); err != nil {
		return Info{}, wrap("cuDeviceGetName", err)
	}
	uuid, err := device.UUID()
	if err != nil {
		return Info{}, wrap("cuDeviceGetUuid", err)
	}
	info.UUID = "GPU-" + uuid.String()
	if info.MemoryBytes, err = device.TotalMem(); err != nil {
		return Info{}, wrap("cuDeviceTotalMem", err)
	}
	var domain, bus, slot, mode, integrated int
	for _, a := range []struct {
		to *int
		of cu.DeviceAttribute
	}{
		{&info.Major, cu.ComputeCapabilityMajor},
		{&info.Minor, cu.ComputeCapabilityMinor},
		{&info.SMs, cu.MultiprocessorCount},
		{&info.SharedBytes, C.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN},
		{&mode, cu.ComputeMode},
		{&integrated, cu.Integrated},
		{&domain, cu.PciDomainID},
		{&bus, cu.PciBusID},
		{&slot, cu.PciDeviceID},
	} {
		if *a.to, err = device.Attribute(a.of); err != nil {
			return Info{}, wrap("cuDeviceGetAttribute", err)
		}
	}
	info.PCI = fmt.Sprintf("%08X:%02X:%02X.0", domain, bus, slot)
	info.Integrated = integrated != 0
	info.ComputeMode = modeName(mode)
	info.Unusable = unusable(info)
	return info, nil
}

func modeName(mode int) string {
	switch mode {
	case C.CU_COMPUTEMODE_DEFAULT:
		return ModeDefault
	case C.CU_COMPUTEMODE_PROHIBITED:
		return ModeProhibited
	case C.CU_COMPUTEMODE_EXCLUSIVE_PROCESS:
		return ModeExclusive
	}
	return fmt.Sprintf("mode %d", mode)
}

// unusable says why weft cannot use a device; empty when it can.
func unusable(d Info) string {
	switch {
	case d.Major < MinMajor:
		return fmt.Sprintf("compute capability %d.%d; weft needs %d.0 (Ampere) or newer", d.Major, d.Minor, MinMajor)
	case d.ComputeMode == ModeProhibited:
		return "compute mode prohibited; an administrator can allow it with nvidia-smi -c DEFAULT"
	}
	return ""
}

// visible is CUDA_VISIBLE_DEVICES and whether it is set.
func visible() (string, bool) { return os.LookupEnv(visibleVariable) }
