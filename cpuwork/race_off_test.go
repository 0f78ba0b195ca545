//go:build !race

package cpuwork

const raceEnabled = false
