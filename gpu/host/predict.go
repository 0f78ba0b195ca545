package host

import (
	"fmt"

	"weft/gpu/train"
)

// predictBatch is how many rows Predict runs at once; no result depends on it.
const predictBatch = 128

// Predict runs rows of x (rows, product of model.Input), prepared as the
// model's training data was, through a trained model and puts what its last
// layer says, logits for classes, into out (rows, product of model.Output).
// params and buffers are in the model's layout and are only read.
func Predict(model *train.Model, params, buffers []float32, x []float32, rows int, out []float32) error {
	in, width := size(model.Input), size(model.Output)
	switch {
	case len(params) != model.ParamSize || len(buffers) != model.BufferSize:
		return fmt.Errorf("predict: %d parameters and %d buffers for a model of %d and %d",
			len(params), len(buffers), model.ParamSize, model.BufferSize)
	case len(x) != rows*in:
		return fmt.Errorf("predict: %d numbers are not %d rows of %d", len(x), rows, in)
	case len(out) != rows*width:
		return fmt.Errorf("predict: room for %d numbers, %d rows of %d are coming", len(out), rows, width)
	}
	if rows == 0 {
		return nil
	}
	build := func(a *arena) (*network[float32], error) {
		batch := min(rows, predictBatch)
		v := vectors[float32]{params: params, buffers: buffers}
		return newNetwork(a, newVectorKernels(a, model), model, v, batch, 0, false)
	}
	var count arena
	if _, err := build(&count); err != nil {
		return fmt.Errorf("lay out model: %w", err)
	}
	net, err := build(newArena(count.used))
	if err != nil {
		return fmt.Errorf("lay out model: %w", err)
	}
	for first := 0; first < rows; first += predictBatch {
		n := min(predictBatch, rows-first)
		copy(out[first*width:], net.forward(pass{rows: n}, x[first*in:(first+n)*in]))
	}
	return nil
}
