package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weft/gpu"
	"weft/gpu/nvml"
	"weft/gpu/train"
)

// gpuPatience is how long the start of a daemon waits for its GPUs: for the
// driver, and for the kernels to be compiled, which it remembers. A GPU that
// takes longer joins later.
const gpuPatience = 30 * time.Second

// openHardware starts the workers: the loader, and one for each device.
func openHardware(ctx context.Context, cfg Config) (hw hardware, err error) {
	defer func() {
		if err != nil {
			hw.close()
		}
	}()
	serve, err := parseServes(cfg.Devices)
	if err != nil {
		return hw, err
	}
	hw.gpus = &gpuFinder{ask: func(ctx context.Context) gpu.Discovery { return gpu.Discover(ctx, cfg.Program) }}
	probed := make(chan gpu.Discovery, 1)
	go func() { // it ends within the probe's deadline
		if serve.asks() {
			probed <- hw.gpus.probe(ctx)
		} else {
			probed <- gpu.Discovery{}
		}
	}()
	l, err := gpu.OpenLoader(ctx, gpu.LoaderConfig{Program: cfg.Program, Log: cfg.Log})
	if err != nil {
		return hw, err
	}
	hw.loader = hostLoader{l}
	if serve.cpu {
		dev, err := gpu.OpenHost(ctx, gpu.HostConfig{
			Program: cfg.Program, Threads: cfg.Threads, Slots: cfg.Slots, MemoryBytes: cfg.MemoryBytes,
			Sharing: cfg.Sharing, Log: cfg.Log,
		})
		if err != nil {
			return hw, err
		}
		hw.devices = append(hw.devices, ownDevice{dev})
		hw.sensors.host = new(hostMeter).read
	}
	pools, err := openPools(ctx, cfg)
	if err != nil {
		return hw, err
	}
	hw.devices = append(hw.devices, pools)
	found := <-probed
	if !serve.asks() {
		hw.gpus.last.Fault = notServed()
		return hw, ctx.Err()
	}
	logGPUs(cfg.Log, &found)
	if err := serve.check(&found); err != nil {
		return hw, err
	}
	if len(found.Usable()) > 0 {
		hw.sensors.gpus = namesOf(&found)
		hw.sensors.watch = watchGPUs(cfg)
	}
	return hw, errors.Join(hw.openGPUs(ctx, cfg, &serve, &found), ctx.Err())
}

// watchGPUs has a worker read the GPUs' sensors.
func watchGPUs(cfg Config) func(func(nvml.Frame), func(*nvml.Error)) func(context.Context) error {
	return func(onFrame func(nvml.Frame), onDown func(*nvml.Error)) func(context.Context) error {
		w := nvml.Watch(nvml.WatchConfig{Program: cfg.Program, Source: nvml.Source(), Every: cfg.SampleEvery,
			OnFrame: onFrame, OnDown: onDown, Log: cfg.Log})
		return w.Close
	}
}

func notServed() *train.Fault {
	return &train.Fault{Code: "not_served", Message: "weft serve was told to leave GPUs alone",
		Hint: "weft serve --device auto serves them"}
}

// openGPUs starts the workers of all GPUs at once.
func (hw *hardware) openGPUs(ctx context.Context, cfg Config, serve *serves, found *gpu.Discovery) error {
	ctx, stop := context.WithTimeout(ctx, gpuPatience)
	defer stop()
	type opened struct {
		dev *gpu.Device
		err error
	}
	var waiting []chan opened
	for _, g := range found.Usable() {
		id := gpu.IDOf(g.Index)
		if !serve.takes(id) {
			continue
		}
		done := make(chan opened, 1)
		waiting = append(waiting, done)
		go func() {
			dev, err := gpu.OpenGPU(ctx, gpu.GPUConfig{
				Program: cfg.Program, ID: id, Index: g.Index, UUID: g.UUID, Name: g.Name, TotalBytes: g.MemoryBytes,
				MemoryBytes: cfg.GPUMemoryBytes, Slots: cfg.Slots, Sharing: cfg.Sharing, Log: cfg.Log,
			})
			done <- opened{dev, err}
		}()
	}
	var errs []error
	for _, done := range waiting {
		o := <-done
		if o.err != nil {
			errs = append(errs, fmt.Errorf("serve GPUs: %w", o.err))
			continue
		}
		hw.devices = append(hw.devices, ownDevice{o.dev})
	}
	return errors.Join(errs...)
}

// close ends what openHardware started before it failed.
func (hw *hardware) close() {
	for _, dev := range hw.devices {
		dev.Kill()
	}
	if hw.loader != nil {
		ctx, stop := context.WithTimeout(context.Background(), shutdownTimeout)
		defer stop()
		_ = hw.loader.Close(ctx) // the error that matters is another
	}
	*hw = hardware{}
}
