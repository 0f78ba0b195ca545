// Package dataset turns files, shipped sets and made sets into numbers ready
// to train on.
//
// [Load] reads a source, finds features and target, cuts the rows into parts
// and standardizes them; the [Set] it returns is read-only. [EncodeTo] and
// [View] hand a Set to another process without a copy, [Key] says cheaply
// whether two jobs may share one, and [LoadRows] reads rows for prediction as
// the model's data set was read.
//
// Every file comes from outside: sizes announced in it are never trusted with
// memory, limits stand in limits.go, and all that can be wrong with a user's
// data is a [*Fault] that names the place and says what to try.
//
// Start reading at [Load]. A source is one file here: csv.go, idx.go, npy.go,
// parquet.go, safetensors.go, shipped.go, made.go; each returns a table, which
// target.go, split.go and standardize.go turn into a Set.
//
// The package imports gpu/train/philox and gpu/train/safetensors, and nothing
// else of this module.
package dataset
