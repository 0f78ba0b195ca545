package train

import "weft/gpu/train/dataset"

// Spec is a training specification as docs/specification.md describes it,
// after [Parse] has checked it and filled in every default.
type Spec struct {
	Name          string
	Data          dataset.Spec
	Model         []Layer
	Loss          Loss
	Optimizer     Optimizer
	Schedule      Schedule
	ClipGradNorm  float64 // 2-norm over all parameters; 0: off
	BatchSize     int
	DropLast      bool
	Epochs        int   // 0 when Steps is given
	Steps         int64 // 0 when Epochs is given
	Shuffle       bool
	Seed          uint64
	Init          Init
	EarlyStopping *EarlyStopping // nil: off
	Checkpoint    Checkpoint
	Device        string // auto, cpu, gpu, gpu:N
	Precision     string // float32, tf32, bf16
}

// LayerKind names a layer of the flat list; each is torch.nn's of that name.
type LayerKind string

// The layers, in the order docs/specification.md lists them.
const (
	Linear      LayerKind = "linear"
	Conv2D      LayerKind = "conv2d"
	MaxPool2D   LayerKind = "maxpool2d"
	AvgPool2D   LayerKind = "avgpool2d"
	Flatten     LayerKind = "flatten"
	ReLU        LayerKind = "relu"
	GELU        LayerKind = "gelu"
	Tanh        LayerKind = "tanh"
	Sigmoid     LayerKind = "sigmoid"
	LeakyReLU   LayerKind = "leaky_relu"
	Dropout     LayerKind = "dropout"
	LayerNorm   LayerKind = "layernorm"
	BatchNorm1D LayerKind = "batchnorm1d"
	BatchNorm2D LayerKind = "batchnorm2d"
)

// Layer is one entry of the model list; only the fields of its kind are set.
type Layer struct {
	Kind     LayerKind
	Width    int     // linear: outputs, or AutoWidth; conv2d: output channels
	NoBias   bool    // linear, conv2d
	Kernel   [2]int  // conv2d, pools: height, width
	Stride   [2]int  // conv2d: default 1; pools: default the kernel
	Padding  [2]int  // conv2d, pools: default 0
	P        float64 // dropout probability
	Slope    float64 // leaky_relu: default 0.01
	Eps      float64 // norms: default 1e-5
	Momentum float64 // batch norms: default 0.1
}

// AutoWidth stands for a linear layer's outputs that [Compose] takes from the
// data: its classes, or its target columns.
const AutoWidth = -1

// Loss names a loss; each averages over all elements of the batch as its
// torch.nn counterpart does.
type Loss string

// The losses and what they make of a data set's target.
const (
	CrossEntropy  Loss = "cross_entropy"   // labels 0..C-1 against C outputs
	MSE           Loss = "mse"             // numbers
	BCEWithLogits Loss = "bce_with_logits" // numbers in [0, 1], one per output
	Huber         Loss = "huber"           // numbers, delta 1
)

// Task returns what l asks of the target column.
func (l Loss) Task() dataset.Task {
	switch l {
	case CrossEntropy:
		return dataset.Classification
	case BCEWithLogits:
		return dataset.Binary
	default:
		return dataset.Regression
	}
}

// OptimizerName names one of torch.optim's algorithms.
type OptimizerName string

// The optimizers.
const (
	SGD     OptimizerName = "sgd"
	Adam    OptimizerName = "adam"
	AdamW   OptimizerName = "adamw"
	RMSprop OptimizerName = "rmsprop"
)

// Optimizer has torch.optim's names and defaults; only the fields of its
// algorithm are set.
type Optimizer struct {
	Name        OptimizerName
	LR          float64
	Betas       [2]float64 // adam, adamw
	Eps         float64    // adam, adamw, rmsprop
	WeightDecay float64
	Momentum    float64 // sgd, rmsprop
	Dampening   float64 // sgd
	Nesterov    bool    // sgd
	Alpha       float64 // rmsprop
	Centered    bool    // rmsprop
}

// ScheduleName names a learning-rate schedule.
type ScheduleName string

// The schedules; [Schedule.LR] has their formulas.
const (
	Constant ScheduleName = "constant"
	Cosine   ScheduleName = "cosine"
	StepLR   ScheduleName = "step"
	LinearLR ScheduleName = "linear"
	OneCycle ScheduleName = "one_cycle"
)

// Schedule changes the learning rate once per optimizer step.
type Schedule struct {
	Name        ScheduleName
	WarmupSteps int64   // linear from 0 before any schedule but one_cycle
	MinLR       float64 // cosine, linear: where they end
	StepEpochs  int     // step: epochs between drops
	Gamma       float64 // step: factor of a drop
	PctStart    float64 // one_cycle: default 0.3
	DivFactor   float64 // one_cycle: default 25
	FinalDiv    float64 // one_cycle: default 1e4
}

// Init says where initial weights come from: the seed, or a file.
type Init struct {
	From string // safetensors file, absolute path; "": PyTorch's distributions
}

// EarlyStopping ends a job when Metric has not improved by MinDelta for
// Patience epochs, and keeps the best epoch's parameters.
type EarlyStopping struct {
	Metric   string // val_loss, val_accuracy, val_rmse, val_r2, train_loss
	Patience int
	MinDelta float64
}

// Checkpoint says how often a running job's state is written.
type Checkpoint struct {
	EverySeconds float64 // default 30
}
