package kernels

import (
	"fmt"
	"unsafe"
)

// Limits that host and kernels share.
const (
	Block       = 256      // threads of every block
	SharedBytes = 48 << 10 // dynamic shared memory of every block
	MaxReports  = 16       // epochs a job may end in one quantum
	Metrics     = 6        // values of a report

	// Train is the kernel's name: train(const Gang *gang, u32 left).
	Train = "train"
	// WholeQuantum is its left for one launch that runs a quantum.
	WholeQuantum = 0xffffffff
)

// Ptr is an address in the device's memory; 0 is null.
type Ptr = uint64

// Kind says which struct an operation's arguments are.
type Kind uint32

// The operations; job.cuh describes the arguments of each.
const (
	OpLinear Kind = iota
	OpLinearGradInput
	OpLinearGradWeight
	OpConv2D
	OpConv2DGradInput
	OpConv2DGradWeight
	OpConv2DGradWeightSum
	OpMaxPool
	OpMaxPoolGrad
	OpAvgPool
	OpAvgPoolGrad
	OpActivate
	OpActivateGrad
	OpDropout
	OpLayerNorm
	OpLayerNormGradInput
	OpLayerNormGradWeight
	OpBatchNorm
	OpBatchNormGrad
	OpLoss
	OpLossSum
	OpSumSquares
	OpClipScale
	OpOptimize
	OpShuffleRows
	OpGatherRows
	OpCopy
	Kinds
)

// FlagInput marks an operation whose X is the data set.
const FlagInput uint32 = 1

// Activations.
const (
	ActIdentity int32 = iota
	ActReLU
	ActLeakyReLU
	ActTanh
	ActSigmoid
	ActGELU
)

// Losses.
const (
	LossCrossEntropy int32 = iota
	LossMSE
	LossBCEWithLogits
	LossHuber
)

// Optimizers.
const (
	OptSGD int32 = iota
	OptAdam
	OptAdamW
	OptRMSprop
)

// Schedules.
const (
	ScheduleConstant int32 = iota
	ScheduleCosine
	ScheduleStep
	ScheduleLinear
	ScheduleOneCycle
)

// Places in a report's metrics.
const (
	MetricTrainLoss int32 = iota
	MetricLR
	MetricPartLoss
	MetricAccuracy
	MetricRMSE
	MetricR2
	MetricNone
)

// Doing is what a job is at; most are sections of its program.
type Doing int32

// The doings, in job.cuh's words.
const (
	DoingBegin Doing = iota
	DoingShuffle
	DoingTrain
	DoingValidate
	DoingTest
	DoingKeep
	DoingTake
	DoingDone
	DoingFault
	Doings
)

func (d Doing) String() string {
	names := [...]string{"begin", "shuffle", "train", "validate", "test", "keep", "take", "done", "fault"}
	if d < 0 || int(d) >= len(names) {
		return fmt.Sprintf("doing %d", int32(d))
	}
	return names[d]
}

// Op is one operation of a program.
type Op struct {
	Kind  Kind
	Flags uint32
	Args  [15]uint64
}

// NewOp returns an operation with args, one of the structs below.
func NewOp[T any](kind Kind, flags uint32, args T) Op {
	op := Op{Kind: kind, Flags: flags}
	if unsafe.Sizeof(args) > unsafe.Sizeof(op.Args) {
		panic(fmt.Sprintf("kernels: %T does not fit into an operation", args))
	}
	*(*T)(unsafe.Pointer(&op.Args)) = args
	return op
}

// ArgsOf returns an operation's arguments, of the struct that goes with its kind.
func ArgsOf[T any](op *Op) T { return *(*T)(unsafe.Pointer(&op.Args)) }

// Phase is a run of operations without dependencies between them.
type Phase struct{ First, Count uint32 }

// Section is a run of phases.
type Section struct{ First, Count uint32 }

// The arguments of operations, as job.cuh describes them.
type (
	Linear struct {
		X, W, B, Y Ptr
		In, Out    int32
		Act        int32
		Slope      float32
	}
	LinearGradInput struct {
		DY, W, Y, DX Ptr
		In, Out      int32
		Act          int32
		Slope        float32
	}
	LinearGradWeight struct {
		X, DY, DW, DB Ptr
		In, Out       int32
	}
	Window struct {
		C, H, W, OH, OW        int32
		KH, KW, SH, SW, PH, PW int32
	}
	Conv2D struct {
		X, W, B, Y Ptr
		Window     Window
		Out        int32
		Act        int32
		Slope      float32
	}
	Conv2DGradInput struct {
		DY, W, Y, DX Ptr
		Window       Window
		Out          int32
		Act          int32
		Slope        float32
	}
	Conv2DGradWeight struct {
		X, DY, Partial Ptr
		Window         Window
		Out            int32
		Splits         int32
	}
	Conv2DGradWeightSum struct {
		Partial, DW, DB    Ptr
		Out, Patch, Splits int32
	}
	MaxPool struct {
		X, Y, From Ptr
		Window     Window
	}
	MaxPoolGrad struct {
		DY, From, DX Ptr
		Window       Window
	}
	AvgPool struct {
		X, Y   Ptr
		Window Window
	}
	AvgPoolGrad struct {
		DY, DX Ptr
		Window Window
	}
	Activate struct {
		X, Y  Ptr
		N     int32
		Act   int32
		Slope float32
	}
	ActivateGrad struct {
		DY, V, DX Ptr
		N         int32
		Act       int32
		Slope     float32
	}
	Dropout struct {
		X, Y  Ptr
		N     int32
		Stage int32
		Limit uint32
		Keep  float32
	}
	LayerNorm struct {
		X, W, B, Y, Stats Ptr
		N                 int32
		Eps               float32
	}
	LayerNormGradInput struct {
		X, DY, W, Stats, DX Ptr
		N                   int32
	}
	LayerNormGradWeight struct {
		X, DY, Stats, DW, DB Ptr
		N                    int32
	}
	BatchNorm struct {
		X, W, B, Y, Stats, RunningMean, RunningVar Ptr
		Channels, Plane                            int32
		Eps, Momentum                              float32
	}
	BatchNormGrad struct {
		X, DY, W, Stats, DX, DW, DB Ptr
		Channels, Plane             int32
	}
	Loss struct {
		Z, Target, DZ, Loss, Right Ptr
		Width                      int32
		Kind                       int32
	}
	LossSum struct {
		Loss, Right, Z, Target, Squares Ptr
		Width                           int32
	}
	SumSquares struct {
		G, Partial Ptr
		N          int32
	}
	ClipScale struct {
		Partial Ptr
		Clip    float64
		Count   int32
	}
	Optimize struct {
		Params, Grads, Slot0, Slot1, Slot2 Ptr
		N                                  int32
		Kind                               int32
	}
	ShuffleRows struct {
		Order Ptr
		N     int32
	}
	GatherRows struct {
		X, Y Ptr
		N    int32
	}
	Copy struct {
		From, To, From2, To2 Ptr
		N, N2                int32
	}
)

// Hyper is the optimizer's numbers for one step; the device computes them.
type Hyper struct {
	GradScale, LR, WeightDecay, Decay, Momentum, Gain float32
	OneMinusBeta1, Beta2, OneMinusBeta2               float32
	SqrtBC2, StepSize, Eps                            float32
	Alpha, OneMinusAlpha                              float32
	Nesterov, First, Centered                         int32
	Reserved                                          float32
}

// OptimizerSpec is what Hyper is computed from.
type OptimizerSpec struct {
	LR, Beta1, Beta2, Eps, WeightDecay, Momentum, Dampening, Alpha float64
	Kind, Nesterov, Centered, Clips                                int32
}

// ScheduleSpec is gpu/train's Schedule.
type ScheduleSpec struct {
	MinLR, Gamma, PctStart, DivFactor, FinalDiv float64
	WarmupSteps, StepEpochs                     int64
	Kind, Reserved                              int32
}

// State is what train.State has beside its vectors.
type State struct {
	Step, Epoch, EpochStep                   int64
	LossSum                                  float64
	LossRows                                 int64
	BestEpoch, BadEpochs                     int64
	BestMetric                               float64
	HasBest, EpochEnding, Finished, Reserved int32
	Metrics                                  [Metrics]float64
	Test                                     [Metrics]float64
	LR                                       float64
}

// Part is a contiguous share of the data set that is evaluated.
type Part struct {
	First, Rows int64
	Spread      Ptr
}

// Cursor is where a job stands inside its program.
type Cursor struct {
	Doing          Doing
	Phase          uint32
	Rows, Reserved int32
	First, Next    int64
}

// Batch is what was found of the batch at hand.
type Batch struct {
	Loss  float64
	Right int64
}

// Evaluation is sums over a part under evaluation.
type Evaluation struct {
	Loss  float64
	Right int64
}

// Report is an ended epoch's.
type Report struct {
	Epoch, Step int64
	Metrics     [Metrics]float64
}

// Status is what the host reads after a quantum, from mapped host memory.
type Status struct {
	Doing       Doing
	Reports     int32
	Found       Doing
	Reserved    int32
	Step, Epoch int64
	Loss, Fault float64
	Quantum     int64
	BusyNS      int64
	Report      [MaxReports]Report
}

// Job is the start of a job's memory.
type Job struct {
	Ops, Phases          Ptr
	Sections             [Doings]Section
	Order                Ptr
	Status               Ptr
	Squares              Ptr
	Seed                 uint64
	Steps, StepsPerEpoch int64
	TrainRows            int64
	BatchSize, EvalRows  int32
	Width                int32
	Task                 int32
	Validation, Test     Part
	Optimizer            OptimizerSpec
	Schedule             ScheduleSpec
	EarlyMetric          int32
	EarlyRises           int32
	Patience             int64
	MinDelta             float64

	State      State
	Cursor     Cursor
	Hyper      Hyper
	Batch      Batch
	Evaluation Evaluation
	Arrived    uint32
	Reports    int32
	Quantum    int64
	Stops      int32
	Reserved   int32
}

// Slot says which job a block works on.
type Slot struct {
	Job         Ptr
	Rank, Width uint32
}

// Gang is what a lane's launches share.
type Gang struct {
	Slots    Ptr
	Quantum  int64
	BudgetNS int64
	Reserved int64
}

// Bytes returns a struct's memory as the device sees it.
func Bytes[T any](v *T) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v)) }
