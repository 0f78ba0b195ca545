// Package top is the full screen of weft top: devices with their history, who
// shares their lanes, and the jobs, which it sorts, filters, follows and acts
// on. Start at [New].
//
// A [Screen] is a bubbletea model that does no I/O of its own. What happens
// comes from [Screen.Feed], whose goroutines ask the daemon and send one batch
// of news a refresh; what a key sets off runs in commands. So neither a slow
// daemon nor one that is gone holds up a key, and the work of a second is
// bounded by what is in view, not by the number of jobs.
//
// The package imports daemon/api, client/table and the charm libraries. Charts
// are drawn here, in chart.go: ntcharts cannot leave a gap where a sensor told
// nothing, and styles every cell of every frame apart.
package top
