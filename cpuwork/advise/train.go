package advise

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
)

// A Model is a training job as its dry run knows it.
type Model struct {
	Name     string
	Steps    int64
	Flops    int64   // floating-point operations of a step
	HostSize int64   // bytes of its own on the CPU device
	GPUSize  int64   // the same on a GPU; 0: it cannot run there
	DataSize int64   // bytes of its data, which jobs on the same data share
	Data     string  // identifies the data
	Wants    string  // auto, cpu, gpu, gpu:0
	Seconds  float64 // alone, where that is known; otherwise Steps and Flops say it
}

// A Device is where models can be trained.
type Device struct {
	ID, Kind, Name string
	Ready          bool
	Lanes          int   // that work side by side
	Slots          int   // jobs at most at once
	Memory         int64 // bytes for jobs
	Record         *Record
}

// A Record is what weft bench share measured on a device like this one, on this
// machine.
type Record struct {
	ID      string  `json:"id"`
	Load    string  `json:"load"`
	Models  int     `json:"models"`
	Arm     string  `json:"arm"`     // the fastest way of sharing
	Speedup float64 `json:"speedup"` // of it, over one model after the other
	Step    float64 `json:"step_seconds"`
}

// What is assumed where nothing was recorded.
const (
	// A core's, as daemon/fits.go assumes for dry runs (BenchmarkStep in gpu/host).
	cpuStep  = 10e-6
	cpuFlops = 100e9
	// A GPU's: ten kernel launches of 5 us (NVIDIA's note: 4 to 6 us each), and a
	// small part of a data sheet's 60 TFLOP/s of FP32, as small models reach.
	gpuStep  = 50e-6
	gpuFlops = 5e12
	// sharedGPU is the least gain of training models fused that HFTA's authors
	// found on three GPUs (MLSys 2021: 2.4 to 11.5 times).
	sharedGPU = 2.4
)

// A Placement is training all models on one device.
type Placement struct {
	Device   string  `json:"device"`
	Name     string  `json:"name"`
	AtOnce   int     `json:"at_once"`       // models that fit at the same time
	Alone    float64 `json:"alone_seconds"` // one after the other
	Together float64 `json:"together_seconds"`
	Speedup  float64 `json:"speedup"`           // of together over alone
	Source   string  `json:"source"`            // where the times come from
	Refused  string  `json:"refused,omitempty"` // why not there
	Record   *Record `json:"record,omitempty"`
}

// TrainingAdvice is where to train models, and how many at once.
type TrainingAdvice struct {
	Chosen     int         `json:"chosen"` // in Placements; -1: no device takes them all
	Placements []Placement `json:"placements"`
	Why        string      `json:"why"`
	Notes      []string    `json:"notes,omitempty"`
}

// Training says which device suits models, slowdown being that of [Machine].
func Training(models []Model, devices []Device, slowdown float64) *TrainingAdvice {
	t := &TrainingAdvice{Chosen: -1, Placements: []Placement{}}
	for i := range devices {
		t.Placements = append(t.Placements, place(models, &devices[i], slowdown))
	}
	for i := range t.Placements {
		p := &t.Placements[i]
		if p.Refused == "" && (t.Chosen < 0 || p.Together < t.Placements[t.Chosen].Together) {
			t.Chosen = i
		}
	}
	t.explain(models)
	return t
}

func place(models []Model, d *Device, slowdown float64) Placement {
	p := Placement{Device: d.ID, Name: d.Name, Record: d.Record}
	if p.Refused = d.refuses(models); p.Refused != "" {
		return p
	}
	var each []float64
	for i := range models {
		each = append(each, d.seconds(&models[i]))
		p.Alone += each[i]
	}
	p.AtOnce = d.fit(models)
	switch {
	case p.AtOnce == 0:
		p.Refused = "a model needs more than the " + humanize.IBytes(uint64(max(0, d.Memory))) + " that there are"
	case d.Record != nil:
		p.Speedup = d.recordedGain(p.AtOnce)
		p.Source = fmt.Sprintf("recorded: %s (%s, %d models: %s times as fast by %s)", d.Record.ID, d.Record.Load, d.Record.Models,
			ratio(d.Record.Speedup), d.Record.Arm)
	case d.Kind == "gpu":
		p.Speedup = min(float64(p.AtOnce), sharedGPU)
		p.Source = "assumed: nothing was recorded on this GPU"
	default:
		lanes := min(d.Lanes, p.AtOnce)
		slow := 1.0
		if lanes > 1 && lanes == d.Lanes {
			slow = slowdown
		}
		p.Speedup = max(1, p.Alone/max(slow*schedule(each, lanes), math.SmallestNonzeroFloat64))
		p.Source = "assumed: a core's usual speed, a model a lane"
	}
	if p.Refused == "" {
		p.Together = p.Alone / p.Speedup
	}
	return p
}

// refuses says why the device cannot take all of the models; "": it can.
func (d *Device) refuses(models []Model) string {
	if !d.Ready {
		return "it is not ready"
	}
	for i := range models {
		m := &models[i]
		wants := strings.ReplaceAll(m.Wants, ":", "")
		if wants != "" && wants != "auto" && wants != d.Kind && wants != d.ID {
			return fmt.Sprintf("%s asks for device %s", m.Name, m.Wants)
		}
		if d.size(m) == 0 {
			return m.Name + " cannot run there"
		}
	}
	return ""
}

func (d *Device) size(m *Model) int64 {
	if d.Kind == "gpu" {
		return m.GPUSize
	}
	return m.HostSize
}

// seconds is about how long a model takes alone.
func (d *Device) seconds(m *Model) float64 {
	if m.Seconds > 0 {
		return m.Seconds
	}
	step, flops := cpuStep, cpuFlops
	if d.Kind == "gpu" {
		step, flops = gpuStep, gpuFlops
	}
	one := step + float64(m.Flops)/flops
	if d.Record != nil && d.Record.Step > 0 {
		one = max(d.Record.Step, float64(m.Flops)/flops)
	}
	return float64(m.Steps) * one
}

// fit is how many models, from the first, are on the device at once: as memory
// and slots allow. Data is held once for all jobs on it.
func (d *Device) fit(models []Model) int {
	free, held := d.Memory, map[string]bool{}
	for i := range models {
		m := &models[i]
		need := d.size(m)
		if !held[m.Data] {
			need += m.DataSize
		}
		if need > free || i == d.Slots {
			return i
		}
		free -= need
		held[m.Data] = true
	}
	return len(models)
}

// recordedGain is the gain that was recorded, scaled down in a straight line for
// fewer models than it was recorded with. For more it is not raised.
func (d *Device) recordedGain(n int) float64 {
	r := d.Record
	if n >= r.Models || r.Models < 2 {
		return max(1, r.Speedup)
	}
	return max(1, 1+(r.Speedup-1)*float64(n-1)/float64(r.Models-1))
}

// schedule is the time of tasks on lanes, the longest first, each to the lane
// that is free first.
func schedule(each []float64, lanes int) float64 {
	each = slices.Clone(each)
	slices.SortFunc(each, func(a, b float64) int { return compare(b, a) })
	ends := make([]float64, lanes)
	for _, s := range each {
		i := slices.Index(ends, slices.Min(ends))
		ends[i] += s
	}
	return slices.Max(ends)
}

func (t *TrainingAdvice) explain(models []Model) {
	n := plural(int64(len(models)), "model")
	if t.Chosen < 0 {
		t.Why = "No device takes " + n + "."
		if len(t.Placements) == 0 {
			t.Why = "There is no device for " + n + ": weft doctor says why."
		}
		for _, p := range t.Placements {
			t.Why += fmt.Sprintf(" %s: %s.", p.Device, p.Refused)
		}
		return
	}
	c := &t.Placements[t.Chosen]
	t.Why = fmt.Sprintf("%s one after the other would take %s about %s; %s at once bring that to about %s.", n, c.Device,
		duration(c.Alone), together(c.AtOnce, len(models)), duration(c.Together))
	if c.Alone == 0 {
		t.Why = fmt.Sprintf("Of %[2]s, %[1]s on %[3]s at once, in one process, are about %[4]s times as fast as one after the other.",
			together(c.AtOnce, len(models)), n, c.Device, ratio(c.Speedup))
	}
	other := ""
	for i := range t.Placements {
		p := &t.Placements[i]
		switch {
		case i == t.Chosen || other != "":
		case p.Refused != "":
			other = fmt.Sprintf(" %s is out: %s.", p.Device, p.Refused)
		case p.Together == 0:
		default:
			other = fmt.Sprintf(" %s would take about %s.", p.Device, duration(p.Together))
		}
	}
	if other == "" {
		other = " A process for each model would hold its own copy of program, data and device, and they would take turns all the same."
	}
	t.Why += other
	if c.Record == nil {
		t.Notes = append(t.Notes, "times are assumed, not measured: weft bench share measures this machine")
	} else {
		t.Notes = append(t.Notes, "the recorded models may differ from these: a step of theirs is taken for a step of yours")
	}
}

func together(fit, models int) string {
	if fit == models {
		return "all"
	}
	return humanize.Comma(int64(fit))
}
