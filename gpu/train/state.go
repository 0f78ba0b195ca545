package train

// Slots returns how many state vectors, each as long as the parameters, an
// optimizer keeps: sgd without momentum 0, with 1; adam and adamw 2 (m, v);
// rmsprop 1 to 3 (square average, then momentum and gradient average if on).
func (o Optimizer) Slots() int {
	switch o.Name {
	case SGD:
		if o.Momentum != 0 {
			return 1
		}
		return 0
	case RMSprop:
		n := 1
		if o.Momentum != 0 {
			n++
		}
		if o.Centered {
			n++
		}
		return n
	default:
		return 2
	}
}

// State is a job between two steps: all that is needed to go on with equal
// bits. Randomness needs no state, for it is a function of seed and step.
type State struct {
	Params  []float32   // Model.ParamSize
	Buffers []float32   // Model.BufferSize
	Slots   [][]float32 // Optimizer.Slots() vectors of ParamSize

	Epoch     int   // epochs ended
	Step      int64 // optimizer steps done
	EpochStep int64 // steps done in the current epoch

	LossSum  float64 // of the current epoch's batches, each times its rows
	LossRows int64

	Best        []float32 // parameters then buffers of the best epoch; nil without early stopping
	BestEpoch   int
	BestMetric  float64
	BadEpochs   int  // epochs since the best
	EpochEnding bool // the epoch's steps are done, its validation is not
	Finished    bool // all training is done, the test metrics may not be
	Metrics     map[string]float64
}
