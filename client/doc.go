// Package client is weft's command line: a urfave/cli tree with one file per
// verb, each a constructor, an options struct and a run function.
//
// It imports the daemon's API (weft/daemon/api), the loads of its benchmark
// (weft/bench/load), its own folders, and third parties; never the daemon itself, whose serve and worker commands main hands
// in as functions of [App]. Everything returns: the exit code is the result of
// [Run], and nothing here ends the process or touches global state.
//
// Its folders are pure and know nothing of the daemon: argv sorts flags and
// positional arguments, specfile reads YAML and keeps positions, sweep expands
// axes, table aligns columns, nearest finds the name somebody meant.
//
// Start reading at run.go, then tree.go, then a verb such as ls.go.
package client
