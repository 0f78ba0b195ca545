//go:build race

package cpuwork

const raceEnabled = true
