// Package daemon is weft serve: it owns the devices, accepts jobs over HTTP
// and sees every one of them through to its end.
//
// One goroutine, the [owner], holds the table of jobs that have not ended and
// is the only one to change a job's state. What happens to jobs reaches it as
// functions (a request, a device's event, a loaded data set); it gathers what
// is waiting, records all of it in one transaction, announces it, and then
// plans:
//
//	HTTP request ─┐            ┌─ store.Apply ─ hub ─▶ event streams
//	device event ─┼─▶  owner ──┤
//	loaded data ──┘            └─ sched.Schedule ─▶ load ─ store.Apply ─▶ device.Start
//
// Three rules hold it together. A change is durable before anybody hears of
// it, so that no answer is taken back by a crash. A start is recorded before
// the device is told, and what a device reports is kept until it is recorded,
// so that a job ends exactly once. Nothing slow runs on the owner: data is
// loaded, files are removed and requests are read elsewhere.
//
// The package imports its own subpackages and gpu; huma gives the HTTP API its
// OpenAPI description. Start reading at owner.go, then commands.go (what people
// ask for), devices.go (what devices tell) and planning.go; http.go lists the
// endpoints.
package daemon
