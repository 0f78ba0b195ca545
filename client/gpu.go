package client

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/urfave/cli/v2"

	"weft/client/table"
	"weft/daemon/api"
)

func (p *program) gpuVerb() verb {
	return verb{
		outputs: []string{outTable, outWide, outJSON, outJSONL},
		cmd: &cli.Command{
			Name: "gpu", Category: groupLook,
			Usage: "devices, and what their sensors say",
			Description: `Lists the GPUs that weft serves and the CPU: how busy they are, the memory in use
and what of it weft has reserved for jobs, power, temperature and clocks, and how
many jobs are on them. A - is what a device or its driver cannot tell. The daemon
reads the sensors every second (weft serve --sample-every), whoever looks.`,
			Flags: []cli.Flag{
				&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "redraw every second, until interrupted"},
			},
			Action: func(c *cli.Context) error {
				if err := exactly(c, 0); err != nil {
					return err
				}
				return p.gpu(c.Context, c.Bool("watch"))
			},
		},
		examples: []example{
			{"weft gpu", "how busy the devices are"},
			{"weft gpu -w", "the same, live"},
			{"weft gpu -o wide", "with limits, clocks, PCIe, errors, energy and processes"},
			{"weft gpu -w -o jsonl", "one JSON object a device and second, for jq"},
		},
		exits: []exit{{exitUnreachable, "no daemon answers"}},
	}
}

// gpuEvery is how often the devices are looked at.
const gpuEvery = time.Second

func (p *program) gpu(ctx context.Context, watch bool) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.Close()
	if watch {
		return p.watchGPUs(ctx, c)
	}
	devices, err := listDevices(ctx, c)
	if err != nil {
		return err
	}
	return p.writeDevices(p.stdout, devices)
}

// listDevices returns the devices, GPUs first.
func listDevices(ctx context.Context, c *api.Client) ([]api.Device, error) {
	devices, err := c.Devices(ctx)
	slices.SortStableFunc(devices, func(a, b api.Device) int {
		if a.Kind == kindPools || b.Kind == kindPools {
			return strings.Compare(a.Kind, b.Kind) // the last
		}
		return strings.Compare(b.Kind, a.Kind) // gpu, cpu
	})
	return devices, err
}

// kindPools is the kind of the device that CPU jobs run on. It is a process and no
// hardware: it has no sensors, and no line in tables.
const kindPools = "pools"

// hasSensors says what weft gpu has a line for.
func hasSensors(d *api.Device) bool { return d.Kind != kindPools }

func (p *program) writeDevices(w io.Writer, devices []api.Device) error {
	switch p.global.output {
	case outJSON:
		return p.writeJSON(devices)
	case outJSONL:
		for i := range devices {
			if err := p.writeJSON(&devices[i]); err != nil {
				return err
			}
		}
		return nil
	}
	var b strings.Builder
	if err := p.deviceTable(devices, p.global.output == outWide).Write(&b); err != nil {
		return err
	}
	for i := range devices {
		writeTroubles(&b, &devices[i])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeTroubles says what is wrong with a device or its sensors, and what to try.
func writeTroubles(b *strings.Builder, d *api.Device) {
	tell := func(what, hint string) {
		fmt.Fprintf(b, "\n%s: %s\n", table.Clean(d.ID), table.Clean(what))
		if hint != "" {
			fmt.Fprintf(b, "try: %s\n", table.Clean(hint))
		}
	}
	if d.State != api.DeviceReady {
		tell("its worker is "+joinedText(d.State, d.Message), d.Hint)
	}
	if s := d.Sample; s != nil && s.Reason != "" {
		tell(s.Reason, s.Hint)
	}
}

func joinedText(a, b string) string {
	if b == "" {
		return a
	}
	return a + ": " + b
}

// absent is what a device cannot tell.
const absent = "-"

// optional writes what may be absent.
func optional[T any](v *T, text func(T) string) string {
	if v == nil {
		return absent
	}
	return text(*v)
}

func percentText(v float64) string   { return strconv.FormatFloat(100*v, 'f', 0, 64) + "%" }
func wattText(v float64) string      { return strconv.FormatFloat(v, 'f', 0, 64) + " W" }
func degreeText(v float64) string    { return strconv.FormatFloat(v, 'f', 0, 64) + " °C" }
func clockText(v int64) string       { return strconv.FormatInt(v/1_000_000, 10) + " MHz" }
func bytesRateText(v float64) string { return sizeText(int64(v)) + "/s" }
func countText(v int64) string       { return strconv.FormatInt(v, 10) }
func loadText(v float64) string      { return strconv.FormatFloat(v, 'f', 2, 64) }

func joulesText(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{3.6e6, "kWh"}, {3.6e3, "Wh"}} {
		if v >= unit.size {
			return strconv.FormatFloat(v/unit.size, 'f', 1, 64) + " " + unit.name
		}
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + " J"
}

// deviceTable lays devices out in the columns that docs name.
func (p *program) deviceTable(devices []api.Device, wide bool) *table.Table {
	right := func(heads ...string) (columns []table.Column) {
		for _, head := range heads {
			columns = append(columns, table.Column{Head: head, Right: true})
		}
		return columns
	}
	t := &table.Table{Width: p.global.width, Colour: p.global.colour, Columns: append([]table.Column{
		{Head: "DEVICE"}, {Head: "NAME", Flexible: true}, {Head: "STATE", Paint: paintDevice}},
		right("UTIL", "MEMORY", "RESERVED", "POWER", "TEMP", "CLOCK", "LOAD", "JOBS")...)}
	if wide {
		t.Width = 0
		t.Columns = append(t.Columns, right("MEM-UTIL", "DRIVER-MEM", "LIMIT", "MEM-CLOCK", "PCIE", "SENT", "RECEIVED",
			"ECC", "MIG", "ENERGY", "XID", "AGE")...)
		t.Columns = append(t.Columns, table.Column{Head: "THROTTLED"}, table.Column{Head: "PROCESSES"})
	}
	now := p.app.Now()
	for i := range devices {
		d := &devices[i]
		if !hasSensors(d) {
			continue
		}
		s := d.Sample
		if s == nil {
			s = &api.Sample{}
		}
		row := []string{d.ID, d.Name, deviceState(d), optional(s.Utilization, percentText), memoryText(s),
			sizeText(d.MemoryBytes - d.FreeBytes), optional(s.Power, wattText), optional(s.Temperature, degreeText),
			optional(s.SMClock, clockText), optional(s.Load1, loadText), strconv.Itoa(len(d.Running))}
		if wide {
			row = append(row, wideReadings(s, now)...)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func wideReadings(s *api.Sample, now time.Time) []string {
	age := absent
	if !s.At.IsZero() {
		age = durationText(now.Sub(s.At))
	}
	mig := optional(s.MIG, func(on bool) string {
		if on {
			return "on"
		}
		return "off"
	})
	link := absent
	if s.PCIeGeneration != nil && s.PCIeWidth != nil {
		link = fmt.Sprintf("gen%d x%d", *s.PCIeGeneration, *s.PCIeWidth)
	}
	errors := absent
	if s.ECCCorrected != nil || s.ECCUncorrected != nil {
		errors = optional(s.ECCCorrected, countText) + "/" + optional(s.ECCUncorrected, countText)
	}
	return []string{optional(s.MemoryUtilization, percentText), optional(s.MemoryReserved, sizeText),
		optional(s.PowerLimit, wattText), optional(s.MemoryClock, clockText), link, optional(s.PCIeSent, bytesRateText),
		optional(s.PCIeReceived, bytesRateText), errors, mig, optional(s.Energy, joulesText), optional(s.Xid, countText), age,
		throttledText(s), processesText(s)}
}

func memoryText(s *api.Sample) string {
	if s.MemoryUsed == nil && s.MemoryTotal == nil {
		return absent
	}
	return optional(s.MemoryUsed, sizeText) + " / " + optional(s.MemoryTotal, sizeText)
}

func throttledText(s *api.Sample) string {
	switch {
	case s.Throttled == nil:
		return absent
	case len(s.Throttled) == 0:
		return "no"
	}
	return strings.Join(s.Throttled, ",")
}

// processesText lists pids with their memory and share of the multiprocessors.
func processesText(s *api.Sample) string {
	if s.Processes == nil {
		return absent
	}
	if len(s.Processes) == 0 {
		return "none"
	}
	all := make([]string, len(s.Processes))
	for i, one := range s.Processes {
		all[i] = fmt.Sprintf("%d (%s, %s)", one.PID, optional(one.MemoryBytes, sizeText),
			optional(one.SMUtilization, percentText))
	}
	return strings.Join(all, ", ")
}

// deviceState is what is to be known of a device first.
func deviceState(d *api.Device) string {
	switch {
	case d.State != api.DeviceReady:
		return d.State
	case d.Sample != nil && d.Sample.State != api.SampleOK && d.Sample.State != "":
		return d.Sample.State
	case d.Sample != nil && d.Sample.Stale:
		return "stale"
	}
	return d.State
}

func paintDevice(state string) string {
	style := lipgloss.NewStyle()
	switch state {
	case api.DeviceReady:
		style = style.Foreground(lipgloss.Green)
	case api.SampleLost, api.DeviceFailing:
		style = style.Foreground(lipgloss.Red)
	default:
		style = style.Foreground(lipgloss.Yellow)
	}
	return style.Render(state)
}

// watchGPUs is weft gpu -w: on a terminal the table, redrawn; with -o jsonl a
// line for each device and second.
func (p *program) watchGPUs(ctx context.Context, c *api.Client) error {
	switch {
	case p.global.output == outJSONL:
		return everySecond(ctx, func() error {
			devices, err := listDevices(ctx, c)
			if err != nil {
				return err
			}
			return p.writeDevices(p.stdout, devices)
		})
	case p.global.output == outJSON:
		return usagef("-o jsonl", "weft gpu -w cannot write %s", p.global.output)
	case !p.global.terminal || !isTerminal(p.stdin):
		return usagef("weft gpu -w -o jsonl, or weft gpu", "weft gpu -w redraws a terminal, and the output is none")
	}
	return p.liveTable(ctx, "devices", func(ctx context.Context, show func(drawing)) error {
		return everySecond(ctx, func() error {
			devices, err := listDevices(ctx, c)
			if err == nil {
				show(func(w io.Writer) error { return p.writeDevices(w, devices) })
			}
			return err
		})
	})
}

// everySecond calls f at once and then every second, until it fails or ctx ends.
func everySecond(ctx context.Context, f func() error) error {
	tick := time.NewTicker(gpuEvery)
	defer tick.Stop()
	for {
		if err := f(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
