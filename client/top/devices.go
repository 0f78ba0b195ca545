package top

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"weft/client/table"
	"weft/daemon/api"
)

// device is one with what its graphs show.
type device struct {
	api.Device
	utilization, memory []float64 // by sample, oldest first; memory as a part of what there is
	latest              time.Time // of the last sample
}

// mostSamples bounds a graph: more than a terminal has dots.
const mostSamples = 1200

// takeDevices keeps the devices as they are now, and the graphs of those that
// were there before.
func (s *Screen) takeDevices(n *news) {
	for i := range n.past {
		s.past[n.past[i].Device] = &n.past[i]
	}
	if n.devices == nil {
		return
	}
	old := s.devices
	s.devices = make([]*device, len(n.devices))
	for i := range n.devices {
		d := &device{}
		if k := slices.IndexFunc(old, func(o *device) bool { return o.ID == n.devices[i].ID }); k >= 0 {
			d = old[k]
		}
		d.Device = n.devices[i]
		if h := s.past[d.ID]; h != nil {
			d.begin(h)
			delete(s.past, d.ID)
		}
		d.sample(s.every)
		s.devices[i] = d
	}
}

// begin fills the graphs from what the daemon remembers.
func (d *device) begin(h *api.History) {
	d.utilization, d.memory, d.latest = nil, nil, time.Time{}
	total := 0.0
	if d.Sample != nil && d.Sample.MemoryTotal != nil {
		total = float64(*d.Sample.MemoryTotal)
	}
	step := time.Duration(h.Step * float64(time.Second))
	for _, p := range h.Points {
		d.gap(p.At, step)
		utilization, memory := unknown, unknown
		if v, ok := p.Mean["utilization"]; ok {
			utilization = v
		}
		if v, ok := p.Mean["memory_used_bytes"]; ok && total > 0 {
			memory = v / total
		}
		d.push(utilization, memory, p.At)
	}
}

// sample adds the last sample to the graphs, unless it is there already.
func (d *device) sample(every time.Duration) {
	p := d.Sample
	if p == nil || !p.At.After(d.latest) {
		return
	}
	if p.State != api.SampleOK || p.Stale {
		d.push(unknown, unknown, p.At)
		return
	}
	d.gap(p.At, every)
	d.push(value(p.Utilization), value(p.MemoryUsed)/value(p.MemoryTotal), p.At)
}

// gap leaves room for what was not sampled before a moment.
func (d *device) gap(at time.Time, step time.Duration) {
	if d.latest.IsZero() || step <= 0 {
		return
	}
	if missing := int(at.Sub(d.latest)/step) - 1; missing > 1 { // one is a clock's unrest
		for range min(missing, mostSamples) {
			d.push(unknown, unknown, d.latest)
		}
	}
}

func (d *device) push(utilization, memory float64, at time.Time) {
	d.utilization = append(keepLast(d.utilization), utilization)
	d.memory = append(keepLast(d.memory), memory)
	d.latest = at
}

func keepLast(values []float64) []float64 {
	if len(values) < 2*mostSamples {
		return values
	}
	return values[:copy(values, values[len(values)-mostSamples:])]
}

// kindPools is the kind of the device that CPU jobs run on, which is a process and
// has no sensors.
const kindPools = "pools"

// strip is the line of one device.
func (s *Screen) strip(d *device, idWidth int) string {
	l := newLine(s.look, s.width)
	l.cell(bold, d.ID, idWidth, false).space(1)
	if d.Kind == kindPools {
		l.put(plain, fmt.Sprintf("%s: %d running", d.Name, len(d.Running)))
		if state, style := stateOf(d); state != "" {
			l.space(1).put(style, state)
		}
		return l.String()
	}
	p := d.Sample
	if p == nil {
		p = &api.Sample{}
	}
	width := barWidth
	if s.width < 60 {
		width = 5
	}
	l.raw(load(value(p.Utilization)), bar(value(p.Utilization), width))
	l.cell(plain, known(p.Utilization, percentText), 5, true)
	if state, style := stateOf(d); state != "" {
		l.space(1).put(style, state)
	}
	for _, field := range []string{
		"mem " + memoryText(p),
		"res " + reservedText(d),
		known(p.Power, wholeText) + "W",
		known(p.Temperature, wholeText) + "°C",
		counted(len(d.Running), "job"),
		known(p.SMClock, clockText) + "MHz",
		"load " + known(p.Load1, func(v float64) string { return fmt.Sprintf("%.2f", v) }),
		"mem " + known(p.MemoryClock, clockText) + "MHz",
		"limit " + known(p.PowerLimit, wholeText) + "W",
		"held back: " + throttledText(p),
		d.Name,
	} {
		if !l.offer(plain, field) {
			break
		}
	}
	return l.String()
}

func clockText(v int64) string   { return strconv.FormatInt(v/1_000_000, 10) }
func wholeText(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }

func memoryText(p *api.Sample) string {
	if p.MemoryUsed == nil && p.MemoryTotal == nil {
		return absent
	}
	return known(p.MemoryUsed, sizeText) + "/" + known(p.MemoryTotal, sizeText)
}

// reservedText is the memory that weft's jobs have reserved.
func reservedText(d *device) string {
	if d.MemoryBytes == 0 {
		return absent
	}
	return sizeText(d.MemoryBytes - d.FreeBytes)
}

func throttledText(p *api.Sample) string {
	switch {
	case p.Throttled == nil:
		return absent
	case len(p.Throttled) == 0:
		return "no"
	}
	return strings.Join(p.Throttled, ",")
}

// load is the colour of how busy something is.
func load(v float64) style {
	switch {
	case v >= 0.9:
		return good
	case v >= 0.5:
		return accent
	}
	return plain
}

// stateOf is what is wrong with a device or its sensors; "": nothing.
func stateOf(d *device) (string, style) {
	p := d.Sample
	switch {
	case d.State != api.DeviceReady && d.Message != "":
		return d.State + ": " + d.Message, bad
	case d.State != api.DeviceReady:
		return d.State, warn
	case p != nil && p.State != api.SampleOK && p.State != "":
		return p.State + ": " + p.Reason, bad
	case p != nil && p.Stale:
		return "stale: " + p.Reason, warn
	}
	return "", plain
}

// strips are the lines of the devices, at most so many.
func (s *Screen) strips(most int) []string {
	id := 3
	for _, d := range s.devices {
		id = max(id, min(table.Width(table.Clean(d.ID)), 8))
	}
	var out []string
	for i, d := range s.devices {
		if len(out) == most-1 && len(s.devices) > most {
			rest := fmt.Sprintf("and %s more", counted(len(s.devices)-i, "device"))
			return append(out, newLine(s.look, s.width).put(dim, rest).String())
		}
		if len(out) < most {
			out = append(out, s.strip(d, id))
		}
	}
	return out
}

// graphed are the devices that have something to draw.
func (s *Screen) graphed() []*device {
	var out []*device
	for _, d := range s.devices {
		if len(d.utilization) > 0 {
			out = append(out, d)
		}
	}
	return out
}

// graphs draws utilization and memory of a device side by side, height lines
// in all.
func (s *Screen) graphs(d *device, height int) []string {
	const gap = 2
	half := (s.width - gap) / 2
	titles := [2]string{d.ID + " utilization", d.ID + " memory"}
	values := [2][]float64{d.utilization, d.memory}
	var pictures [2][]string
	for i, v := range values {
		pictures[i] = area(v, half, height-1, 1)
	}
	head := newLine(s.look, s.width)
	for i, v := range values {
		now := absent
		if last := v[len(v)-1]; !math.IsNaN(last) {
			now = percentText(last)
		}
		head.cell(dim, titles[i]+" "+now+", last "+durationText(time.Duration(2*half)*s.every), half, false).space(gap)
	}
	out := []string{head.String()}
	for y := range height - 1 {
		l := newLine(s.look, s.width)
		l.raw(accent, pictures[0][y]).space(gap).raw(good, pictures[1][y])
		out = append(out, l.String())
	}
	return out
}

// lanes says which jobs share the lanes of the devices, at most so many lines.
func (s *Screen) lanes(most int) []string {
	var out []string
	for _, d := range s.devices {
		if len(d.Gangs) == 0 {
			continue
		}
		l := newLine(s.look, s.width)
		l.put(dim, d.ID+" lanes")
		for i, g := range d.Gangs {
			text, style := s.gangText(g)
			if l.offer(style, text) {
				continue
			}
			if len(out)+1 >= most {
				l.offer(dim, fmt.Sprintf("+%d", len(d.Gangs)-i))
				break
			}
			out = append(out, l.String())
			l = newLine(s.look, s.width)
			l.space(len(d.ID)+len(" lanes")+2).put(style, text)
		}
		if out = append(out, l.String()); len(out) >= most {
			return out[:most]
		}
	}
	return out
}

// gangNames is how many jobs of a gang are named.
const gangNames = 3

// gangText is a lane with its jobs: "0▶ 12 lenet, 13 mlp +6".
func (s *Screen) gangText(g api.Gang) (string, style) {
	sign, style := "· ", dim
	if g.Working {
		sign, style = "▶ ", plain
	}
	var names []string
	for _, id := range g.Jobs[:min(len(g.Jobs), gangNames)] {
		name := strconv.FormatInt(id, 10)
		if j := s.jobs.all[id]; j != nil && j.Name != "" {
			name += " " + cut(table.Clean(j.Name), 16)
		}
		names = append(names, name)
	}
	text := strconv.Itoa(g.Lane) + sign + strings.Join(names, ", ")
	if more := len(g.Jobs) - len(names); more > 0 {
		text += fmt.Sprintf(" +%d", more)
	}
	return text, style
}
