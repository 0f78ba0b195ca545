// Package philox makes the random numbers of training: initial weights, epoch
// orders, dropout masks, splits and made data sets.
//
// The generator is Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel
// random numbers: as easy as 1, 2, 3", SC 2011). It has no state: the number
// at a place is a function of seed, purpose, stream and place. So a job that
// resumes needs nothing saved, a device may draw its numbers in any order, and
// host and GPU agree bit for bit.
//
// Layout of the 128-bit counter and the 64-bit key, which device code follows:
//
//	key     = seed
//	counter = { low 32 bits of block,
//	            purpose<<24 | high 24 bits of block,
//	            low 32 bits of stream, high 32 bits of stream }
//
// The i-th number of a stream is word i%4 of block i/4.
//
// Start reading at [New]. The package imports only the standard library.
package philox
