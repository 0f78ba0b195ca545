package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"weft/daemon/api"
	"weft/gpu"
)

// A gpuFinder knows what the last probe of the machine's GPUs found.
type gpuFinder struct {
	ask     func(context.Context) gpu.Discovery
	probing sync.Mutex // held while asking

	mu   sync.Mutex // guards last
	last gpu.Discovery
}

// probe asks the driver anew.
func (f *gpuFinder) probe(ctx context.Context) gpu.Discovery {
	f.probing.Lock()
	defer f.probing.Unlock()
	d := f.ask(ctx)
	if ctx.Err() == nil {
		f.mu.Lock()
		f.last = d
		f.mu.Unlock()
	}
	return d
}

func (f *gpuFinder) found() gpu.Discovery {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// The devices that weft serve can be told to serve.
const (
	serveAuto = "auto" // the CPU and every GPU found
	serveCPU  = "cpu"
	serveGPU  = "gpu" // every GPU found
)

// serves says which devices a daemon is to have.
type serves struct {
	cpu, allGPUs bool
	gpus         []string // of these too: gpu0
	must         bool     // have a GPU
}

// parseServes reads what --device says.
func parseServes(names []string) (serves, error) {
	var s serves
	if len(names) == 0 {
		names = []string{serveAuto}
	}
	for _, name := range names {
		id := strings.Replace(name, ":", "", 1)
		switch number, numbered := strings.CutPrefix(id, serveGPU); {
		case name == serveAuto:
			s.cpu, s.allGPUs = true, true
		case name == serveCPU:
			s.cpu = true
		case name == serveGPU:
			s.allGPUs, s.must = true, true
		case numbered && number != "" && strings.Trim(number, "0123456789") == "":
			s.gpus, s.must = append(s.gpus, id), true
		default:
			return s, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("unknown device %q", name),
				Hint: "--device auto, cpu, gpu or gpu:0, or several with commas between"}
		}
	}
	return s, nil
}

// asks reports whether GPUs are to be looked for.
func (s *serves) asks() bool { return s.allGPUs || len(s.gpus) > 0 }

func (s *serves) takes(id string) bool { return s.allGPUs || slices.Contains(s.gpus, id) }

// check refuses to serve GPUs that are not there.
func (s *serves) check(d *gpu.Discovery) error {
	if s.must && d.Fault != nil {
		return &api.Error{Code: api.CodeNotFound, Message: "cannot serve a GPU: " + d.Fault.Message, Hint: d.Fault.Hint}
	}
	for _, id := range s.gpus {
		if !slices.ContainsFunc(d.Usable(), func(g gpu.Found) bool { return gpu.IDOf(g.Index) == id }) {
			why := ""
			for _, g := range d.Devices {
				if gpu.IDOf(g.Index) == id {
					why = ": " + g.Unusable
				}
			}
			return &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("cannot serve %s%s", id, why),
				Hint: "there is " + listGPUs(d)}
		}
	}
	return nil
}

// listGPUs names the GPUs that weft can use.
func listGPUs(d *gpu.Discovery) string {
	var names []string
	for _, g := range d.Usable() {
		names = append(names, fmt.Sprintf("%s (%s)", gpu.IDOf(g.Index), g.Name))
	}
	if len(names) == 0 {
		return "no GPU"
	}
	return strings.Join(names, ", ")
}

// logGPUs tells the log what there is.
func logGPUs(log *slog.Logger, d *gpu.Discovery) {
	if d.Fault != nil {
		log.Info("no GPU; jobs run on the CPU", "code", d.Fault.Code, "why", d.Fault.Message)
	}
	for _, g := range d.Devices {
		args := []any{"device", gpu.IDOf(g.Index), "name", g.Name, "memory", g.MemoryBytes,
			"capability", fmt.Sprintf("%d.%d", g.Major, g.Minor)}
		if g.Unusable != "" {
			log.Warn("GPU cannot be used", append(args, "why", g.Unusable)...)
		} else {
			log.Info("GPU found", args...)
		}
	}
}
