package host

// pass says what a forward or backward sweep is part of.
type pass struct {
	rows  int   // samples in the batch
	train bool  // false: evaluation, with running statistics and no dropout
	step  int64 // optimizer steps done before this one; dropout's counter
}

// layer is one stage of a network. Samples are flat and row-major, images
// channels first (C, H, W). A layer keeps what its backward needs from the
// forward sweep before it.
type layer[T real] interface {
	// forward computes y (rows, outputs) from x (rows, inputs). x and y are
	// the same memory where uses().overwrites allows it.
	forward(p *pass, x, y []T)
	// backward sets the parameters' gradients and dx (rows, inputs) from what
	// forward saw and dy (rows, outputs), which it may overwrite. A nil dx is
	// not wanted. dx is dy's memory where uses().elementwise says so.
	backward(p *pass, x, y, dy, dx []T)
	uses() uses
}

// uses tells the network which memory a layer may share.
type uses struct {
	input       bool // backward reads x
	output      bool // backward reads y
	elementwise bool // backward works with dx in dy's place
	overwrites  bool // forward works with y in x's place
}
