package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"weft/daemon/api"
	"weft/daemon/store"
	"weft/daemon/watchdog"
	"weft/gpu"
	"weft/gpu/nvml"
)

const (
	sampleEvery  = time.Second // unless Config says otherwise
	sampleMemory = time.Hour   // every sample is kept for so long
	sampleMinute = time.Minute // and sums of so much in the store
	mostReadings = 36_000      // of a device in memory
	mostDue      = 10_000      // minutes that wait for a store that fails

	hostID = "cpu" // of the device that is the host
)

// sensors are where samples come from. A nil func: there is nothing of the kind.
type sensors struct {
	// host reads the host, at once.
	host func() api.Readings
	// watch has the GPUs read by a worker until the returned func is called.
	watch func(onFrame func(nvml.Frame), onDown func(*nvml.Error)) (end func(context.Context) error)
	// gpus are the devices by what the driver calls them, UUID or place on the
	// PCI bus.
	gpus map[string]string
}

// namesOf finds weft's name for each GPU of a discovery.
func namesOf(found *gpu.Discovery) map[string]string {
	names := map[string]string{}
	for _, g := range found.Devices {
		for _, name := range []string{g.UUID, g.PCI} {
			if name != "" {
				names[name] = gpu.IDOf(g.Index)
			}
		}
	}
	return names
}

// A sampler knows what the devices' sensors say and said. It has two
// goroutines, run and keep, which end with their context; requests only look.
type sampler struct {
	every time.Duration
	log   *slog.Logger
	from  sensors
	store *store.Store
	full  chan struct{} // holds one token when minutes are due

	mu      sync.Mutex          // guards what follows
	devices map[string]*sampled // by id; the keys never change
	fault   *nvml.Error         // why GPUs are not read; nil: they are
	due     []store.DevicePoint // for the store
}

// sampled is what is known of one device.
type sampled struct {
	kind   string
	latest *api.Sample // nil: nothing yet
	ring   *ring
	minute *tally // being filled; nil: nothing in it
	energy energyCount
}

func newSampler(cfg Config, st *store.Store, from sensors, seats []*seat) *sampler {
	s := &sampler{every: cfg.SampleEvery, log: cfg.Log, from: from, store: st, full: make(chan struct{}, 1),
		devices: map[string]*sampled{}}
	size := min(int(sampleMemory/s.every)+1, mostReadings)
	for _, seat := range seats {
		s.devices[seat.info.ID] = &sampled{kind: seat.info.Kind, ring: newRing(size)}
	}
	return s
}

// run samples until ctx ends.
func (s *sampler) run(ctx context.Context, loop *watchdog.Loop) {
	defer loop.Done()
	if s.from.watch != nil {
		end := s.from.watch(s.frame, s.down)
		defer func() {
			ctx, stop := context.WithTimeout(context.Background(), shutdownTimeout)
			defer stop()
			if err := end(ctx); err != nil {
				s.log.Warn("sensors' worker", "error", err)
			}
		}()
	}
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		loop.Tick()
		now := time.Now()
		if s.from.host != nil {
			r := s.from.host()
			s.mu.Lock()
			s.record(hostID, api.Sample{At: now, State: api.SampleOK, Readings: r})
			s.mu.Unlock()
		}
		s.endMinutes(now)
		loop.Idle()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// keep writes minutes to the store until ctx ends, and then what is left. A
// store that fails is tried again with the next minute.
func (s *sampler) keep(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			s.endMinutes(time.Now().Add(sampleMinute + 2*s.every))
			ctx, stop := context.WithTimeout(context.Background(), shutdownTimeout)
			defer stop()
			s.write(ctx)
			return
		case <-s.full:
			s.write(ctx)
		}
	}
}

func (s *sampler) write(ctx context.Context) {
	s.mu.Lock()
	due := s.due
	s.due = nil
	s.mu.Unlock()
	err := s.store.AddSamples(ctx, due, time.Now())
	if err == nil {
		return
	}
	s.log.Warn("samples wait for the store", "points", len(due), "error", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.due = append(due, s.due...)
	s.due = s.due[max(0, len(s.due)-mostDue):] // the oldest are given up
}

// frame takes in what the GPUs' worker tells.
func (s *sampler) frame(f nvml.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Fault != nil {
		s.blame(f.Fault)
		return
	}
	if s.fault != nil {
		s.log.Info("sensors of GPUs are read again")
	}
	s.fault = nil
	for i := range f.Samples {
		one := &f.Samples[i]
		id, known := s.from.gpus[one.UUID]
		if !known {
			id = s.from.gpus[one.PCI]
		}
		if s.devices[id] == nil {
			continue // weft does not serve it
		}
		sample := api.Sample{At: f.At, State: one.State, Reason: one.Reason, Hint: one.Hint,
			Readings: api.Readings(one.Readings)}
		if one.Processes != nil {
			sample.Processes = []api.DeviceProcess{}
		}
		for _, p := range one.Processes {
			sample.Processes = append(sample.Processes, api.DeviceProcess(p))
		}
		s.record(id, sample)
	}
}

// down takes in that the GPUs' worker ended.
func (s *sampler) down(e *nvml.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blame(e)
}

// blame remembers why GPUs are not read. The caller holds mu.
func (s *sampler) blame(e *nvml.Error) {
	if s.fault == nil || s.fault.Message != e.Message {
		s.log.Warn("sensors of GPUs are not read", "code", e.Code, "error", e.Message)
	}
	s.fault = e
}

// record takes in a sample of a device that is known. The caller holds mu.
func (s *sampler) record(id string, sample api.Sample) {
	d := s.devices[id]
	if d == nil {
		return
	}
	if was := d.latest; was == nil && sample.State != api.SampleOK || was != nil && was.State != sample.State {
		if sample.State == api.SampleOK {
			s.log.Info("device's sensors answer again", "device", id)
		} else {
			s.log.Warn("device's sensors do not answer", "device", id, "state", sample.State, "reason", sample.Reason)
		}
	}
	d.latest = &sample
	if sample.State != api.SampleOK {
		return // it has no readings
	}
	d.energy.add(sample.At, sample.Energy, sample.Power)
	r := readingOf(&sample)
	d.ring.add(r)
	if d.minute != nil && !d.minute.begins.Equal(sample.At.Truncate(sampleMinute)) {
		s.endMinute(id, d)
	}
	if d.minute == nil {
		d.minute = newTally(sample.At.Truncate(sampleMinute))
		d.minute.first = sample.At
	}
	d.minute.add(r)
}

// endMinutes has every minute that is over by now written, also of devices that
// are not sampled any more.
func (s *sampler) endMinutes(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, d := range s.devices {
		// The worker of GPUs may be a little behind.
		if d.minute != nil && now.Sub(d.minute.begins) >= sampleMinute+2*s.every {
			s.endMinute(id, d)
		}
	}
}

// endMinute queues a device's minute. The caller holds mu.
func (s *sampler) endMinute(id string, d *sampled) {
	p := d.minute.point()
	p.At = d.minute.first
	s.due = append(s.due, store.DevicePoint{Device: id, Point: p})
	d.minute = nil
	select {
	case s.full <- struct{}{}:
	default: // keep knows
	}
}

// latest is a device's last sample as it stands now; nil: there is none.
func (s *sampler) latest(id string, now time.Time) *api.Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.devices[id]
	if d == nil {
		return nil
	}
	fault := s.fault
	if d.kind != kindGPU {
		fault = nil
	}
	if d.latest == nil {
		if fault == nil {
			return nil
		}
		return &api.Sample{At: now, State: api.SampleFailing, Reason: fault.Message, Hint: fault.Hint}
	}
	sample := *d.latest
	age := now.Sub(sample.At)
	switch {
	case fault != nil:
		sample.Stale, sample.Reason, sample.Hint = true, fault.Message, fault.Hint
	case age > max(3*s.every, 3*time.Second):
		sample.Stale, sample.Hint = true, "weft doctor; the daemon's log says more"
		sample.Reason = fmt.Sprintf("its sensors have told nothing for %s", age.Round(time.Second))
	}
	return &sample
}

// drawn is what a device drew since it is sampled.
func (s *sampler) drawn(id string) drawn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.devices[id]; d != nil {
		return d.energy.sum
	}
	return drawn{}
}

// recent returns the readings in memory from since on and before until, and
// from when on they are complete.
func (s *sampler) recent(id string, since, until time.Time) (readings []reading, complete time.Time, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.devices[id]
	if d == nil {
		return nil, time.Time{}, false
	}
	complete = d.ring.complete(until)
	if since.Before(complete) {
		since = complete
	}
	return d.ring.between(since, until), complete, true
}

// ids lists the devices that are sampled.
func (s *sampler) ids() []string { return slices.Sorted(maps.Keys(s.devices)) }
