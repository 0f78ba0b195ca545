package gpu

import (
	"weft/gpu/host"
	"weft/gpu/program"
	"weft/gpu/train"
	"weft/gpu/train/dataset"
)

// Estimate is what a job will take, known before it starts.
type Estimate struct {
	Parameters  int64 // trained numbers
	MemoryBytes int64 // the job's own reservation on the host, exact
	GPUBytes    int64 // the same on a GPU; 0: it cannot run there
	DataBytes   int64 // its data set, shared by jobs on the same one
	Steps       int64 // optimizer steps
	Epochs      int
	TrainRows   int
	StepFlops   int64 // floating-point operations of one training step
	// NotGPU says why GPUBytes is 0.
	NotGPU *train.Fault
}

// Compose checks that a specification's layers, loss and data fit together and
// says what training will take. Its error is a [*train.SpecError].
func Compose(spec *train.Spec, info *dataset.Info) (Estimate, error) {
	model, err := train.Compose(spec, info)
	if err != nil {
		return Estimate{}, err
	}
	_, steps, epochs := spec.Plan(info.TrainRows)
	e := Estimate{
		Parameters:  int64(model.ParamSize),
		MemoryBytes: host.Memory(spec, model, info),
		DataBytes:   info.Bytes,
		Steps:       steps,
		Epochs:      epochs,
		TrainRows:   info.TrainRows,
		StepFlops:   stepFlops(spec, model),
	}
	if e.GPUBytes, err = program.Memory(spec, model, info); err != nil {
		e.GPUBytes, e.NotGPU = 0, faultOf(err)
	}
	return e, nil
}

// stepFlops counts the products of linear and convolution layers, 2 per
// multiply-add, three times: forward, and backward to weights and to inputs.
// The other layers are linear in their sizes and do not count beside them.
func stepFlops(spec *train.Spec, model *train.Model) int64 {
	var perRow int64
	for i := range model.Stages {
		s := &model.Stages[i]
		switch s.Kind {
		case train.Linear, train.Conv2D:
			perRow += 2 * int64(s.FanIn) * int64(s.OutSize())
		default:
		}
	}
	return 3 * perRow * int64(spec.BatchSize)
}
