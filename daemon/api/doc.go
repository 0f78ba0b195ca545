// Package api is what the daemon and its clients share: wire types, the job
// life cycle, error codes, and the Go client. It imports only the standard
// library. Start reading at [Job] and [State].
package api
