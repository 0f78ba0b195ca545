// Package specfile reads training specifications written in YAML, keeps where
// every key stood, and writes them as the JSON that the daemon takes. Faults
// that the daemon finds are so put to a file, line, column and key.
//
// It knows YAML and the places of file names in a specification, and nothing
// else of what a specification means: that is the daemon's. Files come from
// outside, so size, nesting, and what aliases expand to are limited. It
// imports goccy/go-yaml and nothing of ours. Start reading at [Read] and
// [Node].
package specfile
