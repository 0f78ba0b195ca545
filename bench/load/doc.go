// Package load defines the loads that weft is measured with, and counts what a
// training step asks of any device. A load is fixed: model i of it is the same
// on every machine and in every version, so that figures can be compared; a
// change to one is a change of its name. docs/benchmarks.md lists them.
//
// It is pure and imports the standard library only. Start at [All] and
// [StepCost].
package load
