// Package program compiles a training job into what the kernels run: a list of
// operations in phases in sections (kernels/job.cuh), and the layout of the one
// block of device memory that the job lives in.
//
//	p, err := program.Compile(spec, model, &set.Info)
//	err = p.Check(set)
//	block := make([]byte, p.InitBytes)
//	err = p.Encode(block, base, data, status) // base: where p.Bytes are allocated on the device
//	err = p.PutState(block[p.StateOffset:], state)
//	// upload block to base; the job is at base+p.StateOffset
//	state, err = p.State(snapshot) // of p.StateBytes, taken between two sections
//
// The block is, in this order, each piece on a multiple of 256 bytes:
//
//	kernels.Job, parameters, optimizer slots, buffers, best epoch   a snapshot copies these
//	operations, phases, zeros, spreads                              immutable; InitBytes ends here
//	gradients, epoch's order, squares                               kept from section to section
//	activations, gradients of activations, scratch                  of training, and in the same
//	                                                                place those of evaluation
//
// Vectors of parameters lie there tensor by tensor, each on a multiple of 256
// bytes, so that kernels may load any weight in vectors. The gaps between are
// zeros wherever a kernel walks over them.
//
// The package computes nothing and knows no device: it is plain Go, needs no
// build tag, and a [Program] may be used by many goroutines.
//
// Where to start reading: Compile in program.go; nodes.go makes operations-to-be
// of a model's stages, forward.go and backward.go turn those into phases,
// layout.go places memory; header.go writes the image, state.go maps train.State.
// checker_test.go says what makes a program right, machine_test.go runs one.
//
// It imports kernels, gpu/train and its packages, and the standard library.
package program
