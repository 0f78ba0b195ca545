package daemon

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"weft/daemon/api"
	"weft/daemon/sched"
	"weft/gpu"
)

// checkFits refuses jobs that no device could ever take, and says why there is
// none: a GPU that is asked for and not there, or that cannot be used.
func checkFits(drafts []draft, devices []api.Device, gpus gpu.Discovery) error {
	for i := range drafts {
		d := &drafts[i]
		err := d.fits(devices, &gpus)
		if err == nil {
			continue
		}
		p := problemOf(err)
		p.Errors = []api.FieldError{{Location: d.at + "/spec", Message: p.Detail, Hint: p.Hint}}
		return p
	}
	return nil
}

func (d *draft) fits(devices []api.Device, gpus *gpu.Discovery) error {
	want := d.want()
	wanted := slices.DeleteFunc(slices.Clone(devices), func(v api.Device) bool { return !sched.Wanted(want, v.ID, v.Kind) })
	onGPU := func(v api.Device) bool { return v.Kind != kindGPU }
	switch f := d.est.NotGPU; {
	case len(wanted) == 0 && wantsGPU(want):
		return noGPU(want, devices, gpus)
	case len(wanted) > 0 && f != nil && !slices.ContainsFunc(wanted, onGPU):
		return &api.Error{Code: api.CodeInvalid, Message: "the job cannot run on a GPU: " + f.Message, Hint: f.Hint}
	}
	able := make([]sched.Device, len(wanted))
	for i, v := range wanted {
		able[i] = sched.Device{ID: v.ID, Kind: v.Kind, Ready: true, MemoryBytes: v.MemoryBytes, Slots: v.Slots}
	}
	err := sched.Fits(able, sched.Job{
		MemoryBytes: d.est.MemoryBytes, GPUBytes: d.est.GPUBytes, DataBytes: d.est.DataBytes, DataHash: d.hash,
		WantDevice: want,
	})
	if e, ok := errors.AsType[*api.Error](err); ok && e.Code == api.CodeTooLarge && d.cpu != nil {
		e.Hint = fmt.Sprintf("take fewer workers than %d", d.cpu.Workers())
	}
	if err != nil {
		return err
	}
	return failing(wanted)
}

const kindGPU = "gpu"

// wantsGPU reports whether a job asks for a GPU, any or a certain one.
func wantsGPU(want string) bool { return strings.HasPrefix(want, kindGPU) }

// noGPU says why there is no such GPU.
func noGPU(want string, devices []api.Device, gpus *gpu.Discovery) error {
	id := strings.Replace(want, ":", "", 1)
	e := &api.Error{Code: api.CodeNotFound, Message: "there is no " + id}
	switch {
	case gpus.Fault != nil:
		e.Message += ": " + gpus.Fault.Message
		e.Hint = gpus.Fault.Hint
	case slices.ContainsFunc(devices, func(v api.Device) bool { return v.Kind == kindGPU }):
		e.Hint = "there is " + listServed(devices)
	default: // one came after the daemon had started, or is not served
		e.Message += " served"
		e.Hint = fmt.Sprintf("weft serve --device auto, started again, serves %s", listGPUs(gpus))
	}
	if e.Hint == "" {
		e.Hint = "device: auto takes what is there"
	}
	return e
}

func listServed(devices []api.Device) string {
	var names []string
	for _, v := range devices {
		if v.Kind == kindGPU {
			names = append(names, fmt.Sprintf("%s (%s)", v.ID, v.Name))
		}
	}
	return strings.Join(names, ", ")
}

// failing refuses a job when every device that it asks for has never been
// ready and has failed: what hinders them is better said now than in the queue.
func failing(wanted []api.Device) error {
	for _, v := range wanted {
		if v.State != api.DeviceFailing {
			return nil
		}
	}
	v := &wanted[0]
	hint := v.Hint
	if hint == "" {
		hint = "look at the daemon's log: weft doctor says more"
	}
	return &api.Error{Code: api.CodeUnavailable, Message: fmt.Sprintf("%s does not start: %s", v.ID, v.Message), Hint: hint}
}

// The speed that a dry run assumes of one lane: what a core with AVX-512 comes
// to on perceptrons (BenchmarkStep in gpu/host). Other cores and convolutions
// can take several times as long.
const (
	assumedFlops   = 100e9 // operations of matrix products a second
	secondsPerStep = 10e-6 // what a step costs besides
)

// dryRuns says what drafts, which fit, would take.
func dryRuns(drafts []draft, devices []api.Device) []api.DryRun {
	runs := make([]api.DryRun, len(drafts))
	for i := range drafts {
		d := &drafts[i]
		on := d.wouldTake(devices)
		memory := d.est.MemoryBytes
		if on.Kind == kindGPU {
			memory = d.est.GPUBytes
		}
		runs[i] = api.DryRun{
			Name:       d.sub.Name,
			Parameters: d.est.Parameters, MemoryBytes: memory, DataBytes: d.est.DataBytes,
			Rows: d.est.TrainRows, Steps: d.est.Steps,
			Device:           on.ID,
			EstimatedSeconds: d.seconds(),
		}
		if d.cpu != nil {
			runs[i].Pool, runs[i].Workers = string(d.cpu.Pool), d.cpu.Workers()
		}
	}
	return runs
}

// seconds is about how long a draft would run alone; 0 of a CPU job, whose items
// may be anything: weft advise measures them.
func (d *draft) seconds() float64 {
	if d.cpu != nil {
		return 0
	}
	return float64(d.est.Steps) * (secondsPerStep + float64(d.est.StepFlops)/assumedFlops)
}

// wouldTake is the device that the draft would be placed on were all empty: a
// GPU that is ready, else the first that could take it.
func (d *draft) wouldTake(devices []api.Device) api.Device {
	var first api.Device
	for _, v := range devices {
		if d.fits([]api.Device{v}, &gpu.Discovery{}) != nil {
			continue
		}
		if v.Kind == kindGPU && v.State == api.DeviceReady {
			return v
		}
		if first.ID == "" {
			first = v
		}
	}
	return first
}
