package metrics

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// otherLabel stands for routes and methods that the daemon does not have: what a
// client makes up must not become a time series.
const otherLabel = "other"

type httpMetrics struct {
	requests  *prometheus.CounterVec   // by route, method and class of status
	durations *prometheus.HistogramVec // by route and method
	inFlight  prometheus.Gauge
	streams   prometheus.Gauge
}

func newHTTPMetrics() httpMetrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	return httpMetrics{
		requests: counters("weft_http_requests_total",
			"Requests answered, by the pattern of their route and the class of their status.", "route", "method", "code"),
		durations: histograms("weft_http_request_duration_seconds", "Time that answers took, streams left out.",
			[]float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60}, "route", "method"),
		inFlight: gauge("weft_http_requests_in_flight", "Requests being answered, streams included."),
		streams:  gauge("weft_http_streams", "Streams of events or logs that are open."),
	}
}

func (h *httpMetrics) register(r *prometheus.Registry) {
	r.MustRegister(h.requests, h.durations, h.inFlight, h.streams)
}

// Observe counts the requests that next answers. The route is what next, or a
// ServeMux below it, left in [http.Request.Pattern].
func (m *Metrics) Observe(next http.Handler) http.Handler {
	h := &m.http
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.inFlight.Inc()
		began := time.Now()
		rec := &recorder{ResponseWriter: w, streams: h.streams}
		defer func() { // also when an answer is broken off by a panic
			h.inFlight.Dec()
			route, method := routeOf(r)
			h.requests.WithLabelValues(route, method, classOf(rec.status)).Inc()
			if rec.streaming {
				h.streams.Dec()
			} else {
				h.durations.WithLabelValues(route, method).Observe(time.Since(began).Seconds())
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodOptions}

func routeOf(r *http.Request) (route, method string) {
	route, method = r.Pattern, r.Method
	if _, path, found := strings.Cut(route, " "); found {
		route = path
	}
	if route == "" {
		route = otherLabel
	}
	if !slices.Contains(methods, method) {
		method = otherLabel
	}
	return route, method
}

// classOf is 2xx, 4xx and so on. A handler that writes nothing answers 200.
func classOf(status int) string {
	if status == 0 {
		status = http.StatusOK
	}
	return strconv.Itoa(status/100) + "xx"
}

// A recorder notes an answer's status, and whether it is a stream: one that is
// flushed before its end.
type recorder struct {
	http.ResponseWriter
	streams   prometheus.Gauge
	status    int
	streaming bool
}

// WriteHeader is http.ResponseWriter's.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 { // the final one: others may come before
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write is http.ResponseWriter's.
func (r *recorder) Write(b []byte) (int, error) {
	r.wrote()
	return r.ResponseWriter.Write(b)
}

// ReadFrom leaves the copying of files to the writer below, which has the kernel
// do it.
func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	r.wrote()
	return io.Copy(r.ResponseWriter, src)
}

func (r *recorder) wrote() {
	if r.status == 0 {
		r.status = http.StatusOK
	}
}

// FlushError is what http.ResponseController looks for.
func (r *recorder) FlushError() error {
	if !r.streaming {
		r.streaming = true
		r.streams.Inc()
	}
	r.wrote()
	return http.NewResponseController(r.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController reach the connection's deadlines.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
