package metrics

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weft/daemon/api"
)

// A family is a metric that is read at a scrape.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func gauge(name, help string, labels ...string) family {
	return family{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue}
}

func counter(name, help string, labels ...string) family {
	return family{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue}
}

// tell sends one sample. A label that is not UTF-8 is the scrape's problem, not
// the daemon's: the sample is reported as an error and the others are served.
func (f family) tell(to chan<- prometheus.Metric, v float64, labels ...string) {
	one, err := prometheus.NewConstMetric(f.desc, f.kind, v, labels...)
	if err != nil {
		one = prometheus.NewInvalidMetric(f.desc, err)
	}
	to <- one
}

// oneOf tells for each of all whether it is the one.
func (f family) oneOf(to chan<- prometheus.Metric, one string, all []string, labels ...string) {
	for _, s := range all {
		f.tell(to, truth(s == one), append(slices.Clone(labels), s)...)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Families of the daemon as a whole.
var (
	jobsActive = gauge("weft_jobs", "Jobs that have not ended.", "kind", "state")
	jobsQueued = gauge("weft_queue_jobs", "Jobs in the queue by what they wait for, as of the last plan.", "reason")
	loopAge    = gauge("weft_loop_age_seconds",
		"How long ago a loop of the daemon gave its last sign of life; 0 while it waits for work.", "loop")
	dropped = counter("weft_http_streams_dropped_total",
		"Streams that were cut off as their reader had fallen too far behind.")
	draining  = gauge("weft_draining", "1 while the daemon is stopping and starts nothing, else 0.")
	writable  = gauge("weft_store_writable", "1 while the store takes changes, 0 while it refuses them and no job starts.")
	storeSize = gauge("weft_store_size_bytes", "Size of the store's files: the database and its write-ahead log.", "file")
	diskFree  = gauge("weft_state_filesystem_free_bytes", "Free space that the daemon may use on the state directory's file system.")
	diskSize  = gauge("weft_state_filesystem_size_bytes", "Size of the state directory's file system.")
	buildInfo = gauge("weft_build_info", "1; which daemon this is.", "version", "commit", "go_version")
)

var daemonFamilies = []family{jobsActive, jobsQueued, loopAge, dropped, draining, writable, storeSize, diskFree,
	diskSize, buildInfo}

// A collector reads a Source.
type collector struct {
	m    *Metrics
	from Source
}

// Watch adds what src tells to every scrape. It is called once.
func (m *Metrics) Watch(src Source) { m.registry.MustRegister(&collector{m, src}) }

// Describe is prometheus.Collector's.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, list := range [][]family{daemonFamilies, deviceFamilies, readingFamilies()} {
		for _, f := range list {
			to <- f.desc
		}
	}
	to <- quanta
	c.m.trips.Describe(to)
}

// Collect is prometheus.Collector's.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	now := time.Now()
	c.jobs(to)
	c.loops(to)
	c.disk(to)
	dropped.tell(to, float64(c.from.StreamsDropped()))
	v := &c.from.Version
	buildInfo.tell(to, 1, v.Version, v.Commit, v.Go)
	for _, d := range c.from.Devices() {
		d.collect(to, now)
	}
}

func (c *collector) jobs(to chan<- prometheus.Metric) {
	j := c.from.Jobs()
	kinds := map[api.Kind]bool{}
	for _, k := range api.Kinds {
		kinds[k] = true
	}
	for class := range j.Active {
		kinds[class.Kind] = true
	}
	for kind := range kinds {
		for _, s := range api.States {
			if !s.Final() {
				jobsActive.tell(to, float64(j.Active[Class{kind, s}]), string(kind), string(s))
			}
		}
	}
	for reason, n := range j.Waiting {
		jobsQueued.tell(to, float64(n), reason)
	}
	writable.tell(to, truth(!j.Failing))
	draining.tell(to, truth(j.Draining))
}

// loops tells of the oldest where several have one name, and has each counted
// from 0.
func (c *collector) loops(to chan<- prometheus.Metric) {
	ages := map[string]time.Duration{}
	for _, l := range c.from.Loops() {
		ages[l.Name] = max(ages[l.Name], l.Age)
	}
	for _, name := range slices.Sorted(maps.Keys(ages)) {
		loopAge.tell(to, ages[name].Seconds(), name)
		c.m.trips.WithLabelValues(name)
	}
	c.m.trips.Collect(to)
}

func (c *collector) disk(to chan<- prometheus.Metric) {
	d := c.from.Disk()
	for _, one := range []struct {
		f     family
		bytes int64
		label []string
	}{
		{storeSize, d.DatabaseBytes, []string{"database"}}, {storeSize, d.WALBytes, []string{"wal"}},
		{diskFree, d.FreeBytes, nil}, {diskSize, d.SizeBytes, nil},
	} {
		if one.bytes >= 0 {
			one.f.tell(to, float64(one.bytes), one.label...)
		}
	}
}

// Families of each device, apart from what its sensors read.
var (
	deviceInfo  = gauge("weft_device_info", "1; what a device is.", "device", "kind", "name")
	deviceState = gauge("weft_device_state", "1 for the state that a device's worker is in, 0 for the others.", "device", "state")
	lanes       = gauge("weft_device_lanes", "Lanes of a device, which work side by side.", "device")
	slots       = gauge("weft_device_slots", "Jobs that may be on a device at once.", "device")
	runningJobs = gauge("weft_device_running_jobs", "Jobs that are on a device.", "device")
	jobMemory   = gauge("weft_device_job_memory_bytes", "Memory of a device that jobs and their data may take.", "device")
	jobReserved = gauge("weft_device_job_memory_reserved_bytes",
		"Memory of a device that is reserved for jobs and their data, or lost to other processes.", "device")
	busy = counter("weft_device_busy_seconds_total",
		"Time that a device was at work: of a GPU its own, of the others the sum over lanes.", "device")
	sensors = gauge("weft_device_sensors",
		"1 for the state that a device's sensors are in, 0 for the others; readings are exported while it is ok.", "device", "state")
	sampleAge = gauge("weft_device_sample_age_seconds", "Age of the last sample of a device's sensors.", "device")

	quanta = prometheus.NewDesc("weft_device_quantum_duration_seconds",
		"Time that a lane worked on a job, or on a gang, in one go.", []string{"device"}, nil)
)

var deviceFamilies = []family{deviceInfo, deviceState, lanes, slots, runningJobs, jobMemory, jobReserved, busy,
	sensors, sampleAge}

var (
	deviceStates = []string{api.DeviceReady, api.DeviceStarting, api.DeviceRestarting, api.DeviceFailing}
	sensorStates = []string{api.SampleOK, api.SampleLost, api.SampleFailing, sensorsStale, sensorsNone}
)

// What sensors may be besides the states of a sample.
const (
	sensorsStale = "stale" // the last sample is too old
	sensorsNone  = "none"  // there was never one
)

func (d *Device) collect(to chan<- prometheus.Metric, now time.Time) {
	deviceInfo.tell(to, 1, d.ID, d.Kind, strings.ToValidUTF8(d.Name, "\uFFFD"))
	deviceState.oneOf(to, d.State, deviceStates, d.ID)
	lanes.tell(to, float64(d.Lanes), d.ID)
	slots.tell(to, float64(d.Slots), d.ID)
	runningJobs.tell(to, float64(d.Running), d.ID)
	jobMemory.tell(to, float64(d.MemoryBytes), d.ID)
	jobReserved.tell(to, float64(d.ReservedBytes), d.ID)
	if d.Activity != nil {
		busy.tell(to, d.Activity.BusySeconds, d.ID)
	}
	if d.Activity != nil && len(d.Activity.Counts) > 0 {
		d.Activity.collect(to, d.ID)
	}
	s := d.Sample
	sensors.oneOf(to, sensorState(s), sensorStates, d.ID)
	if s == nil {
		return
	}
	if s.State == api.SampleOK || s.Stale {
		sampleAge.tell(to, max(0, now.Sub(s.At).Seconds()), d.ID)
	}
	if s.State == api.SampleOK && !s.Stale {
		collectReadings(to, d.ID, s)
	}
}

func sensorState(s *api.Sample) string {
	switch {
	case s == nil:
		return sensorsNone
	case s.Stale && s.State == api.SampleOK:
		return sensorsStale
	default:
		return s.State
	}
}

// collect tells of quanta as a histogram, whose buckets are summed up.
func (a *Activity) collect(to chan<- prometheus.Metric, device string) {
	buckets := make(map[float64]uint64, len(a.Bounds))
	var total uint64
	for i, n := range a.Counts {
		total += n
		if i < len(a.Bounds) {
			buckets[a.Bounds[i]] = total
		}
	}
	one, err := prometheus.NewConstHistogram(quanta, total, a.Sum, buckets, device)
	if err != nil {
		one = prometheus.NewInvalidMetric(quanta, err)
	}
	to <- one
}
