// Package metrics is what Prometheus is told of a daemon: /metrics, the names
// and units of everything on it, and what counts it.
//
//	m := metrics.New()
//	m.Watch(metrics.Source{Devices: devices, Jobs: jobs, …}) // read at every scrape
//	m.JobEnded(api.KindTrain, api.Succeeded, 2.1)            // counted as it happens
//	handler := m.Handler()
//
// A scrape costs the same however many jobs the store holds, and waits for
// nobody: counters are counted where things happen, and a [Source] answers from
// memory. What is not known is left out, never 0. The values of labels come from
// small fixed sets, or from the machine: never from users and never one a job.
//
// docs/monitoring.md has the table of all metrics, which the tests write and
// hold to this package, as they hold the dashboard and the alerts in docs.
//
// It may import daemon/api. Start reading at [Metrics].
package metrics
