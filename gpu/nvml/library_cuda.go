//go:build cuda

package nvml

import (
	"fmt"
	"strings"

	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"
)

// library is NVIDIA's management library. The process ends (a lazily bound
// symbol) when a function is called that this version of it has not, so each is
// looked up first.
type library struct {
	nvml    gonvml.Interface
	driver  string
	has     map[string]bool // functions looked up so far
	devices []Device
	handles map[string]gonvml.Device // by UUID
	since   map[string]uint64        // the latest process sample seen, by UUID
	events  gonvml.EventSet          // nil: this version has none
	xids    map[string]int64         // by UUID
}

var _ Backend = (*library)(nil)

// openLibrary loads the library at path; "": where the system has it.
func openLibrary(path string) (Backend, error) {
	var options []gonvml.LibraryOption
	if path != "" {
		options = append(options, gonvml.WithLibraryPath(path))
	}
	l := &library{nvml: gonvml.New(options...), has: map[string]bool{}, handles: map[string]gonvml.Device{},
		since: map[string]uint64{}, xids: map[string]int64{}}
	if ret := l.nvml.Init(); ret != gonvml.SUCCESS {
		return nil, initError(path, ret)
	}
	if l.knows("nvmlSystemGetDriverVersion") {
		l.driver, _ = l.nvml.SystemGetDriverVersion() // "" is as good as an error
	}
	if err := l.list(); err != nil {
		_ = l.Close() // the first error is returned
		return nil, err
	}
	l.listen()
	return l, nil
}

func initError(path string, ret gonvml.Return) *Error {
	if path == "" {
		path = "libnvidia-ml.so.1"
	}
	switch ret {
	case gonvml.ERROR_LIBRARY_NOT_FOUND:
		return &Error{Code: CodeAbsent, Message: "NVIDIA's management library " + path + " is not here",
			Hint: "install the driver's nvidia-ml library, or name it: " + Variable + "=/path/libnvidia-ml.so.1"}
	case gonvml.ERROR_DRIVER_NOT_LOADED:
		return &Error{Code: CodeAbsent, Message: "the kernel's part of the NVIDIA driver is not loaded",
			Hint: "modprobe nvidia, and see dmesg for NVRM lines"}
	case gonvml.ERROR_LIB_RM_VERSION_MISMATCH:
		return &Error{Code: CodeFailed, Message: path + " is of another version than the kernel's part of the driver",
			Hint: "restart the machine after a driver's update"}
	default:
		return failed("start "+path, fmt.Errorf("%w", ret))
	}
}

// knows reports whether the library has a function.
func (l *library) knows(name string) bool {
	has, looked := l.has[name]
	if !looked {
		has = l.nvml.Extensions().LookupSymbol(name) == nil
		l.has[name] = has
	}
	return has
}

// list finds the GPUs there are. One that is lost already has no name to be
// known by and is left out.
func (l *library) list() error {
	n, ret := l.nvml.DeviceGetCount()
	if ret != gonvml.SUCCESS {
		return failed("count GPUs", ret)
	}
	for i := range n {
		h, ret := l.nvml.DeviceGetHandleByIndex(i)
		if ret != gonvml.SUCCESS {
			continue
		}
		uuid, ret := h.GetUUID()
		if ret != gonvml.SUCCESS {
			continue
		}
		d := Device{UUID: uuid}
		if l.knows("nvmlDeviceGetName") {
			d.Name, _ = h.GetName() // "" when it has none
		}
		if l.knows("nvmlDeviceGetPciInfo_v3") {
			if pci, ret := h.GetPciInfo(); ret == gonvml.SUCCESS {
				d.PCI = text(pci.BusId[:])
			}
		}
		l.handles[uuid] = h
		l.devices = append(l.devices, d)
	}
	return nil
}

// listen asks to be told of critical errors.
func (l *library) listen() {
	for _, f := range []string{"nvmlEventSetCreate", "nvmlDeviceRegisterEvents", "nvmlEventSetWait_v2", "nvmlEventSetFree"} {
		if !l.knows(f) {
			return
		}
	}
	set, ret := l.nvml.EventSetCreate()
	if ret != gonvml.SUCCESS {
		return
	}
	l.events = set
	for _, h := range l.handles {
		_ = h.RegisterEvents(gonvml.EventTypeXidCriticalError, set) // a GPU may not support it: no Xid is known then
	}
}

func (l *library) Driver() string { return l.driver }

func (l *library) Devices() ([]Device, error) {
	if len(l.devices) == 0 {
		return nil, &Error{Code: CodeAbsent, Message: "NVIDIA's management library knows no GPU", Hint: "see what nvidia-smi says"}
	}
	l.hear()
	return l.devices, nil
}

// mostEvents bounds what is heard in one round.
const mostEvents = 64

// hear takes in critical errors that happened since the last round.
func (l *library) hear() {
	for range mostEvents {
		if l.events == nil {
			return
		}
		e, ret := l.events.Wait(0)
		if ret != gonvml.SUCCESS {
			return // none, as a rule
		}
		for uuid, h := range l.handles {
			if h == e.Device && e.EventType == gonvml.EventTypeXidCriticalError {
				l.xids[uuid] = int64(e.EventData)
			}
		}
	}
}

func (l *library) Close() error {
	if l.events != nil {
		_ = l.events.Free() // it ends with the library in any case
	}
	if ret := l.nvml.Shutdown(); ret != gonvml.SUCCESS {
		return failed("end NVML", ret)
	}
	return nil
}

// A probe reads a GPU's sensors one by one, and keeps the worst that was heard.
type probe struct {
	l    *library
	lost error
}

// read calls a function of the library if it has it. What is not supported, not
// permitted or not there stays nil.
func read[T, V any](p *probe, function string, call func() (T, gonvml.Return), value func(T) V) *V {
	v, ok := ask(p, function, call)
	if !ok {
		return nil
	}
	return ptr(value(v))
}

func ask[T any](p *probe, function string, call func() (T, gonvml.Return)) (v T, ok bool) {
	if p.lost != nil || !p.l.knows(function) {
		return v, false
	}
	v, ret := call()
	switch ret {
	case gonvml.SUCCESS:
		return v, true
	case gonvml.ERROR_GPU_IS_LOST, gonvml.ERROR_RESET_REQUIRED:
		p.lost = ret
	default:
	}
	return v, false
}

func (l *library) Sample(d Device) (Sample, error) {
	h := l.handles[d.UUID]
	if h == nil {
		return Sample{}, failed("read GPU "+d.UUID, fmt.Errorf("it is not known"))
	}
	p := &probe{l: l}
	s := Sample{}
	p.load(h, &s.Readings)
	p.memory(h, &s.Readings)
	p.energy(h, &s.Readings)
	p.clocks(h, &s.Readings)
	p.pcie(h, &s.Readings)
	p.errors(h, &s.Readings)
	s.Processes = p.processes(h, d.UUID)
	if xid, heard := l.xids[d.UUID]; heard {
		s.Xid = &xid
	}
	if p.lost != nil {
		return Sample{}, lostError(p.lost.Error(), s.Xid)
	}
	return s, nil
}

func ratio(percent uint32) float64 { return float64(percent) / 100 }
func milli(v uint32) float64       { return float64(v) / 1000 }
func mega(v uint32) int64          { return int64(v) * 1_000_000 }
func kilo(v uint32) float64        { return float64(v) * 1000 }

func whole[T int | uint32 | uint64](v T) int64 { return int64(v) } // #nosec G115 -- counters far from the limit

func (p *probe) load(h gonvml.Device, r *Readings) {
	if u, ok := ask(p, "nvmlDeviceGetUtilizationRates", h.GetUtilizationRates); ok {
		r.Utilization, r.MemoryUtilization = ptr(ratio(u.Gpu)), ptr(ratio(u.Memory))
	}
	if mode, ok := ask(p, "nvmlDeviceGetMigMode", func() (int, gonvml.Return) {
		current, _, ret := h.GetMigMode()
		return current, ret
	}); ok {
		r.MIG = ptr(mode == gonvml.DEVICE_MIG_ENABLE)
	}
}

func (p *probe) memory(h gonvml.Device, r *Readings) {
	if m, ok := ask(p, "nvmlDeviceGetMemoryInfo_v2", h.GetMemoryInfo_v2); ok {
		r.MemoryUsed, r.MemoryTotal, r.MemoryReserved = ptr(whole(m.Used)), ptr(whole(m.Total)), ptr(whole(m.Reserved))
		return
	}
	if m, ok := ask(p, "nvmlDeviceGetMemoryInfo", h.GetMemoryInfo); ok {
		r.MemoryUsed, r.MemoryTotal = ptr(whole(m.Used)), ptr(whole(m.Total))
	}
}

func (p *probe) energy(h gonvml.Device, r *Readings) {
	r.Power = read(p, "nvmlDeviceGetPowerUsage", h.GetPowerUsage, milli)
	r.PowerLimit = read(p, "nvmlDeviceGetEnforcedPowerLimit", h.GetEnforcedPowerLimit, milli)
	r.Energy = read(p, "nvmlDeviceGetTotalEnergyConsumption", h.GetTotalEnergyConsumption,
		func(mj uint64) float64 { return float64(mj) / 1000 })
	r.Temperature = read(p, "nvmlDeviceGetTemperature", func() (uint32, gonvml.Return) {
		return h.GetTemperature(gonvml.TEMPERATURE_GPU)
	}, func(c uint32) float64 { return float64(c) })
}

func (p *probe) clocks(h gonvml.Device, r *Readings) {
	clock := func(kind gonvml.ClockType) *int64 {
		return read(p, "nvmlDeviceGetClockInfo", func() (uint32, gonvml.Return) { return h.GetClockInfo(kind) }, mega)
	}
	r.SMClock, r.MemoryClock = clock(gonvml.CLOCK_SM), clock(gonvml.CLOCK_MEM)
	reasons, ok := ask(p, "nvmlDeviceGetCurrentClocksEventReasons", h.GetCurrentClocksEventReasons)
	if !ok { // its name until driver 535
		reasons, ok = ask(p, "nvmlDeviceGetCurrentClocksThrottleReasons", h.GetCurrentClocksThrottleReasons)
	}
	if ok {
		r.Throttled = throttles(reasons)
	}
}

// throttles names what holds clocks down, by bit.
func throttles(bits uint64) []string {
	names := []string{"gpu_idle", "clocks_setting", "power_cap", "hardware_slowdown", "sync_boost",
		"software_thermal", "hardware_thermal", "power_brake", "display_setting"}
	on := []string{}
	for i, name := range names {
		if bits&(1<<i) != 0 {
			on = append(on, name)
		}
	}
	return on
}

func (p *probe) pcie(h gonvml.Device, r *Readings) {
	through := func(way gonvml.PcieUtilCounter) *float64 {
		return read(p, "nvmlDeviceGetPcieThroughput", func() (uint32, gonvml.Return) { return h.GetPcieThroughput(way) }, kilo)
	}
	r.PCIeSent, r.PCIeReceived = through(gonvml.PCIE_UTIL_TX_BYTES), through(gonvml.PCIE_UTIL_RX_BYTES)
	r.PCIeGeneration = read(p, "nvmlDeviceGetCurrPcieLinkGeneration", h.GetCurrPcieLinkGeneration, whole[int])
	r.PCIeWidth = read(p, "nvmlDeviceGetCurrPcieLinkWidth", h.GetCurrPcieLinkWidth, whole[int])
}

func (p *probe) errors(h gonvml.Device, r *Readings) {
	count := func(kind gonvml.MemoryErrorType) *int64 {
		return read(p, "nvmlDeviceGetTotalEccErrors", func() (uint64, gonvml.Return) {
			return h.GetTotalEccErrors(kind, gonvml.VOLATILE_ECC)
		}, whole[uint64])
	}
	r.ECCCorrected, r.ECCUncorrected = count(gonvml.MEMORY_ERROR_TYPE_CORRECTED), count(gonvml.MEMORY_ERROR_TYPE_UNCORRECTED)
}

// unknownMemory stands for a process's memory that the driver does not tell.
const unknownMemory = ^uint64(0)

// processes lists who computes on a GPU, with their share of its
// multiprocessors since the last sample.
func (p *probe) processes(h gonvml.Device, uuid string) []Process {
	infos, ok := p.running(h)
	if !ok {
		return nil
	}
	out := make([]Process, 0, len(infos))
	for _, info := range infos {
		one := Process{PID: int64(info.Pid)}
		if info.UsedGpuMemory != unknownMemory {
			one.MemoryBytes = ptr(whole(info.UsedGpuMemory))
		}
		out = append(out, one)
	}
	shares, ok := ask(p, "nvmlDeviceGetProcessUtilization", func() ([]gonvml.ProcessUtilizationSample, gonvml.Return) {
		return h.GetProcessUtilization(p.l.since[uuid])
	})
	if !ok {
		return out
	}
	for _, share := range shares {
		p.l.since[uuid] = max(p.l.since[uuid], share.TimeStamp)
		for i := range out {
			if out[i].PID == int64(share.Pid) && share.SmUtil <= 100 {
				out[i].SMUtilization = ptr(ratio(share.SmUtil))
			}
		}
	}
	return out
}

func (p *probe) running(h gonvml.Device) ([]gonvml.ProcessInfo, bool) {
	for _, version := range []string{"_v3", "_v2", ""} {
		const function = "nvmlDeviceGetComputeRunningProcesses"
		if p.l.knows(function + version) {
			return ask(p, function+version, h.GetComputeRunningProcesses)
		}
	}
	return nil, false
}

// text reads a C string.
func text(chars []int8) string {
	var b strings.Builder
	for _, c := range chars {
		if c == 0 {
			break
		}
		b.WriteByte(byte(c))
	}
	return b.String()
}
