// Package kernels holds the CUDA kernels: their sources (*.cu, *.cuh), the PTX
// made from them, which is embedded, and Go's view of the structs that host and
// kernels share. It imports nothing of weft's.
//
// Start reading at job.cuh, which says what a job is to the kernels; job.go
// mirrors it and layout_test.go holds the two together. train.cu has the two
// kernels, control.cuh what happens between a job's sections, and every other
// .cuh the operations of its name.
package kernels
