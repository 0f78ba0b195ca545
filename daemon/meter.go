package daemon

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"weft/daemon/api"
)

// A meter counts what Prometheus asks for; its registry is its own, so that
// two daemons in one process do not meet.
type meter struct {
	registry *prometheus.Registry
	restarts *prometheus.CounterVec // by device
	trips    *prometheus.CounterVec // by loop
	ends     *prometheus.CounterVec // by state
	waits    prometheus.Histogram
}

func newMeter() *meter {
	m := &meter{
		registry: prometheus.NewRegistry(),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weft_worker_restarts_total", Help: "Workers that died and were started again.",
		}, []string{"device"}),
		trips: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weft_watchdog_trips_total", Help: "Loops of the daemon that were silent for too long.",
		}, []string{"loop"}),
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weft_jobs_ended_total", Help: "Jobs that ended since the daemon was started.",
		}, []string{"state"}),
		waits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "weft_queue_wait_seconds", Help: "Time from queued to started.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 12),
		}),
	}
	m.registry.MustRegister(m.restarts, m.trips, m.ends, m.waits,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, s := range api.States {
		if s.Final() {
			m.ends.WithLabelValues(string(s))
		}
	}
	return m
}

// watch adds the gauge of jobs that have not ended.
func (m *meter) watch(b *board) {
	for _, s := range api.States {
		if s.Final() {
			continue
		}
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "weft_jobs", Help: "Jobs that have not ended.",
			ConstLabels: prometheus.Labels{"state": string(s)},
		}, func() float64 {
			b.mu.RLock()
			defer b.mu.RUnlock()
			return float64(b.counts[s])
		}))
	}
}

func (m *meter) ended(s api.State)      { m.ends.WithLabelValues(string(s)).Inc() }
func (m *meter) waited(d time.Duration) { m.waits.Observe(d.Seconds()) }

func (m *meter) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
