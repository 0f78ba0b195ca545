package metrics

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"weft/daemon/api"
)

// Metrics counts what happens in one daemon. Its registry is its own, so that
// two daemons in one process do not meet. The methods are safe for concurrent
// use.
type Metrics struct {
	registry *prometheus.Registry
	jobs     jobMetrics
	store    storeMetrics
	http     httpMetrics
	restarts *prometheus.CounterVec // by device
	trips    *prometheus.CounterVec // by loop; collected with the loops that there are
}

type jobMetrics struct {
	submitted *prometheus.CounterVec   // by kind
	ended     *prometheus.CounterVec   // by kind and state
	requeued  *prometheus.CounterVec   // by kind
	wait      *prometheus.HistogramVec // by kind
	running   *prometheus.HistogramVec // by kind
	steps     *prometheus.CounterVec   // this and the following by device
	seconds   *prometheus.CounterVec
	cpu       *prometheus.CounterVec
	energy    *prometheus.CounterVec
}

type storeMetrics struct {
	commits  *prometheus.HistogramVec // by durability
	failures prometheus.Counter
}

// New returns counters that stand at 0. Only what Watch adds is missing.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		restarts: counters("weft_worker_restarts_total", "Workers that died and were started again.", "device"),
		trips:    counters("weft_watchdog_trips_total", "Times that a loop of the daemon was silent for too long.", "loop"),
		http:     newHTTPMetrics(),
		jobs: jobMetrics{
			submitted: counters("weft_jobs_submitted_total", "Jobs that were submitted.", "kind"),
			ended:     counters("weft_jobs_ended_total", "Jobs that ended, by how they did.", "kind", "state"),
			requeued: counters("weft_jobs_requeued_total",
				"Times that a running job was put back into the queue: preempted, drained, tried again, or its worker died.", "kind"),
			wait: histograms("weft_queue_wait_seconds", "Time from queued to started.",
				prometheus.ExponentialBuckets(0.001, 4, 12), "kind"),
			running: histograms("weft_job_running_seconds", "Time that jobs spent running until they ended, over all attempts.",
				prometheus.ExponentialBuckets(0.016, 4, 12), "kind"),
			steps: counters("weft_jobs_steps_total",
				"Steps that jobs took, those taken again after a fault included: optimizer steps of training, items of CPU jobs.", "device"),
			seconds: counters("weft_jobs_device_seconds_total", "Device time charged to jobs.", "device"),
			cpu:     counters("weft_jobs_cpu_seconds_total", "Processor time charged to jobs.", "device"),
			energy:  counters("weft_jobs_energy_joules_total", "Energy charged to jobs, where the device tells its power.", "device"),
		},
		store: storeMetrics{
			commits: histograms("weft_store_commit_duration_seconds",
				"Time that transactions took, by what their commit promises: synced ones outlive a loss of power.",
				prometheus.ExponentialBuckets(0.0001, 4, 9), "durability"),
			failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "weft_store_failures_total",
				Help: "Transactions that the disk or the database refused."}),
		},
	}
	m.registry.MustRegister(m.restarts, m.jobs.submitted, m.jobs.ended, m.jobs.requeued, m.jobs.wait,
		m.jobs.running, m.jobs.steps, m.jobs.seconds, m.jobs.cpu, m.jobs.energy, m.store.commits, m.store.failures,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.http.register(m.registry)
	m.begin()
	return m
}

// begin makes the counters that are known by name, for an increase from nothing
// to 1 is none to Prometheus.
func (m *Metrics) begin() {
	for _, kind := range api.Kinds {
		for _, s := range api.States {
			if s.Final() {
				m.jobs.ended.WithLabelValues(string(kind), string(s))
			}
		}
		m.jobs.submitted.WithLabelValues(string(kind))
		m.jobs.requeued.WithLabelValues(string(kind))
		m.jobs.wait.WithLabelValues(string(kind))
		m.jobs.running.WithLabelValues(string(kind))
	}
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

// AddDevice makes a device's counters.
func (m *Metrics) AddDevice(id string) {
	for _, c := range []*prometheus.CounterVec{m.restarts, m.jobs.steps, m.jobs.seconds, m.jobs.cpu} {
		c.WithLabelValues(id)
	}
}

// WorkerRestarted counts the death of a device's worker.
func (m *Metrics) WorkerRestarted(device string) { m.restarts.WithLabelValues(device).Inc() }

// Tripped counts a loop that the watchdog found silent.
func (m *Metrics) Tripped(loop string) { m.trips.WithLabelValues(loop).Inc() }

// JobSubmitted counts a new job.
func (m *Metrics) JobSubmitted(kind api.Kind) { m.jobs.submitted.WithLabelValues(string(kind)).Inc() }

// JobStarted takes in how long a job had been queued.
func (m *Metrics) JobStarted(kind api.Kind, waited time.Duration) {
	m.jobs.wait.WithLabelValues(string(kind)).Observe(max(0, waited.Seconds()))
}

// JobRequeued counts a job that left its device unfinished.
func (m *Metrics) JobRequeued(kind api.Kind) { m.jobs.requeued.WithLabelValues(string(kind)).Inc() }

// JobEnded counts a job's end; seconds is how long it was running.
func (m *Metrics) JobEnded(kind api.Kind, s api.State, seconds float64) {
	m.jobs.ended.WithLabelValues(string(kind), string(s)).Inc()
	m.jobs.running.WithLabelValues(string(kind)).Observe(max(0, seconds))
}

// Work is what jobs have consumed and come to on a device.
type Work struct {
	Steps         int64
	DeviceSeconds float64
	CPUSeconds    float64
}

// Less is w without what was counted before; what went back counts as nothing.
func (w Work) Less(before Work) Work {
	return Work{Steps: max(0, w.Steps-before.Steps), DeviceSeconds: max(0, w.DeviceSeconds-before.DeviceSeconds),
		CPUSeconds: max(0, w.CPUSeconds-before.CPUSeconds)}
}

// Worked adds up what jobs did on a device.
func (m *Metrics) Worked(device string, w Work) {
	m.jobs.steps.WithLabelValues(device).Add(float64(max(0, w.Steps)))
	m.jobs.seconds.WithLabelValues(device).Add(max(0, w.DeviceSeconds))
	m.jobs.cpu.WithLabelValues(device).Add(max(0, w.CPUSeconds))
}

// EnergyUsed adds up the joules that a device's jobs were charged.
func (m *Metrics) EnergyUsed(device string, joules float64) {
	m.jobs.energy.WithLabelValues(device).Add(max(0, joules))
}

// Committed takes in a transaction: what its commit promises, how long it took,
// and whether the store failed.
func (m *Metrics) Committed(durability string, took time.Duration, failed bool) {
	if failed {
		m.store.failures.Inc()
		return
	}
	m.store.commits.WithLabelValues(durability).Observe(took.Seconds())
}

// Handler answers scrapes. What cannot be told is logged and left out.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling:     promhttp.ContinueOnError,
		EnableOpenMetrics: true,
	})
}
